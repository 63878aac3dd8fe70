"""The upper layer of one association: connection, state machine, ARTIM timer.

References
----------
DICOM PS3.8 Section 9.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol, cast

from lanthorn_dimse.actions import ACTIONS
from lanthorn_dimse.associate_pdus import acceptance_pdu
from lanthorn_dimse.errors import ProtocolError
from lanthorn_dimse.framing import BytesLike
from lanthorn_dimse.messages import MessageAssembler
from lanthorn_dimse.negotiation import (
    AssociateAcceptance,
    AssociateRejection,
    AssociateRequest,
)
from lanthorn_dimse.pdu_stream import PduStream
from lanthorn_dimse.pdus import (
    SERVICE_USER,
    AbortReason,
    PduType,
    abort_pdu,
    rejection_pdu,
)
from lanthorn_dimse.state_machine import TRANSITIONS, Event, State

_QUICKACK: Final[int | None] = getattr(socket, "TCP_QUICKACK", None)
"""Linux only. Not lasting: armed again after every read that ends within a message, since a sender
with Nagle's algorithm waits for our acknowledgement between the header and the body of a PDV. At
the end of a message it waits for the response."""

_HIGH_WATER_BYTES: Final = 1024 * 1024
_LOW_WATER_BYTES: Final = 256 * 1024

_EVENTS: Final[Mapping[PduType, Event]] = {
    PduType.A_ASSOCIATE_AC: Event.EVT3,
    PduType.A_ASSOCIATE_RJ: Event.EVT4,
    PduType.A_ASSOCIATE_RQ: Event.EVT6,
    PduType.P_DATA_TF: Event.EVT10,
    PduType.A_RELEASE_RQ: Event.EVT12,
    PduType.A_RELEASE_RP: Event.EVT13,
    PduType.A_ABORT: Event.EVT16,
}

_TAKES_DATA: Final = frozenset({State.STA6, State.STA7})
"""DT-2 and AR-6: where a P-DATA-TF is an indication to the user."""

_SENDS_DATA: Final = frozenset({State.STA6, State.STA8})
"""DT-1 and AR-7."""


_UNEXPECTED: Final = ProtocolError("a PDU that is out of place", AbortReason.UNEXPECTED_PDU)

_OVER: Final = frozenset({State.STA1, State.STA13})


class UpperLayerUser(Protocol):
    """Who uses the service of the upper layer: indications and confirmations (PS3.8 Section 7)."""

    def associate_indicated(self, request: AssociateRequest) -> None:
        """A-ASSOCIATE indication: answer by `accept` or `reject`."""

    def associate_accepted(self, acceptance: AssociateAcceptance) -> None:
        """A-ASSOCIATE confirmation."""

    def associate_rejected(self, rejection: AssociateRejection) -> None:
        """A-ASSOCIATE confirmation; the connection is being closed."""

    def release_indicated(self) -> None:
        """A-RELEASE indication: answer by `respond_to_release`."""

    def release_confirmed(self) -> None:
        """A-RELEASE confirmation."""

    def abort_indicated(self, source: int, reason: int) -> None:
        """A-ABORT or A-P-ABORT indication: the peer sent A-ABORT."""

    def peer_failed(self, error: ProtocolError) -> None:
        """A-P-ABORT indication: this side sent A-ABORT because of the peer's PDU."""

    def user_failed(self, error: Exception) -> None:
        """Something the user was told of raised this."""

    def connection_ended(self, error: Exception | None) -> None:
        """Learn that the connection is closed; always the last word."""


