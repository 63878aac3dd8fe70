"""A-ASSOCIATE-RQ and A-ASSOCIATE-AC.

What comes in is walked here, so that its number and size are known before anything is made of it;
what is sent is encoded by pynetdicom's items.

References
----------
DICOM PS3.8 Sections 9.3.2 and 9.3.3 and Annex D; PS3.7 Annex D.3.3.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final, TypeVar

from pynetdicom import pdu_items
from pynetdicom.pdu import A_ASSOCIATE_AC, A_ASSOCIATE_RQ

from lanthorn_dimse.errors import ProtocolError
from lanthorn_dimse.negotiation import (
    APPLICATION_CONTEXT_NAME,
    AnsweredContext,
    AssociateAcceptance,
    AssociateRequest,
    ContextResult,
    ProposedContext,
)
from lanthorn_dimse.pdus import AbortReason
from lanthorn_dimse.user_information import UserInformation

_T = TypeVar("_T")

_FIXED_BYTES: Final = 68
"""Of an A-ASSOCIATE-RQ or -AC after its length: version, AE titles, reserved (Table 9-11)."""

_APPLICATION_CONTEXT: Final = 0x10
_PROPOSED_CONTEXT: Final = 0x20
_ANSWERED_CONTEXT: Final = 0x21
_ABSTRACT_SYNTAX: Final = 0x30
_TRANSFER_SYNTAX: Final = 0x40
_USER_INFORMATION: Final = 0x50

_ITEM: Final = struct.Struct(">BxH")
_PROTOCOL_VERSION: Final = struct.Struct(">H")

_ITEMS: Final = 16384
"""More items than 128 presentation contexts with every transfer syntax there is."""


def request_pdu(request: AssociateRequest) -> bytes:
    """Encode an A-ASSOCIATE-RQ (PS3.8 Section 9.3.2).

    Raises
    ------
    ValueError
        An AE title or UID is none.
    """
    pdu = A_ASSOCIATE_RQ()
    pdu.calling_ae_title = request.calling_ae_title
    pdu.called_ae_title = request.called_ae_title
    items: list[Any] = [_application_context(request.application_context_name)]
    for context in request.contexts:
        item = pdu_items.PresentationContextItemRQ()
        item.presentation_context_id = context.context_id
        abstract_syntax = pdu_items.AbstractSyntaxSubItem()
        abstract_syntax.abstract_syntax_name = context.abstract_syntax
        item.abstract_transfer_syntax_sub_items = [
            abstract_syntax,
            *(_transfer_syntax(uid) for uid in context.transfer_syntaxes),
        ]
        items.append(item)
    user_data = _user_data(request)
    if request.user_identity is not None:
        identity = pdu_items.UserIdentitySubItemRQ()
        identity.user_identity_type = request.user_identity.type
        identity.positive_response_requested = int(request.user_identity.response_requested)
        identity.primary_field = request.user_identity.primary
        identity.secondary_field = request.user_identity.secondary
        user_data.append(identity)
    pdu.variable_items = [*items, _user_information(user_data)]
    encoded: bytes = pdu.encode()
    return encoded


def acceptance_pdu(request: AssociateRequest, acceptance: AssociateAcceptance) -> bytes:
    """Encode an A-ASSOCIATE-AC (PS3.8 Section 9.3.3)."""
    pdu = A_ASSOCIATE_AC()
    # Table 9-17: reserved, sent with the values of the request, and not tested.
    pdu._reserved_aet = request.called_ae_title.encode("ascii", "replace").decode()
    pdu._reserved_aec = request.calling_ae_title.encode("ascii", "replace").decode()
    items: list[Any] = [_application_context(APPLICATION_CONTEXT_NAME)]
    for context in acceptance.contexts:
        item = pdu_items.PresentationContextItemAC()
        item.presentation_context_id = context.context_id
        item.result_reason = int(context.result)
        item.transfer_syntax_sub_item = [_transfer_syntax(context.transfer_syntax)]
        items.append(item)
    # PS3.7 Sections D.3.3.4 to D.3.3.7: nothing is answered that was not asked.
    user_data = _user_data(
        replace(
            acceptance,
            roles=_asked(acceptance.roles, request.roles),
            extended=_asked(acceptance.extended, request.extended),
        )
    )
    identity = request.user_identity
    wants_response = identity is not None and identity.response_requested
    if wants_response and acceptance.user_identity_response is not None:
        response = pdu_items.UserIdentitySubItemAC()
        response.server_response = acceptance.user_identity_response
        user_data.append(response)
    pdu.variable_items = [*items, _user_information(user_data)]
    encoded: bytes = pdu.encode()
    return encoded


def _asked(answers: Mapping[str, _T], questions: Mapping[str, object]) -> dict[str, _T]:
    return {uid: answer for uid, answer in answers.items() if uid in questions}


def _application_context(name: str) -> Any:
    item = pdu_items.ApplicationContextItem()
    item.application_context_name = name
    return item


def _transfer_syntax(uid: str) -> Any:
    item = pdu_items.TransferSyntaxSubItem()
    # Its own check refuses UIDs that a peer may well propose; what it proposed it gets back, as far
    # as it was ASCII.
    item._transfer_syntax_name = _Uid(uid.encode("ascii", "replace").decode())
    return item


class _Uid(str):
    """A UID as pynetdicom's items encode it: with `name`, which only its printing asks for."""

    __slots__ = ()
    name = ""


