"""Resources as Orthanc shows them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lanthorn_core.model import Level
from lanthorn_core.ports.index import Resource
from lanthorn_rest_api.metadata_names import MetadataNames
from lanthorn_rest_api.resources_json import (
    PARTS,
    orthanc_time,
    resource_json,
    series_status,
    shown_tags,
)

SERIES = Resource(
    level=Level.SERIES,
    public_id="a",
    main_tags={"Modality": "CT"},
    metadata={"ModifiedFrom": "b"},
    labels=["x"],
    parent_id="c",
    child_ids=["d"],
    updated_at=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
)
NAMES = MetadataNames({})


@pytest.mark.parametrize(
    ("expected", "indexes", "status"),
    [
        (None, [1, 2], "Unknown"),
        (2, [1, None], "Unknown"),
        (2, [1], "Missing"),
        (2, [2, 1], "Complete"),
        (2, [1, 1], "Inconsistent"),
        (2, [0], "Inconsistent"),
        (2, [3], "Inconsistent"),
    ],
)
def test_the_status_of_a_series(
    expected: int | None, indexes: list[int | None], status: str
) -> None:
    series = replace(SERIES, expected_number_of_instances=expected, child_indexes=indexes)
    assert series_status(series) == status


def test_moments_are_shown_in_utc() -> None:
    moment = datetime(2026, 1, 1, 1, tzinfo=timezone(timedelta(hours=2)))
    assert orthanc_time(moment) == "20251231T230000"


def test_an_expanded_series_has_orthancs_fields() -> None:
    assert resource_json(SERIES, NAMES) == {
        "ID": "a",
        "Type": "Series",
        "MainDicomTags": {"Modality": "CT"},
        "Labels": ["x"],
        "ParentStudy": "c",
        "Instances": ["d"],
        "IsStable": False,
        "Status": "Unknown",
        "ExpectedNumberOfInstances": None,
        "LastUpdate": "20260102T030405",
        "ModifiedFrom": "b",
    }


@given(parts=st.frozensets(st.sampled_from(sorted(PARTS))), level=st.sampled_from(Level))
def test_chosen_parts_bring_no_others(parts: frozenset[str], level: Level) -> None:
    resource = replace(SERIES, level=level)
    shown = resource_json(resource, NAMES, parts=parts)
    everything = resource_json(resource, NAMES, parts=PARTS)
    assert shown.items() <= everything.items()
    assert ("Labels" in shown) == ("Labels" in parts)
    assert not {"FileSize", "LastUpdate"} & shown.keys()


def test_tags_have_three_formats() -> None:
    tags = {"PatientName": "Doe", "OtherPatientIDs": ""}
    assert shown_tags(tags, "simplify") == tags
    assert shown_tags(tags, "short") == {"0010,0010": "Doe", "0010,1000": ""}
    assert shown_tags(tags, "full")["0010,0010"] == {
        "Name": "PatientName",
        "Type": "String",
        "Value": "Doe",
    }
