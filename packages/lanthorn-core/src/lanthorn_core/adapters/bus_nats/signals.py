"""Signals between readers and the indexer, on plain subjects."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Final

from lanthorn_core.adapters.bus_nats.connection import FAILURES
from lanthorn_core.adapters.bus_nats.lean_client import LeanClient
from lanthorn_core.ports.bus import Applied, StreamPosition

APPLIED_SUBJECT: Final = "lanthorn.v1.index.applied"
WANTED_SUBJECT: Final = "lanthorn.v1.index.wanted"


class NatsIndexSignals:
    """`IndexSignals` on plain subjects: what is lost is made up for by a poll."""

    def __init__(self, client: LeanClient) -> None:
        self._client = client

    async def announce(self, applied: Applied) -> None:
        """Tell of a commit."""
        position = applied.position
        self._send(APPLIED_SUBJECT, position.epoch, position.sequence, applied.new_after)

    async def on_announce(self, callback: Callable[[Applied], None]) -> None:
        """Call `callback` with everything announced from now on."""

        def receive(epoch: str, sequence: int, new_after: int) -> None:
            callback(Applied(StreamPosition(epoch, sequence), new_after))

        await self._hear(APPLIED_SUBJECT, receive)

    async def ask(self, position: StreamPosition) -> None:
        """Say that a reader waits for `position`: the indexer shall not gather more first."""
        self._send(WANTED_SUBJECT, position.epoch, position.sequence)

    async def on_ask(self, callback: Callable[[StreamPosition], None]) -> None:
        """Call `callback` with every position that a reader waits for."""

        def receive(epoch: str, sequence: int) -> None:
            callback(StreamPosition(epoch, sequence))

        await self._hear(WANTED_SUBJECT, receive)

    def _send(self, subject: str, epoch: str, *numbers: int) -> None:
        with suppress(*FAILURES):  # who waits looks for himself a little later
            payload = " ".join((epoch, *map(str, numbers)))
            self._client.publish_now(subject.encode(), payload.encode())

    async def _hear(self, subject: str, receive: Callable[..., None]) -> None:
        def hear(_subject: bytes, payload: bytes, _headers: bytes | None) -> None:
            epoch, *numbers = payload.decode().split(" ")
            receive(epoch, *map(int, numbers))

        await self._client.listen(subject, hear)
