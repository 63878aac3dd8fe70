"""What clients ask for, in query strings and bodies (reference 1.5 and 1.6)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, Literal

import orjson
import pyjson5
from starlette.requests import Request

from lanthorn_core.dicom.tags import parse_tag
from lanthorn_core.errors import BadParameterType, BadRequest, InvalidParameter, UnknownTag

TagFormat = Literal["full", "short", "simplify"]

Parameters = Mapping[str, str]
"""The query string; of a repeated parameter the last one counts."""

LARGEST: Final = 2**62
"""Of numbers that the database takes; a larger one of a client counts as this."""

_MANY_DIGITS: Final = 20
_NO_TEXT: Final = re.compile(r"[\0\ud800-\udfff]")

_TRUE = frozenset({"", "1", "true"})
_FALSE = frozenset({"0", "false"})


def flag(parameters: Parameters, name: str, *, default: bool = False) -> bool:
    """Read a Boolean parameter; present without a value means true.

    Raises
    ------
    InvalidParameter
        The value is none of ``0``, ``1``, ``true`` and ``false``.
    """
    value = parameters.get(name)
    if value is None:
        return default
    if value in _TRUE:
        return True
    if value in _FALSE:
        return False
    raise InvalidParameter(f'Expected a Boolean for GET argument "{name}", found: {value}')


def tag_format(parameters: Parameters, *, default: TagFormat = "simplify") -> TagFormat:
    """Tell in which of Orthanc's three formats tags are wanted.

    These parameters count by their presence, whatever their value: ``?short=false`` is short.
    """
    if "simplify" in parameters:
        return "simplify"
    if "short" in parameters:
        return "short"
    if "full" in parameters:
        return "full"
    return default


def unsigned(text: str) -> int:
    """Read a number that may not be negative.

    Raises
    ------
    BadParameterType
        It is not one.
    """
    if not (text.isascii() and text.isdigit()):
        raise BadParameterType("Syntax error in some user-supplied data")
    return bounded(text)


def bounded(digits: str) -> int:
    """Read digits, however many: Python refuses thousands, and the database takes few."""
    digits = digits.lstrip("0")
    return min(int(digits or "0"), LARGEST) if len(digits) < _MANY_DIGITS else LARGEST


def window(parameters: Parameters, path: str) -> tuple[int, int]:
    """Read `since` and `limit` of a listing: how many to pass over, how many to list (0: all).

    Parameters
    ----------
    parameters : mapping
        The query string.
    path : str
        The listing's path with a final slash, for the error text.

    Raises
    ------
    BadRequest
        Only one of the two is given.
    BadParameterType
        One is not a number.
    """
    since, limit = parameters.get("since"), parameters.get("limit")
    if since is None and limit is None:
        return 0, 0
    for name, value in (("limit", limit), ("since", since)):
        if value is None:
            raise BadRequest(f'Missing "{name}" argument for GET request against: {path}')
    return unsigned(since or ""), unsigned(limit or "")


def tag_list(text: str, separator: str) -> list[int]:
    """Read tags joined by a separator; empty entries are passed over.

    Raises
    ------
    UnknownTag
        One of them is none.
    """
    return [parse_tag(part.strip()) for part in text.split(separator) if part.strip()]


def ignored_lengths(parameters: Parameters) -> frozenset[int]:
    """Read `ignore-length`: the tags that are shown however long they are."""
    return frozenset(tag_list(parameters.get("ignore-length", ""), ","))


def requested_tags(parameters: Parameters) -> list[int]:
    """Read `requested-tags` (`requestedTags` in older clients).

    Raises
    ------
    BadRequest
        One of them is unknown.
    """
    text = parameters.get("requested-tags", parameters.get("requestedTags", ""))
    try:
        return tag_list(text, ";")
    except UnknownTag as error:
        raise BadRequest(f"Invalid requested-tags argument: Unknown DICOM tag {error}") from error


class BadFormat(InvalidParameter):
    """A field of a JSON body is of the wrong type (Orthanc's code 15)."""

    slug, orthanc_code = "bad-format", 15


async def read_json(request: Request) -> Any:
    """Read a JSON body, whatever content type it declares.

    As in Orthanc comments and a comma too many do no harm.

    Raises
    ------
    BadRequest
        The body is not JSON, or a text in it is none that the index could hold.
    """
    body = await request.body()
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        try:
            value = pyjson5.decode_utf8(body)
        except (ValueError, pyjson5.Json5Exception) as error:
            raise BadRequest("The body must contain a JSON object") from error
    if b"\\" in body and not _is_storable(value):
        raise BadRequest("A text must not contain zero bytes or halves of characters")
    return value


def _is_storable(value: Any) -> bool:
    """Tell whether all texts of a document are such as PostgreSQL knows.

    Without recursion: a document may be nested as deep as its author likes.
    """
    left = [value]
    while left:
        part = left.pop()
        if isinstance(part, dict):
            left += part.keys()
            left += part.values()
        elif isinstance(part, list):
            left += part
        elif isinstance(part, str) and _NO_TEXT.search(part):
            return False
    return True


async def read_object(request: Request) -> dict[str, Any]:
    """Read a body that must be a JSON object.

    Raises
    ------
    BadRequest
        It is something else.
    """
    value = await read_json(request)
    if not isinstance(value, dict):
        raise BadRequest("The body must contain a JSON object")
    return value
