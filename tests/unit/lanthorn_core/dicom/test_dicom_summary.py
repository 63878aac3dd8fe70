"""Summaries and identifiers, beside what a real Orthanc keeps of the same files."""

from __future__ import annotations

import json
import struct
from typing import Any

import pytest

from lanthorn_core.dicom import part10
from lanthorn_core.dicom.identifiers import Identity, public_ids
from lanthorn_core.dicom.maintags import MAIN_TAGS
from lanthorn_core.dicom.orthancjson import simplify
from lanthorn_core.dicom.scan import Header, scan_dataset
from lanthorn_core.dicom.summary import (
    InstanceSummary,
    identify,
    pixel_data_vr_metadata,
)
from lanthorn_core.errors import InvalidDataset, MissingIdentifier
from tests.unit.lanthorn_core.dicom.dataset_bytes import (
    ANSWERS,
    EXPLICIT,
    IMPLICIT,
    SAMPLES,
    dataset,
    element,
    file,
    implicit,
    item,
    uid,
)

ORTHANC: dict[str, Any] = json.loads((ANSWERS / "summaries.json").read_text())
STORED = sorted(name for name, answer in ORTHANC.items() if answer["status"] == 200)
# Orthanc drops the escape sequences of code extensions that are not of its first character set.
BETTER_DECODED = {"chrH32"}
# Orthanc takes File Meta Information without a preamble for a part of the data set, and frames
# deflated one by one for an unknown transfer syntax, of which it keeps no metadata.
NO_METADATA = {"liver_deflate"}


def header_of(name: str) -> tuple[part10.FileMeta, Header]:
    return part10.scan_file(part10.normalize_upload((SAMPLES / f"{name}.dcm").read_bytes()))


def summary_of(*elements: bytes, without: int | None = None) -> InstanceSummary:
    header = scan_dataset(dataset(*elements, without=without), EXPLICIT)
    return InstanceSummary(header, {}, "Latin1")


@pytest.mark.parametrize("name", STORED)
def test_the_identifiers_are_those_of_orthanc(name: str) -> None:
    _, header = header_of(name)
    assert list(public_ids(identify(header, "Latin1"))) == ORTHANC[name]["ids"]


@pytest.mark.parametrize("name", sorted(set(STORED) - BETTER_DECODED))
def test_the_main_tags_are_those_of_orthanc(name: str) -> None:
    _, header = header_of(name)
    summary = InstanceSummary(header, {}, "Latin1")
    for level, expected in ORTHANC[name]["main_tags"].items():
        main_tags, sequences = summary.level(level)
        found: dict[str, Any] = dict(main_tags)
        found |= {full["Name"]: simplify(full) for full in sequences.values()}
        assert found == expected


@pytest.mark.parametrize("name", sorted(set(STORED) - NO_METADATA))
def test_the_metadata_are_those_of_orthanc(name: str) -> None:
    meta, header = header_of(name)
    summary = InstanceSummary(header, {}, "Latin1")
    offset = header.pixel_data_offset
    if not part10.is_part10((SAMPLES / f"{name}.dcm").read_bytes()):
        # What we wrote before the data set is not in the file that Orthanc has.
        offset = None
    found = {
        "IndexInSeries": summary.index_text,
        "PixelDataOffset": None if offset is None else str(offset),
        "PixelDataVR": pixel_data_vr_metadata(header),
        "SopClassUid": summary.sop_class_uid,
        "TransferSyntax": meta.transfer_syntax_uid,
    }
    assert {key: value for key, value in found.items() if value is not None} == {
        key: value
        for key, value in ORTHANC[name]["metadata"].items()
        if key != "PixelDataOffset" or offset is not None
    }
    assert summary.index_in_series == ORTHANC[name]["index_in_series"]
    assert summary.expected_number_of_instances == ORTHANC[name]["expected_number_of_instances"]


@pytest.mark.parametrize("name", sorted(set(ORTHANC) - set(STORED)))
def test_what_orthanc_refuses_is_refused_with_its_code(name: str) -> None:
    with pytest.raises(InvalidDataset) as caught:
        identify(header_of(name)[1], "Latin1")
    assert caught.value.http_status == ORTHANC[name]["status"]
    assert caught.value.orthanc_code == ORTHANC[name]["orthanc_status"]


@pytest.mark.parametrize(
    ("tag", "name"),
    [
        (0x0020000D, "StudyInstanceUID"),
        (0x0020000E, "SeriesInstanceUID"),
        (0x00080018, "SOPInstanceUID"),
    ],
)
def test_a_missing_uid_is_named(tag: int, name: str) -> None:
    with pytest.raises(MissingIdentifier, match=name):
        identify(scan_dataset(dataset(without=tag), EXPLICIT), "Latin1")


