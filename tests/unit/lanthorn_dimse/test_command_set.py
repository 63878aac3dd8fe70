from __future__ import annotations

import contextlib
from dataclasses import fields
from io import BytesIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pynetdicom.dimse_messages import _MESSAGE_TYPES
from pynetdicom.dsutils import decode, encode

from lanthorn_dimse import (
    Command,
    CommandField,
    InvalidCommand,
    decode_command,
    encode_command,
)

KEYWORDS = {
    "sop_class_uid": "AffectedSOPClassUID",
    "sop_instance_uid": "AffectedSOPInstanceUID",
    "requested_sop_class_uid": "RequestedSOPClassUID",
    "requested_sop_instance_uid": "RequestedSOPInstanceUID",
    "status": "Status",
    "error_comment": "ErrorComment",
    "move_destination": "MoveDestination",
    "move_originator_ae_title": "MoveOriginatorApplicationEntityTitle",
    "move_originator_message_id": "MoveOriginatorMessageID",
    "remaining": "NumberOfRemainingSuboperations",
    "completed": "NumberOfCompletedSuboperations",
    "failed": "NumberOfFailedSuboperations",
    "warning": "NumberOfWarningSuboperations",
    "action_type_id": "ActionTypeID",
    "event_type_id": "EventTypeID",
    "error_id": "ErrorID",
    "offending_elements": "OffendingElement",
    "attribute_list": "AttributeIdentifierList",
}
"""The attributes of a command that are one element each, and that element's keyword."""

SHORTS = st.integers(0, 0xFFFF)
UIDS = st.integers(0, 10**12).map("1.2.{}".format)
TEXTS = st.text(
    st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="\\"),
    min_size=1,
    max_size=16,
)
TAGS = st.lists(st.integers(0, 0xFFFFFFFF), min_size=1, max_size=5).map(tuple)
REQUESTS = st.sampled_from([field for field in CommandField if not field.is_response])
RESPONSES = st.sampled_from([field for field in CommandField if field.is_response])
ECHO = Command(CommandField.C_ECHO_RQ, 1, sop_class_uid="1.2.840.10008.1.1")


@st.composite
def commands(draw: st.DrawFn) -> Command:
    is_response = draw(st.booleans())
    field = draw(RESPONSES if is_response else REQUESTS)
    values: dict[str, object] = {}
    for name in ("sop_class_uid", "sop_instance_uid"):
        values[name] = draw(st.just("") | UIDS)
    for name in ("remaining", "completed", "failed", "warning", "event_type_id", "action_type_id"):
        values[name] = draw(st.none() | SHORTS)
    if is_response:
        values["status"] = draw(SHORTS)
        values["error_comment"] = draw(st.just("") | TEXTS)
        values["error_id"] = draw(st.none() | SHORTS)
        values["offending_elements"] = draw(st.just(()) | TAGS)
    else:
        values["move_originator_ae_title"] = draw(st.just("") | TEXTS)
        values["move_originator_message_id"] = draw(st.none() | SHORTS)
        values["attribute_list"] = draw(st.just(()) | TAGS)
        values["requested_sop_class_uid"] = draw(st.just("") | UIDS)
        values["requested_sop_instance_uid"] = draw(st.just("") | UIDS)
        if field is CommandField.C_MOVE_RQ:
            values["move_destination"] = draw(TEXTS)
        if field in (CommandField.C_STORE_RQ, CommandField.C_FIND_RQ):
            values["priority"] = draw(st.integers(0, 2))
    return Command(field, draw(SHORTS), draw(st.booleans()), **values)  # type: ignore[arg-type]


@settings(max_examples=50, deadline=None)
@given(commands())
def test_what_is_written_is_read_again(command: Command) -> None:
    assert decode_command(encode_command(command)) == command


@settings(max_examples=50, deadline=None)
@given(commands())
def test_pydicom_reads_what_is_written(command: Command) -> None:
    data_set = decode(BytesIO(encode_command(command)), True, True)
    assert data_set.CommandField == command.field
    assert (data_set.CommandDataSetType != 0x0101) is command.has_data_set
    for name, keyword in KEYWORDS.items():
        value = getattr(command, name)
        if value in ("", None, ()):
            assert keyword not in data_set
        elif isinstance(value, tuple):
            found = data_set[keyword].value
            assert tuple(found if len(value) > 1 else [found]) == value
        else:
            assert data_set[keyword].value == value


