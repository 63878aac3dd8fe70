"""Orthanc's JSON of data sets, beside the answers of a real one."""

from __future__ import annotations

import json
import struct
from typing import Any

import pytest
from pydicom import Dataset

from lanthorn_core.dicom import part10
from lanthorn_core.dicom.orthancjson import (
    Style,
    file_meta_to_orthanc_json,
    simplify,
    to_orthanc_json,
)
from tests.unit.lanthorn_core.dicom.dataset_bytes import (
    ANSWERS,
    EXPLICIT,
    ITEM_END,
    SAMPLES,
    SEQUENCE_END,
    UNDEFINED,
    dataset,
    element,
    file,
    implicit,
    item,
)

ORTHANC: dict[str, Any] = json.loads((ANSWERS / "tags.json").read_text())


def render(content: bytes, style: Style = "full", **options: Any) -> dict[str, Any]:
    read = part10.read_dataset(content, until_pixels=False)
    return to_orthanc_json(read, style=style, default_encoding="Latin1", **options)


@pytest.mark.parametrize("name", sorted(ORTHANC))
def test_the_answers_are_those_of_orthanc(name: str) -> None:
    expected = ORTHANC[name]
    content = part10.normalize_upload((SAMPLES / f"{name}.dcm").read_bytes())
    full = render(content)
    if "only" in expected:
        full = {tag: full[tag] for tag in full.keys() & expected["tags"].keys()}
    assert full == expected["tags"]
    if expected["simplified"]:
        assert render(content, "simplify") == expected["simplified"]
    if expected["short"]:
        assert render(content, "short") == expected["short"]
    if expected["header"]:
        meta = part10.read_dataset(content).file_meta
        assert file_meta_to_orthanc_json(meta, style="full") == expected["header"]


@pytest.mark.parametrize("name", ["MR_small_bigendian", "image_dfl", "JPEG2000"])
def test_pixel_data_can_be_shown_without_being_read(name: str) -> None:
    content = (SAMPLES / f"{name}.dcm").read_bytes()
    read = part10.read_dataset(content)
    answer = to_orthanc_json(read, style="full", default_encoding="Latin1", pixel_data=True)
    assert answer == render(content)
    assert answer["7fe0,0010"] == {"Name": "PixelData", "Type": "Null", "Value": None}


def test_what_follows_pixel_data_is_shown_when_asked_for() -> None:
    content = (SAMPLES / "MR_small_padded.dcm").read_bytes()
    assert "fffc,fffc" not in render(content)
    assert render(content, whole=True)["fffc,fffc"]["Name"] == "DataSetTrailingPadding"


def test_text_beyond_256_bytes_is_too_long_unless_asked_for() -> None:
    comments, history = element(0x00204000, "LT", b"x" * 257), element(0x001021B0, "LT", b"x" * 256)
    content = file(dataset(comments, history))
    answer = render(content)
    assert answer["0020,4000"] == {"Name": "ImageComments", "Type": "TooLong", "Value": None}
    assert answer["0010,21b0"]["Value"] == "x" * 256
    ignoring = render(content, ignore_length={0x00204000})
    assert ignoring["0020,4000"] == {
        "Name": "ImageComments",
        "Type": "String",
        "Value": "x" * 257,
    }


@pytest.mark.parametrize(
    ("vr", "value", "rendered"),
    [
        ("US", struct.pack("<2H", 1, 65535), "1\\65535"),
        ("SL", struct.pack("<2l", -1, 3), "-1\\3"),
        ("FL", struct.pack("<3f", 0.1, 3, 1e20), "0.10000000149011612\\3\\1.0000000200408773e+20"),
        ("FD", struct.pack("<3d", 1e-7, float("nan"), float("-inf")), None),
        ("SV", struct.pack("<q", -5), "-5"),
        ("OD", struct.pack("<d", 0.1), "0.10000000000000001"),
        ("OL", struct.pack("<L", 5), "5"),
        ("OF", b"", ""),
        ("FD", b"", None),
        ("AT", b"", ""),
        ("OB", b"ab", None),
        ("UN", b"ab", None),
        ("UT", b"  text\r\nline  ", "  text\r\nline"),
        ("UI", b" 1.2 ", "1.2"),
        ("PN", b"A^B^^ =C  ", "A^B^^ =C"),
        ("US", b"abc", "25185"),
    ],
)
def test_values_of_every_kind_are_rendered(vr: str, value: bytes, rendered: str | None) -> None:
    creator = element(0x00090010, "LO", b"TESTCREA")
    answer = render(file(dataset(creator, element(0x00091001, vr, value))))["0009,1001"]
    if vr == "FD" and value:
        rendered = "9.9999999999999995e-08\\nan\\-inf"
    if vr == "US" and len(value) == 3:
        rendered = "25185"
    assert answer == {
        "Name": "Unknown Tag & Data",
        "PrivateCreator": "TESTCREA",
        "Type": "Null" if rendered is None else "String",
        "Value": rendered,
    }


