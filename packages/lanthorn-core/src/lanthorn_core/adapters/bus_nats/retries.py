"""What failed: tried again with back-off, then parked."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig
from nats.js.errors import NotFoundError

from lanthorn_core.adapters.bus_nats.connection import (
    ASIDE,
    DEAD_SUBJECT,
    RETRY_SUBJECT,
    translated,
)
from lanthorn_core.adapters.bus_nats.pull_inbox import PullInbox
from lanthorn_core.ports.bus import Delivery, ParkedEvent, RetryAttempt, StreamPosition

CONSUMER: Final = "indexer-retry"
RETRY_DELAYS_S: Final = (1.0, 5.0, 30.0, 120.0)
"""After each failed try but the last, which parks the event; the first try comes at once."""
ERROR_HEADER: Final = "Lanthorn-Error"
SEQUENCE_HEADER: Final = "Lanthorn-Sequence"
_ERROR_LENGTH: Final = 1000


class NatsRetries:
    """`Retries` on the stream `DICOM_ASIDE`."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._js = client.jetstream()

    async def set_aside(self, delivery: Delivery, error: str) -> None:
        """Move a failed event to the retry subject."""
        with translated("The retry subject does not answer"):
            await self._js.publish(
                RETRY_SUBJECT,
                delivery.payload,
                headers=_headers(delivery.position.sequence, error),
            )

    @asynccontextmanager
    async def attempts(self) -> AsyncIterator[NatsAttempts]:
        """Take events from the retry subject for the length of the block."""
        with translated("The retry subject cannot be consumed"):
            await self._js.add_consumer(
                ASIDE,
                ConsumerConfig(
                    durable_name=CONSUMER,
                    filter_subject=RETRY_SUBJECT,
                    ack_policy=AckPolicy.EXPLICIT,
                    ack_wait=60,
                ),
            )
        async with PullInbox(self._client, ASIDE, CONSUMER, 1).open() as inbox:
            yield NatsAttempts(self._js, inbox)

    async def parked(self) -> list[ParkedEvent]:
        """List what was given up on, oldest first."""
        found: list[ParkedEvent] = []
        number = 0
        while True:
            with translated("Parked events cannot be read"):
                try:
                    message = await self._js.get_msg(ASIDE, number + 1, DEAD_SUBJECT, next=True)
                except NotFoundError:
                    return found
            number = message.seq or 0
            headers = message.headers or {}
            found.append(
                ParkedEvent(
                    number,
                    message.data or b"",
                    headers.get(ERROR_HEADER, ""),
                    _original_sequence(headers),
                )
            )

    async def retry_parked(self, number: int) -> bool:
        """Put a parked event back on the retry subject."""
        for event in await self.parked():
            if event.number == number:
                position = StreamPosition("", event.original_sequence)
                await self.set_aside(Delivery(position, event.payload), event.error)
                with translated("The parked event cannot be removed"):
                    await self._js.delete_msg(ASIDE, number)
                return True
        return False


class NatsAttempts:
    """`RetryAttempts`: events whose time has come."""

    def __init__(self, js: JetStreamContext, inbox: PullInbox) -> None:
        self._js = js
        self._inbox = inbox

    async def next(self, *, wait_s: float) -> RetryAttempt | None:
        """Wait for an event."""
        for message in await self._inbox.take(at_most=1, wait_s=wait_s):
            return _NatsAttempt(
                self._js, message, message.data, _original_sequence(message.headers)
            )
        return None


@dataclass(slots=True)
class _NatsAttempt:
    """`RetryAttempt` of one message on the retry subject."""

    js: JetStreamContext
    message: Msg
    payload: bytes
    original_sequence: int

    async def succeeded(self) -> None:
        """Forget the event."""
        with translated("The retry subject does not answer"):
            await self.message.ack()
            await self.js.delete_msg(ASIDE, self.message.metadata.sequence.stream)

    async def failed(self, error: str) -> None:
        """Try it again later or, after the last attempt, park it."""
        attempt = self.message.metadata.num_delivered
        with translated("The retry subject does not answer"):
            if attempt <= len(RETRY_DELAYS_S):
                await self.message.nak(delay=RETRY_DELAYS_S[attempt - 1])
                return
            await self.js.publish(
                DEAD_SUBJECT, self.payload, headers=_headers(self.original_sequence, error)
            )
        await self.succeeded()


def _headers(sequence: int, error: str) -> dict[str, str]:
    text = " ".join(error.split())[:_ERROR_LENGTH]
    return {
        SEQUENCE_HEADER: str(sequence),
        ERROR_HEADER: text.encode("ascii", "replace").decode() or "unknown",
    }


def _original_sequence(headers: dict[str, str] | None) -> int:
    return int((headers or {}).get(SEQUENCE_HEADER, "0"))
