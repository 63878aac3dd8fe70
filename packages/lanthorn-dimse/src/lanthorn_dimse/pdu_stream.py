"""PDUs out of a stream of bytes, decoded where the network put them.

A P-DATA-TF is never waited for: its fragments are passed on as they arrive, so that nothing is
kept but the few bytes of a header that came in half.

References
----------
DICOM PS3.8 Section 9.3.
"""

from __future__ import annotations

import mmap
import struct
from typing import Final, Protocol

from lanthorn_dimse.errors import ProtocolError
from lanthorn_dimse.messages import MessageAssembler
from lanthorn_dimse.pdus import AbortReason, PduType

BUFFER_BYTES: Final = 256 * 1024

_PDU_HEADER: Final = struct.Struct(">BxL")
_PDV_HEADER: Final = struct.Struct(">LBB")
_P_DATA_TF: Final = int(PduType.P_DATA_TF)
_SHORT_BODY_BYTES: Final = 4
"""Of A-ASSOCIATE-RJ, A-RELEASE-RQ, A-RELEASE-RP and A-ABORT."""

_CHEAP_TO_MOVE: Final = 64

_LENGTH_TOLERANCE: Final = 12
"""Peers differ in which of the two headers of a P-DATA-TF they count in the maximum length."""

_ASSOCIATE: Final = frozenset({PduType.A_ASSOCIATE_RQ, PduType.A_ASSOCIATE_AC})
_TYPES: Final = {int(member): member for member in PduType}


class PduUser(Protocol):
    """Who gets the PDUs."""

    @property
    def takes_data(self) -> bool:
        """Whether P-DATA-TF is in place now."""

    def wants_body(self, kind: PduType) -> bool:
        """Whether an A-ASSOCIATE PDU of this type is in place now; if not, it is skipped."""

    def pdu_received(self, kind: PduType, body: bytes) -> None:
        """Take a PDU; `body` is what follows its length, empty if it was skipped."""

    def pdu_invalid(self, error: ProtocolError) -> None:
        """Learn that the peer broke the protocol; what is left of this PDU is skipped."""


