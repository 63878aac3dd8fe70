"""Identifiers of C-FIND as requestor, against what Orthanc 1.13.0 sends."""

from __future__ import annotations

from typing import Any

import pytest
from pydicom import Dataset

from lanthorn_core.dicom.orthancjson import to_orthanc_json
from lanthorn_core.dicom.query_identifier import (
    completed,
    dataset_of_json,
    dataset_of_keys,
    encode_identifier,
    normalized,
)
from lanthorn_core.dicom.reading import dataset_of_header
from lanthorn_core.dicom.scan import scan_dataset
from lanthorn_core.dicom.tags import parse_tag
from lanthorn_core.errors import InvalidParameter, UnknownTag

EXPLICIT = "1.2.840.10008.1.2.1"

ASKED = {
    parse_tag(name): ""
    for name in (
        *("PatientID", "PatientName", "PatientBirthDate", "StudyDescription", "StudyDate"),
        *("ModalitiesInStudy", "SOPClassesInStudy", "NumberOfStudyRelatedInstances", "Modality"),
        *("SeriesDescription", "BodyPartExamined", "NumberOfSeriesRelatedInstances", "Rows"),
        *("InstanceNumber", "SOPClassUID", "InstanceAvailability", "RetrieveAETitle"),
        *("SpecificCharacterSet", "TimezoneOffsetFromUTC", "NumberOfPatientRelatedStudies"),
    )
}
OF_PATIENT = {"PatientID", "PatientName", "PatientBirthDate", "SpecificCharacterSet"}
OF_STUDY = OF_PATIENT | {"StudyDescription", "StudyDate"}
OF_SERIES = OF_STUDY | {"Modality", "SeriesDescription", "BodyPartExamined"}


def _shown(encoded: bytes) -> dict[str, Any]:
    dataset = dataset_of_header(scan_dataset(encoded, EXPLICIT))
    return to_orthanc_json(dataset, style="simplify", default_encoding="Latin1")


@pytest.mark.parametrize(
    ("level", "kept"),
    [
        ("Patient", OF_PATIENT | {"NumberOfPatientRelatedStudies"}),
        (
            "Study",
            OF_STUDY | {"ModalitiesInStudy", "SOPClassesInStudy", "NumberOfStudyRelatedInstances"},
        ),
        ("Series", OF_SERIES | {"NumberOfSeriesRelatedInstances"}),
        ("Instance", OF_SERIES | {"InstanceNumber", "SOPClassUID", "TimezoneOffsetFromUTC"}),
    ],
)
def test_keys_of_other_levels_are_left_out(level: str, kept: set[str]) -> None:
    assert normalized(ASKED, level).keys() == {parse_tag(name) for name in kept}


@pytest.mark.parametrize(
    ("level", "required", "term"),
    [
        ("Patient", {"PatientID"}, "PATIENT"),
        ("Study", {"PatientID", "AccessionNumber", "StudyInstanceUID"}, "STUDY"),
        (
            "Series",
            {"PatientID", "AccessionNumber", "StudyInstanceUID", "SeriesInstanceUID"},
            "SERIES",
        ),
        (
            "Instance",
            {
                *("PatientID", "AccessionNumber", "StudyInstanceUID", "SeriesInstanceUID"),
                "SOPInstanceUID",
            },
            "IMAGE",
        ),
    ],
)
def test_a_query_has_the_unique_keys_of_its_level(
    level: str, required: set[str], term: str
) -> None:
    keys = completed({}, level, "Generic")
    wanted = dict.fromkeys(map(parse_tag, required), "")
    assert keys == wanted | {parse_tag("QueryRetrieveLevel"): term}


@pytest.mark.parametrize(
    ("manufacturer", "changed"),
    [
        ("Generic", {}),
        ("Vitrea", {}),
        ("GenericNoWildcardInDates", {"StudyDate": "", "PatientBirthDate": ""}),
        (
            "GenericNoUniversalWildcard",
            {"StudyDate": "", "PatientBirthDate": "", "StudyTime": "", "StudyDescription": ""},
        ),
        ("GE", {"AccessionNumber": "*", "StudyInstanceUID": "*"}),
    ],
)
def test_wild_cards_are_rewritten_for_manufacturers(
    manufacturer: str, changed: dict[str, str]
) -> None:
    asked = {
        "PatientID": "1*",
        "StudyDate": "*",
        "PatientBirthDate": "*",
        "StudyTime": "*",
        "StudyDescription": "*",
    }
    keys = completed({parse_tag(tag): text for tag, text in asked.items()}, "Study", manufacturer)
    expected = asked | {"AccessionNumber": "", "StudyInstanceUID": ""} | changed
    assert keys == {parse_tag(tag): text for tag, text in expected.items()} | {
        parse_tag("QueryRetrieveLevel"): "STUDY"
    }


