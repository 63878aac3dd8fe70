"""`lanthorn import orthanc` from storage folders, into a running Lanthorn."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom.uid import generate_uid

from lanthorn_embedded.cli import main
from tests.fixtures.dicom_files import as_file, make_ct
from tests.fixtures.orthanc_storage import RECEIVED, OrthancStorage
from tests.fixtures.running_lanthorn import RunningLanthorn

Import = Callable[..., int]


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[OrthancStorage]:
    made = OrthancStorage(tmp_path / "orthanc")
    yield made
    made.close()


@pytest.fixture
def arguments(
    storage: OrthancStorage, running_lanthorn: RunningLanthorn, tmp_path: Path
) -> list[str]:
    journal = str(tmp_path / "journal")
    to = running_lanthorn.http_url
    return ["import", "orthanc", str(storage.folder), "--to", to, "--journal", journal]


@pytest.fixture
def run_import(arguments: list[str]) -> Import:
    return lambda *more: main([*arguments, *more])


def ask(server: RunningLanthorn, path: str, method: str = "GET", body: bytes | None = None) -> Any:
    request = urllib.request.Request(server.http_url + path, method=method, data=body)
    with urllib.request.urlopen(request, timeout=30) as answer:
        data = answer.read()
        is_json = answer.headers["content-type"].startswith("application/json")
        return json.loads(data) if is_json else data


def stored(server: RunningLanthorn, ids: list[str]) -> set[str]:
    body = json.dumps({"Level": "Instance", "Resources": ids}).encode()
    return set(ask(server, "/lanthorn/stored-resources", "POST", body))


def last_change(server: RunningLanthorn) -> int:
    return int(ask(server, "/changes?last")["Last"])


def test_a_storage_folder_comes_over_with_all_that_is_known_of_it(
    storage: OrthancStorage,
    run_import: Import,
    running_lanthorn: RunningLanthorn,
    capsys: pytest.CaptureFixture[str],
) -> None:
    compressed, data = storage.add(make_ct())
    plain, other_data = storage.add(make_ct(), is_compressed=False)
    for public_id in compressed:
        storage.set_metadata(public_id, 1024, "é")
        storage.set_label(public_id, "seen")
        storage.attach(public_id, 1025, b"attached")
    storage.protect(compressed.patient)
    name = f"ct-{compressed.patient[:8]}"
    storage.set_modalities({name: {"AET": "CT99", "Host": "10.1.1.1", "Port": 104}})
    assert run_import("--verify") == 0, capsys.readouterr().out
    said = capsys.readouterr().out
    assert (
        "Taken over: 2 files, 4 metadata of users, 4 labels, 4 attachments of users, "
        "1 protections of patients, 1 modalities."
    ) in said
    assert "2 patients, 2 studies, 2 series, 2 instances; missing: 0" in said

    assert ask(running_lanthorn, f"/instances/{compressed.instance}/file") == data
    assert ask(running_lanthorn, f"/instances/{plain.instance}/file") == other_data
    metadata = ask(running_lanthorn, f"/instances/{compressed.instance}/metadata?expand")
    assert metadata["RemoteAET"] == "CT99"
    assert metadata["Origin"] == "DicomProtocol"
    assert metadata["ReceptionDate"] == RECEIVED
    plurals = ("patients", "studies", "series", "instances")
    for plural, public_id in zip(plurals, compressed, strict=True):
        resource = ask(running_lanthorn, f"/{plural}/{public_id}")
        assert resource["Labels"] == ["seen"]
        assert resource.get("LastUpdate", RECEIVED) == RECEIVED
        assert ask(running_lanthorn, f"/{plural}/{public_id}/metadata/1024") == "é".encode()
        attached = ask(running_lanthorn, f"/{plural}/{public_id}/attachments/1025/data")
        assert attached == b"attached"
    patient = ask(running_lanthorn, f"/patients/{compressed.patient}")
    assert patient["IsProtected"] is True
    assert ask(running_lanthorn, f"/modalities/{name}/configuration")["Host"] == "10.1.1.1"


def test_a_second_run_changes_nothing_and_brings_nothing_back(
    storage: OrthancStorage, run_import: Import, running_lanthorn: RunningLanthorn
) -> None:
    first, _ = storage.add(make_ct())
    second, _ = storage.add(make_ct())
    storage.set_metadata(first.study, 1024, "theirs")
    assert run_import() == 0
    ask(running_lanthorn, f"/studies/{first.study}/metadata/1024", "PUT", b"ours")
    ask(running_lanthorn, f"/instances/{second.instance}", "DELETE")
    before = last_change(running_lanthorn)
    assert run_import() == 0
    changes = ask(running_lanthorn, f"/changes?since={before}&limit=10000")["Changes"]
    # What other tests stored becomes stable whenever its time has come.
    assert [one for one in changes if not one["ChangeType"].startswith("Stable")] == []
    assert stored(running_lanthorn, [first.instance, second.instance]) == {first.instance}
    assert ask(running_lanthorn, f"/studies/{first.study}/metadata/1024") == b"ours"


def test_a_later_run_brings_what_came_since(
    storage: OrthancStorage, run_import: Import, running_lanthorn: RunningLanthorn
) -> None:
    dataset = make_ct()
    ids, _ = storage.add(dataset)
    assert run_import() == 0
    dataset.SOPInstanceUID = generate_uid()
    newer, _ = storage.add(dataset)
    storage.set_label(ids.study, "seen")
    for public_id in ids[:3]:
        storage.set_metadata(public_id, 7, "20200102T030405")
    assert run_import() == 0
    assert len(stored(running_lanthorn, [ids.instance, newer.instance])) == 2
    study = ask(running_lanthorn, f"/studies/{ids.study}")
    assert (study["Labels"], study["LastUpdate"]) == (["seen"], "20200102T030405")


def test_a_damaged_file_is_named_and_the_others_go_on(
    storage: OrthancStorage,
    run_import: Import,
    running_lanthorn: RunningLanthorn,
    capsys: pytest.CaptureFixture[str],
) -> None:
    good, _ = storage.add(make_ct())
    flipped, data = storage.add(make_ct(), is_compressed=False)
    cut, _ = storage.add(make_ct())
    gone, _ = storage.add(make_ct())
    storage.file_of(flipped.instance).write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    compressed = storage.file_of(cut.instance).read_bytes()
    storage.file_of(cut.instance).write_bytes(compressed[:-20])
    storage.file_of(gone.instance).unlink()
    assert run_import() == 1
    said = capsys.readouterr().out
    assert "Not taken over: " in said
    for ids in (flipped, cut, gone):
        assert f"Instance {ids.instance}  files  " in said
    every = [ids.instance for ids in (good, flipped, cut, gone)]
    assert stored(running_lanthorn, every) == {good.instance}

    storage.file_of(flipped.instance).write_bytes(data)
    run_import()
    assert stored(running_lanthorn, every) == {good.instance, flipped.instance}


def test_what_lanthorn_received_itself_stays_as_it_is(
    storage: OrthancStorage,
    run_import: Import,
    running_lanthorn: RunningLanthorn,
    capsys: pytest.CaptureFixture[str],
) -> None:
    dataset = make_ct()
    ids, _ = storage.add(dataset)
    storage.set_label(ids.instance, "seen")
    dataset.ImageComments = "came another way"
    ours = as_file(dataset)
    ask(running_lanthorn, "/instances", "POST", ours)
    assert run_import() == 0
    assert "1 files that were there already" in capsys.readouterr().out
    assert ask(running_lanthorn, f"/instances/{ids.instance}/file") == ours
    assert ask(running_lanthorn, f"/instances/{ids.instance}/metadata/Origin") == b"RestApi"
    assert ask(running_lanthorn, f"/instances/{ids.instance}/labels") == ["seen"]
    patient = ask(running_lanthorn, f"/patients/{ids.patient}")
    assert patient["LastUpdate"] > RECEIVED


def test_an_import_that_was_killed_goes_on_without_importing_twice(
    storage: OrthancStorage,
    arguments: list[str],
    run_import: Import,
    running_lanthorn: RunningLanthorn,
    tmp_path: Path,
) -> None:
    count = 24
    ids = [storage.add(make_ct(rows=64))[0].instance for _ in range(count)]
    before = last_change(running_lanthorn)
    # Who reads a pipe that nobody writes waits: it cannot come to its end before it is killed.
    file = storage.file_of(ids[count // 2])
    content = file.read_bytes()
    file.unlink()
    os.mkfifo(file)
    command = [sys.executable, "-m", "lanthorn_embedded", *arguments, "--in-flight", "2"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    while process.poll() is None and len(stored(running_lanthorn, ids)) < 5:
        time.sleep(0.01)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    file.unlink()
    file.write_bytes(content)
    assert run_import() == 0
    assert stored(running_lanthorn, ids) == set(ids)
    changes = ask(running_lanthorn, f"/changes?since={before}&limit=10000&type=NewInstance")
    assert sorted(change["ID"] for change in changes["Changes"]) == sorted(ids)
    # Those that were on their way are known as ours: nothing counts as there before.
    with sqlite3.connect(tmp_path / "journal") as journal:
        assert journal.execute("SELECT sum(files) FROM resource").fetchone() == (count,)
    journal.close()
    metadata = ask(running_lanthorn, f"/instances/{ids[0]}/metadata?expand")
    assert metadata["ReceptionDate"] == RECEIVED


def test_a_dry_run_says_what_would_come_and_brings_nothing(
    storage: OrthancStorage,
    run_import: Import,
    running_lanthorn: RunningLanthorn,
    capsys: pytest.CaptureFixture[str],
) -> None:
    ids, _ = storage.add(make_ct())
    storage.set_label(ids.series, "seen")
    assert run_import("--dry-run") == 0
    assert "Would be taken over: 1 files, 1 labels." in capsys.readouterr().out
    assert stored(running_lanthorn, [ids.instance]) == set()


def test_what_is_no_text_is_left_behind_and_said(
    storage: OrthancStorage, run_import: Import, capsys: pytest.CaptureFixture[str]
) -> None:
    ids, _ = storage.add(make_ct())
    storage.set_metadata(ids.study, 1024, b"\xff\x00")
    assert run_import() == 1
    said = capsys.readouterr().out
    assert f"Study {ids.study}  metadata  1024: its value is not a text" in said


def test_a_running_orthanc_is_read_from_a_copy_and_left_alone(
    storage: OrthancStorage, run_import: Import, running_lanthorn: RunningLanthorn
) -> None:
    storage.write_ahead()
    ids, _ = storage.add(make_ct())
    before = sorted((path, path.stat().st_mtime_ns) for path in storage.folder.iterdir())
    assert run_import() == 0
    assert stored(running_lanthorn, [ids.instance]) == {ids.instance}
    after = sorted((path, path.stat().st_mtime_ns) for path in storage.folder.iterdir())
    assert after == before


def test_an_index_of_an_older_orthanc_has_no_labels(
    storage: OrthancStorage, run_import: Import, running_lanthorn: RunningLanthorn
) -> None:
    ids, _ = storage.add(make_ct())
    storage.older()
    assert run_import() == 0
    assert stored(running_lanthorn, [ids.instance]) == {ids.instance}


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (["--to", "http://127.0.0.1:1/x y"], "does not answer"),
        (["--to", "localhost:8042"], "a server is named like"),
        (["--index-folder", "/nowhere"], "cannot be read"),
    ],
)
def test_what_cannot_be_reached_is_said_without_a_traceback(
    run_import: Import,
    change: list[str],
    complaint: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("lanthorn_embedded.importing.server_client.FIRST_PAUSE_S", 0.0)
    assert run_import(*change) in {1, 2}
    assert complaint in capsys.readouterr().err
