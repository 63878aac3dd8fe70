"""The event stream on NATS JetStream.

Two streams. `DICOM` holds what the indexer has not yet applied: a work queue, so that an
acknowledged event is gone. `DICOM_ASIDE` holds what failed: events that are tried again, and those
that were given up on ("parked"), which stay until someone retries them.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Final

import nats
import nats.errors
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.js import JetStreamContext
from nats.js.api import (
    AckPolicy,
    ConsumerConfig,
    Header,
    RetentionPolicy,
    StorageType,
    StreamConfig,
    StreamInfo,
)
from nats.js.errors import Error as JetStreamError
from nats.js.errors import NotFoundError

from lanthorn_core.errors import BusUnavailable
from lanthorn_core.events import STREAM, Event, encode_event, subject_of
from lanthorn_core.ports.bus import Delivery, ParkedEvent, RetryAttempt, StreamPosition

log = structlog.get_logger(__name__)

FACTS_AND_COMMANDS: Final = ["dicom.v1.instance.>", "dicom.v1.resource.>"]
ASIDE: Final = "DICOM_ASIDE"
RETRY_SUBJECT: Final = "dicom.v1.retry.indexer"
DEAD_SUBJECT: Final = "dicom.v1.dead.indexer"
APPLIED_SUBJECT: Final = "lanthorn.v1.index.applied"
WANTED_SUBJECT: Final = "lanthorn.v1.index.wanted"
CONSUMER: Final = "indexer"
RETRY_CONSUMER: Final = "indexer-retry"
RETRY_DELAYS_S: Final = (1.0, 5.0, 30.0, 120.0, 600.0)
DUPLICATE_WINDOW_S: Final = 120.0
ERROR_HEADER: Final = "Lanthorn-Error"
SEQUENCE_HEADER: Final = "Lanthorn-Sequence"

_FAILURES: Final = (JetStreamError, nats.errors.Error, TimeoutError, OSError)


@asynccontextmanager
async def connect(url: str, *, name: str) -> AsyncIterator[Client]:
    """Connect to NATS and stay connected: the client reconnects for as long as it is open.

    Raises
    ------
    BusUnavailable
        The server did not answer at the first try.
    """

    async def on_error(error: Exception) -> None:
        log.warning("bus_connection_failed", error=str(error) or type(error).__name__)

    async def on_reconnected() -> None:
        log.info("bus_reconnected")

    try:
        client = await nats.connect(
            url,
            name=name,
            connect_timeout=5,
            reconnect_time_wait=0.1,
            max_reconnect_attempts=-1,
            error_cb=on_error,
            reconnected_cb=on_reconnected,
        )
    except _FAILURES as error:
        raise BusUnavailable(f"NATS does not answer: {error}") from error
    try:
        yield client
    finally:
        await client.close()


async def ensure_streams(client: Client, *, replicas: int = 1) -> None:
    """Create the streams where they are missing."""
    js = client.jetstream()
    wanted = (
        StreamConfig(
            name=STREAM,
            subjects=FACTS_AND_COMMANDS,
            retention=RetentionPolicy.WORK_QUEUE,
            storage=StorageType.FILE,
            num_replicas=replicas,
            duplicate_window=DUPLICATE_WINDOW_S,
        ),
        StreamConfig(
            name=ASIDE,
            subjects=[RETRY_SUBJECT, DEAD_SUBJECT],
            storage=StorageType.FILE,
            num_replicas=replicas,
        ),
    )
    try:
        for config in wanted:
            try:
                await js.stream_info(str(config.name))
            except NotFoundError:
                await js.add_stream(config)
    except _FAILURES as error:
        raise BusUnavailable(f"The event stream cannot be made: {error}") from error


def _last_position(info: StreamInfo) -> StreamPosition:
    if info.created is None:
        raise BusUnavailable("The stream does not tell when it was created")
    return StreamPosition(info.created.isoformat(), info.state.last_seq)


class NatsPublisher:
    """`EventPublisher` on JetStream: many events in flight, each awaited by its own caller.

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
            except _FAILURES as error:
                if asyncio.get_running_loop().time() >= deadline:
                    raise BusUnavailable(f"The event was not acknowledged: {error!r}") from error
                await asyncio.sleep(0.1)

    async def last_position(self) -> StreamPosition:
        """Ask the stream's leader, which every acknowledged publish went through."""
        try:
            return _last_position(await self._js.stream_info(STREAM))
        except _FAILURES as error:
            raise BusUnavailable(f"NATS does not answer: {error!r}") from error

    async def check(self) -> None:
        """Return when the stream answers."""
        await self.last_position()


