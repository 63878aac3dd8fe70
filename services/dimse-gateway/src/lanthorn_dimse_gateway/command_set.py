"""Command sets of the requests served here, and of their responses.

References
----------
DICOM PS3.7 Section 6.3 (encoding: Implicit VR Little Endian) and Annex E (elements).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

C_STORE_RQ: Final = 0x0001
C_ECHO_RQ: Final = 0x0030
C_CANCEL_RQ: Final = 0x0FFF
RESPONSE: Final = 0x8000
"""Command Field (0000,0100): the bit that makes a response of a request."""

NO_DATA_SET: Final = 0x0101
"""Command Data Set Type (0000,0800), PS3.7 Section 9.3; any other value announces a data set."""

_GROUP_LENGTH: Final = 0x0000
_AFFECTED_SOP_CLASS_UID: Final = 0x0002
_COMMAND_FIELD: Final = 0x0100
_MESSAGE_ID: Final = 0x0110
_MESSAGE_ID_BEING_RESPONDED_TO: Final = 0x0120
_DATA_SET_TYPE: Final = 0x0800
_STATUS: Final = 0x0900
_ERROR_COMMENT: Final = 0x0902
_AFFECTED_SOP_INSTANCE_UID: Final = 0x1000

_HEADER: Final = struct.Struct("<HHL")
_UID_LENGTH: Final = 64
"""PS3.5 Section 9.1."""


class InvalidCommand(Exception):
    """The bytes are no command set of a request."""


@dataclass(frozen=True, slots=True)
class Command:
    """What a request says; UIDs that are absent are empty."""

    field: int
    message_id: int
    has_data_set: bool
    sop_class_uid: str
    sop_instance_uid: str


def decode_command(encoded: bytes) -> Command:
    """Read the command set of a request.

    Raises
    ------
    InvalidCommand
        Its elements do not add up, or one that every request has is missing.
    """
    elements: dict[int, bytes] = {}
    pos, end = 0, len(encoded)
    while pos < end:
        if end - pos < _HEADER.size:
            raise InvalidCommand("a command set ends within an element")
        group, number, length = _HEADER.unpack_from(encoded, pos)
        pos += _HEADER.size
        if group != 0 or length > end - pos:
            raise InvalidCommand(f"({group:04x},{number:04x}) has no place in a command set")
        elements[number] = encoded[pos : pos + length]
        pos += length
    return Command(
        field=_unsigned_short(elements, _COMMAND_FIELD),
        message_id=_unsigned_short(elements, _MESSAGE_ID) if _MESSAGE_ID in elements else 0,
        has_data_set=_unsigned_short(elements, _DATA_SET_TYPE) != NO_DATA_SET,
        sop_class_uid=_uid(elements, _AFFECTED_SOP_CLASS_UID),
        sop_instance_uid=_uid(elements, _AFFECTED_SOP_INSTANCE_UID),
    )


def encode_response(command: Command, status: int, error_comment: str = "") -> bytes:
    """Write the response to a C-ECHO or C-STORE request (PS3.7 Sections 9.3.1.2 and 9.3.5.2).

    Parameters
    ----------
    command : Command
        The request.
    status : int
        Status (0000,0900).
    error_comment : str
        Error Comment (0000,0902), at most 64 ASCII characters; left out if empty.
    """
    elements = []
    if 0 < len(command.sop_class_uid) <= _UID_LENGTH:
        elements.append(_text(_AFFECTED_SOP_CLASS_UID, command.sop_class_uid, b"\0"))
    elements += [
        _short(_COMMAND_FIELD, command.field | RESPONSE),
        _short(_MESSAGE_ID_BEING_RESPONDED_TO, command.message_id),
        _short(_DATA_SET_TYPE, NO_DATA_SET),
        _short(_STATUS, status),
    ]
    if error_comment:
        elements.append(_text(_ERROR_COMMENT, error_comment, b" "))
    if 0 < len(command.sop_instance_uid) <= _UID_LENGTH:
        elements.append(_text(_AFFECTED_SOP_INSTANCE_UID, command.sop_instance_uid, b"\0"))
    body = b"".join(elements)
    return _HEADER.pack(0, _GROUP_LENGTH, 4) + struct.pack("<L", len(body)) + body


def _unsigned_short(elements: dict[int, bytes], number: int) -> int:
    value = elements.get(number, b"")
    if len(value) != 2:
        raise InvalidCommand(f"(0000,{number:04x}) is missing or no US of one value")
    return int.from_bytes(value, "little")


def _uid(elements: dict[int, bytes], number: int) -> str:
    return elements.get(number, b"").decode("ascii", "replace").strip(" \0")


def _short(number: int, value: int) -> bytes:
    return _HEADER.pack(0, number, 2) + value.to_bytes(2, "little")


def _text(number: int, value: str, padding: bytes) -> bytes:
    encoded = value.encode("ascii", "replace")
    if len(encoded) % 2:
        encoded += padding
    return _HEADER.pack(0, number, len(encoded)) + encoded
