"""Reading what clients ask for."""

from __future__ import annotations

import pytest

from lanthorn_core.errors import (
    BadParameterType,
    BadRequest,
    InexistentItem,
    InvalidParameter,
    UnknownTag,
)
from lanthorn_core.model import Level
from lanthorn_core.runtime.settings import load_settings
from lanthorn_rest_api.bodies import boolean, is_true, strings, unsigned_field
from lanthorn_rest_api.find_body import parse_presentation, parse_query
from lanthorn_rest_api.levels import parse_level, path_of
from lanthorn_rest_api.metadata_names import MetadataNames, is_user_metadata
from lanthorn_rest_api.parameters import (
    flag,
    ignored_lengths,
    requested_tags,
    tag_format,
    window,
)
from lanthorn_rest_api.resources_json import EXPANDED


@pytest.mark.parametrize(
    ("value", "expected"), [("", True), ("1", True), ("true", True), ("0", False), ("false", False)]
)
def test_flags_are_true_by_being_there(value: str, expected: bool) -> None:
    assert flag({"expand": value}, "expand") is expected


def test_an_absent_flag_is_its_default() -> None:
    assert flag({}, "expand") is False
    assert flag({}, "expand", default=True) is True


def test_a_flag_is_no_other_word() -> None:
    with pytest.raises(InvalidParameter, match='argument "expand", found: yes'):
        flag({"expand": "yes"}, "expand")


def test_formats_count_by_presence_and_simplify_wins() -> None:
    assert tag_format({}) == "simplify"
    assert tag_format({}, default="full") == "full"
    assert tag_format({"short": "false"}) == "short"
    assert tag_format({"short": "", "full": ""}) == "short"
    assert tag_format({"short": "", "simplify": ""}) == "simplify"


def test_a_window_has_two_ends_or_none() -> None:
    assert window({}, "/patients/") == (0, 0)
    assert window({"since": "3", "limit": "5"}, "/patients/") == (3, 5)
    with pytest.raises(BadRequest, match='Missing "since" argument'):
        window({"limit": "5"}, "/patients/")
    for odd in ("-1", "x", "", "1.5", "²"):
        with pytest.raises(BadParameterType):
            window({"since": odd, "limit": "5"}, "/patients/")


def test_enormous_numbers_are_cut_to_what_the_database_takes() -> None:
    assert window({"since": "9" * 40, "limit": "1"}, "/patients/") == (2**62, 1)
    assert unsigned_field({"Limit": 10**40}, "Limit") == 2**62


def test_requested_tags_are_read_in_every_notation() -> None:
    wanted = [0x00100010, 0x00280010, 0x00280011, 0x00080060]
    text = "PatientName;0028,0010;0028-0011;00080060;"
    assert requested_tags({"requested-tags": text}) == wanted
    assert requested_tags({"requestedTags": text}) == wanted
    with pytest.raises(BadRequest, match="Unknown DICOM tag No"):
        requested_tags({"requested-tags": "No"})


def test_an_unknown_tag_is_named_and_nothing_else() -> None:
    with pytest.raises(UnknownTag) as caught:
        ignored_lengths({"ignore-length": "PatientName,No"})
    assert caught.value.details == "No"


@pytest.mark.parametrize(
    ("text", "level"),
    [
        ("patient", Level.PATIENT),
        ("STUDIES", Level.STUDY),
        ("Series", Level.SERIES),
        ("image", Level.INSTANCE),
        ("Instances", Level.INSTANCE),
    ],
)
def test_levels_have_many_names(text: str, level: Level) -> None:
    assert parse_level(text) is level
    assert path_of(Level.STUDY, "a") == "/studies/a"


def test_fields_of_bodies_have_types() -> None:
    assert boolean({"A": True}, "A") is True
    assert is_true({"A": 1}, "A") is True
    assert strings({}, "A") == []
    for wrong, read in (({"A": 1}, boolean), ({"A": "x"}, is_true), ({"A": "x"}, strings)):
        with pytest.raises(BadRequest):
            read(wrong, "A")
    for value, error in ((True, BadRequest), ("1", BadRequest), (-1, InvalidParameter)):
        with pytest.raises(error):
            unsigned_field({"Limit": value}, "Limit")


def test_a_search_is_case_sensitive_only_on_demand() -> None:
    settings = load_settings({})
    body = {"Level": "Study", "Query": {"PatientName": "Doe"}}
    [key] = parse_query(body, settings).keys
    assert (key.kind, key.case_sensitive) == ("single", False)
    [key] = parse_query(body | {"CaseSensitive": True}, settings).keys
    assert key.case_sensitive is True


@pytest.mark.parametrize(("wanted", "cap", "limit"), [(0, 0, 0), (5, 0, 5), (0, 3, 3), (5, 3, 3)])
def test_the_smaller_limit_counts(wanted: int, cap: int, limit: int) -> None:
    settings = load_settings({"LANTHORN__LIMIT_FIND_INSTANCES": str(cap)})
    body = {"Level": "Instance", "Query": {}, "Limit": wanted}
    assert parse_query(body, settings).limit == limit


def test_metadata_of_users_are_searched_and_sorted_by_number() -> None:
    settings = load_settings({"LANTHORN__USER_METADATA": '{"Doctor": 1025}'})
    order = {"Type": "metadata", "Key": "Doctor", "Direction": "desc"}
    body = {"Level": "Study", "Query": {}, "MetadataQuery": {"1025": "a"}, "OrderBy": [order]}
    query = parse_query(body, settings)
    assert [name for name, _ in query.metadata] == ["1025"]
    assert (query.order_by[0].key, query.order_by[0].descending) == ("1025", True)


def test_response_content_counts_more_than_expand() -> None:
    assert parse_presentation({}).is_ids
    assert parse_presentation({"Expand": True}).parts == EXPANDED
    chosen = parse_presentation({"Expand": True, "ResponseContent": ["Labels"]})
    assert chosen.parts == {"Labels"}


def test_metadata_have_names_and_numbers() -> None:
    names = MetadataNames({"Doctor": 1025})
    assert names.key("Doctor") == names.key("1025") == "1025"
    assert names.key("8") == names.key("Origin") == "Origin"
    assert names.key("70000") == "70000"
    assert is_user_metadata(1024)
    assert not is_user_metadata(65536)
    with pytest.raises(InexistentItem):
        names.key("Nurse")
    shown = names.shown({"1025": "Who", "Origin": "RestApi", "1026": "x"})
    assert list(shown.items()) == [("Origin", "RestApi"), ("Doctor", "Who"), ("1026", "x")]
    assert names.shown({"1025": "Who"}, numeric=True) == {"1025": "Who"}