class NatsConsumer:
    """`EventConsumer` of the one active indexer.

    The durable consumer is made anew each time an indexer becomes the active one: everything that
    was not acknowledged then comes again, in order. Only the holder of the index lock may do so.
    A lost connection, or a hole in what was delivered, ends this consumer with `BusUnavailable`;
    the next one begins where the acknowledgements end, so that nothing is ever passed over.
    """

    PULL_EVENTS: Final = 500
    PULL_BYTES: Final = 32 << 20
    PULL_EXPIRES_S: Final = 2.0

    def __init__(self, client: Client, info: StreamInfo) -> None:
        self._client = client
        self._inbox = client.new_inbox()
        self._reconnects = client.stats["reconnects"]
        self._arrived: deque[Msg] = deque()
        self._wake = asyncio.Event()
        self._outstanding = 0
        self._pulled_until = 0.0
        self._delivered = 0
        self._replies: dict[int, str] = {}
        self.last_position = _last_position(info)
        self.first_sequence = info.state.first_seq

    async def fetch(self, *, at_most: int, wait_s: float) -> Sequence[Delivery]:
        """Wait for events; those that are there come at once."""
        await self._pull()
        if not self._arrived:
            self._wake.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._wake.wait()
        deliveries: list[Delivery] = []
        while self._arrived and len(deliveries) < at_most:
            message = self._arrived.popleft()
            if message.reply:
                deliveries.append(self._delivery(message))
            else:  # a status: the pull has ended before it was filled
                self._outstanding = 0
        return deliveries

    async def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        """Acknowledge without waiting: a lost acknowledgement only means one more delivery."""
        try:
            for delivery in deliveries:
                await self._client.publish(self._replies.pop(delivery.position.sequence), b"+ACK")
        except _FAILURES as error:
            raise BusUnavailable(f"NATS does not take acknowledgements: {error!r}") from error

    async def subscribe(self) -> Subscription:
        """Begin to receive what `fetch` asks for."""
        return await self._client.subscribe(self._inbox, cb=self._receive)

    async def _receive(self, message: Msg) -> None:
        self._arrived.append(message)
        self._wake.set()

    async def _pull(self) -> None:
        if self._client.stats["reconnects"] != self._reconnects or not self._client.is_connected:
            raise BusUnavailable("The connection was lost; deliveries may be missing")
        now = asyncio.get_running_loop().time()
        if now > self._pulled_until:
            self._outstanding = 0
        if self._outstanding > self.PULL_EVENTS // 2:
            return
        request = {
            "batch": self.PULL_EVENTS,
            "max_bytes": self.PULL_BYTES,
            "expires": int(self.PULL_EXPIRES_S * 1e9),
        }
        try:
            await self._client.publish(
                f"$JS.API.CONSUMER.MSG.NEXT.{STREAM}.{CONSUMER}",
                json.dumps(request).encode(),
                reply=self._inbox,
            )
        except _FAILURES as error:
            raise BusUnavailable(f"The stream does not deliver: {error!r}") from error
        self._outstanding += self.PULL_EVENTS
        self._pulled_until = now + self.PULL_EXPIRES_S

    def _delivery(self, message: Msg) -> Delivery:
        sequence = message.metadata.sequence
        self._outstanding -= 1
        self._delivered += 1
        if sequence.consumer != self._delivered:
            raise BusUnavailable(f"Delivery {self._delivered} is missing from the stream")
        self._replies[sequence.stream] = message.reply
        return Delivery(StreamPosition(self.last_position.epoch, sequence.stream), message.data)


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
    try:
        with suppress(NotFoundError):
            await js.delete_consumer(STREAM, CONSUMER)
        consumer = NatsConsumer(client, await js.stream_info(STREAM))
        await js.add_consumer(
            STREAM,
            ConsumerConfig(
                durable_name=CONSUMER,
                ack_policy=AckPolicy.EXPLICIT,
                ack_wait=3600,
                max_ack_pending=20_000,
            ),
        )
        subscription = await consumer.subscribe()
    except _FAILURES as error:
        raise BusUnavailable(f"The stream cannot be consumed: {error!r}") from error
    try:
        yield consumer
    finally:
        with suppress(*_FAILURES):  # the connection may be what ended us
            await subscription.unsubscribe()


