"""nats-py's client with a short way for what every received instance costs.

To publish, nats-py makes a future and wakes the task that flushes; what arrives goes through a
queue to another task. For an event and its acknowledgement that is more than half of all CPU time.
The short way needs members of nats-py 2.16 that are not public, which is why nothing else is here.
"""

from __future__ import annotations

from collections.abc import Callable

from nats.aio.client import Client
from nats.aio.transport import TcpTransport
from nats.errors import ConnectionReconnectingError, MaxPayloadError

Hear = Callable[[bytes, bytes, bytes | None], None]
"""Gets subject, payload and encoded headers of a message."""


class LeanClient(Client):
    """A client on which some messages take the short way."""

    def __init__(self) -> None:
        super().__init__()
        self._listeners: dict[int, Hear] = {}

    async def listen(self, subject: str, hear: Hear) -> None:
        """Subscribe to a subject, for as long as the client is open, without queue and task."""
        subscription = await self.subscribe(subject)
        self._listeners[subscription._id] = hear

    def publish_now(
        self, subject: bytes, payload: bytes, *, reply: bytes = b"", headers: bytes = b""
    ) -> None:
        """Hand a message to the connection, behind everything that still waits to be flushed.

        Nothing is kept for a connection that is lost, and nothing waits for one that is slow: for
        messages that are few in flight because each is waited for.

        Parameters
        ----------
        headers : bytes, optional
            Encoded, ``NATS/1.0`` and the final empty line included.

        Raises
        ------
        nats.errors.Error
            There is no connection at the moment, or the message is too long for the server.
        """
        size = len(headers) + len(payload)
        if size > self._max_payload:
            raise MaxPayloadError
        if self._transport is None or not self.is_connected:
            raise ConnectionReconnectingError
        waiting, self._pending, self._pending_data_size = self._pending, [], 0
        if headers:
            head = b"HPUB %b %b %d %d\r\n" % (subject, reply, len(headers), size)
        else:
            head = b"PUB %b %b %d\r\n" % (subject, reply, size)
        self._transport.writelines([*waiting, head, headers, payload, b"\r\n"])

    def abandon(self) -> None:
        """Cut the connection that a `connect` which failed leaves open."""
        transport = self._transport
        if isinstance(transport, TcpTransport) and transport._io_writer is not None:
            transport._io_writer.transport.abort()

    async def _process_msg(
        self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes
    ) -> None:
        hear = self._listeners.get(sid)
        if hear is None:
            await super()._process_msg(sid, subject, reply, data, headers)
            return
        try:
            hear(subject, data, headers)
        except Exception as error:  # else nats-py would stop reading
            await self._error_cb(error)
