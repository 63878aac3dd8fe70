from __future__ import annotations

from io import BytesIO

import pytest
from pydicom import Dataset, dcmread

from lanthorn_core.dicom.charset import DEFAULT_ENCODINGS
from lanthorn_core.dicom.dataset_writing import DEFINED_TERMS, encode_dataset
from lanthorn_core.dicom.encodings import (
    EXPLICIT_VR_BIG_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
)
from lanthorn_core.dicom.part10 import encode_file_meta


def named(name: str) -> Dataset:
    dataset, item = Dataset(), Dataset()
    dataset.PatientName = item.ScheduledPerformingPhysicianName = name
    dataset.ScheduledProcedureStepSequence = [item]
    return dataset


def read_back(encoded: bytes, transfer_syntax_uid: str) -> Dataset:
    meta = encode_file_meta(
        sop_class_uid="1.2", sop_instance_uid="1.3", transfer_syntax_uid=transfer_syntax_uid
    )
    return dcmread(BytesIO(meta + encoded))


@pytest.mark.parametrize(
    ("name", "preferred", "chosen"),
    [
        ("Doe^John", [()], None),
        ("Doe^John", [("ISO_IR 100",)], "ISO_IR 100"),
        ("Müller^Jörg", [("ISO_IR 100",), ("ISO_IR 192",)], "ISO_IR 100"),
        ("Müller^Jörg", [()], "ISO_IR 192"),
        ("Два^Имя", [("ISO_IR 100",), ("ISO_IR 144",)], "ISO_IR 144"),
        ("Два^Имя", [("ISO_IR 100",)], "ISO_IR 192"),
        ("山田^太郎", [("ISO_IR 13",)], "ISO_IR 192"),
        ("山田^太郎", [("", "ISO 2022 IR 87")], ["", "ISO 2022 IR 87"]),
        ("Müller", [("NO SUCH SET",)], "ISO_IR 192"),
    ],
)
def test_the_first_character_set_is_taken_that_has_all_characters(
    name: str, preferred: list[tuple[str, ...]], chosen: object
) -> None:
    encoded = encode_dataset(named(name), EXPLICIT_VR_LITTLE_ENDIAN, preferred)
    found = read_back(encoded, EXPLICIT_VR_LITTLE_ENDIAN)
    assert found.get("SpecificCharacterSet") == chosen
    assert found.PatientName == name
    assert found.ScheduledProcedureStepSequence[0].ScheduledPerformingPhysicianName == name


@pytest.mark.parametrize(
    "transfer_syntax_uid",
    [EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN, EXPLICIT_VR_BIG_ENDIAN],
)
def test_every_native_transfer_syntax_is_written(transfer_syntax_uid: str) -> None:
    encoded = encode_dataset(named("Doe^John"), transfer_syntax_uid, [()])
    assert read_back(encoded, transfer_syntax_uid).PatientName == "Doe^John"


def test_every_default_encoding_has_a_defined_term() -> None:
    assert DEFINED_TERMS.keys() == DEFAULT_ENCODINGS.keys()