@dataclass(slots=True)
class _NatsAttempt:
    """`RetryAttempt` of one message on the retry subject."""

    js: JetStreamContext
    message: Msg
    payload: bytes
    original_sequence: int

    async def succeeded(self) -> None:
        """Forget the event."""
        await self.message.ack()
        await self.js.delete_msg(ASIDE, self.message.metadata.sequence.stream)

    async def failed(self, error: str) -> None:
        """Try it again later or, after the last attempt, park it."""
        attempt = self.message.metadata.num_delivered
        if attempt < len(RETRY_DELAYS_S):
            await self.message.nak(delay=RETRY_DELAYS_S[attempt])
            return
        await self.js.publish(
            DEAD_SUBJECT, self.payload, headers=_aside_headers(self.original_sequence, error)
        )
        await self.succeeded()


class NatsRetries:
    """`Retries` on the stream `DICOM_ASIDE`."""

    def __init__(self, client: Client) -> None:
        self._js = client.jetstream()
        self._subscription: JetStreamContext.PullSubscription | None = None

    async def set_aside(self, delivery: Delivery, error: str) -> None:
        """Move a failed event to the retry subject; it is tried again after the first delay."""
        try:
            await self._js.publish(
                RETRY_SUBJECT,
                delivery.payload,
                headers=_aside_headers(delivery.position.sequence, error),
            )
        except _FAILURES as failure:
            raise BusUnavailable(f"The retry subject does not answer: {failure!r}") from failure

    async def next(self, *, wait_s: float) -> RetryAttempt | None:
        """Wait for an event whose time has come."""
        try:
            if self._subscription is None:
                self._subscription = await self._js.pull_subscribe(
                    RETRY_SUBJECT,
                    durable=RETRY_CONSUMER,
                    stream=ASIDE,
                    config=ConsumerConfig(ack_policy=AckPolicy.EXPLICIT, ack_wait=60),
                )
            (message,) = await self._subscription.fetch(1, timeout=wait_s)
        except (nats.errors.TimeoutError, TimeoutError):
            return None
        except _FAILURES as error:
            raise BusUnavailable(f"The retry subject does not answer: {error!r}") from error
        return _NatsAttempt(self._js, message, message.data, _original_sequence(message.headers))

    async def parked(self) -> list[ParkedEvent]:
        """List what was given up on, oldest first."""
        found: list[ParkedEvent] = []
        number = 0
        while True:
            try:
                message = await self._js.get_msg(ASIDE, number + 1, DEAD_SUBJECT, next=True)
            except NotFoundError:
                return found
            except _FAILURES as error:
                raise BusUnavailable(f"Parked events cannot be read: {error!r}") from error
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
                await self._js.delete_msg(ASIDE, number)
                return True
        return False


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
        with suppress(*_FAILURES):  # who waits looks for himself a little later
            await self._client.publish(subject, payload)


def _aside_headers(sequence: int, error: str) -> dict[str, str]:
    text = " ".join(error.split())[:1000]
    return {
        SEQUENCE_HEADER: str(sequence),
        ERROR_HEADER: text.encode("ascii", "replace").decode() or "unknown",
    }


def _original_sequence(headers: dict[str, str] | None) -> int:
    return int((headers or {}).get(SEQUENCE_HEADER, "0"))
