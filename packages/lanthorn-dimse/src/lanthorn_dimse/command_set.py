"""Command sets: what a message says before its data set.

References
----------
DICOM PS3.7 Section 6.3 (encoding: Implicit VR Little Endian), Section 9.3 and 10.3 (messages),
Annex E (elements).
"""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Callable
from enum import IntEnum
from typing import Any, Final

from lanthorn_dimse.errors import InvalidCommand

NO_DATA_SET: Final = 0x0101
"""Command Data Set Type (0000,0800), PS3.7 Section 9.3; any other value announces a data set."""

RESPONSE: Final = 0x8000
"""Command Field (0000,0100): the bit that makes a response of a request."""

UID_LENGTH: Final = 64
"""PS3.5 Section 9.1."""

COMMENT_LENGTH: Final = 64
"""Error Comment (0000,0902) is an LO (PS3.5 Section 6.2)."""

_HEADER: Final = struct.Struct("<HHL")
_GROUP_LENGTH: Final = struct.Struct("<HHLL")
_SHORT_ELEMENT: Final = struct.Struct("<HHLH")


class CommandField(IntEnum):
    """Command Field (0000,0100), PS3.7 Table E.1-1."""

    C_STORE_RQ = 0x0001
    C_STORE_RSP = 0x8001
    C_GET_RQ = 0x0010
    C_GET_RSP = 0x8010
    C_FIND_RQ = 0x0020
    C_FIND_RSP = 0x8020
    C_MOVE_RQ = 0x0021
    C_MOVE_RSP = 0x8021
    C_ECHO_RQ = 0x0030
    C_ECHO_RSP = 0x8030
    N_EVENT_REPORT_RQ = 0x0100
    N_EVENT_REPORT_RSP = 0x8100
    N_GET_RQ = 0x0110
    N_GET_RSP = 0x8110
    N_SET_RQ = 0x0120
    N_SET_RSP = 0x8120
    N_ACTION_RQ = 0x0130
    N_ACTION_RSP = 0x8130
    N_CREATE_RQ = 0x0140
    N_CREATE_RSP = 0x8140
    N_DELETE_RQ = 0x0150
    N_DELETE_RSP = 0x8150
    C_CANCEL_RQ = 0x0FFF

    @property
    def is_response(self) -> bool:
        """Whether this answers a request."""
        return self >= RESPONSE


_FIELDS: Final = {int(member): member for member in CommandField}

_REQUESTED_SOP_CLASS: Final = frozenset(
    {
        CommandField.N_GET_RQ,
        CommandField.N_SET_RQ,
        CommandField.N_ACTION_RQ,
        CommandField.N_DELETE_RQ,
    }
)
"""These name their instance in Requested SOP Class and Instance UID (PS3.7 Section 10.3)."""


@dataclasses.dataclass(frozen=True, slots=True)
class Command:
    """A command set.

    Attributes
    ----------
    field : CommandField
        Which message this is.
    message_id : int
        Message ID (0000,0110); in responses and in C-CANCEL the ID of the request that is meant,
        Message ID Being Responded To (0000,0120).
    has_data_set : bool
        Whether a data set follows.
    sop_class_uid, sop_instance_uid : str
        Affected SOP Class UID (0000,0002) and Affected SOP Instance UID (0000,1000); empty where
        absent.
    requested_sop_class_uid, requested_sop_instance_uid : str
        (0000,0003) and (0000,1001) of N-GET, N-SET, N-ACTION and N-DELETE requests.
    priority : int
        Priority (0000,0700): 0 medium, 1 high, 2 low; only in C-STORE, C-FIND, C-GET and C-MOVE
        requests.
    status : int or None
        Status (0000,0900) of responses.
    error_comment : str
        Error Comment (0000,0902); what is longer than 64 characters or no ASCII is cut or replaced.
    move_destination : str
        Move Destination (0000,0600) of a C-MOVE request.
    move_originator_ae_title, move_originator_message_id : str, int or None
        (0000,1030), (0000,1031): the C-MOVE that caused this C-STORE request.
    remaining, completed, failed, warning : int or None
        Numbers of sub-operations (0000,1020) to (0000,1023).
    action_type_id, event_type_id, error_id : int or None
        (0000,1008), (0000,1002), (0000,0903).
    offending_elements : tuple of int
        Tags, Offending Element (0000,0901).
    attribute_list : tuple of int
        Tags, Attribute Identifier List (0000,1005) of an N-GET request.
    """

    field: CommandField
    message_id: int
    has_data_set: bool = False
    sop_class_uid: str = ""
    sop_instance_uid: str = ""
    requested_sop_class_uid: str = ""
    requested_sop_instance_uid: str = ""
    priority: int = 0
    status: int | None = None
    error_comment: str = ""
    move_destination: str = ""
    move_originator_ae_title: str = ""
    move_originator_message_id: int | None = None
    remaining: int | None = None
    completed: int | None = None
    failed: int | None = None
    warning: int | None = None
    action_type_id: int | None = None
    event_type_id: int | None = None
    error_id: int | None = None
    offending_elements: tuple[int, ...] = ()
    attribute_list: tuple[int, ...] = ()
    _encoded: bytes = dataclasses.field(default=b"", init=False, repr=False, compare=False)

    @property
    def is_response(self) -> bool:
        """Whether this answers a request."""
        return self.field >= RESPONSE

    def response(self, status: int, *, has_data_set: bool = False, **more: Any) -> Command:
        """Return the response to this request.

        The SOP class and instance are repeated as PS3.7 Sections 9.3 and 10.3 want it.

        Parameters
        ----------
        status : int
            Status (0000,0900).
        has_data_set : bool
            Whether a data set follows.
        **more
            Further attributes of the response: `error_comment`, `remaining`, `completed`, …
        """
        if self.field in _REQUESTED_SOP_CLASS:
            sop_class_uid = self.requested_sop_class_uid
            sop_instance_uid = self.requested_sop_instance_uid
        else:
            sop_class_uid = self.sop_class_uid
            sop_instance_uid = self.sop_instance_uid
        if self.field in _WITH_TYPE_IDS:
            more.setdefault("action_type_id", self.action_type_id)
            more.setdefault("event_type_id", self.event_type_id)
        return Command(
            _FIELDS[self.field | RESPONSE],
            self.message_id,
            has_data_set,
            # An overlong UID came from the wire; it is not ours to repeat.
            sop_class_uid if len(sop_class_uid) <= UID_LENGTH else "",
            sop_instance_uid if len(sop_instance_uid) <= UID_LENGTH else "",
            status=status,
            **more,
        )