class UpperLayer(asyncio.BufferedProtocol):
    """The protocol of one connection.

    Parameters
    ----------
    user : UpperLayerUser
        Gets indications and confirmations.
    messages : MessageAssembler
        Gets the fragments of P-DATA-TF.
    is_acceptor : bool
        Who opened the connection.
    artim_s : float
        PS3.8 Section 9.1.5.
    associate_pdu_bytes : int
        The longest A-ASSOCIATE PDU.
    """

    def __init__(
        self,
        user: UpperLayerUser,
        messages: MessageAssembler,
        *,
        is_acceptor: bool,
        artim_s: float,
        associate_pdu_bytes: int,
    ) -> None:
        self.user = user
        self.is_acceptor = is_acceptor
        self.state = State.STA1
        self.takes_data = False
        self.sends_data = False
        self.request: AssociateRequest | None = None
        self.bytes_received = 0
        self.bytes_sent = 0
        self.last_received = 0.0
        self.last_progress = 0.0
        """When the peer last took bytes, or nothing was waiting for it."""
        self._messages = messages
        self._artim_s = artim_s
        self._artim: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._socket: Any = None
        self._holds = 0
        self._writable: asyncio.Future[None] | None = None
        self._stream = PduStream(self, messages, associate_pdu_bytes)

    # What the event loop tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Evt2 and Evt5."""
        # uvloop's transports are none of asyncio's classes, but do the same.
        self._transport = stream = cast(asyncio.Transport, transport)
        self._socket = transport.get_extra_info("socket")
        with contextlib.suppress(OSError):
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        stream.set_write_buffer_limits(high=_HIGH_WATER_BYTES, low=_LOW_WATER_BYTES)
        self.last_received = self.last_progress = self._loop.time()
        if self._holds:
            stream.pause_reading()
        self.handle(Event.EVT5 if self.is_acceptor else Event.EVT2)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return where the next bytes go."""
        return self._stream.get_buffer()

    def buffer_updated(self, nbytes: int) -> None:
        """Take bytes."""
        self.bytes_received += nbytes
        self.last_received = self._loop.time()
        self._feed(nbytes)
        if _QUICKACK is not None and (self._messages.in_message or self._stream.in_pdu):
            with contextlib.suppress(OSError):
                self._socket.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)

    def eof_received(self) -> None:
        """Let the transport close: half of a connection is of no use to an association."""

    def connection_lost(self, exc: Exception | None) -> None:
        """Evt17."""
        self.handle(Event.EVT17)
        self.stop_artim()
        self._messages.close()
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
        self._transport = None
        self.user.connection_ended(exc)

    def pause_writing(self) -> None:
        """Learn that the peer does not read."""
        self._writable = self._loop.create_future()

    def resume_writing(self) -> None:
        """Learn that the peer reads again."""
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
        self._writable = None

    # What the stream of PDUs tells

    def wants_body(self, kind: PduType) -> bool:
        """Whether an A-ASSOCIATE PDU is in place now."""
        if kind is PduType.A_ASSOCIATE_RQ:
            return self.state is State.STA2
        return self.state is State.STA5

    def pdu_received(self, kind: PduType, body: bytes) -> None:
        """Evt3, Evt4, Evt6, Evt10, Evt12, Evt13 and Evt16."""
        self.handle(_EVENTS[kind], body)

    def pdu_invalid(self, error: ProtocolError) -> None:
        """Evt19."""
        self.handle(Event.EVT19, error=error)

    # The state machine

    def handle(self, event: Event, body: bytes = b"", error: ProtocolError | None = None) -> None:
        """Do what PS3.8 Table 9-10 says; nothing where it says nothing."""
        action = TRANSITIONS.get((event, self.state))
        if action is not None:
            ACTIONS[action](self, body, error or _UNEXPECTED)

    def enter(self, state: State) -> None:
        """Change state."""
        self.state = state
        self.takes_data = state in _TAKES_DATA
        self.sends_data = state in _SENDS_DATA
        if state is State.STA13:
            # Nobody acts on what still comes; but it is read, to see the end of the connection.
            self._messages.close()
            self._stream.abandon()
            if self._holds:
                self._holds = 0
                self._release_hold()
        elif state is State.STA1:
            self._messages.close()

    def start_artim(self) -> None:
        """Start the timer, or start it again."""
        self.stop_artim()
        self._artim = self._loop.call_later(self._artim_s, self.handle, Event.EVT18)

    def stop_artim(self) -> None:
        """Stop the timer if it runs."""
        if self._artim is not None:
            self._artim.cancel()
            self._artim = None

    def write(self, data: BytesLike) -> None:
        """Give bytes to the connection."""
        if self._transport is not None:
            self.bytes_sent += len(data)
            self._transport.write(data)

    def close(self, *, at_once: bool) -> None:
        """End the connection, at once or when what was written is on its way."""
        if self._transport is None:
            return
        if at_once:
            self._transport.abort()
        else:
            self._transport.close()

    # What the user asks for

    def associate(self, request: AssociateRequest) -> None:
        """Ask for an association: Evt1; `connection_made` must follow."""
        self.request = request
        self._stream.maximum_length = request.maximum_length
        self.handle(Event.EVT1)

    def accept(self, acceptance: AssociateAcceptance) -> None:
        """Answer an A-ASSOCIATE indication: Evt7."""
        if self.state is State.STA3 and self.request is not None:
            self._stream.maximum_length = acceptance.maximum_length
            self.handle(Event.EVT7, acceptance_pdu(self.request, acceptance))

    def reject(self, rejection: AssociateRejection) -> None:
        """Answer an A-ASSOCIATE indication: Evt8."""
        self.handle(Event.EVT8, rejection_pdu(rejection))

    def release(self) -> None:
        """Ask for the release: Evt11."""
        self.handle(Event.EVT11)

    def respond_to_release(self) -> None:
        """Answer an A-RELEASE indication: Evt14."""
        self.handle(Event.EVT14)

    def abort(self, source: int = SERVICE_USER, reason: int = 0) -> None:
        """Ask for the abort: Evt15."""
        self.handle(Event.EVT15, abort_pdu(source, reason))

    def cut_off(self) -> None:
        """End the connection without a word more."""
        self.close(at_once=True)

    def send_data(self, buffers: Sequence[BytesLike]) -> None:
        """Send P-DATA-TF: Evt9.

        DT-1 and AR-7 without the table: this is the hot path, and `sends_data` says that the state
        is one of the two whose row has Evt9.
        """
        transport = self._transport
        if transport is None or not self.sends_data:
            return
        if len(buffers) == 1:
            self.bytes_sent += len(buffers[0])
            transport.write(buffers[0])
        else:
            self.bytes_sent += sum(map(len, buffers))
            transport.writelines(buffers[:-1])
            # In Python 3.12.0 to 3.13.0 asyncio's `writelines` never asks to pause; `write` does.
            transport.write(buffers[-1])

    @property
    def write_stalled(self) -> bool:
        """Whether the peer does not read, and much is waiting for it."""
        return self._writable is not None

    async def drained(self) -> None:
        """Return when the peer reads, or the connection is over."""
        if self._writable is not None:
            await asyncio.shield(self._writable)

    @property
    def waiting_bytes(self) -> int:
        """How much the peer has not taken yet."""
        return 0 if self._transport is None else self._transport.get_write_buffer_size()

    @property
    def in_pdu(self) -> bool:
        """Whether the peer stopped within a PDU."""
        return self._stream.in_pdu

    @property
    def held(self) -> bool:
        """Whether nothing is read."""
        return self._holds > 0

    def hold(self) -> None:
        """Stop reading, until as many `let_go` as `hold`; nothing if the association is over."""
        if self.state in _OVER:
            return  # the end of the connection is to be seen
        self._holds += 1
        if self._holds == 1:
            self._stream.held = True
            if self._transport is not None:
                self._transport.pause_reading()

    def let_go(self) -> None:
        """Take back one `hold`."""
        if not self._holds:
            return  # the association ended meanwhile, and all were taken back
        self._holds -= 1
        if not self._holds:
            self._release_hold()

    @property
    def tls(self) -> ssl.SSLObject | None:
        """What TLS negotiated."""
        if self._transport is None:
            return None
        found: ssl.SSLObject | None = self._transport.get_extra_info("ssl_object")
        return found

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection."""
        return self._transport is not None

    @property
    def peer(self) -> tuple[str, int]:
        """Where the peer is."""
        name = None if self._transport is None else self._transport.get_extra_info("peername")
        return (str(name[0]).removeprefix("::ffff:"), int(name[1])) if name else ("", 0)

    def _release_hold(self) -> None:
        # On the next turn: who lets go is in the middle of something.
        self._loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        if self._holds or not self._stream.held:
            return
        self._stream.held = False
        self.last_received = self._loop.time()
        self._feed(0)
        if not self._holds and self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def _feed(self, size: int) -> None:
        try:
            self._stream.feed(size)
        except Exception as error:
            self.user.user_failed(error)
