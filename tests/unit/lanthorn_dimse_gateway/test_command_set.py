"""Command sets (PS3.7 Section 6.3 and Annex E), with pynetdicom as oracle."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pynetdicom.dimse_messages import C_ECHO_RQ as EchoRequest
from pynetdicom.dimse_messages import C_STORE_RQ as StoreRequest
from pynetdicom.dimse_messages import DIMSEMessage
from pynetdicom.dimse_primitives import C_ECHO, C_STORE
from pynetdicom.pdu_primitives import P_DATA

from lanthorn_dimse_gateway.command_set import (
    C_ECHO_RQ,
    C_STORE_RQ,
    Command,
    InvalidCommand,
    decode_command,
    encode_response,
)

UIDS = st.from_regex(r"[1-9](\.(0|[1-9][0-9]{0,5})){1,8}", fullmatch=True)
CT = "1.2.840.10008.5.1.4.1.1.2"


def command_of(message: DIMSEMessage, primitive: object) -> bytes:
    message.primitive_to_message(primitive)
    fragments = [
        value
        for indication in message.encode_msg(1, 0)
        for _, value in indication.presentation_data_value_list
    ]
    return b"".join(value[1:] for value in fragments if value[0] & 1)


@given(sop_class=UIDS, sop_instance=UIDS, message_id=st.integers(0, 65535))
def test_a_store_request_of_pynetdicom_is_understood(
    sop_class: str, sop_instance: str, message_id: int
) -> None:
    request = C_STORE()
    request.MessageID = message_id
    request.AffectedSOPClassUID = sop_class
    request.AffectedSOPInstanceUID = sop_instance
    request.Priority = 2
    request.DataSet = io.BytesIO(b"\x08\x00")
    encoded = command_of(StoreRequest(), request)
    assert decode_command(encoded) == Command(C_STORE_RQ, message_id, True, sop_class, sop_instance)


def test_an_echo_request_of_pynetdicom_is_understood() -> None:
    request = C_ECHO()
    request.MessageID = 7
    request.AffectedSOPClassUID = "1.2.840.10008.1.1"
    encoded = command_of(EchoRequest(), request)
    assert decode_command(encoded) == Command(C_ECHO_RQ, 7, False, "1.2.840.10008.1.1", "")


@given(
    sop_class=UIDS,
    sop_instance=UIDS,
    message_id=st.integers(0, 65535),
    status=st.sampled_from([0x0000, 0xA700, 0xA900, 0xC000, 0x0122, 0x0124]),
    comment=st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=64),
)
def test_pynetdicom_understands_our_responses(
    sop_class: str, sop_instance: str, message_id: int, status: int, comment: str
) -> None:
    comment = comment.replace("\\", "/")
    command = Command(C_STORE_RQ, message_id, True, sop_class, sop_instance)
    encoded = encode_response(command, status, comment)
    indication = P_DATA()
    indication.presentation_data_value_list = [[1, b"\x03" + encoded]]
    message = DIMSEMessage()
    assert message.decode_msg(indication)
    response = message.message_to_primitive()
    assert response.is_valid_response
    assert message.command_set.CommandField == C_STORE_RQ | 0x8000
    assert message.command_set.CommandGroupLength == len(encoded) - 12
    assert response.MessageIDBeingRespondedTo == message_id
    assert (response.AffectedSOPClassUID, response.AffectedSOPInstanceUID) == (
        sop_class,
        sop_instance,
    )
    assert response.Status == status
    assert (response.ErrorComment or "") == comment


def test_uids_that_are_too_long_are_not_repeated() -> None:
    command = Command(C_STORE_RQ, 1, True, "1" * 65, "")
    assert b"1" * 65 not in encode_response(command, 0xC000)


def element(number: int, value: bytes, group: int = 0) -> bytes:
    header = group.to_bytes(2, "little") + number.to_bytes(2, "little")
    return header + len(value).to_bytes(4, "little") + value


FIELD, TYPE = element(0x0100, b"\x30\x00"), element(0x0800, b"\x01\x01")


@pytest.mark.parametrize(
    "encoded",
    [
        b"",
        FIELD,
        TYPE,
        FIELD + TYPE + b"\0\0\0",
        FIELD + TYPE + element(0x0010, b"x", group=8),
        FIELD + element(0x0800, b""),
        element(0x0100, b"\x30\x00\x30\x00") + TYPE,
        FIELD + TYPE + b"\x00\x00\x00\x10\xff\xff\xff\xff",
    ],
)
def test_broken_command_sets_are_refused(encoded: bytes) -> None:
    with pytest.raises(InvalidCommand):
        decode_command(encoded)


@given(st.binary(max_size=200))
def test_no_bytes_break_the_decoder(encoded: bytes) -> None:
    try:
        decode_command(encoded)
    except InvalidCommand:
        return
    assert encoded


def test_absent_uids_are_empty() -> None:
    assert decode_command(FIELD + TYPE) == Command(C_ECHO_RQ, 0, False, "", "")
    assert decode_command(FIELD + TYPE + element(2, CT.encode() + b"\0")).sop_class_uid == CT
