"""Parts of `lanthorn import` by themselves: addresses, passwords, progress, journal, files."""

from __future__ import annotations

import io
import zlib
from pathlib import Path

import pytest

from lanthorn_core.model import Level
from lanthorn_embedded.errors import ConfigurationError
from lanthorn_embedded.importing.journal import Counts, Failure, State, open_journal
from lanthorn_embedded.importing.passwords import find_password
from lanthorn_embedded.importing.progress import Progress
from lanthorn_embedded.importing.server_client import ServerAddress, parse_address
from lanthorn_embedded.importing.source import (
    SourceAttachment,
    SourceResource,
    Totals,
    UnreadableFile,
)
from lanthorn_embedded.importing.storage import path_of, read_stored

UUID = "aabbccdd-0000-4000-8000-000000000000"


def test_an_address_keeps_user_and_password_out_of_what_is_shown() -> None:
    address = parse_address("http://me:p%40ss@host:8042/orthanc/")
    assert address == ServerAddress("http://host:8042/orthanc", "me", "p@ss")
    assert "p@ss" not in repr(address)
    assert parse_address("https://[::1]").url == "https://[::1]"


@pytest.mark.parametrize("text", ["host:8042", "ftp://host", "http://", "http://host:x", ""])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="named like"):
        parse_address(text)


def test_a_password_comes_from_the_file_the_address_or_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("of the file\n")
    environ = {"PASSWORD": "of the environment"}
    assert find_password("of the address", file, environ, "PASSWORD", "me") == "of the file"
    assert find_password("of the address", None, environ, "PASSWORD", "me") == "of the address"
    assert find_password("", None, environ, "PASSWORD", "me") == "of the environment"
    assert find_password("", None, {}, "PASSWORD", "") == ""
    with pytest.raises(ConfigurationError, match="cannot be read"):
        find_password("", tmp_path / "none", {}, "PASSWORD", "")


def test_progress_tells_rate_and_time_by_bytes() -> None:
    clock = iter([0.0, 0.0, 2.0, 2.0, 2.0])
    counts = dict.fromkeys(Level, 1000)
    output = io.StringIO()
    progress = Progress(Totals(counts, 400 << 20), output, lambda: next(clock))
    progress.begin(Level.INSTANCE)
    progress.skip(500, 100 << 20)
    progress.fail()
    progress.advance(100, 100 << 20)
    assert progress.line() == (
        "instances 600 of 1,000  [############............]  50%  50/s  50.0 MiB/s  "
        "0:00:04 left  1 failed"
    )
    assert output.getvalue() == ""


def instance(public_id: str) -> SourceResource:
    return SourceResource(Level.INSTANCE, public_id)


def study(last_update: str) -> SourceResource:
    return SourceResource(Level.STUDY, "s", history={"LastUpdate": last_update})


def test_a_journal_remembers_and_belongs_to_one_import(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "journal"
    with open_journal(path, "there", "here") as journal:
        journal.set_state(Level.INSTANCE, "a", State.SENDING)
        done = Counts(files=1, labels=2)
        journal.finish([(instance("b"), State.DONE, done), (study("1"), State.DONE, Counts())])
        journal.fail(Failure("Instance a", "files", "damaged"))
    with open_journal(path, "there", "here") as journal:
        a, b, c = map(instance, "abc")
        assert journal.pending(Level.INSTANCE, [a, b, c]) == [(a, State.SENDING), (c, None)]
        assert journal.pending(Level.STUDY, [study("1")]) == []
        assert journal.pending(Level.STUDY, [study("2")]) == [(study("2"), State.DONE)]
        assert journal.counts() == done
        assert journal.failure_counts() == Counts(files=1)
        journal.begin_anew("Instance a")
        assert list(journal.failures()) == []
    with (
        pytest.raises(ConfigurationError, match="belongs to the import from there"),
        open_journal(path, "elsewhere", "here"),
    ):
        pass


async def test_a_file_of_any_size_is_inflated(tmp_path: Path) -> None:
    path = path_of(tmp_path, UUID)
    path.parent.mkdir(parents=True)
    for content in (b"x", bytes(5 << 20)):
        path.write_bytes(len(content).to_bytes(8, "little") + zlib.compress(content))
        with await read_stored(tmp_path, SourceAttachment(1, len(content), "", UUID, 2)) as read:
            assert b"".join(read.pieces()) == content
    path.write_bytes(b"")  # as Orthanc compresses nothing
    with await read_stored(tmp_path, SourceAttachment(1, 0, "", UUID, 2)) as read:
        assert list(read.pieces()) == []


@pytest.mark.parametrize(
    ("stored", "attachment", "complaint"),
    [
        (b"x", SourceAttachment(1, 2, "", UUID, 1), "holds 1 bytes, not 2"),
        (b"x", SourceAttachment(1, 1, "0" * 32, UUID, 1), "has the MD5"),
        (b"x", SourceAttachment(1, 1, "", UUID, 9), "unknown compression 9"),
        (bytes(20), SourceAttachment(1, 1, "", UUID, 2), "cannot be read"),
        (bytes(8) + zlib.compress(bytes(9 << 20)), SourceAttachment(1, 1, "", UUID, 2), "not 1"),
    ],
)
async def test_a_file_that_is_not_what_the_index_says_is_refused(
    tmp_path: Path, stored: bytes, attachment: SourceAttachment, complaint: str
) -> None:
    path = path_of(tmp_path, UUID)
    path.parent.mkdir(parents=True)
    path.write_bytes(stored)
    with pytest.raises(UnreadableFile, match=complaint):
        await read_stored(tmp_path, attachment)
