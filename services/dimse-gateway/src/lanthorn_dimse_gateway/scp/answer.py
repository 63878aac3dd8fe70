"""What a DIMSE response says, and how failures become one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from lanthorn_core.errors import LanthornError

_ERROR_COMMENT_LENGTH: Final = 64
"""Error Comment (0000,0902) is an LO (PS3.7 Annex C)."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Status (0000,0900) and, for failures, Error Comment (0000,0902)."""

    status: int
    error_comment: str = ""


SUCCESS: Final = Answer(0x0000)


def refuse(error: LanthornError, status: int) -> Answer:
    """Answer a failure; the comment is printable ASCII as a command set must be (PS3.7 6.3.1)."""
    text = error.details or error.slug
    printable = "".join(
        character if " " <= character <= "~" and character != "\\" else "?" for character in text
    )
    return Answer(status, printable[:_ERROR_COMMENT_LENGTH].rstrip())