_WITH_TYPE_IDS: Final = frozenset({CommandField.N_ACTION_RQ, CommandField.N_EVENT_REPORT_RQ})

_WITH_PRIORITY: Final = frozenset(
    {
        CommandField.C_STORE_RQ,
        CommandField.C_FIND_RQ,
        CommandField.C_GET_RQ,
        CommandField.C_MOVE_RQ,
    }
)

_REFERS_TO_A_REQUEST: Final = frozenset(
    {CommandField.C_CANCEL_RQ, *(member for member in CommandField if member.is_response)}
)


def decode_command(encoded: bytes | bytearray | memoryview) -> Command:
    """Read a command set.

    Elements that are unknown, and those with an impossible value that nothing depends on, are left
    out.

    Raises
    ------
    InvalidCommand
        Its elements do not add up, its Command Field is unknown, or it has no Message ID.
    """
    values: dict[str, Any] = {}
    pos, end = 0, len(encoded)
    while pos < end:
        if end - pos < 8:
            raise InvalidCommand("a command set ends within an element")
        group, number, length = _HEADER.unpack_from(encoded, pos)
        pos += 8
        if group != 0 or length > end - pos:
            raise InvalidCommand("an element has no place in a command set")
        if number in _DECODERS:
            name, decode = _DECODERS[number]
            values[name] = decode(encoded[pos : pos + length])
        pos += length
    command_field = _FIELDS.get(values.pop("field", -1))
    if command_field is None:
        raise InvalidCommand("Command Field (0000,0100) is missing or unknown")
    message_id = values.pop("message_id", -1)
    responded_to = values.pop("responded_to", -1)
    if command_field in _REFERS_TO_A_REQUEST:
        message_id = responded_to
    if message_id < 0:
        raise InvalidCommand("a command set without Message ID")
    data_set_type = values.pop("data_set_type", -1)
    if data_set_type < 0:
        raise InvalidCommand("Command Data Set Type (0000,0800) is missing or no US of one value")
    if command_field >= RESPONSE and values.get("status", -1) < 0:
        raise InvalidCommand("a response without Status (0000,0900)")
    return Command(command_field, message_id, data_set_type != NO_DATA_SET, **values)


def encode_command(command: Command) -> bytes:
    """Write a command set with its group length; the result is remembered in the command."""
    if command._encoded:
        return command._encoded
    code = command.field
    refers = code in _REFERS_TO_A_REQUEST
    # In the order of their tags, as everywhere in DICOM.
    elements = _encode_elements(command, _BEFORE_FIELD)
    elements.append(_SHORT_ELEMENT.pack(0, 0x0100, 2, code))
    elements.append(_SHORT_ELEMENT.pack(0, 0x0120 if refers else 0x0110, 2, command.message_id))
    if not refers:
        elements += _encode_elements(command, _BEFORE_DATA_SET_TYPE)
        if code in _WITH_PRIORITY:
            elements.append(_SHORT_ELEMENT.pack(0, 0x0700, 2, command.priority))
    # PS3.7 Section 9.3.1: any value but 0101 announces a data set; 0001 is what others send.
    data_set_type = 0x0001 if command.has_data_set else NO_DATA_SET
    elements.append(_SHORT_ELEMENT.pack(0, 0x0800, 2, data_set_type))
    elements += _encode_elements(command, _AFTER_DATA_SET_TYPE)
    body = b"".join(elements)
    encoded = _GROUP_LENGTH.pack(0, 0, 4, len(body)) + body
    object.__setattr__(command, "_encoded", encoded)
    return encoded


