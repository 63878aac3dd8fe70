"""Publishing: many events in flight, each awaited by its own caller."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any, Final

import msgspec
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.api import Header
from nats.js.errors import APIError, NoStreamResponseError

from lanthorn_core.adapters.bus_nats.connection import (
    FAILURES,
    honouring_cancellation,
    last_position,
    translated,
)
from lanthorn_core.errors import BusUnavailable
from lanthorn_core.events import STREAM, Event, encode_event, subject_of
from lanthorn_core.ports.bus import StreamPosition

_NO_RESPONDERS: Final = "503"


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


class NatsPublisher:
    """`EventPublisher` on JetStream.

    All acknowledgements come to one inbox; the last part of a subject tells whose it is. This is
    half the work of nats-py's own `publish_async`, which counts for every instance received.

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
        self._created = ""
        self._created_epoch = ""
        self._inbox = f"{client.new_inbox()}."
        self._numbers = itertools.count()
        self._unacknowledged: dict[str, asyncio.Future[int]] = {}
        self._subscribing = asyncio.Lock()
        self._subscribed = False

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
        if not self._subscribed:
            await self._subscribe()
        reply = f"{self._inbox}{next(self._numbers)}"
        acknowledged = asyncio.get_running_loop().create_future()
        self._unacknowledged[reply] = acknowledged
        try:
            async with asyncio.timeout(self.ATTEMPT_S):
                headers = {Header.EXPECTED_STREAM.value: STREAM, Header.MSG_ID.value: message_id}
                await self._client.publish(subject, payload, reply=reply, headers=headers)
                sequence = await acknowledged
        finally:
            del self._unacknowledged[reply]
        if not self._epoch:
            self._epoch = (await self.last_position()).epoch
        return StreamPosition(self._epoch, sequence)

    async def _subscribe(self) -> None:
        async with self._subscribing:
            if not self._subscribed:
                await self._client.subscribe(f"{self._inbox}*", cb=self._acknowledge)
                self._subscribed = True

    async def _acknowledge(self, message: Msg) -> None:
        acknowledged = self._unacknowledged.get(message.subject)
        if acknowledged is None or acknowledged.done():
            return  # it came too late: the event was published once more
        if message.headers and message.headers.get(Header.STATUS) == _NO_RESPONDERS:
            acknowledged.set_exception(NoStreamResponseError())
            return
        answer = _decoder.decode(message.data)
        if answer.error is None:
            acknowledged.set_result(answer.seq)
            return
        try:
            APIError.from_error(answer.error)
        except APIError as error:
            acknowledged.set_exception(error)

    async def last_position(self) -> StreamPosition:
        """Ask the stream's leader, which every acknowledged publish went through."""
        with translated("NATS does not answer"):
            answer = await self._client.request(_INFO_SUBJECT, timeout=self.ATTEMPT_S)
            info = _info_decoder.decode(answer.data)
            if info.state is not None and info.created and info.created == self._created:
                return StreamPosition(self._created_epoch, info.state.last_seq)
            # Another incarnation, or an error: nats-py knows how to read both.
            position = last_position(await self._js.stream_info(STREAM))
            self._created, self._created_epoch = info.created, position.epoch
            return position

    async def check(self) -> None:
        """Return when the stream answers."""
        await self.last_position()