@pytest.mark.parametrize("value", ["", "   "])
def test_an_empty_uid_is_refused_as_bad_format(value: str) -> None:
    with pytest.raises(InvalidDataset, match="StudyInstanceUID") as caught:
        identify(scan_dataset(dataset(uid(0x0020000D, value)), EXPLICIT), "Latin1")
    assert not isinstance(caught.value, MissingIdentifier)


@pytest.mark.parametrize(
    "patient_id",
    [
        element(0x00100020, "OB", b"P1"),
        element(0x00100020, "SQ"),
        element(0x00100020, "LO", b"P" * 300),
    ],
)
def test_a_patient_id_that_is_no_short_text_is_refused(patient_id: bytes) -> None:
    with pytest.raises(InvalidDataset, match="PatientID"):
        identify(scan_dataset(dataset(patient_id), EXPLICIT), "Latin1")


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (b"P ", "P"),
        (b" P  ", " P"),
        (b"\tP\n", "\tP\n"),
        (b"P\\Q", "P\\Q"),
        (b"a\0b ", "a"),
        (b"P \0", "P"),
        (b"\xe9 ", "é"),
        (b"", ""),
    ],
)
def test_a_patient_id_is_kept_as_orthanc_does(value: bytes, kept: str) -> None:
    summary = summary_of(element(0x00100020, "LO", value))
    assert summary.level("Patient").main_tags["PatientID"] == summary.identity.patient_id == kept


def test_without_a_patient_id_the_identifier_is_empty() -> None:
    summary = summary_of(without=0x00100020)
    assert summary.identity == Identity("", "1.2.3", "1.2.3.1", "1.2.3.4")
    assert "PatientID" not in summary.level("Patient").main_tags


@pytest.mark.parametrize(
    ("vr", "value", "text"),
    [
        ("UN", b"5 ", "5 "),
        ("US", struct.pack("<H", 7), "7"),
        ("SS", struct.pack("<2h", -7, 1), "-7\\1"),
        ("FD", struct.pack("<d", 0.1), "0.10000000000000001"),
        ("FL", struct.pack("<f", 0.1), "0.10000000149011612"),
        ("OF", struct.pack("<f", 0.1), "0.100000001"),
        ("AT", struct.pack("<4H", 0x18, 0x1063, 0x18, 0x1065), "0018,1063\\0018,1065"),
        ("UV", struct.pack("<Q", 2**64 - 1), "18446744073709551615"),
        ("IS", b" 5 ", " 5"),
        ("OB", b"5 ", None),
        ("US", b"", None),
        ("FD", b"1234", None),
        ("SH", b"x" * 256, "x" * 256),
        ("SH", b"x" * 257, None),
    ],
)
def test_values_of_every_kind_are_kept_as_text(vr: str, value: bytes, text: str | None) -> None:
    summary = summary_of(element(0x00200011, vr, value))
    assert summary.level("Series").main_tags.get("SeriesNumber") == text


IMAGES, POSITIONS, CARDIAC = 0x00201002, 0x00200105, 0x00181090
SLICES, TIME_SLICES = 0x00540081, 0x00540101


@pytest.mark.parametrize(
    ("elements", "expected"),
    [
        ([element(IMAGES, "IS", b"3 "), element(POSITIONS, "IS", b"4 ")], 12),
        ([element(SLICES, "US", b"\3\0"), element(TIME_SLICES, "US", b"\4\0")], 12),
        ([element(CARDIAC, "IS", b"12")], 12),
        ([element(CARDIAC, "IS", b"+5")], 5),
        ([element(CARDIAC, "IS", b" 5")], None),
        ([element(CARDIAC, "IS", b"0 ")], None),
        ([element(IMAGES, "IS", b"3 "), element(CARDIAC, "IS", b"12")], 12),
        (
            [
                element(IMAGES, "IS", b"x "),
                element(POSITIONS, "IS", b"4 "),
                element(CARDIAC, "IS", b"12"),
            ],
            None,
        ),
        ([element(IMAGES, "IS", b"-1"), element(POSITIONS, "IS", b"-4")], 4),
        ([], None),
    ],
)
def test_the_expected_number_of_instances_follows_orthanc(
    elements: list[bytes], expected: int | None
) -> None:
    assert summary_of(*elements).expected_number_of_instances == expected


