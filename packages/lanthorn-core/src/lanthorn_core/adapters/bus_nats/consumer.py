"""Consuming: the one active indexer takes everything in order."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Final

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.api import AckPolicy, ConsumerConfig, StreamInfo
from nats.js.errors import NotFoundError

from lanthorn_core.adapters.bus_nats.connection import ensure_streams, last_position, translated
from lanthorn_core.adapters.bus_nats.pull_inbox import PullInbox
from lanthorn_core.errors import BusUnavailable
from lanthorn_core.events import STREAM
from lanthorn_core.ports.bus import Delivery, StreamPosition

CONSUMER: Final = "indexer"
BATCH: Final = 500
_TOKENS_WITHOUT_DOMAIN: Final = 9


class NatsConsumer:
    """`EventConsumer` of the one active indexer.

    The durable consumer is made anew each time an indexer becomes the active one: everything that
    was not acknowledged then comes again, in order. Only the holder of the index lock may do so.
    A lost connection, or a hole in what was delivered, ends this consumer with `BusUnavailable`;
    the next one begins where the acknowledgements end, so that nothing is ever passed over.
    """

    def __init__(self, client: Client, inbox: PullInbox, info: StreamInfo) -> None:
        self._client = client
        self._inbox = inbox
        self._delivered = 0
        self._replies: dict[int, str] = {}
        self.last_position = last_position(info)
        self.first_sequence = info.state.first_seq

    async def fetch(self, *, at_most: int, wait_s: float) -> Sequence[Delivery]:
        """Wait for events; those that are there come at once."""
        messages = await self._inbox.take(at_most=at_most, wait_s=wait_s)
        return [self._delivery(message) for message in messages]

    async def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        """Acknowledge without waiting: a lost acknowledgement only means one more delivery."""
        with translated("NATS does not take acknowledgements"):
            for delivery in deliveries:
                await self._client.publish(self._replies.pop(delivery.position.sequence), b"+ACK")

    def _delivery(self, message: Msg) -> Delivery:
        sequence, delivered = _sequences(message.reply)
        self._delivered += 1
        if delivered != self._delivered:
            raise BusUnavailable(f"Delivery {self._delivered} is missing from the stream")
        self._replies[sequence] = message.reply
        return Delivery(StreamPosition(self.last_position.epoch, sequence), message.data)


def _sequences(reply: str) -> tuple[int, int]:
    """Read the number in the stream and the number of the delivery; nothing else is of use here."""
    tokens = reply.split(".")
    # $JS.ACK, then (since NATS 2.11) domain and account, then stream, consumer, times delivered.
    place = 5 if len(tokens) == _TOKENS_WITHOUT_DOMAIN else 7
    return int(tokens[place]), int(tokens[place + 1])


@asynccontextmanager
async def open_consumer(client: Client) -> AsyncIterator[NatsConsumer]:
    """Take over the stream, made where it is missing.

    Raises
    ------
    BusUnavailable
        The stream does not answer.
    """
    await ensure_streams(client)
    js = client.jetstream()
    with translated("The stream cannot be consumed"):
        with suppress(NotFoundError):
            await js.delete_consumer(STREAM, CONSUMER)
        info = await js.stream_info(STREAM)
        await js.add_consumer(
            STREAM,
            ConsumerConfig(
                durable_name=CONSUMER,
                ack_policy=AckPolicy.EXPLICIT,
                ack_wait=3600,
                max_ack_pending=20_000,
            ),
        )
    async with PullInbox(client, STREAM, CONSUMER, BATCH).open() as inbox:
        yield NatsConsumer(client, inbox, info)
