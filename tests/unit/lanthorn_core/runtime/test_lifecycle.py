"""The life of a process, seen from outside."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lanthorn_core.runtime.lifecycle import stop_on_signals

PREAMBLE = """
import asyncio
from lanthorn_core.runtime import lifecycle
from lanthorn_core.runtime.lifecycle import start_service
"""


def started(code: str, **environ: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PREAMBLE + code],
        env={**os.environ, **environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process: subprocess.Popen[str]) -> tuple[int, list[str], str]:
    out, err = process.communicate(timeout=30)
    return process.returncode, [json.loads(line)["event"] for line in out.splitlines()], err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_service_in_order(number: signal.Signals) -> None:
    process = started("""
async def main(settings, stop):
    lifecycle.log.info("service_started", aet=settings.dicom_aet)
    await stop.wait()
    lifecycle.log.info("service_drained")
start_service("x", main)
""")
    assert process.stdout is not None
    assert "service_started" in process.stdout.readline()
    process.send_signal(number)
    assert ended(process) == (0, ["stop_requested", "service_drained"], "")


def test_a_service_that_ends_by_itself_ends_the_process() -> None:
    process = started("async def main(settings, stop): pass\nstart_service('x', main)")
    assert ended(process) == (0, [], "")


def test_a_service_that_does_not_drain_is_cancelled() -> None:
    process = started(
        """
async def main(settings, stop):
    lifecycle.log.info("service_started")
    await asyncio.sleep(3600)
start_service("x", main)
""",
        LANTHORN_DRAIN_TIMEOUT="0.05",
    )
    assert process.stdout is not None
    assert "service_started" in process.stdout.readline()
    process.terminate()
    code, events, _ = ended(process)
    assert (code, events) == (0, ["stop_requested", "drain_deadline_exceeded"])


def test_a_stop_is_announced_before_it_comes() -> None:
    process = started(
        """
async def main(settings, stop):
    lifecycle.log.info("service_started")
    await stop.announced.wait()
    lifecycle.log.info("stop_is_due" if stop.is_set() else "still_serving")
    await stop.wait()
start_service("x", main)
""",
        LANTHORN_DRAIN_DELAY="0.05",
    )
    assert process.stdout is not None
    assert "service_started" in process.stdout.readline()
    process.terminate()
    assert ended(process) == (0, ["stop_requested", "still_serving"], "")


def test_a_second_signal_ends_a_service_at_once() -> None:
    process = started("""
async def main(settings, stop):
    lifecycle.log.info("service_started")
    await asyncio.sleep(3600)
start_service("x", main)
""")
    assert process.stdout is not None
    for number, said in [(signal.SIGTERM, "service_started"), (signal.SIGINT, "stop_requested")]:
        assert said in process.stdout.readline()
        process.send_signal(number)
    assert ended(process) == (128 + signal.SIGINT, ["stop_forced"], "")


def test_a_crash_is_logged_and_ends_the_process_with_1() -> None:
    process = started("""
async def main(settings, stop):
    raise RuntimeError("broken")
start_service("x", main)
""")
    assert ended(process) == (1, ["service_crashed"], "")


def test_a_wrong_setting_is_told_on_standard_error_and_ends_with_2(tmp_path: Path) -> None:
    file = tmp_path / "orthanc.json"
    file.write_text('{"DicomPort": "no"}', encoding="utf-8")
    process = started("start_service('x', None)", LANTHORN_CONFIG=str(file))
    code, events, err = ended(process)
    assert (code, events) == (2, [])
    assert "DicomPort = 'no': expected a valid integer" in err


def test_a_missing_variable_found_later_ends_with_2_as_well() -> None:
    process = started(
        """
async def main(settings, stop):
    async with asyncio.TaskGroup():
        settings.runtime.require("database_url")
start_service("x", main)
""",
        DATABASE_URL="",
    )
    code, events, err = ended(process)
    assert (code, events) == (2, [])
    assert "DATABASE_URL: must be set" in err


def test_questionable_settings_are_logged_at_start() -> None:
    process = started(
        "async def main(settings, stop): pass\nstart_service('x', main)",
        LANTHORN__DICOM_AETT="X",
    )
    out, _ = process.communicate(timeout=30)
    line = json.loads(out)
    assert (line["event"], line["level"]) == ("setting_questioned", "warning")
    assert line["text"] == "DICOM_AETT is not a known option; did you mean DicomAet?"


async def test_signals_are_left_alone_after_the_block() -> None:
    async with stop_on_signals() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(stop.wait(), 10)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
