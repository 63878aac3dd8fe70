"""Publishing: many events in flight, each awaited by its own caller."""

from __future__ import annotations

import asyncio
from typing import Final

from nats.aio.client import Client
from nats.js.api import Header

from lanthorn_core.adapters.bus_nats.connection import (
    FAILURES,
    honouring_cancellation,
    last_position,
    translated,
)
from lanthorn_core.errors import BusUnavailable
from lanthorn_core.events import STREAM, Event, encode_event, subject_of
from lanthorn_core.ports.bus import StreamPosition


class NatsPublisher:
    """`EventPublisher` on JetStream.

    Parameters
    ----------
    client : nats.aio.client.Client
        An open connection.
    timeout_s : float
        How long one publish may take, tries on other connections included.
    """

    ATTEMPT_S: Final = 2.0

    def __init__(self, client: Client, *, timeout_s: float = 10.0) -> None:
        self._client = client
        self._js = client.jetstream(timeout=self.ATTEMPT_S)
        self._timeout_s = timeout_s
        self._epoch = ""

    async def publish(self, event: Event, *, message_id: str) -> StreamPosition:
        """Publish an event, again if need be: the message id makes a repetition harmless."""
        payload = encode_event(event)
        subject = subject_of(event)
        deadline = asyncio.get_running_loop().time() + self._timeout_s
        while True:
            try:
                with honouring_cancellation():
                    return await self._attempt(subject, payload, message_id)
            except FAILURES as error:
                if asyncio.get_running_loop().time() >= deadline:
                    raise BusUnavailable(f"The event was not acknowledged: {error!r}") from error
                await asyncio.sleep(0.1)

    async def _attempt(self, subject: str, payload: bytes, message_id: str) -> StreamPosition:
        future = await self._js.publish_async(
            subject,
            payload,
            wait_stall=self.ATTEMPT_S,
            stream=STREAM,
            headers={Header.MSG_ID: message_id},
        )
        async with asyncio.timeout(self.ATTEMPT_S):
            ack = await future
        if not self._epoch:
            self._epoch = (await self.last_position()).epoch
        return StreamPosition(self._epoch, ack.seq)

    async def last_position(self) -> StreamPosition:
        """Ask the stream's leader, which every acknowledged publish went through."""
        with translated("NATS does not answer"):
            return last_position(await self._js.stream_info(STREAM))

    async def check(self) -> None:
        """Return when the stream answers."""
        await self.last_position()
