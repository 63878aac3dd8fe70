"""The matching engine: constraints parsed, and applied in memory (PS3.4 Section C.2.2.2)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lanthorn_core.dicom.matching import (
    is_indexed,
    matches,
    parse_constraint,
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
