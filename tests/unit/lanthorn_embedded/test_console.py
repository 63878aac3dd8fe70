import asyncio
import json
import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from lanthorn_embedded.console import Console, render
from lanthorn_embedded.loglines import LogRecord, Severity


def record(event: str = "instance_stored", **changes: object) -> LogRecord:
    values: dict[str, object] = {
        "time": datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC),
        "service": "indexer",
        "severity": Severity.INFO,
        "event": event,
        **changes,
    }
    return LogRecord(**values)  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def _utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def test_a_record_is_one_readable_line() -> None:
    fields = {"size_bytes": 12, "path": "a b", "uids": ["1.2"], "gone": None}
    assert render(record(fields=fields)) == (
        '04:05:06 indexer    instance_stored size_bytes=12 path="a b" uids="[\\"1.2\\"]" gone=null'
    )


def test_what_is_in_each_line_for_collectors_is_not_shown_to_people() -> None:
    said = record(fields={"pid": 7, "version": "0.1.0", "count": 1})
    assert render(said) == "04:05:06 indexer    instance_stored count=1"
    assert json.loads(said.as_json())["pid"] == 7


def test_a_warning_says_so_and_is_colored_only_on_request() -> None:
    warning = record(severity=Severity.WARNING)
    assert render(warning) == "04:05:06 indexer    warning: instance_stored"
    assert "\x1b[33m" in render(warning, color=True)


def test_a_traceback_follows_indented() -> None:
    assert render(record(trace="Traceback\n  File")).splitlines()[1:] == [
        "    Traceback",
        "      File",
    ]


def test_control_characters_do_not_reach_the_terminal() -> None:
    text = render(record("a\x1b[2Jb", fields={"ae": "\x9b31m"}, trace="x\x1b]0;y\x07"))
    assert not set(text) & {"\x1b", "\x9b", "\x07"}


def test_people_see_of_the_engines_only_what_matters(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as file:
        console = Console(file.fileno(), "console")
        console.write(record("chatter", service="postgres"))
        console.write(record("trouble", service="postgres", severity=Severity.WARNING))
        console.write(record("detail", severity=Severity.DEBUG))
        console.write(record("fact"))
    lines = (tmp_path / "log").read_text().splitlines()
    assert [line.split()[-1] for line in lines] == ["trouble", "fact"]


def test_machines_see_json_of_all_services(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as file:
        console = Console(file.fileno(), "json")
        console.write(record("chatter", service="postgres", fields={"n": 1}))
        console.show("a text", "system_ready", port=4242)
    documents = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert documents[0] == {
        "event": "chatter",
        "level": "info",
        "timestamp": "2026-02-03T04:05:06Z",
        "service": "postgres",
        "n": 1,
    }
    assert (documents[1]["event"], documents[1]["port"]) == ("system_ready", 4242)


async def test_a_reader_that_stands_still_loses_lines_but_does_not_stop_us() -> None:
    read_end, write_end = os.pipe()
    console = Console(write_end, "console")
    for _ in range(30_000):  # 2 MB, into a pipe of 64 KiB that nobody reads
        console.write(record(fields={"filler": "x" * 40}))
    assert os.get_blocking(write_end)
    received = bytearray()
    os.set_blocking(read_end, False)

    async def read_until(mark: bytes) -> None:
        while mark not in received:
            await asyncio.sleep(0)
            try:
                received.extend(os.read(read_end, 1 << 16))
            except BlockingIOError:
                await asyncio.sleep(0.001)
            console.write(record("now"))

    await read_until(b"log_lines_lost")
    lost = next(line for line in received.decode().splitlines() if "log_lines_lost" in line)
    assert int(lost.rpartition("count=")[2]) > 10_000
    os.close(read_end)
    console.flush()
    os.close(write_end)


async def test_a_reader_that_has_gone_is_no_error() -> None:
    read_end, write_end = os.pipe()
    console = Console(write_end, "console")
    os.close(read_end)
    for _ in range(3):
        console.write(record())
        await asyncio.sleep(0)
    console.flush()
    os.close(write_end)


def test_without_an_event_loop_lines_are_written_at_once() -> None:
    read_end, write_end = os.pipe()
    Console(write_end, "console").write(record("early"))
    assert os.read(read_end, 1000).endswith(b"early\n")
    os.close(read_end)
    os.close(write_end)
