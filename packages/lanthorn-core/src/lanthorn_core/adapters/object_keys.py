"""What may be a key of an object store: never a way out of its folder, the same for every store."""

from __future__ import annotations

import re
from typing import Final

from lanthorn_core.errors import InvalidParameter

_SEGMENT: Final = r"[A-Za-z0-9_=-][A-Za-z0-9_.=-]{0,199}"
_KEY: Final = re.compile(rf"{_SEGMENT}(?:/{_SEGMENT})*")
_PREFIX: Final = re.compile(rf"(?:{_SEGMENT}/)*(?:{_SEGMENT})?")
_LONGEST: Final = 900


def check_key(key: str) -> None:
    """Raise `InvalidParameter` unless this is a key: plain segments parted by single slashes."""
    if len(key) > _LONGEST or not _KEY.fullmatch(key):
        raise InvalidParameter("This is not the key of an object")


def check_prefix(prefix: str) -> None:
    """Raise `InvalidParameter` unless keys can start so; the empty text is a prefix."""
    if len(prefix) > _LONGEST or not _PREFIX.fullmatch(prefix):
        raise InvalidParameter("No key of an object starts so")


def check_range(start: int, length: int | None) -> None:
    """Raise `InvalidParameter` for a range that no object can have."""
    if start < 0 or (length is not None and length < 0):
        raise InvalidParameter(f"No object has {length} bytes from {start}")
