"""What is understood of a C-FIND identifier."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import Dataset, config
from pydicom.dataelem import RawDataElement
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.tag import Tag
from pynetdicom.sop_class import (
    PatientStudyOnlyQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelFind,
)

from lanthorn_core.dicom.encodings import (
    EXPLICIT_VR_BIG_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
)
from lanthorn_core.errors import InvalidIdentifier, InvalidParameter
from lanthorn_core.model import Level
from lanthorn_dimse_gateway.scp.find_identifier import (
    FindIdentifier,
    FindRules,
    parse_find_identifier,
)

SYNTAXES = (EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN, EXPLICIT_VR_BIG_ENDIAN)


def encode(dataset: Dataset, transfer_syntax: str = EXPLICIT_VR_LITTLE_ENDIAN) -> bytes:
    buffer = DicomBytesIO()
    buffer.is_implicit_VR = transfer_syntax == IMPLICIT_VR_LITTLE_ENDIAN
    buffer.is_little_endian = transfer_syntax != EXPLICIT_VR_BIG_ENDIAN
    with config.disable_value_validation():  # wrong values are what some tests are about
        write_dataset(buffer, dataset)
    return buffer.getvalue()


def raw(tag: int, vr: str, value: bytes) -> RawDataElement:
    value += b" " * (len(value) & 1)
    return RawDataElement(Tag(tag), vr, len(value), value, 0, False, True)


def identifier(level: str | None = "STUDY", **keys: Any) -> Dataset:
    dataset = Dataset()
    with config.disable_value_validation():
        if level is not None:
            dataset.QueryRetrieveLevel = level
        for keyword, value in keys.items():
            setattr(dataset, keyword, value)
    return dataset


def parse(
    dataset: Dataset,
    *,
    transfer_syntax: str = EXPLICIT_VR_LITTLE_ENDIAN,
    model: str = StudyRootQueryRetrieveInformationModelFind,
    rules: FindRules = FindRules(),  # noqa: B008  # frozen
    combined: bool = False,
) -> FindIdentifier:
    data = encode(dataset, transfer_syntax)
    return parse_find_identifier(data, transfer_syntax, model, rules, combined_datetime=combined)


@pytest.mark.parametrize("transfer_syntax", SYNTAXES)
def test_keys_with_a_value_restrict_and_all_keys_are_returned(transfer_syntax: str) -> None:
    asked = identifier(PatientID="P1", StudyDate="", PatientName="Doe*", Rows=4)
    parsed = parse(asked, transfer_syntax=transfer_syntax)
    keys = {key.keyword: (key.kind, key.values) for key in parsed.query.keys}
    assert keys == {
        "PatientID": ("single", ("P1",)),
        "PatientName": ("wildcard", ("Doe*",)),
        "Rows": ("single", ("4",)),
    }
    assert [key.keyword for key in parsed.return_keys] == [
        *("StudyDate", "QueryRetrieveLevel", "PatientName", "PatientID", "Rows")
    ]
    assert parsed.file_tags == (0x0028_0010,)


@pytest.mark.parametrize(
    ("written", "level"),
    [
        ("PATIENT", Level.PATIENT),
        ("STUDY ", Level.STUDY),
        ("Series", Level.SERIES),
        ("IMAGE", Level.INSTANCE),
        ("instance", Level.INSTANCE),
    ],
)
def test_levels_are_read_whatever_their_case(written: str, level: Level) -> None:
    assert parse(identifier(written)).level is level


@pytest.mark.parametrize("level", [None, "", "WORKLIST", ["STUDY", "SERIES"]])
def test_a_level_that_is_none_is_refused_with_c000(level: Any) -> None:
    with pytest.raises(InvalidIdentifier) as refusal:
        parse(identifier(level))
    assert refusal.value.c_find == 0xC000


def test_patient_study_only_ends_at_the_studies() -> None:
    model = PatientStudyOnlyQueryRetrieveInformationModelFind
    assert parse(identifier("STUDY"), model=model).level is Level.STUDY
    with pytest.raises(InvalidParameter) as refusal:
        parse(identifier("SERIES"), model=model)
    assert refusal.value.c_find == 0xA900


def test_bytes_that_are_no_data_set_are_refused() -> None:
    data = encode(identifier(PatientID="P1"))[:-1]
    with pytest.raises(InvalidIdentifier, match="cannot be read"):
        parse_find_identifier(
            data,
            EXPLICIT_VR_LITTLE_ENDIAN,
            StudyRootQueryRetrieveInformationModelFind,
            FindRules(),
            combined_datetime=False,
        )


def test_an_identifier_with_thousands_of_keys_is_refused() -> None:
    crowd = identifier()
    for number in range(2100):
        crowd[0x0009_1000 + number] = raw(0x0009_1000 + number, "LO", b"x")
    with pytest.raises(InvalidIdentifier, match="more than"):
        parse(crowd)


def test_wildcards_in_uids_and_dates_are_refused() -> None:
    for tag, vr, value in ((0x0020_000D, "UI", b"1.2.*"), (0x0008_0020, "DA", b"2024*")):
        asked = identifier()
        asked[tag] = raw(tag, vr, value)
        with pytest.raises(InvalidIdentifier, match="Wildcards are not allowed"):
            parse(asked)


def test_case_counts_but_in_names_of_people_unless_told_otherwise() -> None:
    asked = identifier(PatientID="p1", PatientName="Doe")
    cased = {key.keyword: key.case_sensitive for key in parse(asked).query.keys}
    assert cased == {"PatientID": True, "PatientName": False}
    strict = parse(asked, rules=FindRules(case_sensitive_pn=True))
    assert all(key.case_sensitive for key in strict.query.keys)


@pytest.mark.parametrize(
    ("charset", "name"),
    [
        ("ISO_IR 100", "Buc^Jérôme"),
        ("ISO_IR 192", "Wang^XiaoDong=王^小东"),
        (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎=やまだ^たろう"),
        (["", "ISO 2022 IR 149"], "Hong^Gildong=洪^吉洞=홍^길동"),
    ],
)
def test_keys_are_read_in_the_character_set_of_the_identifier(charset: Any, name: str) -> None:
    parsed = parse(identifier(SpecificCharacterSet=charset, PatientName=name))
    assert parsed.query.keys[0].values == (name,)
    assert "SpecificCharacterSet" not in {key.keyword for key in parsed.return_keys}


@pytest.mark.parametrize(
    ("charset", "name"),
    [
        ("ISO_IR 192", b"\xff\xfe"),
        ("ISO_IR 192", b"\xff*"),
        ("ISO_IR 192", "Müller*".encode("latin-1")),
        ("ISO_IR 6", "Müller".encode("latin-1")),
        ("ISO_IR 6", b"\x01"),
        (["", "ISO 2022 IR 87"], b"\x1b$B\x80\x80"),
        (["ISO 2022 IR 6", "ISO 2022 IR 149"], b"Hong=\x1b$)C\xff\xff"),
    ],
)
@pytest.mark.parametrize("place", ["study", "item"])
def test_a_key_with_bytes_that_are_none_of_its_character_set_is_refused(
    charset: Any, name: bytes, place: str
) -> None:
    # What could be read of it alone would match more than was asked for, or everything.
    asked = identifier(SpecificCharacterSet=charset)
    keys = asked
    if place == "item":
        keys = Dataset()
        asked.RequestAttributesSequence = [keys]
    name += b" " * (len(name) % 2)
    keys.PatientName = "Z" * len(name)
    encoded = encode(asked).replace(b"Z" * len(name), name)
    with pytest.raises(InvalidIdentifier, match="none of its character set"):
        parse_find_identifier(
            encoded,
            EXPLICIT_VR_LITTLE_ENDIAN,
            StudyRootQueryRetrieveInformationModelFind,
            FindRules(),
            combined_datetime=False,
        )


def test_keys_without_a_character_set_are_read_in_the_default_encoding() -> None:
    asked = identifier()
    asked[0x0010_0010] = raw(0x0010_0010, "PN", "Buc^Jérôme".encode("latin-1"))
    assert parse(asked).query.keys[0].values == ("Buc^Jérôme",)


@pytest.mark.parametrize("nothing", ["", "*", "**", "=", "-"])
def test_keys_that_say_nothing_find_everything(nothing: str) -> None:
    asked = identifier(PatientName=nothing if nothing != "-" else "")
    if nothing == "-":
        asked[0x0008_0020] = raw(0x0008_0020, "DA", b"-")
    assert parse(asked).query.keys == ()


def test_what_is_of_the_query_only_restricts_nothing() -> None:
    asked = identifier(
        RetrieveAETitle="OTHER",
        InstanceAvailability="NEARLINE",
        TimezoneOffsetFromUTC="+0100",
        SpecificCharacterSet="ISO_IR 192",
    )
    asked[0x0008_0000] = raw(0x0008_0000, "UL", b"\x10\0\0\0")
    parsed = parse(asked)
    assert parsed.query.keys == ()
    assert parsed.file_tags == ()
    assert 0x0008_0000 not in {key.tag for key in parsed.return_keys}


def test_two_quotation_marks_ask_for_what_has_no_value() -> None:
    (key,) = parse(identifier(StudyDescription='""')).query.keys
    assert key.kind == "empty"


def test_dates_and_times_are_one_range_if_that_was_negotiated() -> None:
    asked = identifier(StudyDate="20240115-20240116", StudyTime="2200-0600")
    assert {key.keyword for key in parse(asked).query.keys} == {"StudyDate", "StudyTime"}
    combined = parse(asked, combined=True).query
    assert combined.keys == ()
    (moment,) = combined.moments
    assert (moment.lower[:14], moment.upper[:12]) == ("20240115220000", "202401160600")


def test_sequences_restrict_by_their_item() -> None:
    item = Dataset()
    item.CodeValue = "CT1"
    item.CodeMeaning = ""
    parsed = parse(identifier(ProcedureCodeSequence=[item]))
    assert parsed.query.items is not None
    assert parsed.file_tags == (0x0008_1032,)
    item.CodeValue = ""
    assert parse(identifier(ProcedureCodeSequence=[item])).query.items is None


def test_private_creators_are_handed_back_and_do_not_restrict() -> None:
    asked = identifier()
    block = asked.private_block(0x0009, "ACME 1.0", create=True)
    block.add_new(1, "LO", "private")
    parsed = parse(asked)
    assert parsed.private_creators == {0x0009_0010: "ACME 1.0"}
    assert [key.tag for key in parsed.query.keys] == [0x0009_1001]
    assert parsed.file_tags == (0x0009_1001,)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200), st.sampled_from(SYNTAXES))
def test_any_bytes_are_understood_or_refused(data: bytes, transfer_syntax: str) -> None:
    valid = encode(identifier(PatientID="P1", ProcedureCodeSequence=[Dataset()]), transfer_syntax)
    for candidate in (data, valid + data, valid[: len(data)] + data + valid[len(data) :]):
        with suppress(InvalidIdentifier, InvalidParameter):
            parse_find_identifier(
                candidate,
                transfer_syntax,
                StudyRootQueryRetrieveInformationModelFind,
                FindRules(),
                combined_datetime=True,
            )
