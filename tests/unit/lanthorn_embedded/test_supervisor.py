"""The supervisor against small programs that stand in for the services."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from lanthorn_embedded.child import ChildSpec, run_to_end
from lanthorn_embedded.errors import ChildFailed, EngineFailed, NotReady
from lanthorn_embedded.loglines import LogRecord, Severity
from lanthorn_embedded.supervisor import RestartPolicy, Supervisor

QUICK = RestartPolicy(first_delay_s=0.01, longest_delay_s=0.02)

# Says its number of starts, becomes ready, ends in order on SIGTERM.
GOOD = """
import pathlib, signal, sys, time
folder = pathlib.Path(sys.argv[1])
def stop(*_):
    with (folder / "stopped").open("a") as order:
        order.write(sys.argv[2] + " ")
    sys.exit(0)
signal.signal(signal.SIGTERM, stop)
with (folder / f"{sys.argv[2]}.starts").open("a") as starts:
    starts.write("x")
print("hello", flush=True)
(folder / f"{sys.argv[2]}.ready").touch()
while True:
    time.sleep(60)
"""

# Dies at once, with a last word.
BAD = "import sys; print('the disk is on fire', flush=True); sys.exit(3)"

# Waits until a child of the name b can be told to stop.
AFTER_B = """
import pathlib, sys, time
while not pathlib.Path(sys.argv[1], "b.ready").exists():
    time.sleep(0.01)
"""

# Ignores SIGTERM.
STUBBORN = GOOD.replace("sys.exit(0)", "pass")

# Leaves a child of its own behind; the pipe of its output stays open in there.
PARENT = (
    """
