"""`ETag`, `If-None-Match` and `If-Match` as Orthanc reads them (reference 1.9.6)."""

from __future__ import annotations

import hashlib
import re
from typing import Final

from starlette.requests import Request

from lanthorn_core.errors import InvalidParameter

_ETAG: Final = re.compile(r'"?([0-9]{1,18})-([0-9a-fA-F]{32})"?')


def md5_of(value: str) -> str:
    """Return the digest of a text in hexadecimal digits."""
    return hashlib.md5(value.encode(), usedforsecurity=False).hexdigest()


def etag(revision: int, md5: str) -> str:
    """Write an `ETag`."""
    return f'"{revision}-{md5}"'


def matches_client(request: Request, revision: int, md5: str) -> bool:
    """Tell whether the client has this revision already.

    Raises
    ------
    InvalidParameter
        `If-None-Match` has another form.
    """
    return _named(request, "If-None-Match") == (revision, md5)


def expected_revision(request: Request) -> tuple[int, str] | None:
    """Read `If-Match`: the revision that the client means to replace.

    Raises
    ------
    InvalidParameter
        It has another form.
    """
    return _named(request, "If-Match")


def _named(request: Request, header: str) -> tuple[int, str] | None:
    text = request.headers.get(header)
    if text is None:
        return None
    found = _ETAG.fullmatch(text.strip())
    if found is None:
        raise InvalidParameter(
            f'The "{header}" HTTP header should contain the ETag (revision followed by MD5 hash), '
            f"but found: {text}"
        )
    return int(found[1]), found[2].lower()
