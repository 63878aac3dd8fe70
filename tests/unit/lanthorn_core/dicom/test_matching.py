"""The matching engine: constraints parsed, and applied in memory (PS3.4 Section C.2.2.2)."""

from __future__ import annotations

import fnmatch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lanthorn_core.dicom.matching import (
    is_indexed,
    is_text_indexed,
    matches,
    parse_constraint,
    widen_times,
    wildcard_to_regex,
    without_zeros,
)
from lanthorn_core.errors import InvalidIdentifier

PATIENT_ID = 0x0010_0020
IMAGE_TYPE = 0x0008_0008
PATIENT_NAME = 0x0010_0010
STUDY_DATE = 0x0008_0020
STUDY_UID = 0x0020_000D
MODALITIES = 0x0008_0061
ROWS = 0x0028_0010


@pytest.mark.parametrize("text", ["", "*", "**", "  ", "\0"])
def test_an_empty_or_starred_constraint_is_universal(text: str) -> None:
    key = parse_constraint(PATIENT_ID, text)
    assert key.kind == "universal"
    assert matches(key, None)


@pytest.mark.parametrize(
    ("tag", "text", "value", "expected"),
    [
        (PATIENT_ID, "abc", "abc", True),
        (PATIENT_ID, "abc", "ABC", False),
        (PATIENT_ID, "abc", None, False),
        (PATIENT_ID, r"a\b", "b", True),
        (PATIENT_ID, "a*c", "abbbc", True),
        (PATIENT_ID, "a?c", "abbc", False),
        (PATIENT_ID, "a.c", "abc", False),
        (PATIENT_ID, "1-2", "1-2", True),
        (STUDY_DATE, "20200101-20200131", "20200115", True),
        (STUDY_DATE, "20200101-", "20191231", False),
        (STUDY_DATE, "-20200101", "20200101", True),
        (STUDY_UID, r"1.2\1.3", "1.3", True),
        (IMAGE_TYPE, r"AXIAL\DERIVED", r"DERIVED\PRIMARY", True),
        (IMAGE_TYPE, r"AXIAL\LOCALIZER", r"DERIVED\PRIMARY", False),
        (IMAGE_TYPE, "DERIVED", r"DERIVED\PRIMARY", False),
        (PATIENT_ID, r"a\c", r"a\b", False),
    ],
)
def test_each_kind_of_matching(tag: int, text: str, value: str | None, expected: bool) -> None:
    assert matches(parse_constraint(tag, text), value) is expected


def test_case_counts_only_where_asked_and_never_on_uids() -> None:
    assert matches(parse_constraint(PATIENT_NAME, "DÖE*", case_sensitive=False), "döe^x")
    assert not matches(parse_constraint(PATIENT_NAME, "DOE*", case_sensitive=False), "döe^x")
    assert parse_constraint(STUDY_UID, "1.2", case_sensitive=False).case_sensitive


def test_wildcards_are_refused_where_the_vr_has_none() -> None:
    with pytest.raises(InvalidIdentifier, match="0020,000d"):
        parse_constraint(STUDY_UID, "1.2.*")


def test_the_index_answers_for_its_own_level_and_those_above() -> None:
    patient_id = parse_constraint(PATIENT_ID, "x")
    modalities = parse_constraint(MODALITIES, "CT")
    assert is_indexed(patient_id, "Instance")
    assert not is_indexed(parse_constraint(STUDY_DATE, "20200101"), "Patient")
    assert is_indexed(modalities, "Study")
    assert not is_indexed(modalities, "Series")
    assert not is_indexed(parse_constraint(ROWS, "8"), "Instance")


@given(st.text("ab*?", max_size=8), st.text("ab*?", max_size=8))
def test_a_value_matches_itself_and_every_pattern_made_of_it(value: str, mask: str) -> None:
    pattern = "".join("?" if letter in "ab" else "*" for letter in mask)
    fits = len(value) >= pattern.count("?") if "*" in pattern else len(value) == len(pattern)
    if set(pattern) != {"*"} and pattern:
        assert matches(parse_constraint(PATIENT_ID, pattern), value) is fits


STUDY_TIME = 0x0008_0030


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        ("120000", "12"),
        ("120000.000", "12"),
        ("120030", "120030"),
        ("000000", "00"),
        ("101500", "1015"),
        ("101500.250000", "101500.25"),
        ("", ""),
    ],
)
def test_components_of_a_time_that_are_zero_can_be_left_out(time: str, expected: str) -> None:
    assert without_zeros(time) == expected


@pytest.mark.parametrize(
    ("span", "time", "expected"),
    [
        ("1000-1100", "110059.9", True),
        ("1000-1100", "110100", False),
        ("120000-", "12", True),
        ("120001-", "12", False),
        ("-2359", "235959.999999", True),
        ("000000-000000", "00", True),
    ],
)
def test_a_range_of_times_takes_in_what_is_written_more_or_less_precisely(
    span: str, time: str, expected: bool
) -> None:
    assert matches(widen_times(parse_constraint(STUDY_TIME, span)), time) is expected


@pytest.mark.parametrize("text", ["20240101-20240131", "20240101"])
def test_only_ranges_of_times_are_widened(text: str) -> None:
    key = parse_constraint(STUDY_DATE, text)
    assert widen_times(key) is key


def test_two_quotation_marks_are_a_value_unless_they_may_ask_for_none() -> None:
    assert parse_constraint(PATIENT_ID, '""').kind == "single"
    key = parse_constraint(PATIENT_ID, '""', empty_values=True)
    assert matches(key, "")
    assert matches(key, None)
    assert not matches(key, "P1")


@pytest.mark.parametrize(
    ("keyword", "level", "expected"),
    [
        ("PatientName", "Instance", True),
        ("SOPClassUID", "Instance", True),
        ("SOPClassUID", "Series", False),
        ("InstanceAvailability", "Study", False),
        ("NumberOfStudyRelatedSeries", "Patient", False),
        ("NumberOfStudyRelatedSeries", "Series", True),
        ("RequestAttributesSequence", "Series", False),
        ("Rows", "Instance", False),
        ("", "Instance", False),
    ],
)
def test_texts_of_the_index_are_those_of_the_level_and_above(
    keyword: str, level: str, expected: bool
) -> None:
    assert is_text_indexed(keyword, level) is expected


@given(st.text("ab*?", max_size=8), st.text("ab", max_size=8))
def test_wildcards_match_as_the_shell_has_them(pattern: str, value: str) -> None:
    expected = fnmatch.fnmatchcase(value, pattern)
    assert bool(wildcard_to_regex(pattern).fullmatch(value)) is expected


def test_a_hostile_pattern_is_done_with_at_once() -> None:
    key = parse_constraint(PATIENT_ID, "*a" * 100 + "*b")
    assert not matches(key, "a" * 10_000)


def test_thousands_of_patterns_are_refused() -> None:
    with pytest.raises(InvalidIdentifier, match="more than"):
        parse_constraint(PATIENT_ID, "\\".join(["a*"] * 1001))
