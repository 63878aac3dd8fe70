"""DICOM JSON of data sets, beside the answers of a real Orthanc."""

from __future__ import annotations

import base64
import json
import struct
from typing import Any

import pytest
from pydicom import Dataset
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag

from lanthorn_core.dicom import part10
from lanthorn_core.dicom.dicomjson import to_dicom_json
from lanthorn_core.errors import InvalidDataset
from tests.unit.lanthorn_core.dicom.dataset_bytes import ANSWERS, SAMPLES

ORTHANC: dict[str, Any] = json.loads((ANSWERS / "dicom_json.json").read_text("utf-8"))


def render(dataset: Dataset) -> dict[str, Any]:
    return to_dicom_json(dataset, default_encoding="Latin1")


def sample(name: str) -> Dataset:
    return part10.read_dataset((SAMPLES / f"{name}.dcm").read_bytes(), until_pixels=False)


def rendered(tag: int, vr: str | None, value: bytes, *, little_endian: bool = True) -> Any:
    """Render one element from its bytes; None when it is left out."""
    raw = RawDataElement(Tag(tag), vr, len(value), value, 0, vr is None, little_endian)
    return render(Dataset({Tag(tag): raw})).get(f"{tag:08X}")


@pytest.mark.parametrize("name", sorted(ORTHANC))
def test_the_answers_are_those_of_orthanc(name: str) -> None:
    assert render(sample(name)) == ORTHANC[name]


def test_encapsulated_pixels_are_left_out() -> None:
    answer = render(sample("liver_rle"))
    assert "7FE00010" not in answer
    assert answer["00280010"] == {"vr": "US", "Value": [512]}


# Expected of Orthanc 1.13.0, asked with a file of these elements.
@pytest.mark.parametrize(
    ("tag", "vr", "value", "expected"),
    [
        (0x00080005, "CS", b"\\ISO 2022 IR 87 ", ["ISO 2022 IR 87"]),
        (0x00080120, "UR", b"http://a\\b", ["http://a", "b"]),
        (0x00091012, "OW", b"\1\2\3\4", [513, 1027]),
        (0x00091014, "AT", b"\x10\0\xab\0\x10\0\x20\0", ["001000AB", "00100020"]),
        (0x00091017, "SV", b"\xff" * 8, [-1]),
        (0x00091018, "OL", b"\1\0\0\0\2\0\0\0", [1, 2]),
        (0x00091019, "OV", b"\1\0\0\0\2\0\0\0", [8589934593]),
        (0x00100020, "LO", b" a \\b\\ ", [" a ", "b", None]),
        (0x00100040, "CS", b"\\ ", [None, None]),
        (0x00101020, "DS", b" 1.5 \\abc\\\\1e3 ", ["1.5", None, "1e3"]),
        (0x00104000, "LT", b"a\\b \\ \r\nc\x01", ["a", "b ", " \r\nc\x01"]),
        (0x00189053, "FD", struct.pack("<3d", float("nan"), 1e300, 2.5), [None, 1e300, 2.5]),
        (0x00200013, "IS", b" 12\\x\\\\+3\\4.5", [12, None, 3]),
        (0x00200052, "UI", b"1.2\\1.3\0", ["1.2", "1.3"]),
        (
            0x00100010,
            "PN",
            b"A^B=C=D\\\\E==F \\ G= ",
            [
                {"Alphabetic": "A^B", "Ideographic": "C", "Phonetic": "D"},
                {},
                {"Alphabetic": "E", "Ideographic": "", "Phonetic": "F "},
                {"Alphabetic": " G", "Ideographic": ""},
            ],
        ),
    ],
)
def test_odd_values_come_as_from_orthanc(tag: int, vr: str, value: bytes, expected: Any) -> None:
    assert rendered(tag, vr, value) == {"vr": vr, "Value": expected}


@pytest.mark.parametrize("vr", ["UN", "OB", "OW", "OF", "US", "FD", "AT", "PN", "LO", "SQ"])
def test_what_is_empty_has_a_vr_and_no_more(vr: str) -> None:
    assert rendered(0x00091010, vr, b"") == {"vr": vr}


def test_bytes_are_inline_and_texts_of_known_tags_are_found_in_un() -> None:
    assert rendered(0x00091010, "UN", b"\1\2") == {"vr": "UN", "InlineBinary": "AQI="}
    assert rendered(0x00081030, "UN", b"study") == {"vr": "LO", "Value": ["study"]}


def test_integers_larger_than_orthancs_stay_what_they_are() -> None:
    assert rendered(0x00200013, "IS", b"99999999999") == {"vr": "IS", "Value": [99999999999]}
    assert rendered(0x00091016, "UV", b"\xff" * 8) == {"vr": "UV", "Value": [2**64 - 1]}
    assert rendered(0x00200013, "IS", b"9" * 400) == {"vr": "IS", "Value": []}


def test_big_endian_words_are_turned_round() -> None:
    pixels = rendered(0x7FE00010, "OW", b"\1\2\3\4\5", little_endian=False)
    assert base64.b64decode(pixels["InlineBinary"]) == b"\2\1\4\3"
    assert rendered(0x00280010, "US", b"\1\2", little_endian=False)["Value"] == [258]


def test_a_palette_of_an_implicit_data_set_is_described_by_unsigned_numbers() -> None:
    descriptor = rendered(0x00281101, None, b"\0\0\0\0\x10\0")
    assert descriptor == {"vr": "US", "Value": [0, 0, 16]}


def test_group_lengths_and_unknown_vrs_are_no_part_of_it() -> None:
    assert rendered(0x00080000, "UL", b"\1\0\0\0") is None
    assert rendered(0x00091010, "ZZ", b"ab") == {"vr": "UN", "InlineBinary": "YWI="}


def test_a_sequence_that_cannot_be_read_costs_only_itself() -> None:
    assert rendered(0x00081115, "SQ", b"\xfe\xff") == {"vr": "SQ"}


def test_sequences_nested_too_deep_are_refused() -> None:
    made = Dataset()
    for _ in range(1200):
        outer = Dataset()
        outer.ReferencedImageSequence = [made]
        made = outer
    with pytest.raises(InvalidDataset, match="nested too deep"):
        render(made)


def test_values_that_somebody_set_are_rendered_too() -> None:
    made = Dataset()
    made.PatientName = "A^B=C"
    made.Rows = 0
    made.ImagerPixelSpacing = ["0.5", "0.25"]
    made.SpectralWidth = [1.0, 2.5]
    made.FrameIncrementPointer = [0x00181063, 0x00181065]
    made.ReferencedImageSequence = [Dataset()]
    made.add_new(0x7FE00010, "OW", b"\1\2")
    made.PatientSex = None
    assert render(made) == {
        "00081140": {"vr": "SQ", "Value": [{}]},
        "00100010": {"vr": "PN", "Value": [{"Alphabetic": "A^B", "Ideographic": "C"}]},
        "00100040": {"vr": "CS"},
        "00181164": {"vr": "DS", "Value": ["0.5", "0.25"]},
        "00189052": {"vr": "FD", "Value": [1, 2.5]},
        "00280009": {"vr": "AT", "Value": ["00181063", "00181065"]},
        "00280010": {"vr": "US", "Value": [0]},
        "7FE00010": {"vr": "OW", "InlineBinary": "AQI="},
    }
