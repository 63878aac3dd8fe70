"""What a peer says of itself in the User Information of an A-ASSOCIATE PDU.

Read here and not by pynetdicom, which logs an error, or warns with the whole value, for each UID or
name that is none.

References
----------
DICOM PS3.8 Annex D; PS3.7 Annex D.3.3.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from lanthorn_dimse.errors import ProtocolError
from lanthorn_dimse.negotiation import Roles, UserIdentity
from lanthorn_dimse.pdus import AbortReason

_LENGTH: Final = struct.Struct(">H")
_MAXIMUM_LENGTH: Final = struct.Struct(">L")
_WINDOW: Final = struct.Struct(">HH")
_NAME_LENGTH: Final = 64
"""More than any UID (PS3.5 Section 9.1) or version name has; the rest is not remembered."""


@dataclass(slots=True)
class UserInformation:
    """The sub-items that mean something here; of those that come twice the first counts.

    PS3.8 Section 9.3.1: others are ignored.
    """

    maximum_length: int | None = None
    implementation_class_uid: str = ""
    implementation_version_name: str = ""
    asynchronous_operations: tuple[int, int] | None = None
    roles: dict[str, Roles] = field(default_factory=dict)
    extended: dict[str, bytes] = field(default_factory=dict)
    user_identity: UserIdentity | None = None
    user_identity_response: bytes | None = None

    def add(self, kind: int, content: bytes) -> None:
        """Take a sub-item.

        Raises
        ------
        ProtocolError
            Its lengths do not add up, or a field has an impossible value.
        """
        read = _READERS.get(kind)
        if read is None:
            return
        try:
            read(self, content)
        except (struct.error, IndexError, ValueError) as error:
            raise ProtocolError(
                "a user information item cannot be decoded", AbortReason.INVALID_PDU_PARAMETER
            ) from error


def _read_maximum_length(user: UserInformation, content: bytes) -> None:
    (length,) = _MAXIMUM_LENGTH.unpack(content)
    if user.maximum_length is None:
        user.maximum_length = length


def _read_class_uid(user: UserInformation, content: bytes) -> None:
    user.implementation_class_uid = user.implementation_class_uid or _name(content)


def _read_version_name(user: UserInformation, content: bytes) -> None:
    user.implementation_version_name = user.implementation_version_name or _name(content)


def _read_window(user: UserInformation, content: bytes) -> None:
    window = _WINDOW.unpack(content)
    user.asynchronous_operations = user.asynchronous_operations or (window[0], window[1])


def _read_roles(user: UserInformation, content: bytes) -> None:
    uid, roles = _split(content)
    if len(roles) != 2 or max(roles) > 1:
        raise ValueError("roles are 0 or 1")
    user.roles.setdefault(_name(uid), Roles(scu=bool(roles[0]), scp=bool(roles[1])))


def _read_extended(user: UserInformation, content: bytes) -> None:
    uid, information = _split(content)
    user.extended.setdefault(_name(uid), information)


def _read_identity(user: UserInformation, content: bytes) -> None:
    primary, rest = _split(content[2:])
    secondary, _ = _split(rest)
    if user.user_identity is None:
        user.user_identity = UserIdentity(content[0], primary, secondary, bool(content[1]))


def _read_identity_response(user: UserInformation, content: bytes) -> None:
    response, _ = _split(content)
    if user.user_identity_response is None:
        user.user_identity_response = response


_READERS: Final[dict[int, Callable[[UserInformation, bytes], None]]] = {
    0x51: _read_maximum_length,
    0x52: _read_class_uid,
    0x53: _read_window,
    0x54: _read_roles,
    0x55: _read_version_name,
    0x56: _read_extended,
    0x58: _read_identity,
    0x59: _read_identity_response,
}


def _split(content: bytes) -> tuple[bytes, bytes]:
    """Return a field that is preceded by its length, and what follows it."""
    (length,) = _LENGTH.unpack_from(content)
    end = _LENGTH.size + length
    if end > len(content):
        raise ValueError("a field is longer than what is there")
    return content[_LENGTH.size : end], content[end:]


def _name(content: bytes) -> str:
    return str(content[:_NAME_LENGTH], "ascii", "replace").strip(" \0")