def test_private_tags_take_name_and_type_from_their_creator() -> None:
    content = file(
        dataset(
            element(0x00090010, "LO", b"GEMS_IDEN_01"),
            element(0x00091001, "UN", b"FULL"),
            element(0x00091027, "UN", b"1234"),
            element(0x00091101, "LO", b"nobody's"),
        )
    )
    answer = render(content)
    assert answer["0009,0010"]["Name"] == "PrivateCreator"
    assert answer["0009,1001"] == {
        "Name": "FullFidelity",
        "PrivateCreator": "GEMS_IDEN_01",
        "Type": "String",
        "Value": "FULL",
    }
    assert answer["0009,1027"]["Type"] == "Null"
    assert answer["0009,1101"] == {
        "Name": "Unknown Tag & Data",
        "Type": "String",
        "Value": "nobody's",
    }


def test_a_private_sequence_that_pydicom_does_not_know_is_no_crash() -> None:
    creator = implicit(0x00210010, b"SIEMENS MR SDS 01 ")
    encoded = implicit(0x00080018, b"1.2\0") + creator + implicit(0x002110FE, b"")
    assert render(file(encoded, "1.2.840.10008.1.2"))["0021,10fe"]["Type"] in {"Sequence", "Null"}


def test_character_sets_reach_into_items_and_items_may_have_their_own() -> None:
    text = element(0x00081030, "LO", "Köln".encode())
    own = element(0x00080005, "CS", b"ISO_IR 144") + element(
        0x00081030, "LO", "Москва".encode("iso8859-5")
    )
    content = item(text) + item(own)
    encoded = dataset(element(0x00080005, "CS", b"ISO_IR 192"), element(0x00081140, "SQ", content))
    first, second = render(file(encoded), "simplify")["ReferencedImageSequence"]
    assert first["StudyDescription"] == "Köln"
    assert second["StudyDescription"] == "Москва"


def test_elements_made_in_python_are_rendered_like_those_read() -> None:
    made = Dataset()
    made.PatientName = "Müller^Jörg"
    made.SpecificCharacterSet = "ISO_IR 192"
    made.Rows = 512
    made.ImagePositionPatient = ["1.50", "2", "-3"]
    made.ReferencedImageSequence = [Dataset()]
    made.ReferencedImageSequence[0].ReferencedSOPClassUID = "1.2"
    made.PatientBirthDate = None
    made.add_new(0x00189073, "FD", [0.1, 2.0])
    made.add_new(0x00280009, "AT", 0x00181063)
    made.add_new(0x00420011, "OB", b"ab")
    assert to_orthanc_json(made, style="simplify", default_encoding="Latin1") == {
        "SpecificCharacterSet": "ISO_IR 192",
        "ReferencedImageSequence": [{"ReferencedSOPClassUID": "1.2"}],
        "PatientName": "Müller^Jörg",
        "PatientBirthDate": "",
        "AcquisitionDuration": "0.10000000000000001\\2",
        "ImagePositionPatient": "1.50\\2\\-3",
        "FrameIncrementPointer": "0018,1063",
        "Rows": "512",
        "EncapsulatedDocument": None,
    }


def test_rendering_converts_nothing_so_that_wrong_values_cannot_fail() -> None:
    content = file(
        dataset(
            element(0x00200013, "IS", b"not a number"),
            element(0x00200032, "DS", b"1\\?\\3 "),
            element(0x00100030, "DA", b"yesterday "),
            element(0x00280010, "US", b"abc"),
            element(0x00080060, "CS", b"\xff\xfe"),
        )
    )
    answer = render(content, "simplify")
    assert answer["InstanceNumber"] == "not a number"
    assert answer["ImagePositionPatient"] == "1\\?\\3"
    assert answer["PatientBirthDate"] == "yesterday"
    assert answer["Rows"] == "25185"
    assert answer["Modality"] == "ÿþ"


def test_simplifying_the_full_style_gives_the_simplified_one() -> None:
    inner = element(
        0x00081140, "SQ", item(element(0x00081150, "UI", b"1.2\0"), UNDEFINED) + ITEM_END
    )
    content = item(inner) + SEQUENCE_END
    encoded = dataset(element(0x00081115, "SQ", content, UNDEFINED))
    full = render(file(encoded, EXPLICIT))
    assert {one["Name"]: simplify(one) for one in full.values()} == render(
        file(encoded), "simplify"
    )
