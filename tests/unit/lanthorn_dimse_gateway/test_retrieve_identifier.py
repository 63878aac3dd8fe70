"""Identifiers of C-MOVE and C-GET."""

from __future__ import annotations

import pytest
from pydicom.dataset import Dataset
from pynetdicom.dsutils import encode

from lanthorn_core.errors import InvalidIdentifier
from lanthorn_core.model import Level
from lanthorn_core.ports.index import FindQuery
from lanthorn_dimse_gateway.scp.retrieve_identifier import parse_retrieve_identifier

IMPLICIT, EXPLICIT, BIG_ENDIAN = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"


def parse(
    transfer_syntax: str = IMPLICIT,
    *,
    level_required: bool = False,
    deepest: Level = Level.INSTANCE,
    **values: str | list[str],
) -> FindQuery:
    identifier = Dataset()
    for keyword, value in values.items():
        setattr(identifier, keyword, value)
    encoded = encode(identifier, transfer_syntax == IMPLICIT, transfer_syntax != BIG_ENDIAN)
    assert encoded is not None
    return parse_retrieve_identifier(
        encoded, transfer_syntax, "Latin1", level_required=level_required, deepest=deepest
    )


def keys(query: FindQuery) -> dict[str, tuple[str, ...]]:
    return {key.keyword: key.values for key in query.keys}


@pytest.mark.parametrize("transfer_syntax", [IMPLICIT, EXPLICIT, BIG_ENDIAN])
@pytest.mark.parametrize(
    ("name", "keyword", "value", "level"),
    [
        ("PATIENT", "PatientID", "P 1", Level.PATIENT),
        ("STUDY", "StudyInstanceUID", "1.2.3", Level.STUDY),
        ("SERIES", "SeriesInstanceUID", "1.2.3.4", Level.SERIES),
        ("IMAGE", "SOPInstanceUID", "1.2.3.4.5", Level.INSTANCE),
        ("INSTANCE", "SOPInstanceUID", "1.2.3.4.5", Level.INSTANCE),
    ],
)
def test_each_level_has_its_unique_key(
    transfer_syntax: str, name: str, keyword: str, value: str, level: Level
) -> None:
    query = parse(transfer_syntax, QueryRetrieveLevel=name, **{keyword: value})
    assert query.level is level
    assert keys(query) == {keyword: (value,)}


def test_a_key_with_bytes_that_are_none_of_its_character_set_is_refused() -> None:
    # "P1" alone is another patient.
    identifier = (
        b"\x08\x00\x05\x00\x0a\x00\x00\x00ISO_IR 192\x10\x00\x20\x00\x04\x00\x00\x00P1\xff "
    )
    with pytest.raises(InvalidIdentifier, match="none of its character set"):
        parse_retrieve_identifier(identifier, IMPLICIT, "Latin1", level_required=False)


def test_a_list_of_uids_asks_for_all_of_them() -> None:
    query = parse(QueryRetrieveLevel="STUDY", StudyInstanceUID=["1.2.3", "1.2.4"])
    assert keys(query) == {"StudyInstanceUID": ("1.2.3", "1.2.4")}


def test_unique_keys_of_upper_levels_restrict() -> None:
    query = parse(
        QueryRetrieveLevel="SERIES",
        PatientID="P1",
        StudyInstanceUID="1.2.3",
        SeriesInstanceUID="1.2.3.4",
        SOPInstanceUID="1.2.3.4.5",
    )
    assert keys(query) == {
        "PatientID": ("P1",),
        "StudyInstanceUID": ("1.2.3",),
        "SeriesInstanceUID": ("1.2.3.4",),
    }


@pytest.mark.parametrize("empty", ["", "*"])
def test_an_upper_key_that_chooses_nothing_is_left_out(empty: str) -> None:
    query = parse(QueryRetrieveLevel="STUDY", PatientID=empty, StudyInstanceUID="1.2.3")
    assert keys(query) == {"StudyInstanceUID": ("1.2.3",)}


def test_a_study_may_be_named_by_its_accession_number() -> None:
    query = parse(QueryRetrieveLevel="STUDY", AccessionNumber="A1")
    assert (query.level, keys(query)) == (Level.STUDY, {"AccessionNumber": ("A1",)})


def test_the_uid_of_a_study_counts_before_its_accession_number() -> None:
    query = parse(QueryRetrieveLevel="STUDY", AccessionNumber="A1", StudyInstanceUID="1.2.3")
    assert keys(query) == {"StudyInstanceUID": ("1.2.3",)}


@pytest.mark.parametrize(
    ("values", "level"),
    [
        ({"PatientID": "P1"}, Level.PATIENT),
        ({"AccessionNumber": "A1"}, Level.STUDY),
        ({"PatientID": "P1", "StudyInstanceUID": "1.2.3"}, Level.STUDY),
        ({"StudyInstanceUID": "1.2.3", "SeriesInstanceUID": "1.2.3.4"}, Level.SERIES),
        ({"SOPInstanceUID": "1.2.3.4.5"}, Level.INSTANCE),
    ],
)
def test_an_absent_level_follows_from_the_lowest_key(values: dict[str, str], level: Level) -> None:
    assert parse(**values).level is level


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"QueryRetrieveLevel": "PATIENT", "PatientID": ""},
        {"QueryRetrieveLevel": "PATIENT", "PatientID": "*"},
        {"QueryRetrieveLevel": "STUDY", "PatientID": "P1"},
        {"QueryRetrieveLevel": "SERIES", "StudyInstanceUID": "1.2.3"},
        {"QueryRetrieveLevel": "IMAGE", "SeriesInstanceUID": "1.2.3"},
        {"QueryRetrieveLevel": "FRAME", "SOPInstanceUID": "1.2.3"},
    ],
)
def test_an_identifier_without_the_key_of_its_level_is_refused(values: dict[str, str]) -> None:
    with pytest.raises(InvalidIdentifier):
        parse(**values)


def test_a_required_level_is_not_deduced() -> None:
    with pytest.raises(InvalidIdentifier):
        parse(level_required=True, StudyInstanceUID="1.2.3")


@pytest.mark.parametrize("name", ["SERIES", "IMAGE", None])
def test_a_model_without_series_and_images_refuses_their_levels(name: str | None) -> None:
    values = {"SeriesInstanceUID": "1.2", "SOPInstanceUID": "1.2"}
    if name:
        values["QueryRetrieveLevel"] = name
    with pytest.raises(InvalidIdentifier):
        parse(deepest=Level.STUDY, **values)
    assert parse(deepest=Level.STUDY, PatientID="P1").level is Level.PATIENT


@pytest.mark.parametrize("broken", [b"\x08", b"\x08\x00\x52\x00\xff\xff\xff\x7fSTUDY ", bytes(7)])
def test_what_is_no_data_set_is_refused(broken: bytes) -> None:
    with pytest.raises(InvalidIdentifier):
        parse_retrieve_identifier(broken, IMPLICIT, "Latin1", level_required=False)


def test_a_patient_id_is_read_in_its_character_set() -> None:
    query = parse(QueryRetrieveLevel="PATIENT", SpecificCharacterSet="ISO_IR 192", PatientID="Ä1")
    assert keys(query) == {"PatientID": ("Ä1",)}
