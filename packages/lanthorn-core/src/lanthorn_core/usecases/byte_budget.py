"""Back-pressure by bytes: how much of received objects one process holds in memory."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from lanthorn_core.telemetry.metrics import IN_FLIGHT


@dataclass(eq=False, slots=True)
class _Waiting:
    size_bytes: int
    granted: asyncio.Future[None]


class ByteBudget:
    """A limit on bytes in hand, shared by all that receive; a slow store slows senders here.

    Who comes first is served first, so that small objects never starve a large one. An object
    larger than the whole limit is let through alone.

    Parameters
    ----------
    limit_bytes : int
        Bytes in flight at once; `MaximumInFlightBytes`.
    """

    def __init__(self, limit_bytes: int) -> None:
        if limit_bytes < 1:
            raise ValueError(f"the limit must be at least one byte, got {limit_bytes}")
        self.limit_bytes = limit_bytes
        self._in_flight_bytes = 0
        self._queue: deque[_Waiting] = deque()

    @property
    def in_flight_bytes(self) -> int:
        """Bytes reserved now."""
        return self._in_flight_bytes

    def claim(self, size_bytes: int) -> asyncio.Future[None]:
        """Ask for bytes without waiting here: the future is done once they are held.

        They are held until `give_back`; who no longer wants them cancels the future.
        """
        granted = asyncio.get_running_loop().create_future()
        share = self._share(size_bytes)
        if not self._queue and self._in_flight_bytes + share <= self.limit_bytes:
            self._take(share)
            granted.set_result(None)
        else:
            self._queue.append(_Waiting(share, granted))
            granted.add_done_callback(self._withdraw)
        return granted

    def give_back(self, size_bytes: int) -> None:
        """Return bytes that a claim was granted."""
        self._release(self._share(size_bytes))

    @asynccontextmanager
    async def reserve(self, size_bytes: int) -> AsyncIterator[None]:
        """Hold `size_bytes` of the budget for the length of the block, waiting for them first."""
        granted = self.claim(size_bytes)
        try:
            if not granted.done():
                await granted
        except asyncio.CancelledError:
            if not granted.cancelled():
                # Granted and cancelled in the same turn of the loop.
                self.give_back(size_bytes)
            raise
        try:
            yield
        finally:
            self.give_back(size_bytes)

    def _share(self, size_bytes: int) -> int:
        if size_bytes < 0:
            raise ValueError(f"cannot reserve {size_bytes} bytes")
        # What is larger than all of it asks for all of it: nothing else runs beside it.
        return min(size_bytes, self.limit_bytes)

    def _withdraw(self, granted: asyncio.Future[None]) -> None:
        if granted.cancelled():
            self._serve_queue()

    def _take(self, share: int) -> None:
        self._in_flight_bytes += share
        IN_FLIGHT.inc(share)

    def _release(self, share: int) -> None:
        self._in_flight_bytes -= share
        IN_FLIGHT.dec(share)
        self._serve_queue()

    def _serve_queue(self) -> None:
        while self._queue:
            first = self._queue[0]
            if first.granted.cancelled():
                self._queue.popleft()
                continue
            if self._in_flight_bytes + first.size_bytes > self.limit_bytes:
                break
            self._queue.popleft()
            self._take(first.size_bytes)
            first.granted.set_result(None)
