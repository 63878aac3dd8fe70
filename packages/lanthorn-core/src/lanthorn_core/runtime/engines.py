"""Waiting for PostgreSQL, NATS and the object store at the start of a process: its only wait."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import structlog

from lanthorn_core.errors import BusRefused, IndexRefused, StorageRefused, TransientError
from lanthorn_core.runtime.health import HealthApp
from lanthorn_core.runtime.lifecycle import Stop

log = structlog.get_logger()
T = TypeVar("T")

FIRST_PAUSE_S: Final = 0.1
LONGEST_PAUSE_S: Final = 2.0
"""Pauses between two attempts double up to this."""

_REFUSALS: Final = (BusRefused, IndexRefused, StorageRefused)


async def when_engines_answer(
    attempt: Callable[[], Awaitable[T]], stop: Stop, health: HealthApp | None = None
) -> T:
    """Return what `attempt` does as soon as its engines do their part.

    Parameters
    ----------
    attempt : callable
        Opens what the process works with; leaves nothing behind where it fails.
    stop : Stop
        Its announcement cancels the wait: there is nothing to finish.
    health : HealthApp, optional
        Names the latest failure to who asks why the process is not ready.

    Raises
    ------
    TransientError
        An engine refuses us (`BusRefused`, `IndexRefused`, `StorageRefused`), which waiting does
        not change.
    """
    began_at = time.monotonic()
    pause_s = FIRST_PAUSE_S
    with stop.cancelling():
        while True:
            try:
                result = await attempt()
                break
            except _REFUSALS:
                raise
            except TransientError as error:
                if pause_s == FIRST_PAUSE_S:
                    log.warning("engines_awaited", error=str(error))
                if health is not None:
                    health.awaits = type(error).__name__
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
    if pause_s != FIRST_PAUSE_S:
        log.info("engines_answered", waited_s=round(time.monotonic() - began_at, 1))
    return result
