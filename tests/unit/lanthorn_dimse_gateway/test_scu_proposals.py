"""What C-GET SCU proposes to receive, and how identifiers are encoded."""

from __future__ import annotations

from io import BytesIO

import pytest
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom.dsutils import decode

from lanthorn_core.errors import InvalidIdentifier
from lanthorn_core.model import Level
from lanthorn_dimse import Command, CommandField
from lanthorn_dimse_gateway.contexts import STORAGE_SOP_CLASSES, TRANSFER_SYNTAXES
from lanthorn_dimse_gateway.scu.get import common_storage_classes, propose_to_receive
from lanthorn_dimse_gateway.scu.identifiers import identifier_of, reencoded
from lanthorn_dimse_gateway.scu.move import by_preference, part_done

CT, MR = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4"
J2K = "1.2.840.10008.1.2.4.90"


def test_the_classes_in_common_use_come_first_and_leave_room_for_the_models() -> None:
    classes = common_storage_classes(frozenset(STORAGE_SOP_CLASSES))
    assert len(classes) == 126
    assert {CT, MR} <= set(classes)
    assert len(set(classes)) == len(classes)


def test_classes_that_we_do_not_store_are_not_proposed() -> None:
    assert common_storage_classes(frozenset({MR})) == (MR,)


def test_few_classes_get_a_context_for_each_encapsulated_transfer_syntax() -> None:
    proposals = propose_to_receive([CT, MR], TRANSFER_SYNTAXES)
    assert (CT, (ExplicitVRLittleEndian, ImplicitVRLittleEndian)) in proposals
    assert (MR, (J2K,)) in proposals
    assert len(proposals) == len(set(proposals)) <= 126


def test_many_classes_get_one_context_each() -> None:
    classes = common_storage_classes(frozenset(STORAGE_SOP_CLASSES))
    proposals = propose_to_receive(classes, TRANSFER_SYNTAXES)
    assert [uid for uid, _ in proposals] == list(classes)
    assert {syntaxes for _, syntaxes in proposals} == {
        (ExplicitVRLittleEndian, ImplicitVRLittleEndian)
    }


def test_transfer_syntaxes_that_we_do_not_accept_are_not_proposed() -> None:
    assert propose_to_receive([CT], {ImplicitVRLittleEndian}) == [(CT, (ImplicitVRLittleEndian,))]


@pytest.mark.parametrize(
    ("transfer_syntax", "implicit", "little"),
    [
        (ExplicitVRLittleEndian, False, True),
        (ImplicitVRLittleEndian, True, True),
        (ExplicitVRBigEndian, False, False),
    ],
)
def test_keys_become_an_identifier_in_each_transfer_syntax(
    transfer_syntax: str, implicit: bool, little: bool
) -> None:
    keys = {
        "0008,0052": "SERIES",
        "0010,0020": "Ä1",
        "0020,000d": "1.2.3",
        "0020,000e": "1.2.3.1\\1.2.3.2",
    }
    encoded = identifier_of(keys, transfer_syntax, "Latin1")
    dataset = decode(BytesIO(encoded), implicit, little)
    assert dataset.SpecificCharacterSet == "ISO_IR 100"
    assert dataset.QueryRetrieveLevel == "SERIES"
    assert dataset.PatientID == "Ä1"
    assert list(dataset.SeriesInstanceUID) == ["1.2.3.1", "1.2.3.2"]


def test_keys_that_the_default_encoding_has_no_characters_for_go_as_unicode() -> None:
    encoded = identifier_of({"0010,0020": "患者"}, ExplicitVRLittleEndian, "Latin1")
    dataset = decode(BytesIO(encoded), False, True)
    assert dataset.SpecificCharacterSet == "ISO_IR 192"
    assert dataset.PatientID == "患者"


def test_the_character_set_of_the_keys_is_kept() -> None:
    keys = {"0008,0005": "ISO_IR 192", "0010,0020": "Ä"}
    dataset = decode(BytesIO(identifier_of(keys, ExplicitVRLittleEndian, "Latin1")), False, True)
    assert dataset.SpecificCharacterSet == "ISO_IR 192"
    assert dataset.PatientID == "Ä"


@pytest.mark.parametrize("tag", ["", "0010", "zzzz,0010", "0009,1001"])
def test_what_is_no_tag_makes_no_identifier(tag: str) -> None:
    with pytest.raises(InvalidIdentifier):
        identifier_of({tag: "1"}, ExplicitVRLittleEndian, "Latin1")


def test_an_identifier_in_the_syntax_negotiated_goes_as_it_is() -> None:
    encoded = identifier_of({"0010,0020": "1"}, ExplicitVRLittleEndian, "Latin1")
    assert reencoded(encoded, ExplicitVRLittleEndian) is encoded


def test_a_value_that_is_none_is_not_sent() -> None:
    rows = b"\x28\x00\x10\x00US\x03\x00\x01\x02\x03"
    with pytest.raises(InvalidIdentifier):
        reencoded(rows, ImplicitVRLittleEndian)


def test_the_model_with_the_level_at_its_root_is_preferred() -> None:
    assert by_preference(Level.PATIENT, "P", "S") == ("P", "S")
    assert by_preference(Level.SERIES, "P", "S") == ("S", "P")


def test_progress_counts_what_is_done_of_all_sub_operations() -> None:
    command = Command(
        CommandField.C_MOVE_RSP, 1, status=0xFF00, remaining=5, completed=3, failed=1, warning=1
    )
    assert part_done(command) == 0.5
    assert part_done(Command(CommandField.C_MOVE_RSP, 1, status=0xFF00)) == 0
