"""Statuses of C-STORE responses by class (PS3.4 Table B.2-1, PS3.7 Annex C)."""

from __future__ import annotations

from typing import Final

_SUCCESS: Final = 0x0000
_WARNINGS: Final = frozenset({0x0001, 0x0107, 0x0116})
"""Requested optional attributes not supported, attribute list error, value out of range."""
_WARNING_CLASS: Final = 0xB000
_STATUS_CLASS: Final = 0xF000


def is_warning(status: int) -> bool:
    """Whether the instance was stored, and the peer has something to say about it."""
    return status in _WARNINGS or status & _STATUS_CLASS == _WARNING_CLASS


def is_failure(status: int) -> bool:
    """Whether the instance was not stored."""
    return status != _SUCCESS and not is_warning(status)