@pytest.mark.parametrize(
    ("elements", "text", "number"),
    [
        ([element(0x00200013, "IS", b" 7")], "7", 7),
        ([element(0x00200013, "IS", b"+1")], "+1", 1),
        ([element(0x00200013, "IS", b"-1")], "-1", None),
        ([element(0x00200013, "IS", b"3.0 ")], "3.0", None),
        ([element(0x00200013, "IS", b"4294967296")], "4294967296", None),
        ([element(0x00541330, "US", b"\7\0")], "7", 7),
        ([element(0x00200013, "IS"), element(0x00541330, "US", b"\7\0")], "", None),
        ([], None, None),
    ],
)
def test_the_index_in_series_follows_orthanc(
    elements: list[bytes], text: str | None, number: int | None
) -> None:
    summary = summary_of(*elements)
    assert (summary.index_text, summary.index_in_series) == (text, number)


def test_extra_main_tags_are_kept_at_their_level() -> None:
    encoded = dataset(
        element(0x00080080, "LO", b"Hospital"),
        element(0x00281050, "DS", b"40\\50 "),
        element(0x00081140, "SQ", item(uid(0x00081150, "1.2"))),
    )
    extra = {"Series": [0x00080080, 0x00281050], "Instance": [0x00081140]}
    summary = InstanceSummary(scan_dataset(encoded, EXPLICIT), extra, "Latin1")
    assert summary.level("Series").main_tags["InstitutionName"] == "Hospital"
    assert summary.level("Series").main_tags["WindowCenter"] == "40\\50"
    images = summary.level("Instance").sequences["0008,1140"]
    assert simplify(images) == [{"ReferencedSOPClassUID": "1.2"}]


@pytest.mark.parametrize("undefined", [True, False])
def test_text_of_main_sequences_is_decoded(undefined: bool) -> None:
    content = item(element(0x00400007, "LO", "Schädel".encode()))
    end = struct.pack("<HHL", 0xFFFE, 0xE0DD, 0) if undefined else b""
    length = 0xFFFFFFFF if undefined else None
    summary = summary_of(
        element(0x00080005, "CS", b"ISO_IR 192"), element(0x00400275, "SQ", content + end, length)
    )
    requests = summary.level("Series").sequences["0040,0275"]
    assert simplify(requests) == [{"ScheduledProcedureStepDescription": "Schädel"}]


def test_implicit_vr_takes_the_vr_from_the_dictionary() -> None:
    encoded = b"".join(
        [
            implicit(0x00080018, b"1.2.3.4\0"),
            implicit(0x00100020, b"P1"),
            implicit(0x0020000D, b"1.2.3\0"),
            implicit(0x0020000E, b"1.2.3.1\0"),
            implicit(0x00280103, b"\1\0"),
            implicit(0x00280106, b"\xff\xff"),
            implicit(0x00281101, b"\xff\xff\0\0\x08\0"),
            implicit(0x00540081, struct.pack("<H", 9)),
        ]
    )
    extra = {"Instance": [0x00280106, 0x00281101]}
    summary = InstanceSummary(scan_dataset(encoded, IMPLICIT), extra, "Latin1")
    assert summary.level("Series").main_tags["NumberOfSlices"] == "9"
    assert summary.level("Instance").main_tags["SmallestImagePixelValue"] == "-1"
    assert "RedPaletteColorLookupTableDescriptor" not in summary.level("Instance").main_tags


@pytest.mark.parametrize(("value", "frames"), [(b"3 ", 3), (b"1A", 1), (b"-2", 1), (b"", 1)])
def test_the_number_of_frames_is_at_least_one(value: bytes, frames: int) -> None:
    assert summary_of(element(0x00280008, "IS", value)).number_of_frames == frames


def test_the_default_encoding_is_for_files_that_name_none() -> None:
    name = element(0x00100010, "PN", "Петров".encode("iso8859-5"))
    header = scan_dataset(dataset(name), EXPLICIT)
    named = scan_dataset(dataset(name, element(0x00080005, "CS", b"ISO_IR 144")), EXPLICIT)
    for summary in (InstanceSummary(header, {}, "Cyrillic"), InstanceSummary(named, {}, "Latin1")):
        assert summary.level("Patient").main_tags["PatientName"] == "Петров"


def test_a_file_is_summarized_from_its_header_alone() -> None:
    meta, header = part10.scan_file((SAMPLES / "CT_small.dcm").read_bytes())
    whole = InstanceSummary(header, {}, "Latin1")
    again = part10.scan_file(file(header.encoded, meta.transfer_syntax_uid))[1]
    summary = InstanceSummary(again, {}, "Latin1")
    assert summary.identity == whole.identity
    assert summary.number_of_frames == whole.number_of_frames
    for level in MAIN_TAGS:
        assert summary.level(level) == whole.level(level)
