"""From a `FindQuery` to one SQL statement: whitelisted fragments and parameters, never values.

Column names and keywords come from our own registry (`MAIN_TAGS`); everything a client wrote is a
numbered parameter.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from lanthorn_core.dicom.maintags import MAIN_TAGS
from lanthorn_core.dicom.matching import MODALITIES_IN_STUDY, MatchingKey, wildcard_to_like
from lanthorn_core.errors import InvalidParameter
from lanthorn_core.model import LEVELS, Level
from lanthorn_core.ports.index import FindQuery, OrderBy

_JOINS: Final = {
    Level.PATIENT: "patient",
    Level.STUDY: "study JOIN patient USING (patient_pk)",
    Level.SERIES: "series JOIN study USING (study_pk) JOIN patient USING (patient_pk)",
    Level.INSTANCE: (
        "instance JOIN series USING (series_pk) JOIN study USING (study_pk) "
        "JOIN patient USING (patient_pk)"
    ),
}
_MODALITIES: Final = (
    "EXISTS (SELECT FROM series AS of_study WHERE of_study.study_pk = study.study_pk AND {test})"
)


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

    source: str
    conditions: list[str] = field(default_factory=list)
    parameters: list[object] = field(default_factory=list)
    order: list[str] = field(default_factory=list)

    def bind(self, value: object) -> str:
        """Add a parameter; returns its placeholder."""
        self.parameters.append(value)
        return f"${len(self.parameters)}"

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
    statement = Statement(source=_JOINS[query.level])
    for key in query.keys:
        if key.kind != "universal":
            statement.conditions.append(_condition(statement, key, query.level))
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


def _condition(statement: Statement, key: MatchingKey, level: Level) -> str:
    if key.tag == MODALITIES_IN_STUDY and level is Level.STUDY:
        return _MODALITIES.format(test=_test(statement, "of_study.main_tags ->> 'Modality'", key))
    return _test(statement, _tag_value(key.keyword, level), key)


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
    if key.kind == "range":
        bounds = zip((">=", "<="), key.values, strict=True)
        tests = [f"{exact} {operator} {statement.bind(end)}" for operator, end in bounds if end]
        return " AND ".join(tests) or f"({value}) IS NOT NULL"
    if key.kind == "wildcard":
        likes = (_like(statement, value, key, pattern) for pattern in key.values)
        return f"({' OR '.join(likes)})"
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