def _user_information(user_data: list[Any]) -> Any:
    item = pdu_items.UserInformationItem()
    item.user_data = user_data
    return item


def _user_data(message: AssociateRequest | AssociateAcceptance) -> list[Any]:
    maximum_length = pdu_items.MaximumLengthSubItem()
    maximum_length.maximum_length_received = message.maximum_length
    implementation = pdu_items.ImplementationClassUIDSubItem()
    implementation.implementation_class_uid = message.implementation_class_uid
    user_data: list[Any] = [maximum_length, implementation]
    for uid, roles in message.roles.items():
        role_selection = pdu_items.SCP_SCU_RoleSelectionSubItem()
        role_selection.sop_class_uid = uid
        role_selection.scu_role, role_selection.scp_role = int(roles.scu), int(roles.scp)
        user_data.append(role_selection)
    if message.implementation_version_name:
        version = pdu_items.ImplementationVersionNameSubItem()
        version.implementation_version_name = message.implementation_version_name
        user_data.append(version)
    for uid, information in message.extended.items():
        extended = pdu_items.SOPClassExtendedNegotiationSubItem()
        extended.sop_class_uid = uid
        extended.service_class_application_information = information
        user_data.append(extended)
    return user_data


def supports_version_1(body: bytes | memoryview) -> bool:
    """Whether an A-ASSOCIATE-RQ knows protocol version 1: bit 0, the only one that is tested."""
    return bool(_PROTOCOL_VERSION.unpack_from(body)[0] & 1)


def decode_request(body: bytes) -> AssociateRequest:
    """Decode what follows the length of an A-ASSOCIATE-RQ.

    Raises
    ------
    ProtocolError
        Lengths do not add up, or a field has an impossible value.
    """
    walk = _Walk(body)
    contexts: dict[int, ProposedContext] = {}
    application_context_name = ""
    user = UserInformation()
    for kind, start, end in walk.items(_FIXED_BYTES, len(body)):
        if kind == _APPLICATION_CONTEXT:
            application_context_name = walk.uid(start, end)
        elif kind == _PROPOSED_CONTEXT:
            context = walk.proposed_context(start, end)
            if context.context_id in contexts:
                raise _invalid("a presentation context ID comes twice")
            contexts[context.context_id] = context
        elif kind == _USER_INFORMATION:
            user = walk.user_information(start, end)
    return AssociateRequest(
        calling_ae_title=_ae_title(body[20:36]),
        called_ae_title=_ae_title(body[4:20]),
        contexts=tuple(contexts.values()),
        roles=user.roles,
        extended=user.extended,
        user_identity=user.user_identity,
        maximum_length=user.maximum_length or 0,
        asynchronous_operations=user.asynchronous_operations,
        application_context_name=application_context_name,
        implementation_class_uid=user.implementation_class_uid,
        implementation_version_name=user.implementation_version_name,
    )


