"""Fields of JSON bodies, and Orthanc's words for what is wrong with them (reference 2.11)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lanthorn_core.errors import BadRequest, InvalidParameter
from lanthorn_rest_api.parameters import LARGEST, BadFormat

Body = Mapping[str, Any]


def boolean(body: Body, name: str, *, default: bool = False) -> bool:
    """Read a Boolean field.

    Raises
    ------
    BadRequest
        It is something else.
    """
    value = body.get(name, default)
    if not isinstance(value, bool):
        raise BadRequest(f'Field "{name}" must be a Boolean')
    return value


def is_true(body: Body, name: str) -> bool:
    """Read a Boolean field that may be written as a number, too.

    Raises
    ------
    BadRequest
        It is neither.
    """
    value = body.get(name, False)
    if not isinstance(value, bool | int | float):
        raise BadRequest(f'Field "{name}" must be a Boolean')
    return bool(value)


def unsigned_field(body: Body, name: str) -> int:
    """Read a field that is a number from 0 up; 0 where it is absent.

    Raises
    ------
    BadRequest, InvalidParameter
        It is no integer, or negative.
    """
    value = body.get(name, 0)
    if isinstance(value, bool) or not isinstance(value, int):
        raise BadRequest(f'Field "{name}" must be an integer')
    if value < 0:
        raise InvalidParameter(f'Field "{name}" must be a positive integer')
    return min(value, LARGEST)


def strings(body: Body, name: str) -> list[str]:
    """Read a field that is an array of strings; empty where it is absent.

    Raises
    ------
    BadRequest
        It is something else.
    """
    value = body.get(name, [])
    if not isinstance(value, list):
        raise BadRequest(f'Field "{name}" must be an array')
    if not all(isinstance(item, str) for item in value):
        raise BadRequest(f'Field "{name}" must contain strings')
    return value


def formatted_boolean(body: Body, name: str, *, default: bool) -> bool:
    """Read a Boolean field where Orthanc speaks of a bad format.

    Raises
    ------
    BadFormat
        It is something else.
    """
    value = body.get(name, default)
    if not isinstance(value, bool):
        raise BadFormat(f"Boolean value expected in field: {name}")
    return value
