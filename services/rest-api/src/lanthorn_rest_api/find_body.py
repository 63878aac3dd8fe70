"""The body of `/tools/find` and `/tools/count-resources` (reference 2.11.1)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final, Literal, cast, get_args

from pydicom.datadict import keyword_for_tag

from lanthorn_core.dicom.matching import MatchingKey, parse_constraint
from lanthorn_core.dicom.tags import parse_tag
from lanthorn_core.errors import BadRequest
from lanthorn_core.model import LEVELS, Level
from lanthorn_core.ports.index import FindQuery, LabelsConstraint, OrderBy
from lanthorn_core.runtime.settings import Settings
from lanthorn_rest_api.bodies import Body, boolean, is_true, strings, unsigned_field
from lanthorn_rest_api.levels import parse_level
from lanthorn_rest_api.metadata_names import MetadataNames
from lanthorn_rest_api.parameters import TagFormat
from lanthorn_rest_api.presentation import Presentation
from lanthorn_rest_api.resources_json import EXPANDED, parse_response_content

_PATIENT_COMMENTS: Final = 0x0010_4000
"""An attribute whose VR, LT, allows every text, and wildcards in matching."""


def parse_query(body: Body, settings: Settings) -> FindQuery:
    """Read what shall be found; the limits of the configuration are in it.

    Raises
    ------
    BadRequest, InvalidParameter, UnknownTag, InexistentItem
        A field is not what it must be; the texts are Orthanc's.
    """
    level = _level(body)
    names = MetadataNames(settings.user_metadata)
    return FindQuery(
        level=level,
        keys=_keys(body),
        labels=_labels(body),
        labels_constraint=_labels_constraint(body),
        metadata=_metadata(body, names),
        ancestors=_ancestors(body),
        order_by=_order_by(body, names),
        since=unsigned_field(body, "Since"),
        limit=_limit(body, level, settings),
    )


def parse_presentation(body: Body) -> Presentation:
    """Read how the answers shall be shown.

    Raises
    ------
    BadRequest, InvalidParameter, UnknownTag
        A field is not what it must be.
    """
    parts: Collection[str] | None = EXPANDED if is_true(body, "Expand") else None
    if "ResponseContent" in body:
        parts = parse_response_content(strings(body, "ResponseContent"))
    return Presentation(
        parts=parts,
        tag_format=tag_format(body),
        requested=[parse_tag(text) for text in strings(body, "RequestedTags")],
    )


def tag_format(body: Body) -> TagFormat:
    """Read in which format tags are wanted."""
    for name, wanted in (("Simplify", "simplify"), ("Short", "short"), ("Full", "full")):
        if is_true(body, name):
            return cast("TagFormat", wanted)
    return "simplify"


def _level(body: Body) -> Level:
    level = body.get("Level")
    if not isinstance(level, str):
        raise BadRequest('Field "Level" is missing, or should be a string')
    return parse_level(level)


def _keys(body: Body) -> list[MatchingKey]:
    query = body.get("Query")
    if not isinstance(query, Mapping):
        raise BadRequest('Field "Query" is missing, or should be a JSON object')
    case_sensitive = boolean(body, "CaseSensitive")
    keys = []
    for name, constraint in query.items():
        if not isinstance(constraint, str):
            raise BadRequest(f'Tag "{name}" must be associated with a string')
        if constraint:  # Without one it asks for nothing; Orthanc then reads not even the name.
            key = parse_constraint(parse_tag(name), constraint, case_sensitive=case_sensitive)
            keys.append(key)
    return keys


def _limit(body: Body, level: Level, settings: Settings) -> int:
    wanted = unsigned_field(body, "Limit")
    cap = settings.limit_find_instances if level is Level.INSTANCE else settings.limit_find_results
    return min(wanted or cap, cap or wanted)


def _labels(body: Body) -> list[str]:
    if not isinstance(body.get("Labels", []), list):
        raise BadRequest('Field "Labels" must be an array of strings')
    return strings(body, "Labels")


def _labels_constraint(body: Body) -> LabelsConstraint:
    constraint = body.get("LabelsConstraint", "All")
    if constraint not in get_args(LabelsConstraint):
        raise BadRequest('Field "LabelsConstraint" must be "All", "Any", or "None"')
    return cast("LabelsConstraint", constraint)


def _metadata(body: Body, names: MetadataNames) -> list[tuple[str, MatchingKey]]:
    query = body.get("MetadataQuery", {})
    if not isinstance(query, Mapping):
        raise BadRequest('Field "MetadataQuery" must be an JSON object')
    case_sensitive = boolean(body, "CaseSensitive")
    constraints = []
    for name, constraint in query.items():
        if not isinstance(constraint, str):
            raise BadRequest(f'Tag "{name}" must be associated with a string')
        # As observed: a metadata is matched like any attribute that is a text.
        key = parse_constraint(_PATIENT_COMMENTS, constraint, case_sensitive=case_sensitive)
        constraints.append((names.key(name), key))
    return constraints


def _ancestors(body: Body) -> list[tuple[Level, str]]:
    ancestors = []
    for level in LEVELS[:-1]:
        name = f"Parent{level}"
        if name in body:
            public_id = body[name]
            if not isinstance(public_id, str):
                raise BadRequest(f'Field "{name}" must be a string')
            ancestors.append((level, public_id))
    return ancestors


def _order_by(body: Body, names: MetadataNames) -> list[OrderBy]:
    entries = body.get("OrderBy", [])
    if not isinstance(entries, list):
        raise BadRequest('Field "OrderBy" must be an array')
    return [_order(entry, names) for entry in entries]


_ORDERS: Final[
    Mapping[str, tuple[Literal["DicomTag", "Metadata"], Literal["text", "int", "float"]]]
] = {
    "DICOMTAG": ("DicomTag", "text"),
    "DICOMTAGASINT": ("DicomTag", "int"),
    "DICOMTAGASFLOAT": ("DicomTag", "float"),
    "METADATA": ("Metadata", "text"),
    "METADATAASINT": ("Metadata", "int"),
    "METADATAASFLOAT": ("Metadata", "float"),
}


def _order(entry: Any, names: MetadataNames) -> OrderBy:
    if not isinstance(entry, Mapping):
        raise BadRequest('Field "OrderBy" must contain JSON objects')
    for name in ("Key", "Type", "Direction"):
        if not isinstance(entry.get(name), str):
            raise BadRequest(f'Field "{name}" must be a string')
    known = _ORDERS.get(entry["Type"].upper())
    if known is None:
        raise BadRequest(
            'Field "Type" must be "DicomTag", "DicomTagAsInt", "DicomTagAsFloat" or "Metadata", '
            '"MetadataAsInt", "MetadataAsFloat"'
        )
    kind, values = known
    direction = entry["Direction"].upper()
    if direction not in {"ASC", "DESC"}:
        raise BadRequest('Field "Direction" must be "ASC" or "DESC"')
    if kind == "DicomTag":
        key = keyword_for_tag(parse_tag(entry["Key"]))
    else:
        key = names.key(entry["Key"])
    return OrderBy(kind=kind, key=key, values=values, descending=direction == "DESC")
