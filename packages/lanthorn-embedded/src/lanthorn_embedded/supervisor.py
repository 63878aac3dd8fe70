"""Keeps a set of child processes running: starts, watches, restarts, stops in order."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Final, NoReturn, Self

from lanthorn_embedded.child import ChildProcess, ChildSpec
from lanthorn_embedded.datafolder import ProcessState
from lanthorn_embedded.errors import ChildFailed, EmbeddedError, NotReady
from lanthorn_embedded.guardian import Guardian
from lanthorn_embedded.loglines import LogRecord, Severity, now

_POLL_S: Final = 0.03
_SLOW_POLL_S: Final = 0.25
_QUICK_FOR_S: Final = 5.0
# What our own asking makes a service say while it starts.
_PROVOKED: Final = "readiness_check_failed"
_LAST_LINES: Final = 12


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """How patient the supervisor is with children that die.

    Attributes
    ----------
    first_delay_s, longest_delay_s : float
        The pause before a restart doubles from the first to the longest while deaths follow
        each other within `window_s`.
    deaths, window_s
        So many deaths within so many seconds end the whole system.
    """

    first_delay_s: float = 0.2
    longest_delay_s: float = 10.0
    deaths: int = 5
    window_s: float = 30.0

    def delay_s(self, recent_deaths: int) -> float:
        """Tell the pause after the latest of `recent_deaths` (at least 1)."""
        return float(min(self.longest_delay_s, self.first_delay_s * 2 ** (recent_deaths - 1)))


class _Keeper:
    """One child's life story over its restarts."""

    def __init__(self, spec: ChildSpec) -> None:
        self.spec = spec
        self.process: ChildProcess | None = None
        self.ready = asyncio.Event()
        self.stopping = asyncio.Event()
        self.starts = 0
        self.deaths: deque[float] = deque()
        self.recent_deaths = 0
        self.exit_code: int | None = None
        self.last_lines: deque[str] = deque(maxlen=_LAST_LINES)
        self.why_not_ready = "it has not started"
        self.task: asyncio.Task[None] | None = None

    def state(self) -> ProcessState:
        process = self.process
        return ProcessState(
            name=self.spec.name,
            pid=process.pid if process is not None and process.is_alive else None,
            ready=self.ready.is_set(),
            restarts=max(0, self.starts - 1),
            listens_on=self.spec.listens_on,
            health_port=self.spec.health_port,
        )

    def last_words(self) -> str:
        lines = "".join(f"\n    {line}" for line in self.last_lines)
        return f"; its last lines:{lines}" if lines else " without a word"


