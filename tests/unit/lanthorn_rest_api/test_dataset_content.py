"""Paths into data sets."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from lanthorn_core.dicom.reading import dataset_of_header
from lanthorn_core.dicom.scan import parse_header
from lanthorn_core.errors import UnknownTag
from lanthorn_rest_api.dataset_content import NothingThere, content, in_little_endian

SYNTAXES = [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian]


def item(**elements: Any) -> Dataset:
    dataset = Dataset()
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    return dataset


def example(syntax: UID = ExplicitVRLittleEndian) -> Dataset:
    buffer = DicomBytesIO()
    buffer.is_little_endian = syntax.is_little_endian
    buffer.is_implicit_VR = syntax.is_implicit_VR
    write_dataset(
        buffer,
        item(
            SpecificCharacterSet=["", "ISO 2022 IR 149"],
            SimpleFrameList=[1, 2],
            PatientName="Odd^Name",
            OtherPatientIDsSequence=[
                item(PatientID="A", TypeOfPatientID="TEXT"),
                item(PatientID="B", OtherPatientIDsSequence=[item(Rows=7)]),
            ],
            ReferencedStudySequence=[],
            Rows=8,
        ),
    )
    return dataset_of_header(parse_header(buffer.getvalue(), syntax))


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("0010-0010", b"Odd^Name"),
        ("PatientName", b"Odd^Name"),
        ("0008-0005", b"\\ISO 2022 IR 149"),
        ("0008-1161", b"\x01\0\0\0\x02\0\0\0"),
        ("0028-0010", b"\x08\0"),
        ("0010-1002", ["0", "1"]),
        ("0008-1110", []),
        ("0010-1002/0", ["0010-0020", "0010-0022"]),
        ("0010-1002/0/0010-0020", b"A "),
        ("0010-1002/1/0010-1002/0/0028-0010", b"\x07\0"),
    ],
)
def test_a_path_leads_to_the_stored_bytes(syntax: UID, path: str, found: bytes | list[str]) -> None:
    dataset = example(syntax)
    assert content(dataset, path.split("/"), little_endian=syntax.is_little_endian) == found


@pytest.mark.parametrize(
    "path",
    [
        "9999-9999",
        "0010-1030",
        "0010-0010/0",
        "0010-1002/2",
        "0010-1002/-1",
        "0010-1002/x",
        "0010-1002/" + "9" * 5000,
        "0010-1002/\u0662",
        "0010-1002/0/0010-0010",
        "0010-1002/0/0010-0020/0",
        "0008-1110/0",
    ],
)
def test_a_path_may_lead_nowhere(path: str) -> None:
    with pytest.raises(NothingThere):
        content(example(), path.split("/"), little_endian=True)


@pytest.mark.parametrize("path", ["Foo", "0010-001", "0010-1002/0/foo", "0010-00100"])
def test_what_is_no_tag_is_said_to_be_none(path: str) -> None:
    with pytest.raises(UnknownTag) as caught:
        content(example(), path.split("/"), little_endian=True)
    assert caught.value.details == path.rpartition("/")[2]


def test_an_empty_path_lists_the_tags() -> None:
    tags = content(example(), [], little_endian=True)
    assert tags == sorted(tags)
    assert "0010-1002" in tags


@given(st.binary(max_size=64), st.sampled_from(["US", "UL", "FD", "OB", "LO"]))
def test_numbers_turned_twice_are_as_before(value: bytes, vr: str) -> None:
    turned = in_little_endian(value, vr, little_endian=False)
    assert value.startswith(in_little_endian(turned, vr, little_endian=False))
    assert in_little_endian(value, vr, little_endian=True) == value
