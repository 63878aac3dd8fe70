"""Signals between readers and the indexer, on plain subjects."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Final

from nats.aio.client import Client
from nats.aio.msg import Msg

from lanthorn_core.adapters.bus_nats.connection import FAILURES
from lanthorn_core.ports.bus import StreamPosition

APPLIED_SUBJECT: Final = "lanthorn.v1.index.applied"
WANTED_SUBJECT: Final = "lanthorn.v1.index.wanted"


class NatsIndexSignals:
    """`IndexSignals` on plain subjects: what is lost is made up for by a poll."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def announce(self, position: StreamPosition) -> None:
        """Say that everything up to `position` is committed."""
        await self._send(APPLIED_SUBJECT, f"{position.epoch} {position.sequence}".encode())

    async def on_announce(self, callback: Callable[[StreamPosition], None]) -> None:
        """Call `callback` with every position announced from now on."""

        async def receive(message: Msg) -> None:
            epoch, _, sequence = message.data.decode().partition(" ")
            callback(StreamPosition(epoch, int(sequence)))

        await self._client.subscribe(APPLIED_SUBJECT, cb=receive)

    async def ask(self) -> None:
        """Say that a reader waits: the indexer shall not gather a larger batch first."""
        await self._send(WANTED_SUBJECT, b"")

    async def on_ask(self, callback: Callable[[], None]) -> None:
        """Call `callback` whenever a reader waits."""

        async def receive(_message: Msg) -> None:
            callback()

        await self._client.subscribe(WANTED_SUBJECT, cb=receive)

    async def _send(self, subject: str, payload: bytes) -> None:
        with suppress(*FAILURES):  # who waits looks for himself a little later
            await self._client.publish(subject, payload)