import pathlib, subprocess, sys
child = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(600)"])
pathlib.Path(sys.argv[1], "grandchild").write_text(str(child.pid))
"""
    + GOOD
)


def python(folder: Path, name: str, program: str = GOOD, **changes: object) -> ChildSpec:
    async def is_ready() -> None:
        if not (folder / f"{name}.ready").exists():
            raise NotReady("its file is missing")

    async def prepare() -> None:
        (folder / f"{name}.ready").unlink(missing_ok=True)

    spec = ChildSpec(
        name=name,
        command=(sys.executable, "-S", "-c", program, str(folder), name),
        environment=dict(os.environ),
        is_ready=is_ready,
        prepare=prepare,
    )
    return replace(spec, **changes)  # type: ignore[arg-type]


async def eventually(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - what we wait for is another process
            await asyncio.sleep(0.01)


def pid_of(supervisor: Supervisor, name: str) -> int:
    return next(state.pid or 0 for state in supervisor.states() if state.name == name)


def is_running(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


async def test_children_are_started_heard_and_stopped(tmp_path: Path) -> None:
    records: list[LogRecord] = []
    async with Supervisor(records.append) as supervisor:
        await supervisor.start([python(tmp_path, "a"), python(tmp_path, "b")])
        assert [state.ready for state in supervisor.states()] == [True, True]
        pids = [pid_of(supervisor, name) for name in "ab"]
        assert all(is_running(pid) for pid in pids)
    assert not any(is_running(pid) for pid in pids)
    assert {(record.service, record.event) for record in records} == {
        ("a", "hello"),
        ("b", "hello"),
    }


async def test_each_child_leads_a_session_of_its_own(tmp_path: Path) -> None:
    async with Supervisor(lambda _: None) as supervisor:
        await supervisor.start([python(tmp_path, "a")])
        pid = pid_of(supervisor, "a")
        assert os.getsid(pid) == os.getpgid(pid) == pid


async def test_higher_stages_are_stopped_first(tmp_path: Path) -> None:
    async with Supervisor(lambda _: None) as supervisor:
        await supervisor.start([python(tmp_path, "engine", stage=0)])
        specs = [python(tmp_path, "face", stage=2), python(tmp_path, "worker", stage=1)]
        await supervisor.start(specs)
    assert (tmp_path / "stopped").read_text() == "face worker engine "


async def test_a_killed_child_is_started_again(tmp_path: Path) -> None:
    records: list[LogRecord] = []
    async with Supervisor(records.append, policy=QUICK) as supervisor:
        await supervisor.start([python(tmp_path, "a")])
        first = pid_of(supervisor, "a")
        os.kill(first, signal.SIGKILL)
        await eventually(lambda: supervisor.states()[0].restarts == 1)
        await eventually(lambda: supervisor.states()[0].ready)
        assert pid_of(supervisor, "a") != first
    died = next(record for record in records if record.event == "child_died")
    assert died.severity is Severity.ERROR
    assert died.fields["reason"] == "killed by SIGKILL"


async def test_a_child_that_keeps_dying_ends_the_whole_with_its_last_words(tmp_path: Path) -> None:
    with pytest.raises(ChildFailed, match=r"(?s)a died 5 times.*exit code 3.*the disk is on fire"):
        async with Supervisor(lambda _: None, policy=QUICK) as supervisor:
            await supervisor.start([python(tmp_path, "a", AFTER_B + BAD), python(tmp_path, "b")])
    assert (tmp_path / "stopped").read_text() == "b "


async def test_a_child_that_dies_later_ends_the_whole_too(tmp_path: Path) -> None:
    dying = "import time; time.sleep(0.1);" + BAD

    async def at_once() -> None:
        return

    async with Supervisor(lambda _: None, policy=QUICK) as supervisor:
        await supervisor.start([python(tmp_path, "a", dying, is_ready=at_once)])
        with pytest.raises(ChildFailed, match="a died 5 times"):
            await supervisor.hold()


async def test_an_exit_code_that_no_restart_helps_ends_the_whole_at_once(tmp_path: Path) -> None:
    hopeless = python(tmp_path, "a", BAD, hopeless_exit_codes=frozenset({3}))
    async with Supervisor(lambda _: None) as supervisor:
        with pytest.raises(ChildFailed, match="a gave up"):
            await supervisor.start([hopeless])
        assert supervisor.states()[0].restarts == 0


async def test_a_child_that_never_serves_ends_the_whole_with_what_is_missing(
    tmp_path: Path,
) -> None:
    silent = python(tmp_path, "a", "import time; time.sleep(60)", ready_within_s=0.2)
    async with Supervisor(lambda _: None) as supervisor:
        with pytest.raises(ChildFailed, match=r"a was not ready.*its file is missing"):
            await supervisor.start([silent])


async def test_what_cannot_be_started_counts_as_dead(tmp_path: Path) -> None:
    async def fail() -> None:
        raise EngineFailed("no room")

    missing = python(tmp_path, "a", command=("/nonexistent/program",))
    async with Supervisor(lambda _: None, policy=QUICK) as supervisor:
        with pytest.raises(ChildFailed, match="nonexistent"):
            await supervisor.start([missing])
    async with Supervisor(lambda _: None, policy=QUICK) as supervisor:
        with pytest.raises(ChildFailed, match="no room"):
            await supervisor.start([python(tmp_path, "a", prepare=fail)])


async def test_a_stubborn_child_is_killed_after_its_deadline(tmp_path: Path) -> None:
    steps = ((signal.SIGTERM, 3.0),)
    async with Supervisor(lambda _: None) as supervisor:
        await supervisor.start([python(tmp_path, "a", STUBBORN, stop_steps=steps)])
        pid = pid_of(supervisor, "a")
    assert not is_running(pid)
    assert (tmp_path / "stopped").read_text() == "a "


async def test_a_second_request_to_stop_needs_no_patience(tmp_path: Path) -> None:
    async with asyncio.timeout(20), Supervisor(lambda _: None) as supervisor:
        await supervisor.start(
            [python(tmp_path, "a", STUBBORN, stop_steps=((signal.SIGTERM, 1000.0),))]
        )
        supervisor.kill()


async def test_children_of_a_dead_child_are_ended_with_it(tmp_path: Path) -> None:
    async with Supervisor(lambda _: None, policy=QUICK) as supervisor:
        await supervisor.start([python(tmp_path, "a", PARENT)])
        grandchild = int((tmp_path / "grandchild").read_text())
        assert is_running(grandchild)
        os.kill(pid_of(supervisor, "a"), signal.SIGKILL)
        await eventually(lambda: not is_running(grandchild))


async def test_an_inherited_descriptor_has_the_same_number_in_the_child(tmp_path: Path) -> None:
    with (tmp_path / "note").open("w") as note:
        number = note.fileno()
        code, _ = await run_to_end(
            [sys.executable, "-c", f"import os; os.write({number}, b'seen')"],
            environment=os.environ,
            inherited=(number,),
        )
    assert code == 0
    assert (tmp_path / "note").read_text() == "seen"


async def test_output_without_a_final_newline_and_endless_lines_are_heard() -> None:
    program = "import sys; sys.stdout.write('x' * 300000 + '\\nend')"
    code, output = await run_to_end([sys.executable, "-c", program], environment=os.environ)
    assert code == 0
    assert output.replace("\n", "") == "x" * 300000 + "end"


async def test_what_our_asking_provokes_while_a_child_starts_is_not_heard(tmp_path: Path) -> None:
    program = (
        """print('{"event": "readiness_check_failed", "n": 1}', flush=True);"""
        + GOOD.replace("print(", """print('{"event": "readiness_check_failed", "n": 2}');print(""")
    )
    heard: list[LogRecord] = []

    async def is_ready() -> None:
        if not any(record.event == "hello" for record in heard):
            raise NotReady("it has not said hello")

    spec = python(
        tmp_path, "a", program.replace("time.sleep(60)", "time.sleep(0.1)"), is_ready=is_ready
    )
    async with Supervisor(heard.append) as supervisor:
        await supervisor.start([spec])
    assert [record.event for record in heard] == ["hello"]


async def test_a_cancelled_start_stops_what_it_had_begun(tmp_path: Path) -> None:
    silent = python(tmp_path, "a", "import time; time.sleep(60)")
    async with Supervisor(lambda _: None) as supervisor:
        starting = asyncio.ensure_future(supervisor.start([silent]))
        await eventually(lambda: any(state.pid for state in supervisor.states()))
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
        pid = pid_of(supervisor, "a")
        assert is_running(pid)
    assert not is_running(pid)


def test_the_pause_before_a_restart_doubles_up_to_a_limit() -> None:
    policy = RestartPolicy()
    assert [policy.delay_s(deaths) for deaths in (1, 2, 3, 20)] == [0.2, 0.4, 0.8, 10.0]
