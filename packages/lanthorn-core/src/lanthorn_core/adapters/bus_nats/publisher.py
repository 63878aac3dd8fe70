"""Publishing: many events in flight, each awaited by its own caller."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any, Final, NamedTuple

import msgspec
from nats.js.api import Header
from nats.js.errors import APIError, NoStreamResponseError

from lanthorn_core.adapters.bus_nats.connection import (
    FAILURES,
    honouring_cancellation,
    last_position,
    translated,
)
from lanthorn_core.adapters.bus_nats.lean_client import LeanClient
from lanthorn_core.errors import BusUnavailable
from lanthorn_core.events import STREAM, Event, encode_event, subject_of
from lanthorn_core.ports.bus import StreamPosition
from lanthorn_core.telemetry.metrics import PUBLISH_FAILURES, PUBLISH_SECONDS
from lanthorn_core.telemetry.tracing import carrier, span

_HEADERS: Final = (
    f"NATS/1.0\r\n{Header.EXPECTED_STREAM.value}: {STREAM}\r\n{Header.MSG_ID.value}: ".encode()
)
_NO_RESPONDERS: Final = b"NATS/1.0 503"


class _Acknowledgement(msgspec.Struct):
    """JetStream's answer to a publish."""

    seq: int = 0
    error: dict[str, Any] | None = None


_decoder: Final = msgspec.json.Decoder(_Acknowledgement)


class _State(msgspec.Struct):
    last_seq: int


class _StreamInfo(msgspec.Struct):
    """What the index barrier reads of the leader's answer before each query, and no more."""

    created: str = ""
    state: _State | None = None


_info_decoder: Final = msgspec.json.Decoder(_StreamInfo)
_INFO_SUBJECT: Final = f"$JS.API.STREAM.INFO.{STREAM}"


class _Publish(NamedTuple):
    """A publish that was sent; `until` is a moment of the event loop's clock."""

    acknowledged: asyncio.Future[int]
    until: float


class NatsPublisher:
    """`EventPublisher` on JetStream.

    All acknowledgements come to one inbox; the last part of a subject tells whose it is. Nor has
    each publish a timer of its own: with nats-py's `publish_async` an event takes three times as
    long, which counts for every instance received.

    Parameters
    ----------
    client : LeanClient
        An open connection.
    timeout_s : float
        How long one publish may take, tries on other connections included.
    """

    ATTEMPT_S: Final = 2.0

    def __init__(self, client: LeanClient, *, timeout_s: float = 10.0) -> None:
        self._client = client
        self._js = client.jetstream(timeout=self.ATTEMPT_S)
        self._timeout_s = timeout_s
        self._created = ""
        self._epoch = ""
        self._newest = 0
        self._reconnects = 0
        self._inbox = f"{client.new_inbox()}."
        self._reply = self._inbox.encode() + b"%d"
        self._numbers = itertools.count()
        self._unacknowledged: dict[bytes, _Publish] = {}
        """Oldest first."""
        self._is_watched = False
        self._subscribing = asyncio.Lock()
        self._subscribed = False

    async def publish(self, event: Event, *, message_id: str) -> StreamPosition:
        """Publish an event, again if need be: the message id makes a repetition harmless."""
        payload = encode_event(event)
        subject = subject_of(event)
        with PUBLISH_SECONDS.time(), span("publish", subject=subject):
            headers = _encode_headers(message_id)
            return await self._publish(subject.encode(), headers, payload)

    async def _publish(self, subject: bytes, headers: bytes, payload: bytes) -> StreamPosition:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._timeout_s
        while True:
            try:
                return await self._attempt(subject, headers, payload)
            except (*FAILURES, BusUnavailable) as error:
                if loop.time() >= deadline:
                    PUBLISH_FAILURES.inc()
                    raise BusUnavailable(f"The event was not acknowledged: {error!r}") from error
                await asyncio.sleep(0.1)

    async def _attempt(self, subject: bytes, headers: bytes, payload: bytes) -> StreamPosition:
        if not self._subscribed:
            await self._subscribe()
        loop = asyncio.get_running_loop()
        reply = self._reply % next(self._numbers)
        acknowledged = loop.create_future()
        self._unacknowledged[reply] = _Publish(acknowledged, loop.time() + self.ATTEMPT_S)
        if not self._is_watched:
            self._watch()
        try:
            self._client.publish_now(subject, payload, reply=reply, headers=headers)
            sequence = await acknowledged
        finally:
            del self._unacknowledged[reply]
        return StreamPosition(await self._epoch_of(sequence), sequence)

    async def _epoch_of(self, sequence: int) -> str:
        """Tell which incarnation of the stream gave out a number.

        It may be another one where numbers do not go up, as one that was made anew counts from 1,
        and where the connection is another: then the leader is asked.
        """
        reconnects = self._client.stats["reconnects"]
        if sequence <= self._newest or reconnects != self._reconnects or not self._epoch:
            await self.last_position()
            self._reconnects = reconnects
        self._newest = sequence
        return self._epoch

    async def _subscribe(self) -> None:
        async with self._subscribing:
            if not self._subscribed:
                with honouring_cancellation():
                    await self._client.listen(f"{self._inbox}*", self._acknowledge)
                self._subscribed = True

    def _acknowledge(self, subject: bytes, data: bytes, headers: bytes | None) -> None:
        publish = self._unacknowledged.get(subject)
        if publish is None or publish.acknowledged.done():
            return  # it came too late: the event was published once more
        if headers and headers.startswith(_NO_RESPONDERS):
            publish.acknowledged.set_exception(NoStreamResponseError())
            return
        answer = _decoder.decode(data)
        if answer.error is None:
            publish.acknowledged.set_result(answer.seq)
            return
        try:
            APIError.from_error(answer.error)
        except APIError as error:
            publish.acknowledged.set_exception(error)

    def _watch(self) -> None:
        """End what waits for too long; come back when the next may be due, until nothing waits."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        self._is_watched = False
        for acknowledged, until in self._unacknowledged.values():
            if until > now:
                loop.call_at(until, self._watch)
                self._is_watched = True
                return
            if not acknowledged.done():
                acknowledged.set_exception(TimeoutError())

    async def last_position(self) -> StreamPosition:
        """Ask the stream's leader, which every acknowledged publish went through."""
        with translated("NATS does not answer"):
            answer = await self._client.request(_INFO_SUBJECT, timeout=self.ATTEMPT_S)
            info = _info_decoder.decode(answer.data)
            if info.state is not None and info.created and info.created == self._created:
                return StreamPosition(self._epoch, info.state.last_seq)
            # Another incarnation, or an error: nats-py knows how to read both.
            position = last_position(await self._js.stream_info(STREAM))
            self._created, self._epoch = info.created, position.epoch
            return position

    async def check(self) -> None:
        """Return when the stream answers."""
        await self.last_position()


def _encode_headers(message_id: str) -> bytes:
    further = "".join(f"\r\n{name}: {value}" for name, value in carrier().items())
    return b"%b%b%b\r\n\r\n" % (_HEADERS, message_id.encode(), further.encode())