@settings(max_examples=50, deadline=None)
@given(commands())
def test_what_pydicom_writes_is_read(command: Command) -> None:
    data_set = decode(BytesIO(encode_command(command)), True, True)
    encoded = encode(data_set, True, True)
    assert encoded is not None
    assert encoded == encode_command(command)


def test_every_message_of_pynetdicom_is_known() -> None:
    assert {int(field) for field in CommandField} == set(_MESSAGE_TYPES)


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=200))
def test_bytes_that_are_no_command_set_are_refused_in_one_way(encoded: bytes) -> None:
    with contextlib.suppress(InvalidCommand):
        decode_command(encoded)


@settings(max_examples=50, deadline=None)
@given(commands(), st.data())
def test_a_command_set_cut_short_is_refused_or_lacks_elements(
    command: Command, data: st.DataObject
) -> None:
    encoded = encode_command(command)
    cut = data.draw(st.integers(0, len(encoded) - 1))
    try:
        found = decode_command(encoded[:cut])
    except InvalidCommand:
        return
    assert found.field is command.field


@pytest.mark.parametrize(
    ("missing", "text"),
    [
        ("CommandField", "Command Field"),
        ("MessageID", "Message ID"),
        ("CommandDataSetType", "Command Data Set Type"),
    ],
)
def test_what_every_request_has_must_be_there(missing: str, text: str) -> None:
    data_set = decode(BytesIO(encode_command(ECHO)), True, True)
    del data_set[missing]
    encoded = encode(data_set, True, True)
    assert encoded is not None
    with pytest.raises(InvalidCommand, match=text):
        decode_command(encoded)


def test_a_response_must_have_a_status() -> None:
    data_set = decode(BytesIO(encode_command(ECHO.response(0))), True, True)
    del data_set.Status
    encoded = encode(data_set, True, True)
    assert encoded is not None
    with pytest.raises(InvalidCommand, match="Status"):
        decode_command(encoded)


def test_padding_of_any_kind_is_no_part_of_a_uid() -> None:
    data_set = Dataset()
    data_set.CommandField, data_set.MessageID, data_set.CommandDataSetType = 0x30, 1, 0x0101
    encoded = encode(data_set, True, True)
    assert encoded is not None
    uid = b"\x00\x00\x02\x00\x06\x00\x00\x001.2 \x00 "
    assert decode_command(uid + encoded).sop_class_uid == "1.2"


def test_a_response_repeats_what_its_request_is_about() -> None:
    store = Command(CommandField.C_STORE_RQ, 7, True, "1.2", "1.2.3", priority=1)
    assert store.response(0xA700, error_comment="full") == Command(
        CommandField.C_STORE_RSP, 7, False, "1.2", "1.2.3", status=0xA700, error_comment="full"
    )
    action = Command(
        CommandField.N_ACTION_RQ,
        8,
        True,
        requested_sop_class_uid="1.2",
        requested_sop_instance_uid="1.2.3",
        action_type_id=1,
    )
    assert action.response(0) == Command(
        CommandField.N_ACTION_RSP, 8, False, "1.2", "1.2.3", status=0, action_type_id=1
    )


def test_a_response_does_not_repeat_a_uid_that_is_too_long() -> None:
    request = Command(CommandField.C_ECHO_RQ, 1, sop_class_uid="1." * 40 + "1")
    assert request.response(0).sop_class_uid == ""


def test_a_long_comment_is_cut_and_made_ascii() -> None:
    response = ECHO.response(0xC000, error_comment="Überlauf" * 20)
    comment = decode_command(encode_command(response)).error_comment
    assert len(comment) == 64
    assert comment.startswith("?berlauf")


def test_every_attribute_is_tried() -> None:
    mandatory = {"field", "message_id", "has_data_set", "priority", "_encoded"}
    assert {field.name for field in fields(Command)} == KEYWORDS.keys() | mandatory
