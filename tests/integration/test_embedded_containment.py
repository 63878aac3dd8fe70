"""Nothing outlives a supervisor, however it ends."""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lanthorn_embedded.datafolder import DataFolder
from tests.fixtures.processes import processes_of, wait_for_no_process

# A supervisor with real engines and a child that has a child of its own, like the renderer.
SUPERVISOR = """
import os, sys
from pathlib import Path
from lanthorn_embedded.child import ChildSpec
from lanthorn_embedded.console import Console
from lanthorn_embedded.datafolder import DataFolder
from lanthorn_embedded.engines.running import Engines
from lanthorn_embedded.session import run_supervised

PARENT = '''
import subprocess, sys, time
program = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
child = subprocess.Popen([sys.executable, "-S", "-c", program, sys.argv[1]])
time.sleep(600)
'''

async def is_ready():
    return

async def work(supervisor):
    parent = ChildSpec(
        name="parent",
        command=(sys.executable, "-S", "-c", PARENT, sys.argv[1]),
        environment=dict(os.environ),
        is_ready=is_ready,
    )
    await supervisor.start([*engines.specs(), parent])
    (folder.root / "ready").touch()
    await supervisor.hold()

folder = DataFolder(Path(sys.argv[1]))
folder.make()
with folder.exclusive() as lock:
    engines = Engines(folder, {})
    run_supervised(work, Console(1, "console"), lock)
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="lanthorn-test-") as name:
        Path(name).chmod(0o711)
        yield Path(name)
        for pid in processes_of(Path(name)):  # only after a failure
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@contextlib.contextmanager
def supervising(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    (folder / "ready").unlink(missing_ok=True)
    with subprocess.Popen([sys.executable, "-c", SUPERVISOR, str(folder)]) as process:
        give_up_at = time.monotonic() + 90
        while not (folder / "ready").exists():
            assert process.poll() is None
            assert time.monotonic() < give_up_at
            time.sleep(0.02)
        yield process


def guardian_of(folder: Path) -> int:
    for pid in processes_of(folder):
        with contextlib.suppress(FileNotFoundError):  # PostgreSQL's processes come and go
            if Path(f"/proc/{pid}/comm").read_text() == "lanthorn-guard\n":
                return pid
    raise AssertionError("there is no guardian")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_stop_signal_ends_everything_in_order(folder: Path, number: signal.Signals) -> None:
    with supervising(folder) as process:
        assert len(processes_of(folder)) > 5
        process.send_signal(number)
        assert process.wait(60) == 0
    wait_for_no_process(folder)
    assert not (folder / "postgres" / "postmaster.pid").exists()


def test_kill_9_of_the_supervisor_leaves_no_process(folder: Path) -> None:
    with supervising(folder) as process:
        process.kill()
    wait_for_no_process(folder)


def test_kill_9_of_supervisor_and_guardian_leaves_no_child_of_theirs(folder: Path) -> None:
    with supervising(folder) as process:
        os.kill(guardian_of(folder), signal.SIGKILL)
        process.kill()
    give_up_at = time.monotonic() + 60
    # Of what is left, the child's child is the only one: nobody could tell it.
    while len(left := processes_of(folder)) > 1:
        assert time.monotonic() < give_up_at, left
        time.sleep(0.05)
    assert all("SIG_IGN" in command for command in left.values())
    for pid in left:
        os.kill(pid, signal.SIGKILL)


def test_the_next_start_waits_until_the_dead_are_swept(folder: Path) -> None:
    with supervising(folder) as process:
        process.kill()
    with DataFolder(folder).exclusive():
        assert processes_of(folder) == {}
    with supervising(folder) as process:
        process.terminate()
        assert process.wait(60) == 0


def test_a_terminal_that_goes_away_is_a_stop(folder: Path) -> None:
    primary, secondary = os.openpty()
    (folder / "ready").unlink(missing_ok=True)
    process = subprocess.Popen(
        [sys.executable, "-c", "import fcntl, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0)\n"
         + SUPERVISOR, str(folder)],
        stdin=secondary, stdout=secondary, stderr=secondary, start_new_session=True,
    )  # fmt: skip
    os.close(secondary)
    give_up_at = time.monotonic() + 90
    while not (folder / "ready").exists():
        assert time.monotonic() < give_up_at
        time.sleep(0.02)
    os.close(primary)
    assert process.wait(60) == 0
    wait_for_no_process(folder)
