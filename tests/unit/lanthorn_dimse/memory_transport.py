"""A connection that is a list of bytes, and a user of the upper layer that takes notes."""

from __future__ import annotations

import asyncio
import struct
from typing import Any

from lanthorn_dimse.command_set import Command
from lanthorn_dimse.errors import ProtocolError
from lanthorn_dimse.messages import Destination, MessageAssembler
from lanthorn_dimse.negotiation import (
    AcceptedContext,
    AssociateAcceptance,
    AssociateRejection,
    AssociateRequest,
)
from lanthorn_dimse.upper_layer import UpperLayer
from tests.fixtures import dimse_bytes as raw

CONTEXTS = {
    1: AcceptedContext(1, raw.VERIFICATION, raw.IMPLICIT, as_scu=False, as_scp=True),
    3: AcceptedContext(3, raw.CT_IMAGE_STORAGE, raw.EXPLICIT, as_scu=False, as_scp=True),
}


class NoSocket:
    def setsockopt(self, *_: Any) -> None: ...


class MemoryTransport(asyncio.Transport):
    """Keeps what is written; is told whether it was closed."""

    def __init__(self) -> None:
        super().__init__({"socket": NoSocket()})
        self.written = bytearray()
        self.closed = ""
        self.reading = True

    def write(self, data: Any) -> None:
        self.written += data

    def close(self) -> None:
        self.closed = "close"

    def abort(self) -> None:
        self.closed = "abort"

    def is_closing(self) -> bool:
        return bool(self.closed)

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...

    def get_write_buffer_size(self) -> int:
        return 0

    def pdus(self) -> list[tuple[object, ...]]:
        """Describe what was written."""
        found = []
        place = 0
        while place < len(self.written):
            kind, length = struct.unpack_from(">BxL", self.written, place)
            body = bytes(self.written[place + 6 : place + 6 + length])
            found.append(raw.describe(kind, body))
            place += 6 + length
        return found


class NotingUser:
    """Uses the upper layer and the messages; answers nothing on its own."""

    def __init__(self) -> None:
        self.notes: list[tuple[object, ...]] = []
        self.messages: list[tuple[Command, bytes | None]] = []
        self._data = bytearray()

    def associate_indicated(self, request: AssociateRequest) -> None:
        self.notes.append(("associate indicated",))

    def associate_accepted(self, acceptance: AssociateAcceptance) -> None:
        self.notes.append(("accepted",))

    def associate_rejected(self, rejection: AssociateRejection) -> None:
        self.notes.append(("rejected", rejection.result, rejection.source, rejection.reason))

    def release_indicated(self) -> None:
        self.notes.append(("release indicated",))

    def release_confirmed(self) -> None:
        self.notes.append(("release confirmed",))

    def abort_indicated(self, source: int, reason: int) -> None:
        self.notes.append(("aborted", source, reason))

    def peer_failed(self, error: ProtocolError) -> None:
        self.notes.append(("peer failed", error.reason))

    def user_failed(self, error: Exception) -> None:
        raise error

    def connection_ended(self, error: Exception | None) -> None:
        self.notes.append(("connection ended",))

    def data_set_follows(self, command: Command, context: AcceptedContext) -> Destination:
        self._data = bytearray()
        return Destination(self._data.extend, 100_000)

    def message_complete(self, command: Command, context: AcceptedContext) -> None:
        self.messages.append((command, bytes(self._data) if command.has_data_set else None))


def make_layer(
    *, is_acceptor: bool = True, artim_s: float = 30.0
) -> tuple[UpperLayer, MemoryTransport, NotingUser]:
    """Make an upper layer with a connection that is not yet made."""
    user = NotingUser()
    messages = MessageAssembler(user, 64 * 1024)
    messages.open(CONTEXTS)
    layer = UpperLayer(
        user,
        messages,
        is_acceptor=is_acceptor,
        artim_s=artim_s,
        associate_pdu_bytes=256 * 1024,
    )
    return layer, MemoryTransport(), user


def feed(layer: UpperLayer, data: bytes) -> None:
    """Give bytes to the layer as an event loop does."""
    place = 0
    while place < len(data):
        buffer = layer.get_buffer(-1)
        size = min(len(buffer), len(data) - place)
        buffer[:size] = data[place : place + size]
        layer.buffer_updated(size)
        place += size
