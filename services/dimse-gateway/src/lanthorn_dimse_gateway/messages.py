"""DIMSE messages of one association: assembled from P-DATA, answered, sent.

References
----------
DICOM PS3.7 Section 6.3 and 9.3, PS3.8 Annex E.
"""

from __future__ import annotations

from typing import Any, Final

import structlog
from pynetdicom.dimse import DIMSEServiceProvider
from pynetdicom.pdu_primitives import P_DATA

from lanthorn_core.errors import LanthornError
from lanthorn_dimse_gateway.access import Requestor
from lanthorn_dimse_gateway.command_set import (
    C_CANCEL_RQ,
    C_ECHO_RQ,
    C_STORE_RQ,
    Command,
    InvalidCommand,
    decode_command,
    encode_response,
)
from lanthorn_dimse_gateway.contexts import AnsweredContext, ContextResult
from lanthorn_dimse_gateway.gateway import Gateway
from lanthorn_dimse_gateway.scp.answer import Answer, refuse
from lanthorn_dimse_gateway.scp.store import IncomingStore, StoreCommand

log = structlog.get_logger(__name__)

_COMMAND_BYTES: Final = 16 * 1024
"""No command set of any service comes near this."""

_PDV_HEADER_BYTES: Final = 6
"""Item length, presentation context ID, message control header (PS3.8 Table 9-23, Annex E)."""

_UNRECOGNIZED_PDU: Final = "Evt19"
"""PS3.8 Table 9-9: the state machine answers with A-ABORT of the service provider."""


class Messages(DIMSEServiceProvider):  # type: ignore[misc]  # pynetdicom is untyped to mypy
    """Assembles messages from P-DATA and answers them; runs in the upper layer's thread."""

    def __init__(self, assoc: Any) -> None:
        super().__init__(assoc)
        self.answering = False
        self._requestor: Requestor | None = None
        self._contexts: dict[int, AnsweredContext] = {}
        self._command = bytearray()
        self._request: Command | None = None
        self._context_id = 0
        self._incoming: IncomingStore | None = None

    @property
    def busy(self) -> bool:
        """Whether a request is being received or answered."""
        return self.answering or self._incoming is not None or bool(self._command)

    def open(self, requestor: Requestor, contexts: tuple[AnsweredContext, ...]) -> None:
        """Take what was negotiated."""
        self._requestor = requestor
        self._contexts = {
            context.context_id: context
            for context in contexts
            if context.result is ContextResult.ACCEPTANCE
        }

    def close(self) -> None:
        """Forget the request in hand, with its file."""
        if self._incoming is not None:
            self._incoming.discard()
            self._incoming = None

    def receive_primitive(self, primitive: P_DATA) -> None:
        """Take one P-DATA indication: any number of fragments of any kind (PS3.8 Annex E)."""
        try:
            for context_id, value in primitive.presentation_data_value_list:
                if not value:
                    raise _ProtocolError("a fragment without message control header")
                is_command, is_last = value[0] & 1, value[0] & 2
                if is_command:
                    self._take_command(context_id, value, last=bool(is_last))
                else:
                    self._take_data(context_id, value, last=bool(is_last))
        except _ProtocolError as error:
            log.warning("message_refused", reason=str(error))
            self.close()
            self.dul.event_queue.put(_UNRECOGNIZED_PDU)

    def _take_command(self, context_id: int, value: bytes, *, last: bool) -> None:
        if self._incoming is not None:
            raise _ProtocolError("a command within a data set")
        if self._command and context_id != self._context_id:
            raise _ProtocolError("a command set in two presentation contexts")
        self._context_id = context_id
        self._command += memoryview(value)[1:]
        if len(self._command) > _COMMAND_BYTES:
            raise _ProtocolError("a command set without end")
        if not last:
            return
        encoded, self._command = bytes(self._command), bytearray()
        context = self._contexts.get(context_id)
        if context is None or self._requestor is None:
            raise _ProtocolError("a presentation context that was not accepted")
        try:
            command = decode_command(encoded)
        except InvalidCommand as error:
            raise _ProtocolError(str(error)) from error
        self._dispatch(command, context, self._requestor)

    def _dispatch(self, request: Command, context: AnsweredContext, requestor: Requestor) -> None:
        gateway: Gateway = self.assoc.gateway
        if request.field == C_ECHO_RQ and not request.has_data_set:
            self._respond(request, gateway.answer_echo(requestor))
        elif request.field == C_STORE_RQ:
            self._incoming = gateway.begin_store(
                StoreCommand(
                    sop_class_uid=request.sop_class_uid,
                    sop_instance_uid=request.sop_instance_uid,
                    abstract_syntax=context.abstract_syntax,
                    transfer_syntax_uid=context.transfer_syntax,
                ),
                requestor,
            )
            self._request = request
            if not request.has_data_set:
                self._finish_store(request)
        elif request.field != C_CANCEL_RQ:
            raise _ProtocolError(f"an operation that was not negotiated: {request.field:04X}")

    def _take_data(self, context_id: int, value: bytes, *, last: bool) -> None:
        if self._incoming is None or self._request is None or context_id != self._context_id:
            raise _ProtocolError("a data set that no command announced")
        self._incoming.write(memoryview(value)[1:])
        if last:
            self._finish_store(self._request)

    def _finish_store(self, request: Command) -> None:
        incoming, self._incoming = self._incoming, None
        if incoming is None:
            return
        self.answering = True
        try:
            answer = self.assoc.bridge.call(incoming.answer())
        except LanthornError as error:
            incoming.discard()
            log.warning("c_store_refused", error=error.slug, status=f"{error.c_store:04X}")
            answer = refuse(error, error.c_store)
        finally:
            # The silence of a peer that waits for us does not count.
            self.dul._idle_timer.restart()
            self.answering = False
        self._respond(request, answer)

    def _respond(self, request: Command, answer: Answer) -> None:
        encoded = encode_response(request, answer.status, answer.error_comment)
        limit = self.maximum_pdu_size or len(encoded) + _PDV_HEADER_BYTES
        if limit <= _PDV_HEADER_BYTES:
            raise _ProtocolError(f"a maximum PDU length of {limit}")
        step = limit - _PDV_HEADER_BYTES
        for start in range(0, len(encoded), step):
            fragment = encoded[start : start + step]
            last = start + step >= len(encoded)
            indication = P_DATA()
            indication.presentation_data_value_list = [
                [self._context_id, (b"\x03" if last else b"\x01") + fragment]
            ]
            self.dul.send_pdu(indication)


class _ProtocolError(Exception):
    """The peer broke PS3.7 or PS3.8; the association ends."""
