"""The timers of an established association: one look at the clock for all of them.

Nothing is started or stopped while messages pass; the clock is looked at now and then, and again
when the next limit is reached.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

from lanthorn_dimse.exchanges import Exchange
from lanthorn_dimse.options import Timers
from lanthorn_dimse.upper_layer import UpperLayer

_SHORTEST_LOOK_S: Final = 0.02
_LONGEST_LOOK_S: Final = 5.0
_LOOKS: Final = 4
"""In the time of the shortest limit."""


class Watched(Protocol):
    """What is watched."""

    layer: UpperLayer
    idle_since: float

    @property
    def exchange(self) -> Exchange | None:
        """The request that awaits a response."""

    @property
    def in_message(self) -> bool:
        """Whether the peer is in the middle of a message."""

    @property
    def is_serving(self) -> bool:
        """Whether the peer waits for us."""

    def is_serving_since(self, moment: float) -> bool:
        """Whether the request in hand was taken up after that moment."""


class Watchdog:
    """Looks after the time-outs of one association.

    Parameters
    ----------
    watched : Watched
        The association.
    timers : Timers
        Its limits.
    timed_out : callable
        Called with what was overdue.
    """

    def __init__(self, watched: Watched, timers: Timers, timed_out: Callable[[str], None]) -> None:
        self._watched = watched
        self._timers = timers
        self._timed_out = timed_out
        self._loop = asyncio.get_running_loop()
        self._handle: asyncio.TimerHandle | None = None
        self._waiting_bytes = 0
        limits = [limit for limit in (timers.idle_s, timers.network_s) if limit is not None]
        self._look_s = max(
            _SHORTEST_LOOK_S, min([_LONGEST_LOOK_S, *(limit / _LOOKS for limit in limits)])
        )

    def start(self) -> None:
        """Begin to watch."""
        self._handle = self._loop.call_later(self._look_s, self._look)

    def stop(self) -> None:
        """Watch no more."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def expect(self, timeout_s: float | None) -> None:
        """Look after so long, if not before."""
        if self._handle is None or timeout_s is None:
            return
        when = self._loop.time() + timeout_s
        if when < self._handle.when():
            self._handle.cancel()
            self._handle = self._loop.call_at(when, self._look)

    def _look(self) -> None:
        now = self._loop.time()
        self._note_progress(now)
        soonest = now + self._look_s
        for deadline, text in self._deadlines():
            if deadline <= now:
                self._handle = None
                self._timed_out(text)
                return
            soonest = min(soonest, deadline)
        self._handle = self._loop.call_at(soonest, self._look)

    def _note_progress(self, now: float) -> None:
        waiting = self._watched.layer.waiting_bytes
        if not waiting or waiting < self._waiting_bytes:
            self._watched.layer.last_progress = now
        self._waiting_bytes = waiting

    def _deadlines(self) -> list[tuple[float, str]]:
        watched, timers = self._watched, self._timers
        layer, exchange = watched.layer, watched.exchange
        in_message = watched.in_message
        deadlines: list[tuple[float, str]] = []
        if timers.network_s is not None:
            if layer.write_stalled:
                deadlines.append((layer.last_progress + timers.network_s, "the peer does not read"))
            if in_message and not layer.held:
                when = layer.last_received + timers.network_s
                deadlines.append((when, "the peer stopped within a message"))
        if exchange is not None and exchange.timeout_s is not None:
            began = max(exchange.began, layer.last_received, watched.idle_since)
            when = began + exchange.timeout_s
            # A request that was there before is one on whose behalf we ask (C-GET as SCP).
            is_busy = watched.is_serving_since(exchange.began)
            if layer.write_stalled or is_busy or layer.held:
                # It is busy with us, or we are with it.
                when = max(when, self._loop.time() + self._look_s)
            deadlines.append((when, "no response came"))
        idle = exchange is None and not in_message and not watched.is_serving
        if timers.idle_s is not None and idle:
            when = max(layer.last_received, watched.idle_since) + timers.idle_s
            deadlines.append((when, "nothing was asked for long"))
        return deadlines
