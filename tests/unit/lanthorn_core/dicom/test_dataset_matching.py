from __future__ import annotations

from typing import Any

import pytest
from pydicom import Dataset
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag

from lanthorn_core.dicom.dataset_answer import select_answer
from lanthorn_core.dicom.dataset_matching import (
    MAX_KEYS,
    matches_dataset,
    parse_keys,
)
from lanthorn_core.dicom.part10 import read_dataset
from lanthorn_core.errors import InvalidIdentifier
from tests.fixtures.worklist_files import make_query, make_step, make_worklist

DATE, TIME = "ScheduledProcedureStepStartDate", "ScheduledProcedureStepStartTime"


def is_match(identifier: Dataset, file: bytes, **options: Any) -> bool:
    keys = parse_keys(identifier, default_encoding="Latin1", **options)
    return matches_dataset(keys, read_dataset(file), default_encoding="Latin1")


def answer_to(identifier: Dataset, file: bytes) -> Dataset:
    keys = parse_keys(identifier, default_encoding="Latin1")
    return select_answer(identifier, keys, read_dataset(file), default_encoding="Latin1")


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (make_query(), True),
        (make_query(PatientID="P1"), True),
        (make_query(PatientID="p1"), False),
        (make_query(PatientID="P2"), False),
        (make_query(PatientID="P2\\P1"), True),
        (make_query(PatientID="*"), True),
        (make_query(PatientName="doe^*"), True),
        (make_query(PatientName="D?e^John"), True),
        (make_query(PatientSex="M"), False),
        (make_query(("Modality", "CT")), True),
        (make_query(("Modality", "MR")), False),
        (make_query(("Modality", "CT"), ("ScheduledStationAETitle", "CT?")), True),
        (make_query((DATE, "20260701-20260731")), True),
        (make_query((DATE, "20260706-")), False),
        (make_query((DATE, "-20260705")), True),
        (make_query(PatientID="P1", AccessionNumber="A2"), False),
    ],
)
def test_all_keys_of_all_levels_must_match(query: Dataset, expected: bool) -> None:
    assert is_match(query, make_worklist()) is expected


def test_an_empty_or_absent_value_matches_universal_keys_only() -> None:
    file = make_worklist(AccessionNumber="")
    assert is_match(make_query(AccessionNumber="*", PatientSex=""), file)
    assert not is_match(make_query(AccessionNumber="?*"), file)
    assert not is_match(make_query(PatientSex="?"), file)


def test_keys_of_a_sequence_must_match_within_one_item() -> None:
    file = make_worklist(make_step(), make_step(Modality="MR", ScheduledStationAETitle="MR1"))
    assert is_match(make_query(("Modality", "MR"), ("ScheduledStationAETitle", "MR1")), file)
    assert not is_match(make_query(("Modality", "MR"), ("ScheduledStationAETitle", "CT1")), file)


def test_one_of_several_values_is_enough() -> None:
    file = make_worklist(make_step(ScheduledStationAETitle=["CT1", "CT2"]))
    assert is_match(make_query(("ScheduledStationAETitle", "CT2")), file)


@pytest.mark.parametrize(
    ("dates", "times", "expected"),
    [
        ("20260705-20260707", "1000-1800", True),
        ("20260704-20260706", "1000-1800", True),  # within the days, after 18:00 of the last one
        ("20260705-20260707", "1200-1800", False),  # before 12:00 of the first day
        ("20260704-20260705", "0000-1059", False),
        ("20260704-20260705", "0000-11", True),
        ("-20260705", "-1100", True),
        ("20260706-", "0000-", False),
    ],
)
def test_ranges_of_start_date_and_time_are_one_range(
    dates: str, times: str, expected: bool
) -> None:
    step = make_step(**{TIME: "1100"})
    assert is_match(make_query((DATE, dates), (TIME, times)), make_worklist(step)) is expected


@pytest.mark.parametrize(
    ("times", "time", "expected"),
    [("-1100", "110030", True), ("1000-1059", "110000", False), ("1100-", "11", True)],
)
def test_a_range_of_times_takes_in_what_is_written_more_precisely(
    times: str, time: str, expected: bool
) -> None:
    file = make_worklist(make_step(**{TIME: time}))
    assert is_match(make_query((TIME, times)), file) is expected


def test_keys_and_values_are_read_in_their_own_character_sets() -> None:
    query = make_query(PatientName="Müller^*")
    query.SpecificCharacterSet = "ISO_IR 100"
    file = make_worklist(PatientName="MÜLLER^Jörg", character_set="ISO_IR 192")
    assert is_match(query, file)
    assert not is_match(query, file, case_sensitive_pn=True)


def test_an_answer_has_what_was_asked_for() -> None:
    query = make_query(("Modality", "MR"), (DATE, ""), PatientID="P1", PatientSex="")
    answer = answer_to(query, make_worklist(make_step(), make_step(Modality="MR")))
    assert [element.keyword for element in answer] == [
        "PatientName",
        "PatientID",
        "PatientSex",
        "ScheduledProcedureStepSequence",
    ]
    assert answer["PatientSex"].is_empty
    (step,) = answer.ScheduledProcedureStepSequence
    assert [(element.keyword, element.value) for element in step] == [
        ("Modality", "MR"),
        (DATE, "20260705"),
    ]


def test_a_sequence_without_keys_is_answered_whole() -> None:
    query = make_query()
    query.ScheduledProcedureStepSequence = []
    (step,) = answer_to(query, make_worklist()).ScheduledProcedureStepSequence
    assert step.ScheduledStationAETitle == "CT1"
    assert len(step) == 4


def test_a_value_that_cannot_be_read_is_answered_empty() -> None:
    file = make_worklist(PatientWeight="70")
    weight = file.index(b"\x10\x00\x30\x10DS\x02\x0070")
    file = file[: weight + 8] + b"??" + file[weight + 10 :]
    query = make_query(PatientWeight="", PatientSize="")
    answer = answer_to(query, file)
    assert answer["PatientWeight"].is_empty
    assert answer.PatientName == "Doe^John"


def test_several_items_in_a_key_sequence_are_refused() -> None:
    query = make_query()
    query.ScheduledProcedureStepSequence = [make_step(), make_step()]
    with pytest.raises(InvalidIdentifier, match="more than one item"):
        parse_keys(query, default_encoding="Latin1")


def test_a_wildcard_where_none_may_be_is_refused() -> None:
    with pytest.raises(InvalidIdentifier, match="Wildcards"):
        parse_keys(make_query((DATE, "2026*")), default_encoding="Latin1")


def test_a_key_with_bytes_that_are_none_of_its_character_set_is_refused() -> None:
    query = make_query()
    query.SpecificCharacterSet = "ISO_IR 192"
    name = "Müller".encode("latin-1")
    query[0x0010_0010] = RawDataElement(Tag(0x0010_0010), "PN", len(name), name, 0, False, True)
    with pytest.raises(InvalidIdentifier, match="none of its character set"):
        parse_keys(query, default_encoding="Latin1")


def test_identifiers_without_end_are_refused() -> None:
    wide = Dataset()
    for number in range(MAX_KEYS + 1):
        wide.add_new((0x0041, 0x1000 + number), "LO", "")
    with pytest.raises(InvalidIdentifier, match="keys"):
        parse_keys(wide, default_encoding="Latin1")
    deep = inner = Dataset()
    for _ in range(20):
        item = Dataset()
        inner.ScheduledProcedureStepSequence = [item]
        inner = item
    with pytest.raises(InvalidIdentifier, match="deep"):
        parse_keys(deep, default_encoding="Latin1")
