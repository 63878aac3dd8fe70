"""What readers at the index barrier wait for."""

from __future__ import annotations

import asyncio

from lanthorn_core.ports.bus import StreamPosition


class Demand:
    """The farthest place in the stream that a reader has asked for."""

    def __init__(self) -> None:
        self._wanted = StreamPosition("", 0)
        self._asked = asyncio.Event()

    def ask(self, position: StreamPosition) -> None:
        """Hear that a reader waits for `position`."""
        if position.epoch != self._wanted.epoch or position.sequence > self._wanted.sequence:
            self._wanted = position
            self._asked.set()

    async def beyond(self, applied: StreamPosition) -> None:
        """Wait until something is asked for that is not yet applied."""
        while self._wanted.epoch != applied.epoch or self._wanted.sequence <= applied.sequence:
            self._asked.clear()
            await self._asked.wait()
