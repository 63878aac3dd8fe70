"""Responses of a C-MOVE or C-GET, and what both services have in common."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from pynetdicom.sop_class import (
    PatientStudyOnlyQueryRetrieveInformationModelGet,
    PatientStudyOnlyQueryRetrieveInformationModelMove,
)

from lanthorn_core.dicom.encodings import (
    EXPLICIT_VR_BIG_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
)
from lanthorn_core.errors import InvalidIdentifier
from lanthorn_core.model import Level
from lanthorn_core.ports.index import FindQuery
from lanthorn_dimse import Association, Command, Request
from lanthorn_dimse_gateway.metrics import answered
from lanthorn_dimse_gateway.scp.retrieve_counts import (
    CANCELED,
    SubOperationCounts,
    encode_failed_list,
)
from lanthorn_dimse_gateway.scp.retrieve_identifier import parse_retrieve_identifier

_PENDING: Final = 0xFF00
_TRANSFER_SYNTAXES: Final = (
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    EXPLICIT_VR_BIG_ENDIAN,
)

_SHALLOW: Final = frozenset(
    {
        str(PatientStudyOnlyQueryRetrieveInformationModelMove),
        str(PatientStudyOnlyQueryRetrieveInformationModelGet),
    }
)
"""Information models without series and instances (PS3.4 Section C.6.3)."""


def offered(*sop_class_uids: str) -> Mapping[str, tuple[str, ...]]:
    """Offer information models in the native transfer syntaxes, in which identifiers are small."""
    return MappingProxyType(dict.fromkeys(sop_class_uids, _TRANSFER_SYNTAXES))


def question_of(request: Request, default_encoding: str, *, level_required: bool) -> FindQuery:
    """Read the identifier of a request.

    Raises
    ------
    InvalidIdentifier
        There is none, or it is wrong.
    """
    if request.data_set is None:
        raise InvalidIdentifier("The request has no identifier")
    return parse_retrieve_identifier(
        request.data_set,
        request.context.transfer_syntax,
        default_encoding,
        level_required=level_required,
        deepest=Level.STUDY if request.context.abstract_syntax in _SHALLOW else Level.INSTANCE,
    )


def pending_response(request: Request, counts: SubOperationCounts) -> Command:
    """Tell how far the sub-operations are (PS3.4 Sections C.4.2.3.1 and C.4.3.3.1)."""
    return request.command.response(_PENDING, **counts.as_fields(with_remaining=True))


async def send_final(
    assoc: Association, request: Request, counts: SubOperationCounts, error_comment: str = ""
) -> int:
    """Send the final response, with the list of what failed.

    Sub-operations that remain were canceled.

    Returns
    -------
    int
        The status.
    """
    is_canceled = counts.remaining > 0
    status = CANCELED if is_canceled else counts.final_status
    failed = counts.failed_uids
    identifier = encode_failed_list(failed, request.context.transfer_syntax) if failed else None
    response = request.command.response(
        status,
        has_data_set=identifier is not None,
        error_comment=error_comment,
        **counts.as_fields(with_remaining=is_canceled),
    )
    await assoc.send(request.context.context_id, response, identifier)
    answered(request.command.field, status).inc()
    return status