class PduStream:
    """Takes the bytes of one connection.

    Parameters
    ----------
    user : PduUser
        Gets PDUs that are not P-DATA-TF.
    messages : MessageAssembler
        Gets the fragments of P-DATA-TF.
    associate_pdu_bytes : int
        The longest A-ASSOCIATE PDU.

    Attributes
    ----------
    maximum_length : int
        The longest P-DATA-TF, as offered to the peer; 0 for any.
    held : bool
        While true nothing is passed on; `resume` goes on where it stopped.
    """

    def __init__(self, user: PduUser, messages: MessageAssembler, associate_pdu_bytes: int) -> None:
        self._user = user
        self._messages = messages
        self._associate_pdu_bytes = associate_pdu_bytes
        self.maximum_length = 0
        self.held = False
        # Anonymous memory is there from its first use on: silent connections cost nothing.
        self._view = memoryview(mmap.mmap(-1, BUFFER_BYTES))
        self._start = self._end = 0
        self._pdu_left = 0
        """Of a P-DATA-TF, without the fragment that is being passed on."""
        self._fragment_left = 0
        self._skip_left = 0
        self._body = bytearray()
        self._body_kind = PduType.A_ASSOCIATE_RQ
        self._body_left = 0
        self._parsing = False

    @property
    def in_pdu(self) -> bool:
        """Whether a PDU has begun and is not complete."""
        return bool(
            self._pdu_left
            or self._fragment_left
            or self._body_left
            or self._skip_left
            or self._end > self._start
        )

    def get_buffer(self) -> memoryview:
        """Return where the next bytes go."""
        return self._view[self._end :]

    def feed(self, size: int) -> None:
        """Take so many bytes, that are in the buffer now."""
        self._end += size
        self.resume()

    def resume(self) -> None:
        """Pass on what is in the buffer, unless `held`."""
        if self._parsing:  # called from below: the loop there goes on
            return
        self._parsing = True
        try:
            while not self.held and self._step():
                pass
        finally:
            self._parsing = False
        start, end = self._start, self._end
        if start == end:
            self._start = self._end = 0
        elif start and (end - start <= _CHEAP_TO_MOVE or end == BUFFER_BYTES):
            self._view[: end - start] = self._view[start:end]
            self._start, self._end = 0, end - start

    def abandon(self) -> None:
        """Skip what is left of the PDU that has begun: nobody wants it any more."""
        self._skip_left += self._pdu_left + self._fragment_left + self._body_left
        self._pdu_left = self._fragment_left = self._body_left = 0
        self._body = bytearray()

    def _step(self) -> bool:
        """Pass on one piece; false if more bytes are needed first."""
        try:
            if self._fragment_left:
                return self._pass_fragment()
            if self._pdu_left:
                return self._begin_fragment()
            if self._skip_left:
                return self._skip()
            if self._body_left:
                return self._collect()
            return self._begin_pdu()
        except ProtocolError as error:
            self.abandon()
            self._user.pdu_invalid(error)
            return True

    def _pass_fragment(self) -> bool:
        start = self._start
        size = min(self._fragment_left, self._end - start)
        if not size:
            return False
        self._start += size
        self._fragment_left -= size
        self._messages.write(self._view[start : start + size])
        if not self._fragment_left:
            self._messages.end_fragment()
        return True

    def _begin_fragment(self) -> bool:
        if self._pdu_left < 6:
            raise ProtocolError(
                "a P-DATA-TF ends within an item", AbortReason.INVALID_PDU_PARAMETER
            )
        if self._end - self._start < 6:
            return False
        length, context_id, control = _PDV_HEADER.unpack_from(self._view, self._start)
        if not 2 <= length <= self._pdu_left - 4:
            raise ProtocolError(
                "the length of a presentation data value is impossible",
                AbortReason.INVALID_PDU_PARAMETER,
            )
        size = length - 2
        self._start += 6
        self._pdu_left -= length + 4
        self._fragment_left = size
        self._messages.begin_fragment(context_id, control, size)
        if not size:
            self._messages.end_fragment()
        return True

    def _begin_pdu(self) -> bool:
        if self._end - self._start < 6:
            return False
        kind, length = _PDU_HEADER.unpack_from(self._view, self._start)
        if kind == _P_DATA_TF:
            return self._begin_data(length)
        known = _TYPES.get(kind)
        if known is None:
            self._start += 6
            self._skip_left = length
            self._user.pdu_invalid(
                ProtocolError("a PDU of unknown type", AbortReason.UNRECOGNIZED_PDU)
            )
        elif known in _ASSOCIATE:
            self._begin_associate(known, length)
        else:
            return self._take_short(known, length)
        return True

    def _begin_data(self, length: int) -> bool:
        self._start += 6
        if not self._user.takes_data:
            self._skip_left = length
            self._user.pdu_received(PduType.P_DATA_TF, b"")
            return True
        self._pdu_left = length
        if self.maximum_length and length > self.maximum_length + _LENGTH_TOLERANCE:
            raise ProtocolError(
                "a P-DATA-TF longer than the maximum length", AbortReason.INVALID_PDU_PARAMETER
            )
        return True

    def _begin_associate(self, kind: PduType, length: int) -> None:
        self._start += 6
        if not self._user.wants_body(kind):
            self._skip_left = length
            self._user.pdu_received(kind, b"")
        elif length > self._associate_pdu_bytes:
            self._skip_left = length
            self._user.pdu_invalid(
                ProtocolError("an A-ASSOCIATE PDU without end", AbortReason.INVALID_PDU_PARAMETER)
            )
        else:
            self._body_kind, self._body_left = kind, length
            if not length:
                self._user.pdu_received(kind, b"")

    def _take_short(self, kind: PduType, length: int) -> bool:
        if length != _SHORT_BODY_BYTES:
            self._start += 6
            self._skip_left = length
            self._user.pdu_invalid(
                ProtocolError(
                    "a PDU of fixed length has another one", AbortReason.INVALID_PDU_PARAMETER
                )
            )
            return True
        if self._end - self._start < 6 + _SHORT_BODY_BYTES:
            return False
        body = bytes(self._view[self._start + 6 : self._start + 6 + _SHORT_BODY_BYTES])
        self._start += 6 + _SHORT_BODY_BYTES
        self._user.pdu_received(kind, body)
        return True

    def _collect(self) -> bool:
        size = min(self._body_left, self._end - self._start)
        if not size:
            return False
        self._body += self._view[self._start : self._start + size]
        self._start += size
        self._body_left -= size
        if not self._body_left:
            body, self._body = bytes(self._body), bytearray()
            self._user.pdu_received(self._body_kind, body)
        return True

    def _skip(self) -> bool:
        size = min(self._skip_left, self._end - self._start)
        self._start += size
        self._skip_left -= size
        return bool(size)
