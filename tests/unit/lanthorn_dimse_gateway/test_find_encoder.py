"""What C-FIND answers look like on the wire: the quick way and pydicom agree."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import Dataset, config
from pydicom.dataelem import DataElement
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_dataset
from pydicom.sequence import Sequence

from lanthorn_core.dicom.encodings import (
    EXPLICIT_VR_BIG_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
)
from lanthorn_dimse_gateway.scp.find_encoder import AnswerEncoder
from lanthorn_dimse_gateway.scp.find_identifier import ReturnKey

KEYS = (
    ReturnKey(0x0008_0020, "DA", "StudyDate"),
    ReturnKey(0x0008_0052, "CS", "QueryRetrieveLevel"),
    ReturnKey(0x0008_0054, "AE", "RetrieveAETitle"),
    ReturnKey(0x0008_1030, "LO", "StudyDescription"),
    ReturnKey(0x0010_0010, "PN", "PatientName"),
    ReturnKey(0x0010_4000, "LT", "PatientComments"),
    ReturnKey(0x0020_000D, "UI", "StudyInstanceUID"),
)
FIXED = {0x0008_0052: "STUDY", 0x0008_0054: "LANTHORN"}
COLUMNS = {"StudyDate": 1, "StudyDescription": 2, "PatientName": 3, "StudyInstanceUID": 4}
SYNTAXES = (EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN, EXPLICIT_VR_BIG_ENDIAN)

TEXTS = st.none() | st.text(
    st.characters(min_codepoint=0x20, max_codepoint=0x2FFF, exclude_characters="\\^=\x7f"),
    max_size=20,
).map(str.strip)
LATIN = st.none() | st.text(
    st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\\^=\x7f"),
    max_size=300,
).map(str.strip)
UIDS = st.none() | st.from_regex(r"[12](\.[1-9][0-9]{0,9}){1,5}", fullmatch=True)


def encoder(transfer_syntax: str, default_encoding: str = "Latin1") -> AnswerEncoder:
    return AnswerEncoder(KEYS, FIXED, COLUMNS, transfer_syntax, default_encoding)


def read(data: bytes, transfer_syntax: str) -> Dataset:
    return read_dataset(
        BytesIO(data),
        transfer_syntax == IMPLICIT_VR_LITTLE_ENDIAN,
        transfer_syntax != EXPLICIT_VR_BIG_ENDIAN,
    )


def written_by_pydicom(row: list[Any], transfer_syntax: str, charset: str) -> bytes:
    dataset = Dataset()
    values = {key.keyword: row[place] for key in KEYS if (place := COLUMNS.get(key.keyword))}
    with config.disable_value_validation():
        dataset.SpecificCharacterSet = charset
        for key in KEYS:
            value = FIXED.get(key.tag, values.get(key.keyword) or "")
            dataset.add(DataElement(key.tag, key.vr, value))
        buffer = DicomBytesIO()
        buffer.is_implicit_VR = transfer_syntax == IMPLICIT_VR_LITTLE_ENDIAN
        buffer.is_little_endian = transfer_syntax != EXPLICIT_VR_BIG_ENDIAN
        write_dataset(buffer, dataset)
    return buffer.getvalue()


@pytest.mark.parametrize("transfer_syntax", SYNTAXES)
@settings(max_examples=60, deadline=None)
@given(row=st.tuples(st.just(1), st.sampled_from(["20240131", None, ""]), LATIN, LATIN, UIDS))
def test_texts_of_the_default_character_set_are_written_as_pydicom_writes_them(
    transfer_syntax: str, row: tuple[Any, ...]
) -> None:
    expected = written_by_pydicom(list(row), transfer_syntax, "ISO_IR 100")
    assert encoder(transfer_syntax).encode(row) == expected


@pytest.mark.parametrize("transfer_syntax", SYNTAXES)
@pytest.mark.parametrize("default_encoding", ["Latin1", "Ascii", "Utf8", "Greek", "JapaneseKanji"])
@settings(max_examples=60, deadline=None)
@given(row=st.tuples(st.just(1), st.just("20240131"), TEXTS, TEXTS, UIDS))
def test_every_text_comes_back_as_it_was_whatever_the_default_encoding(
    transfer_syntax: str, default_encoding: str, row: tuple[Any, ...]
) -> None:
    data = encoder(transfer_syntax, default_encoding).encode(row)
    with config.disable_value_validation():
        answer = read(data, transfer_syntax)
        answer.decode()
        assert str(answer.StudyDescription) == (row[2] or "")
        assert str(answer.PatientName) == (row[3] or "")
        assert str(answer.StudyInstanceUID or "") == (row[4] or "")
    assert [int(tag) for tag in answer.keys()] == [0x0008_0005, *(key.tag for key in KEYS)]  # noqa: SIM118


@pytest.mark.parametrize(
    ("default_encoding", "name", "term"),
    [
        ("Latin1", "Buc^Jérôme", "ISO_IR 100"),
        ("Ascii", "Buc^Jérôme", "ISO_IR 192"),
        ("Latin1", "Wang^XiaoDong=王^小东", "ISO_IR 192"),
        ("Chinese", "Wang^XiaoDong=王^小东", "GB18030"),
        ("Japanese", "ﾔﾏﾀﾞ^ﾀﾛｳ", "ISO_IR 13"),
        ("Japanese", "Yamada^Tarou=山田^太郎", "ISO_IR 192"),
        ("JapaneseKanji", "Yamada^Tarou=山田^太郎=やまだ^たろう", ["", "ISO 2022 IR 87"]),
        ("Korean", "Hong^Gildong=洪^吉洞=홍^길동", ["", "ISO 2022 IR 149"]),
        ("Windows1251", "Люкceмбypг", "ISO_IR 144"),  # noqa: RUF001
    ],
)
def test_an_answer_names_the_character_set_that_it_is_written_in(
    default_encoding: str, name: str, term: Any
) -> None:
    data = encoder(EXPLICIT_VR_LITTLE_ENDIAN, default_encoding).encode((1, "", "", name, ""))
    answer = read(data, EXPLICIT_VR_LITTLE_ENDIAN)
    assert answer.SpecificCharacterSet == term
    answer.decode()
    assert answer.PatientName == name


def test_elements_of_a_file_stand_in_their_place_and_count_for_the_character_set() -> None:
    item = Dataset()
    item.CodeMeaning = "頭部"
    elements = Dataset()
    elements.ProcedureCodeSequence = [item]
    elements.Rows = 512
    keys = (
        *KEYS[:3],
        ReturnKey(0x0008_1032, "SQ", "ProcedureCodeSequence"),
        ReturnKey(0x0028_0010, "US", "Rows"),
        ReturnKey(0x0028_0011, "US", "Columns"),
    )
    made = AnswerEncoder(keys, FIXED, {"StudyDate": 1}, IMPLICIT_VR_LITTLE_ENDIAN, "Latin1")
    answer = read(made.encode_with((1, "20240131"), elements), IMPLICIT_VR_LITTLE_ENDIAN)
    assert answer.SpecificCharacterSet == "ISO_IR 192"
    assert answer.ProcedureCodeSequence[0].CodeMeaning == "頭部"
    assert (answer.Rows, answer.Columns, answer.StudyDate) == (512, None, "20240131")


def test_numbers_that_the_index_holds_as_text_are_written_as_numbers() -> None:
    keys = (ReturnKey(0x0054_0081, "US", "NumberOfSlices"),)
    made = AnswerEncoder(keys, {}, {"NumberOfSlices": 1}, EXPLICIT_VR_LITTLE_ENDIAN, "Latin1")
    assert read(made.encode((1, "64")), EXPLICIT_VR_LITTLE_ENDIAN).NumberOfSlices == 64
    for wrong in ("many", "-1", "70000"):
        answer = read(made.encode((1, wrong)), EXPLICIT_VR_LITTLE_ENDIAN)
        assert answer.NumberOfSlices is None


def test_what_pydicom_cannot_write_and_what_is_too_long_is_left_empty() -> None:
    elements = Dataset()
    elements.add(DataElement(0x0028_0010, "US", 512))
    elements["Rows"]._value = "not a number"
    keys = (*KEYS[3:4], ReturnKey(0x0028_0010, "US", "Rows"))
    made = AnswerEncoder(keys, {}, {"StudyDescription": 1}, EXPLICIT_VR_LITTLE_ENDIAN, "Latin1")
    answer = read(made.encode_with((1, "x" * 70_000), elements), EXPLICIT_VR_LITTLE_ENDIAN)
    assert (answer.StudyDescription, answer.Rows) == ("", None)


def test_sequences_without_items_are_empty() -> None:
    keys = (ReturnKey(0x0008_1032, "SQ", "ProcedureCodeSequence"),)
    made = AnswerEncoder(keys, {}, {}, EXPLICIT_VR_LITTLE_ENDIAN, "Latin1")
    answer = read(made.encode((1,)), EXPLICIT_VR_LITTLE_ENDIAN)
    assert answer.ProcedureCodeSequence == Sequence()
