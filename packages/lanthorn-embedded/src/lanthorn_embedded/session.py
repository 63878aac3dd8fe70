"""The frame around a supervisor: guardian, event loop, signals, and the order of endings."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable
from typing import Final

from lanthorn_embedded.console import Console
from lanthorn_embedded.errors import EmbeddedError
from lanthorn_embedded.guardian import Guardian
from lanthorn_embedded.supervisor import Supervisor

_STOP_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run_supervised(
    work: Callable[[Supervisor], Awaitable[None]],
    console: Console,
    lock_descriptor: int,
    on_change: Callable[[], None] = lambda: None,
) -> bool:
    """Run `work` with a supervisor until it returns or a signal says stop; then stop all.

    Parameters
    ----------
    work : callable
        Starts children through the supervisor it is given; cancelled by the first signal. A
        second signal ends the children without patience.
    console : Console
        Receives the log.
    lock_descriptor : int
        The data folder's lock, which the guardian holds on to.
    on_change : callable
        See `Supervisor`.

    Returns
    -------
    bool
        Whether `work` came to its own end.

    Raises
    ------
    EmbeddedError
        From `work`, after all children have been stopped.
    """
    guardian = Guardian(lock_descriptor)
    try:
        return asyncio.run(_run(work, console, guardian, on_change))
    finally:
        guardian.close()


async def _run(
    work: Callable[[Supervisor], Awaitable[None]],
    console: Console,
    guardian: Guardian,
    on_change: Callable[[], None],
) -> bool:
    stop = asyncio.Event()
    failures: list[EmbeddedError] = []

    async def guarded(supervisor: Supervisor) -> None:
        try:
            await work(supervisor)
        except EmbeddedError as exc:
            failures.append(exc)

    async with Supervisor(console.write, guardian=guardian, on_change=on_change) as supervisor:

        def on_signal() -> None:
            if stop.is_set():
                supervisor.kill()
            else:
                console.show("\nStopping; once more to stop without patience.", "system_stopping")
                stop.set()

        for number in _STOP_SIGNALS:
            asyncio.get_running_loop().add_signal_handler(number, on_signal)
        async with asyncio.TaskGroup() as group:
            working = group.create_task(guarded(supervisor), name="work")
            stopping = group.create_task(stop.wait(), name="stop")
            await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
            working.cancel()
            stopping.cancel()
    console.flush()
    if failures:
        raise failures[0]
    return not working.cancelled()
