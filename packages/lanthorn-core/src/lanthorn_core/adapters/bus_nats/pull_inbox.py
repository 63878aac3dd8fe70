"""Pulling from a JetStream consumer into an inbox of one's own.

nats-py's own `fetch` waits for a whole batch, and on Python 3.11 its time-outs can swallow a
cancellation; this hands over what is there at once and is cancelled when it is told so.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Final

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.api import Header

from lanthorn_core.adapters.bus_nats.connection import FAILURES, translated
from lanthorn_core.errors import BusUnavailable

PULL_BYTES: Final = 32 << 20
EXPIRES_S: Final = 2.0
_GRACE_S: Final = 0.5
"""For the server to say that a pull has expired, before another takes its place."""
_CONSUMER_ENDED: Final = ("Consumer Deleted", "Leadership Change", "Server Shutdown")


class PullInbox:
    """Messages of one consumer, asked for when they are wanted: all that are there, or the next.

    Nothing is delivered in between: each message by itself would wake the server's connection and
    us, which costs both more than the message.

    Parameters
    ----------
    client : nats.aio.client.Client
        The connection; when it is lost, the inbox says so instead of waiting.
    stream, consumer : str
        The durable consumer to pull from.
    batch : int
        How many messages are asked for at a time.
    """

    def __init__(self, client: Client, stream: str, consumer: str, batch: int) -> None:
        self._client = client
        self._inbox = client.new_inbox()
        self._next_subject = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}"
        request = {
            "batch": batch,
            "max_bytes": PULL_BYTES,
            "no_wait": True,  # after the first message: the server waits for that until it expires
            "expires": int(EXPIRES_S * 1e9),
        }
        self._request = json.dumps(request).encode()
        self._batch = batch
        self._reconnects = client.stats["reconnects"]
        self._arrived: deque[Msg] = deque()
        self._wake = asyncio.Event()
        self._outstanding = 0
        self._pulled_until = 0.0

    @asynccontextmanager
    async def open(self) -> AsyncIterator[PullInbox]:
        """Receive for the length of the block."""
        with translated("The stream cannot be subscribed to"):
            subscription = await self._client.subscribe(self._inbox, cb=self._receive)
        try:
            yield self
        finally:
            with suppress(*FAILURES):  # the connection may be what ended us
                await subscription.unsubscribe()

    async def take(self, *, at_most: int, wait_s: float) -> list[Msg]:
        """Wait for messages; those that are there come at once, none after `wait_s`.

        Raises
        ------
        BusUnavailable
            The connection is or was lost: messages on their way then are missing. Or the consumer
            is gone, or without a leader.
        """
        messages = self._handed_over(at_most)
        if not messages:
            self._wake.clear()  # before it is asked for: what comes meanwhile counts
            await self._pull()
            with suppress(TimeoutError):
                async with asyncio.timeout(min(wait_s, EXPIRES_S)):
                    await self._wake.wait()
            messages = self._handed_over(at_most)
        return messages

    def _handed_over(self, at_most: int) -> list[Msg]:
        messages: list[Msg] = []
        while self._arrived and len(messages) < at_most:
            message = self._arrived.popleft()
            if message.reply:
                messages.append(message)
                self._outstanding -= 1
            else:
                self._end_pull(message.headers or {})
        return messages

    def _is_complete(self) -> bool:
        """Tell whether what arrived last is the last of a pull."""
        reply = self._arrived[-1].reply  # of a message: ends with how many come after it
        return not reply or reply.endswith(".0") or len(self._arrived) >= self._outstanding

    def _end_pull(self, status: Mapping[str, str]) -> None:
        """Hear why a pull ended before it was filled."""
        self._outstanding = 0
        code, why = status.get(Header.STATUS), status.get(Header.DESCRIPTION, "")
        # Nobody answers (any more): the stream has no leader, or the consumer is not there.
        if code == "503" or (code == "409" and why.startswith(_CONSUMER_ENDED)):
            raise BusUnavailable(f"The stream does not deliver: {code} {why}".rstrip())

    async def _receive(self, message: Msg) -> None:
        self._arrived.append(message)
        if self._is_complete():
            self._wake.set()

    async def _pull(self) -> None:
        if self._client.stats["reconnects"] != self._reconnects or not self._client.is_connected:
            raise BusUnavailable("The connection was lost; deliveries may be missing")
        now = asyncio.get_running_loop().time()
        if now > self._pulled_until:
            self._outstanding = 0
        if self._outstanding > 0:
            return
        with translated("The stream does not deliver"):
            await self._client.publish(self._next_subject, self._request, reply=self._inbox)
        self._outstanding = self._batch
        self._pulled_until = now + EXPIRES_S + _GRACE_S
