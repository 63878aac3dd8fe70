"""One child process: how it is started, heard, and stopped."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from lanthorn_embedded.containment import Account, before_exec
from lanthorn_embedded.loglines import LogRecord, read_service_line

_LONGEST_LINE: Final = 256 * 1024
_AFTERLIFE_S: Final = 1.0  # how long the output of a dead child's own children is still heard


async def _nothing_to_prepare() -> None:
    return


@dataclass(frozen=True, kw_only=True)
class ChildSpec:
    """What the supervisor has to know of a child.

    Attributes
    ----------
    name : str
        Unique; the log shows it.
    command : tuple of str
        Program and arguments.
    environment : mapping
        The whole environment.
    is_ready : callable
        Returns when the child serves; raises `NotReady` (or `OSError`) with what is missing.
    prepare : callable
        Awaited before every start, so also after a crash.
    stage : int
        Children of a higher stage are stopped first.
    stop_steps : tuple of (signal, seconds)
        Tried in turn; SIGKILL follows.
    ready_within_s : float
        How long its first start may take.
    hopeless_exit_codes : frozenset of int
        Those after which another start would end the same.
    death_signal : signal.Signals
        What the child gets when the supervisor dies.
    account : Account or None
        Whom the child becomes.
    inherited : tuple of int
        File descriptors that it may use under the same numbers.
    keeps : tuple
        What has to live as long as the child may be started, such as its reserved port.
    listens_on : str
        For `lanthorn status`: the address or the socket.
    health_port : int or None
        For `lanthorn status`: port of the loopback that answers ``/readyz``.
    """

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    is_ready: Callable[[], Awaitable[None]]
    prepare: Callable[[], Awaitable[None]] = _nothing_to_prepare
    stage: int = 1
    stop_steps: tuple[tuple[signal.Signals, float], ...] = ((signal.SIGTERM, 10.0),)
    ready_within_s: float = 120.0
    hopeless_exit_codes: frozenset[int] = frozenset()
    death_signal: signal.Signals = signal.SIGKILL
    account: Account | None = None
    inherited: tuple[int, ...] = ()
    read_line: Callable[[str, str], LogRecord] = field(default=read_service_line)
    keeps: tuple[object, ...] = ()
    listens_on: str = ""
    health_port: int | None = None


def spawn(spec: ChildSpec, output: int) -> subprocess.Popen[bytes]:
    """Start a child's process, contained; from the main thread only (see `containment`).

    Parameters
    ----------
    output : int
        File descriptor, or `subprocess.PIPE`, for standard output and error.

    Raises
    ------
    OSError
        The program cannot be started.
    """
    return subprocess.Popen(  # noqa: S603 - our own programs, no shell
        spec.command,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        env=dict(spec.environment),
        cwd="/",
        pass_fds=spec.inherited,
        start_new_session=True,
        # No thread but this one runs here, so code between fork and exec is safe.
        preexec_fn=before_exec(  # noqa: PLW1509
            death_signal=spec.death_signal, account=spec.account
        ),
    )


class ChildProcess:
    """A started child; it leads a session, and thereby a process group, of its own.

    Parameters
    ----------
    spec : ChildSpec
        What to start. `prepare` has been awaited before.
    on_line : callable
        Receives each line of output, standard output and error alike, without its end.

    Raises
    ------
    OSError
        The program cannot be started.
    """

    def __init__(self, spec: ChildSpec, on_line: Callable[[str], None]) -> None:
        self.spec = spec
        self._process = spawn(spec, subprocess.PIPE)
        self._on_line = on_line
        self._ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._pidfd = os.pidfd_open(self._process.pid)
        asyncio.get_running_loop().add_reader(self._pidfd, self._reap)

    @property
    def pid(self) -> int:
        """The process id, which is also the group's."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether it has not been seen to end."""
        return not self._ended.done()

    async def run(self) -> int:
        """Hear the child until it ends; then end what it left behind.

        Returns
        -------
        int
            Its exit code, negative for the number of the signal that killed it.
        """
        assert self._process.stdout is not None  # noqa: S101 - a pipe was asked for above
        lines = _Lines(self._on_line)
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: lines, self._process.stdout
        )
        try:
            code = await asyncio.shield(self._ended)
            self.signal_group(signal.SIGKILL)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(lines.ended.wait(), _AFTERLIFE_S)
            return code
        finally:
            transport.close()

    async def wait(self) -> int:
        """Wait for its end without hearing it."""
        return await asyncio.shield(self._ended)

    async def stop(self) -> None:
        """Take the stop steps one after the other until the child has ended."""
        for number, patience_s in self.spec.stop_steps:
            if self.is_alive:
                self._process.send_signal(number)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.wait(), patience_s)
                return
        self.signal_group(signal.SIGKILL)
        await self.wait()

    def signal_group(self, number: signal.Signals) -> None:
        """Send a signal to the child and to those of its children that stayed in its group."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)

    def _reap(self) -> None:
        code = self._process.poll()
        if code is None:
            return
        asyncio.get_running_loop().remove_reader(self._pidfd)
        os.close(self._pidfd)
        self._ended.set_result(code)


async def run_to_end(
    command: Sequence[str],
    *,
    environment: Mapping[str, str],
    account: Account | None = None,
    inherited: tuple[int, ...] = (),
) -> tuple[int, str]:
    """Run a short-lived program as a contained child; return its exit code and its output."""
    output: list[str] = []
    spec = ChildSpec(
        name=Path(command[0]).name,
        command=tuple(command),
        environment=environment,
        is_ready=_nothing_to_prepare,
        account=account,
        inherited=inherited,
    )
    child = ChildProcess(spec, output.append)
    try:
        code = await child.run()
    except asyncio.CancelledError:
        child.signal_group(signal.SIGKILL)
        raise
    return code, "\n".join(output)


class _Lines(asyncio.Protocol):
    """Cuts a stream of bytes into lines."""

    def __init__(self, on_line: Callable[[str], None]) -> None:
        self._on_line = on_line
        self._rest = b""
        self.ended = asyncio.Event()

    def data_received(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > _LONGEST_LINE:
            lines.append(self._rest)
            self._rest = b""
        for line in lines:
            self._say(line)

    def connection_lost(self, exc: Exception | None) -> None:
        self._say(self._rest)
        self._rest = b""
        self.ended.set()

    def _say(self, line: bytes) -> None:
        text = line.decode(errors="replace").rstrip()
        if text:
            self._on_line(text)
