"""How a request ends: the final response, and how failures become one."""

from __future__ import annotations

from typing import Final

from lanthorn_core.errors import LanthornError
from lanthorn_dimse import Association, CommandField, Request
from lanthorn_dimse_gateway.metrics import answered

SUCCESS: Final = 0x0000
PENDING: Final = 0xFF00
CANCELED: Final = 0xFE00
PROCESSING_FAILURE: Final = 0x0110
UNRECOGNIZED_OPERATION: Final = 0x0211
"""PS3.7 Annex C."""

_ERROR_COMMENT_LENGTH: Final = 64
"""Error Comment (0000,0902) is an LO (PS3.7 Annex C)."""
_RETRIEVALS: Final = frozenset({CommandField.C_GET_RQ, CommandField.C_MOVE_RQ})
_OF_ALL_SERVICES: Final = range(0x0100, 0x0300)
"""Statuses that PS3.7 Annex C defines for operations of every kind."""


async def answer(assoc: Association, request: Request, status: int, comment: str = "") -> None:
    """Send a final response without data set; `comment` is for failures."""
    response = request.command.response(status, error_comment=error_comment(comment))
    await assoc.send(request.context.context_id, response)
    answered(request.command.field, status).inc()


def status_of(error: LanthornError, field: CommandField) -> int:
    """Return the status that a failure has in the response to this kind of request."""
    if field is CommandField.C_STORE_RQ:
        return error.c_store
    if field is CommandField.C_FIND_RQ:
        return error.c_find
    if field in _RETRIEVALS:
        return error.c_move
    return error.c_store if error.c_store in _OF_ALL_SERVICES else PROCESSING_FAILURE


def comment_of(error: LanthornError) -> str:
    """Return what is said of a failure in Error Comment (0000,0902)."""
    return error_comment(error.details or error.slug)


def error_comment(text: str) -> str:
    """Cut a text to what an Error Comment takes: printable ASCII (PS3.7 Section 6.3.1)."""
    printable = "".join(
        character if " " <= character <= "~" and character != "\\" else "?" for character in text
    )
    return printable[:_ERROR_COMMENT_LENGTH].rstrip()
