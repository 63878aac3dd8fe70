"""From a `FindQuery` to one SQL statement: whitelisted fragments and parameters, never values.

Column names and keywords come from our own registry (`MAIN_TAGS`); everything a client wrote is a
numbered parameter.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache
from typing import Final

from pydicom.datadict import keyword_for_tag

from lanthorn_core.dicom.dataset_matching import MomentRange
from lanthorn_core.dicom.maintags import MAIN_TAGS
from lanthorn_core.dicom.matching import (
    MODALITIES_IN_STUDY,
    SOP_CLASS_UID,
    MatchingKey,
    wildcard_to_like,
    without_zeros,
)
from lanthorn_core.errors import InvalidParameter
from lanthorn_core.model import LEVELS, Level
from lanthorn_core.ports.index import PUBLIC_ID, FindQuery, OrderBy

_MODALITIES: Final = (
    "EXISTS (SELECT FROM series AS of_study WHERE of_study.study_pk = study.study_pk AND {test})"
)


_COMPUTED: Final[Mapping[str, str]] = {
    "NumberOfPatientRelatedStudies": "patient.study_count::text",
    "NumberOfPatientRelatedSeries": "patient.series_count::text",
    "NumberOfPatientRelatedInstances": "patient.instance_count::text",
    "NumberOfStudyRelatedSeries": "study.series_count::text",
    "NumberOfStudyRelatedInstances": "study.instance_count::text",
    "NumberOfSeriesRelatedInstances": "series.instance_count::text",
    "ModalitiesInStudy": (
        "(SELECT string_agg(DISTINCT of_study.main_tags ->> 'Modality', '\\') "
        "FROM series AS of_study WHERE of_study.study_pk = study.study_pk)"
    ),
    "SOPClassesInStudy": (
        "(SELECT string_agg(DISTINCT of_series.sop_class_uid, '\\') "
        "FROM series AS of_study JOIN instance AS of_series USING (series_pk) "
        "WHERE of_study.study_pk = study.study_pk)"
    ),
    "InstanceAvailability": "'ONLINE'",
    "SOPClassUID": "instance.sop_class_uid",
}
"""What is maintained in columns or gathered in the same statement."""

_SORTED_WITHOUT_CASE: Final = frozenset(
    {"AccessionNumber", "PatientID", "PatientName", "StudyDescription"}
)
"""Tags that Orthanc sorts by their upper case, as it keeps them so for its searches."""

_NUMBERS: Final = {
    "int": r"'^\s*([-+]?\d{1,18})'",
    "float": r"'^\s*([-+]?(?:\d{1,30}\.?\d{0,30}|\.\d{1,30})(?:[eE][-+]?\d{1,2})?)'",
}
"""Leading number of a text; what has none comes last (Orthanc counts such a text as 0)."""


@dataclass(slots=True)
class Statement:
    """A statement under construction: text from us, parameters from the client."""

    level: Level
    conditions: list[str] = field(default_factory=list)
    parameters: list[object] = field(default_factory=list)
    order: list[str] = field(default_factory=list)

    def bind(self, value: object) -> str:
        """Add a parameter; returns its placeholder."""
        self.parameters.append(value)
        return f"${len(self.parameters)}"

    def source(self, text: str = "") -> str:
        """Return the tables that the conditions, the order and `text` speak of, joined.

        An ancestor that nothing is asked of is not joined: there always is one.
        """
        said = " ".join((text, *self.conditions, *self.order))
        above = LEVELS[: self.level.depth]
        named = [upper.depth for upper in above if f"{upper.lower()}." in said]
        joined = reversed(above[min(named) :] if named else ())
        joins = (f"JOIN {upper.lower()} USING ({upper.lower()}_pk)" for upper in joined)
        return " ".join((self.level.lower(), *joins))

    @property
    def where(self) -> str:
        """The WHERE clause, or nothing."""
        return f" WHERE {' AND '.join(self.conditions)}" if self.conditions else ""


def build(query: FindQuery) -> Statement:
    """Translate a query, without its window.

    Raises
    ------
    InvalidParameter
        A key or an order that the index cannot serve at this level.
    """
    statement = Statement(query.level)
    for key in query.keys:
        if key.kind != "universal":
            statement.conditions.append(_condition(statement, key, query.level))
    for moment in query.moments:
        statement.conditions.extend(_moment(statement, moment, query.level))
    if query.public_ids is not None:
        ids = statement.bind(list(query.public_ids))
        statement.conditions.append(f"{query.level.lower()}.public_id = ANY({ids}::text[])")
    for name, key in query.metadata:
        if key.kind != "universal":
            value = _metadata_value(statement, query.level, name)
            statement.conditions.append(_test(statement, value, key))
    for level, public_id in query.ancestors:
        if level.depth > query.level.depth:
            raise InvalidParameter(f"A {level} is not above a {query.level}")
        statement.conditions.append(f"{level.lower()}.public_id = {statement.bind(public_id)}")
    if query.labels or query.labels_constraint == "None":
        statement.conditions.append(_labels(statement, query))
    for order in query.order_by:
        direction = "DESC" if order.descending else "ASC"
        value = _sort_value(statement, query.level, order)
        statement.order.append(f"{value} {direction} NULLS LAST")
    statement.order.append(f"{query.level.lower()}.{query.level.lower()}_pk")
    return statement


def window(statement: Statement, query: FindQuery) -> str:
    """ORDER BY, OFFSET and LIMIT of a query."""
    text = f" ORDER BY {', '.join(statement.order)}"
    if query.since:
        text += f" OFFSET {statement.bind(query.since)}"
    if query.limit:
        text += f" LIMIT {statement.bind(query.limit)}"
    return text


PAGE_ROWS: Final = 1000
"""Rows of the first page; enough for nearly every search."""

NEXT_PAGE_ROWS: Final = 5000


@lru_cache(maxsize=256)
def page_of_texts(
    query: FindQuery, keywords: tuple[str, ...], after: int
) -> tuple[str, list[object], int]:
    """Write the statement for one page of texts; returns its text, parameters and most rows.

    Peers ask the same again and again: the last statements are kept, and not to be changed.

    Of the first page the planner shall not see the limit: it would walk through the whole table
    in order, hoping for enough matches. A search that fills it finds much, and may be walked.
    """
    statement = build(replace(query, order_by=()))
    key = f"{query.level.lower()}.{query.level.lower()}_pk"
    columns = ", ".join([key, *(_column(keyword, query.level) for keyword in keywords)])
    order = f" ORDER BY {key}"
    if not after:
        found = f"SELECT {columns} FROM {statement.source(columns)}{statement.where}{order}"
        if _is_narrow(query):
            return found, statement.parameters, 0
        text = f"WITH found AS MATERIALIZED ({found}) SELECT * FROM found LIMIT {PAGE_ROWS + 1}"
        return text, statement.parameters, PAGE_ROWS
    statement.conditions.append(f"{key} > {statement.bind(after)}")
    text = f"SELECT {columns} FROM {statement.source(columns)}{statement.where}{order}"
    return f"{text} LIMIT {NEXT_PAGE_ROWS + 1}", statement.parameters, NEXT_PAGE_ROWS


def _is_narrow(query: FindQuery) -> bool:
    """Tell whether a key names so few resources that no page is needed."""
    if query.level is Level.INSTANCE:
        return any(key.keyword == "SOPInstanceUID" for key in query.keys if key.kind == "single")
    return any(key.keyword in _NARROW for key in query.keys if key.kind == "single")


_NARROW: Final = frozenset(
    {"PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "AccessionNumber"}
)


@cache
def _column(keyword: str, level: Level) -> str:
    if keyword == PUBLIC_ID:
        return f"{level.lower()}.public_id"
    computed = _COMPUTED.get(keyword)
    return computed if computed is not None else _tag_value(keyword, level)


def _moment(statement: Statement, moment: MomentRange, level: Level) -> Iterator[str]:
    """Compare date and time as one (PS3.4 Section C.2.2.2.5); a time left out is midnight."""
    date = f'({_tag_value(keyword_for_tag(moment.date_tag), level)}) COLLATE "C"'
    time = f"coalesce(nullif({_tag_value(keyword_for_tag(moment.time_tag), level)}, ''), '00')"
    for operator, beyond, end in ((">=", ">", moment.lower), ("<=", "<", moment.upper)):
        if end:
            day = statement.bind(end[:8])
            clock = f"{end[8:14]}.{end[14:]}"
            bound = statement.bind(without_zeros(clock) if operator == ">=" else clock)
            yield f"{date} {operator} {day}"
            yield f'({date} {beyond} {day} OR ({time}) COLLATE "C" {operator} {bound})'


def _condition(statement: Statement, key: MatchingKey, level: Level) -> str:
    if key.tag == SOP_CLASS_UID and level is Level.INSTANCE:
        return _test(statement, _COMPUTED["SOPClassUID"], key)
    if key.tag == MODALITIES_IN_STUDY and level is Level.STUDY:
        return _MODALITIES.format(test=_test(statement, "of_study.main_tags ->> 'Modality'", key))
    return _test(statement, _tag_value(key.keyword, level), key)


@cache
def _tag_value(keyword: str, level: Level) -> str:
    """Return the SQL expression of a main tag, taken from the level itself or the nearest above.

    Below the patients, their tags are those of the study's first instance, as in Orthanc.
    """
    for at in reversed(LEVELS[: level.depth + 1]):
        if any(main.keyword == keyword for main in MAIN_TAGS[at]):
            if at is Level.PATIENT and level is not Level.PATIENT:
                return f"study.patient_tags ->> '{keyword}'"
            return f"{at.lower()}.main_tags ->> '{keyword}'"
    raise InvalidParameter(f"{keyword} is not indexed at level {level}")


def _test(statement: Statement, value: str, key: MatchingKey) -> str:
    """Compare a value (an SQL expression) with a key, in the words of the index's expressions."""
    exact = f'({value}) COLLATE "C"'
    if key.kind == "empty":
        return f"coalesce({value}, '') = ''"
    if key.kind == "range":
        bounds = zip((">=", "<="), key.values, strict=True)
        tests = [f"{exact} {operator} {statement.bind(end)}" for operator, end in bounds if end]
        return " AND ".join(tests) or f"({value}) IS NOT NULL"
    if key.kind == "wildcard":
        likes = (_like(statement, value, key, pattern) for pattern in key.values)
        return f"({' OR '.join(likes)})"
    if len(key.values) == 1:  # a plan of its own: nothing to unnest, and estimated rightly
        wanted = f"{statement.bind(key.values[0])}::text"
        tests = [f"lower({value}) = lower({wanted})"] if key.folds else []
        return " AND ".join([*tests, f"{exact} = {wanted}"] if key.case_sensitive else tests)
    wanted = f"{statement.bind(list(key.values))}::text[]"
    tests = []
    if key.folds:
        lowered = f"ARRAY(SELECT lower(wanted) FROM unnest({wanted}) AS wanted)"
        tests.append(f"lower({value}) = ANY({lowered})")
    if key.case_sensitive:
        tests.append(f"{exact} = ANY({wanted})")
    return " AND ".join(tests)


