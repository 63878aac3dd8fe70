"""Consuming: the one active indexer takes everything in order."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Final

import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy, RetentionPolicy, StreamInfo
from nats.js.errors import NotFoundError

from lanthorn_core.adapters.bus_nats.connection import ensure_streams, last_position, translated
from lanthorn_core.adapters.bus_nats.pull_inbox import PullInbox
from lanthorn_core.errors import BusUnavailable
from lanthorn_core.events import STREAM
from lanthorn_core.ports.bus import Delivery, StreamPosition
from lanthorn_core.telemetry.tracing import TRACEPARENT

log = structlog.get_logger(__name__)

CONSUMER: Final = "indexer"
BATCH: Final = 500
_TOKENS_WITHOUT_DOMAIN: Final = 9


class NatsConsumer:
    """`EventConsumer` of the one active indexer.

    The durable consumer is made anew each time an indexer becomes the active one, and begins where
    the database says that the index has come to: nothing is acknowledged, so that the database
    alone knows, also a standby that lacked the last commits when it was promoted. Only the holder
    of the index lock may do so. A lost connection, or a hole in what was delivered, ends this
    consumer with `BusUnavailable`, so that nothing is ever passed over.
    """

    def __init__(self, client: Client, inbox: PullInbox, begins_after: StreamPosition) -> None:
        self._js = client.jetstream()
        self._inbox = inbox
        self._delivered = 0
        self.begins_after = begins_after

    async def fetch(self, *, at_most: int, wait_s: float) -> Sequence[Delivery]:
        """Wait for events; those that are there come at once."""
        messages = await self._inbox.take(at_most=at_most, wait_s=wait_s)
        return [self._delivery(message) for message in messages]

    async def forget(self, position: StreamPosition) -> None:
        """Purge the stream; purging what is gone does nothing."""
        with translated("The stream cannot be purged"):
            await self._js.purge_stream(STREAM, seq=position.sequence + 1)

    def _delivery(self, message: Msg) -> Delivery:
        sequence, delivered = _sequences(message.reply)
        self._delivered += 1
        if delivered != self._delivered:
            raise BusUnavailable(f"Delivery {self._delivered} is missing from the stream")
        return Delivery(
            StreamPosition(self.begins_after.epoch, sequence),
            message.data,
            (message.headers or {}).get(TRACEPARENT, ""),
        )


def _sequences(reply: str) -> tuple[int, int]:
    """Read the number in the stream and the number of the delivery; nothing else is of use here."""
    tokens = reply.split(".")
    # $JS.ACK, then (since NATS 2.11) domain and account, then stream, consumer, times delivered.
    place = 5 if len(tokens) == _TOKENS_WITHOUT_DOMAIN else 7
    return int(tokens[place]), int(tokens[place + 1])


def beginning(info: StreamInfo, applied: StreamPosition) -> StreamPosition:
    """Tell after which place to go on: `applied`, as far as the stream goes on from there.

    Of a stream of another epoch all is taken. One that ends before `applied` lost events and gives
    their numbers out again: what it still holds is not taken a second time, because a deletion or
    an earlier receipt must not undo what came after it.
    """
    last = last_position(info)
    oldest = StreamPosition(last.epoch, max(0, info.state.first_seq - 1))
    return min(max(applied, oldest), last) if applied.epoch == last.epoch else oldest


@asynccontextmanager
async def open_consumer(
    client: Client, applied: StreamPosition, *, replicas: int
) -> AsyncIterator[NatsConsumer]:
    """Take over the stream, made where it is missing, and go on after what is `applied`.

    Raises
    ------
    BusUnavailable
        The stream does not answer.
    """
    js = client.jetstream()
    with translated("The stream cannot be consumed"):
        with suppress(NotFoundError):
            await js.delete_consumer(STREAM, CONSUMER)
        await _replace_work_queue(js)
    await ensure_streams(client, replicas=replicas)
    with translated("The stream cannot be consumed"):
        begins_after = beginning(await js.stream_info(STREAM), applied)
        await js.add_consumer(
            STREAM,
            ConsumerConfig(
                durable_name=CONSUMER,
                deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
                opt_start_seq=begins_after.sequence + 1,
                ack_policy=AckPolicy.NONE,
                # How far it has delivered need not survive: a file less for each batch.
                mem_storage=True,
            ),
        )
    async with PullInbox(client, STREAM, CONSUMER, BATCH).open() as inbox:
        yield NatsConsumer(client, inbox, begins_after)


async def _replace_work_queue(js: JetStreamContext) -> None:
    """Remove a stream of the kind that was made before: acknowledged events were gone at once.

    nats-server cannot change its kind. The sweep finds the objects of what it still held.
    """
    with suppress(NotFoundError):
        info = await js.stream_info(STREAM)
        if info.config.retention == RetentionPolicy.WORK_QUEUE:
            await js.delete_stream(STREAM)
            log.warning("work_queue_replaced", events=info.state.messages)
