"""What a peer says of itself is taken as it is, or refused; nobody has to hear of it."""

from __future__ import annotations

import logging
import struct

import pytest

from lanthorn_dimse.errors import ProtocolError
from lanthorn_dimse.negotiation import Roles, UserIdentity
from lanthorn_dimse.user_information import UserInformation


def counted(value: bytes) -> bytes:
    return struct.pack(">H", len(value)) + value


def read(*items: tuple[int, bytes]) -> UserInformation:
    user = UserInformation()
    for kind, content in items:
        user.add(kind, content)
    return user


def test_each_item_is_read() -> None:
    user = read(
        (0x51, b"\0\0\x40\0"),
        (0x52, b"1.2.3\0"),
        (0x53, b"\0\x02\0\x03"),
        (0x54, counted(b"1.2") + b"\0\1"),
        (0x55, b"PEER_1 "),
        (0x56, counted(b"1.3") + b"\1\0\1"),
        (0x58, b"\2\1" + counted(b"me") + counted(b"secret")),
        (0x59, counted(b"yes")),
    )
    assert user == UserInformation(
        maximum_length=16384,
        implementation_class_uid="1.2.3",
        implementation_version_name="PEER_1",
        asynchronous_operations=(2, 3),
        roles={"1.2": Roles(scu=False, scp=True)},
        extended={"1.3": b"\1\0\1"},
        user_identity=UserIdentity(2, b"me", b"secret", True),
        user_identity_response=b"yes",
    )


def test_the_first_of_two_counts_and_what_is_unknown_is_ignored() -> None:
    user = read((0x51, b"\0\0\0\0"), (0x51, b"\0\0\x40\0"), (0x7E, b"abc"), (0x57, b""))
    assert user == UserInformation(maximum_length=0)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", [b"\xff\xfe", b"MR M\xdcNCHEN", b"x" * 60_000, b"1..2.", b""])
def test_what_is_no_name_is_no_event(name: bytes, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        user = read((0x52, name), (0x55, name), (0x54, counted(name) + b"\1\0"))
    assert len(user.implementation_class_uid) <= 64
    assert len(user.roles) == 1
    assert caplog.records == []


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        (0x51, b""),
        (0x51, b"\0\0\x40"),
        (0x51, b"\0\0\x40\0\0"),
        (0x53, b"\0\1"),
        (0x54, b""),
        (0x54, b"\0\x05"),
        (0x54, counted(b"1.2")),
        (0x54, counted(b"1.2") + b"\1"),
        (0x54, counted(b"1.2") + b"\1\2"),
        (0x54, b"\xff\xff1.2\1\1"),
        (0x56, b"\0\x04" + b"1.2"),
        (0x58, b""),
        (0x58, b"\1"),
        (0x58, b"\1\0" + counted(b"me")),
        (0x58, b"\1\0\xff\xffme\0\0"),
        (0x59, b"\0\x05yes"),
    ],
)
def test_lengths_and_values_that_cannot_be_are_refused(kind: int, content: bytes) -> None:
    with pytest.raises(ProtocolError):
        read((kind, content))