def _encode_elements(command: Command, elements: tuple[_Element, ...]) -> list[bytes]:
    return [
        encode(number, value)
        for number, name, encode in elements
        if (value := getattr(command, name)) or value == 0
    ]


def _unsigned_short(value: bytes | bytearray | memoryview) -> int:
    return value[0] | value[1] << 8 if len(value) == 2 else -1


def _optional_short(value: bytes | bytearray | memoryview) -> int | None:
    return value[0] | value[1] << 8 if len(value) == 2 else None


def _decode_text(value: bytes | bytearray | memoryview) -> str:
    return str(value, "ascii", "replace").strip(" \0")


def _decode_tags(value: bytes | bytearray | memoryview) -> tuple[int, ...]:
    if len(value) % 4:
        return ()
    words = struct.unpack(f"<{len(value) // 2}H", value)
    return tuple(
        group << 16 | element for group, element in zip(words[::2], words[1::2], strict=True)
    )


def _uid(number: int, value: str) -> bytes:
    encoded = value.encode("ascii", "replace")
    return (
        _HEADER.pack(0, number, len(encoded) + len(encoded) % 2)
        + encoded
        + (b"\0" if len(encoded) % 2 else b"")
    )


def _text(number: int, value: str) -> bytes:
    encoded = value.encode("ascii", "replace")
    return (
        _HEADER.pack(0, number, len(encoded) + len(encoded) % 2)
        + encoded
        + (b" " if len(encoded) % 2 else b"")
    )


def _comment(number: int, value: str) -> bytes:
    return _text(number, value[:COMMENT_LENGTH])


def _short(number: int, value: int) -> bytes:
    return _SHORT_ELEMENT.pack(0, number, 2, value)


def _tags(number: int, tags: tuple[int, ...]) -> bytes:
    words = [word for tag in tags for word in (tag >> 16, tag & 0xFFFF)]
    return _HEADER.pack(0, number, 2 * len(words)) + struct.pack(f"<{len(words)}H", *words)


_Element = tuple[int, str, Callable[[int, Any], bytes]]
"""Element number in group 0000, attribute of `Command`, how to write it."""

_BEFORE_FIELD: Final[tuple[_Element, ...]] = (
    (0x0002, "sop_class_uid", _uid),
    (0x0003, "requested_sop_class_uid", _uid),
)

_BEFORE_DATA_SET_TYPE: Final[tuple[_Element, ...]] = ((0x0600, "move_destination", _text),)

_AFTER_DATA_SET_TYPE: Final[tuple[_Element, ...]] = (
    (0x0900, "status", _short),
    (0x0901, "offending_elements", _tags),
    (0x0902, "error_comment", _comment),
    (0x0903, "error_id", _short),
    (0x1000, "sop_instance_uid", _uid),
    (0x1001, "requested_sop_instance_uid", _uid),
    (0x1002, "event_type_id", _short),
    (0x1005, "attribute_list", _tags),
    (0x1008, "action_type_id", _short),
    (0x1020, "remaining", _short),
    (0x1021, "completed", _short),
    (0x1022, "failed", _short),
    (0x1023, "warning", _short),
    (0x1030, "move_originator_ae_title", _text),
    (0x1031, "move_originator_message_id", _short),
)

_Decoder = Callable[[bytes | bytearray | memoryview], Any]

_DECODERS: Final[dict[int, tuple[str, _Decoder]]] = {
    0x0002: ("sop_class_uid", _decode_text),
    0x0003: ("requested_sop_class_uid", _decode_text),
    0x0100: ("field", _unsigned_short),
    0x0110: ("message_id", _unsigned_short),
    0x0120: ("responded_to", _unsigned_short),
    0x0600: ("move_destination", _decode_text),
    0x0700: ("priority", lambda value: max(_unsigned_short(value), 0)),
    0x0800: ("data_set_type", _unsigned_short),
    0x0900: ("status", _unsigned_short),
    0x0901: ("offending_elements", _decode_tags),
    0x0902: ("error_comment", _decode_text),
    0x0903: ("error_id", _optional_short),
    0x1000: ("sop_instance_uid", _decode_text),
    0x1001: ("requested_sop_instance_uid", _decode_text),
    0x1002: ("event_type_id", _optional_short),
    0x1005: ("attribute_list", _decode_tags),
    0x1008: ("action_type_id", _optional_short),
    0x1020: ("remaining", _optional_short),
    0x1021: ("completed", _optional_short),
    0x1022: ("failed", _optional_short),
    0x1023: ("warning", _optional_short),
    0x1030: ("move_originator_ae_title", _decode_text),
    0x1031: ("move_originator_message_id", _optional_short),
}
"""Element number in group 0000: what it is, how to read it."""