def test_a_client_cannot_send_command_or_meta_elements() -> None:
    keys = completed({0x0000_0100: "x", 0x0002_0010: "1.2"}, "Patient", "Generic")
    assert {tag >> 16 for tag in keys} == {0x0008, 0x0010}


@pytest.mark.parametrize(
    ("name", "asked_set", "expected_set"),
    [
        ("Muller", None, "ISO_IR 100"),
        ("Müller", None, "ISO_IR 100"),
        ("Жук", None, "ISO_IR 192"),
        ("Жук", "ISO_IR 144", "ISO_IR 144"),
        ("Müller", "ISO_IR 144", "ISO_IR 100"),
        ("Müller", "NOT A SET", "ISO_IR 100"),
    ],
)
def test_texts_go_out_in_a_character_set_that_has_them(
    name: str, asked_set: str | None, expected_set: str
) -> None:
    keys = {parse_tag("PatientName"): name}
    if asked_set is not None:
        keys[parse_tag("SpecificCharacterSet")] = asked_set
    shown = _shown(encode_identifier(dataset_of_keys(keys), "Latin1"))
    assert shown == {"PatientName": name, "SpecificCharacterSet": expected_set}


def test_every_kind_of_value_can_be_asked_for() -> None:
    document = {
        "Rows": 512,
        "0028,0011": "512",
        "SliceThickness": "2.5",
        "NumberOfStudyRelatedInstances": "*",
        "SOPInstanceUID": "1.2\\1.3",
        "StudyDate": "20200101-",
        "PatientID": None,
        "FrameIncrementPointer": "0018,1063",
        "ReferencedStudySequence": [],
        "ScheduledProcedureStepSequence": [
            {"Modality": "CT", "ScheduledProtocolCodeSequence": [{"CodeValue": "X"}]}
        ],
    }
    shown = _shown(encode_identifier(dataset_of_json(document), "Ascii"))
    assert shown == {
        "Rows": "512",
        "Columns": "512",
        "SliceThickness": "2.5",
        "NumberOfStudyRelatedInstances": "",
        "SOPInstanceUID": "1.2\\1.3",
        "StudyDate": "20200101-",
        "PatientID": "",
        "FrameIncrementPointer": "0018,1063",
        "ReferencedStudySequence": [],
        "ScheduledProcedureStepSequence": document["ScheduledProcedureStepSequence"],
    }


@pytest.mark.parametrize(
    "document",
    [
        {"Rows": "x"},
        {"Rows": 70000},
        {"Rows": True},
        {"Rows": "9" * 5000},
        {"SliceThickness": "thin"},
        {"PatientID": {"a": 1}},
        {"PatientID": [{"PatientID": "x"}]},
        {"ReferencedStudySequence": "x"},
        {"ReferencedStudySequence": ["x"]},
        {"FrameIncrementPointer": "nothing"},
    ],
)
def test_a_value_that_its_tag_cannot_hold_is_refused(document: dict[str, Any]) -> None:
    with pytest.raises(InvalidParameter):
        encode_identifier(dataset_of_json(document), "Latin1")


def test_sequences_may_be_nested_so_far_and_no_further() -> None:
    document: dict[str, Any] = {}
    for _ in range(100):
        document = {"ReferencedStudySequence": [document]}
    with pytest.raises(InvalidParameter, match="nested too deep"):
        dataset_of_json(document)


def test_an_unknown_tag_is_named() -> None:
    with pytest.raises(UnknownTag, match="Nope"):
        dataset_of_json({"Nope": ""})


def test_an_empty_identifier_has_a_character_set_only() -> None:
    assert _shown(encode_identifier(Dataset(), "Utf8")) == {"SpecificCharacterSet": "ISO_IR 192"}