class Supervisor:
    """Runs children until it is left; an async context manager.

    Parameters
    ----------
    log : callable
        Receives the children's log records and our own.
    guardian : Guardian or None
        Who ends what is left when this process is killed.
    on_change : callable
        Called after a child started, became ready or died.
    policy : RestartPolicy
        When to restart and when to give up.
    """

    def __init__(
        self,
        log: Callable[[LogRecord], None],
        *,
        guardian: Guardian | None = None,
        on_change: Callable[[], None] = lambda: None,
        policy: RestartPolicy | None = None,
    ) -> None:
        self._log = log
        self._guardian = guardian
        self._on_change = on_change
        self._policy = policy or RestartPolicy()
        self._keepers: list[_Keeper] = []
        self._tasks = asyncio.TaskGroup()
        self._failure: asyncio.Future[ChildFailed] = asyncio.get_running_loop().create_future()

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()
        await self._tasks.__aexit__(None, None, None)

    def states(self) -> tuple[ProcessState, ...]:
        """Tell how every child is, in the order they were started."""
        return tuple(keeper.state() for keeper in self._keepers)

    async def start(self, specs: Sequence[ChildSpec]) -> None:
        """Start children side by side and return when all are ready.

        Raises
        ------
        ChildFailed
            One died too often or was not ready in time.
        """
        fresh = [_Keeper(spec) for spec in specs]
        for keeper in fresh:
            self._keepers.append(keeper)
            keeper.task = self._tasks.create_task(self._keep(keeper), name=keeper.spec.name)
        async with asyncio.TaskGroup() as group:
            waiting = [
                group.create_task(self._await_ready(keeper), name=f"{keeper.spec.name} ready")
                for keeper in fresh
            ]
            self._failure.add_done_callback(lambda _: [task.cancel() for task in waiting])
        if self._failure.done():
            raise self._failure.result()

    async def hold(self) -> NoReturn:
        """Wait, for good unless a child dies too often.

        Raises
        ------
        ChildFailed
            That has happened.
        """
        raise await asyncio.shield(self._failure)

    async def stop(self) -> None:
        """Stop all children, the highest stage first, and those of one stage side by side."""
        for keeper in self._keepers:  # from here on, a death is no reason for a restart
            keeper.stopping.set()
        for stage in sorted({keeper.spec.stage for keeper in self._keepers}, reverse=True):
            async with asyncio.TaskGroup() as group:
                for keeper in self._keepers:
                    if keeper.spec.stage == stage:
                        group.create_task(self._stop_one(keeper), name=f"stop {keeper.spec.name}")

    def kill(self) -> None:
        """End all children at once: somebody pressed Ctrl-C a second time."""
        for keeper in self._keepers:
            keeper.stopping.set()
            if keeper.process is not None and keeper.process.is_alive:
                keeper.process.signal_group(signal.SIGKILL)

    async def _stop_one(self, keeper: _Keeper) -> None:
        if keeper.process is not None and keeper.process.is_alive:
            await keeper.process.stop()
        if keeper.task is not None:
            await asyncio.wait({keeper.task})

    async def _keep(self, keeper: _Keeper) -> None:
        while not keeper.stopping.is_set():
            reason = await self._live(keeper)
            if keeper.stopping.is_set():
                return
            self._count_death(keeper)
            self._say(
                Severity.ERROR,
                "child_died",
                child=keeper.spec.name,
                reason=reason,
                deaths=keeper.recent_deaths,
            )
            if keeper.exit_code in keeper.spec.hopeless_exit_codes:
                self._fail(f"{keeper.spec.name} gave up ({reason}){keeper.last_words()}")
                return
            if keeper.recent_deaths >= self._policy.deaths:
                self._fail(
                    f"{keeper.spec.name} died {keeper.recent_deaths} times within "
                    f"{self._policy.window_s:.0f} s ({reason}){keeper.last_words()}"
                )
                return
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(
                    keeper.stopping.wait(), self._policy.delay_s(keeper.recent_deaths)
                )

    async def _live(self, keeper: _Keeper) -> str:
        """Run the child once, from its preparation to its end; tell why it ended."""
        spec = keeper.spec

        def hear(line: str) -> None:
            record = spec.read_line(spec.name, line)
            if record.event == _PROVOKED and not keeper.ready.is_set():
                return
            keeper.last_lines.append(line)
            self._log(record)

        keeper.starts += 1
        keeper.exit_code = None
        try:
            await spec.prepare()
            if keeper.stopping.is_set():
                return "it was stopped"
            process = ChildProcess(spec, hear)
        except (EmbeddedError, OSError) as exc:
            return f"it cannot start: {exc}"
        keeper.process = process
        if self._guardian is not None:
            self._guardian.watch(process.pid, spec.death_signal)
        self._on_change()
        async with asyncio.TaskGroup() as group:
            readiness = group.create_task(self._poll(keeper), name=f"{spec.name} poll")
            code = await process.run()
            readiness.cancel()
        if self._guardian is not None:
            self._guardian.forget(process.pid)
        keeper.ready.clear()
        self._on_change()
        keeper.exit_code = code
        return _reason(code)

    async def _poll(self, keeper: _Keeper) -> None:
        began = time.monotonic()
        while True:
            try:
                await keeper.spec.is_ready()
            except (NotReady, OSError) as exc:
                keeper.why_not_ready = str(exc)
            else:
                keeper.ready.set()
                if keeper.starts > 1:
                    self._say(Severity.INFO, "child_restarted", child=keeper.spec.name)
                self._on_change()
                return
            waited = time.monotonic() - began
            await asyncio.sleep(_POLL_S if waited < _QUICK_FOR_S else _SLOW_POLL_S)

    async def _await_ready(self, keeper: _Keeper) -> None:
        try:
            await asyncio.wait_for(keeper.ready.wait(), keeper.spec.ready_within_s)
        except TimeoutError:
            self._fail(
                f"{keeper.spec.name} was not ready within {keeper.spec.ready_within_s:.0f} s "
                f"({keeper.why_not_ready}){keeper.last_words()}"
            )

    def _count_death(self, keeper: _Keeper) -> None:
        moment = time.monotonic()
        keeper.deaths.append(moment)
        while keeper.deaths[0] < moment - self._policy.window_s:
            keeper.deaths.popleft()
        keeper.recent_deaths = len(keeper.deaths)

    def _fail(self, reason: str) -> None:
        if not self._failure.done():
            self._failure.set_result(ChildFailed(reason))

    def _say(self, severity: Severity, event: str, **fields: object) -> None:
        self._log(LogRecord(now(), "lanthorn", severity, event, fields))


def _reason(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"