def decode_acceptance(body: bytes, request: AssociateRequest) -> AssociateAcceptance:
    """Decode what follows the length of an A-ASSOCIATE-AC, the answer to `request`.

    Raises
    ------
    ProtocolError
        Lengths do not add up, or a field has an impossible value.
    """
    abstract_syntaxes = {each.context_id: each.abstract_syntax for each in request.contexts}
    walk = _Walk(body)
    contexts: list[AnsweredContext] = []
    user = UserInformation()
    for kind, start, end in walk.items(_FIXED_BYTES, len(body)):
        if kind == _ANSWERED_CONTEXT:
            context_id, result, transfer_syntax = walk.answered_context(start, end)
            abstract_syntax = abstract_syntaxes.get(context_id, "")
            contexts.append(AnsweredContext(context_id, abstract_syntax, result, transfer_syntax))
        elif kind == _USER_INFORMATION:
            user = walk.user_information(start, end)
    return AssociateAcceptance(
        contexts=tuple(contexts),
        roles=user.roles,
        extended=user.extended,
        maximum_length=user.maximum_length or 0,
        user_identity_response=user.user_identity_response,
        implementation_class_uid=user.implementation_class_uid,
        implementation_version_name=user.implementation_version_name,
    )


def _invalid(text: str) -> ProtocolError:
    return ProtocolError(text, AbortReason.INVALID_PDU_PARAMETER)


class _Walk:
    """Reads the items of an A-ASSOCIATE PDU, not more than there may be."""

    def __init__(self, body: bytes) -> None:
        if len(body) < _FIXED_BYTES:
            raise _invalid("an A-ASSOCIATE PDU ends within its fixed fields")
        self._body = body
        self._left = _ITEMS

    def items(self, start: int, end: int) -> Iterator[tuple[int, int, int]]:
        """Yield type, start and end of each item's content."""
        while start < end:
            self._left -= 1
            if end - start < 4 or self._left < 0:
                raise _invalid("an item of an A-ASSOCIATE PDU has no room, or there are too many")
            kind, length = _ITEM.unpack_from(self._body, start)
            start += 4
            if length > end - start:
                raise _invalid("an item of an A-ASSOCIATE PDU is longer than what is there")
            yield kind, start, start + length
            start += length

    def uid(self, start: int, end: int) -> str:
        return str(self._body[start:end], "ascii", "replace").strip(" \0")

    def proposed_context(self, start: int, end: int) -> ProposedContext:
        if end - start < 4 or not self._body[start] & 1:
            raise _invalid("a presentation context without an odd ID")
        abstract_syntax = ""
        transfer_syntaxes: list[str] = []
        for kind, sub_start, sub_end in self.items(start + 4, end):
            if kind == _ABSTRACT_SYNTAX:
                abstract_syntax = self.uid(sub_start, sub_end)
            elif kind == _TRANSFER_SYNTAX:
                transfer_syntaxes.append(self.uid(sub_start, sub_end))
        if not abstract_syntax:
            raise _invalid("a presentation context without abstract syntax")
        return ProposedContext(self._body[start], abstract_syntax, tuple(transfer_syntaxes))

    def answered_context(self, start: int, end: int) -> tuple[int, ContextResult, str]:
        if end - start < 4:
            raise _invalid("a presentation context ends within its fixed fields")
        try:
            result = ContextResult(self._body[start + 2])
        except ValueError:
            result = ContextResult.NO_REASON
        transfer_syntax = ""
        for kind, sub_start, sub_end in self.items(start + 4, end):
            if kind == _TRANSFER_SYNTAX:
                transfer_syntax = self.uid(sub_start, sub_end)
        return self._body[start], result, transfer_syntax

    def user_information(self, start: int, end: int) -> UserInformation:
        user = UserInformation()
        for kind, sub_start, sub_end in self.items(start, end):
            user.add(kind, self._body[sub_start:sub_end])
        return user


def _ae_title(field: bytes) -> str:
    return str(field, "ascii", "replace").strip(" \0")