def _like(statement: Statement, value: str, key: MatchingKey, pattern: str) -> str:
    wanted = f"{statement.bind(wildcard_to_like(pattern))}::text"
    folded = f"lower({value}) LIKE lower({wanted})"
    return f"({folded} AND {value} LIKE {wanted})" if key.case_sensitive else folded


def _metadata_value(statement: Statement, level: Level, name: str) -> str:
    table, bound = level.lower(), statement.bind(name)
    return (
        f"coalesce({table}.metadata ->> {bound}::text, (SELECT value FROM user_metadata "
        f"WHERE level = {level.depth} AND resource_pk = {table}.{table}_pk AND name = {bound}))"
    )


def _sort_value(statement: Statement, level: Level, order: OrderBy) -> str:
    """Return what is sorted by: a time, a number, or a text byte by byte."""
    if order.kind == "Metadata":
        if order.key == "LastUpdate" and level is not Level.INSTANCE:
            return f"{level.lower()}.updated_at"
        value = _metadata_value(statement, level, order.key)
    else:
        value = _tag_value(order.key, level)
        if order.key in _SORTED_WITHOUT_CASE:
            value = f"upper({value})"
    if order.values != "text":
        return f"substring({value} FROM {_NUMBERS[order.values]})::float8"
    return f'({value}) COLLATE "C"'


def _labels(statement: Statement, query: FindQuery) -> str:
    table = query.level.lower()
    mine = f"level = {query.level.depth} AND resource_pk = {table}.{table}_pk"
    if not query.labels:
        return f"NOT EXISTS (SELECT FROM label WHERE {mine})"
    wanted = statement.bind(sorted(set(query.labels)))
    having = f"(SELECT count(*) FROM label WHERE {mine} AND name = ANY({wanted}::text[]))"
    compare = {"All": f"= cardinality({wanted}::text[])", "Any": "> 0", "None": "= 0"}
    return f"{having} {compare[query.labels_constraint]}"
