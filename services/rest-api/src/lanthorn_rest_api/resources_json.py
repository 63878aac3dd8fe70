"""Resources as Orthanc shows them (reference 1.4 and 1.5)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final

import orjson

from lanthorn_core.dicom.orthancjson import simplify
from lanthorn_core.dicom.tags import format_tag, parse_tag
from lanthorn_core.errors import InvalidParameter
from lanthorn_core.model import LEVELS, Level
from lanthorn_core.ports.index import Attachment, Resource
from lanthorn_rest_api.metadata_names import MetadataNames
from lanthorn_rest_api.parameters import TagFormat

PARTS: Final = frozenset(
    {
        "MainDicomTags",
        "Metadata",
        "Children",
        "Parent",
        "Labels",
        "Status",
        "IsStable",
        "IsProtected",
        "Attachments",
    }
)
"""What `response-content` may name."""

_OLD_FIELDS: Final = "old fields"
"""Single metadata and sizes that an expanded resource shows, and `response-content` never."""

EXPANDED: Final = PARTS - {"Metadata", "Attachments"} | {_OLD_FIELDS}
"""The parts of an expanded resource where nothing else was asked for."""

DICOM_ATTACHMENT: Final = 1
"""Content type of the DICOM file among the attachments."""

_PARENT_FIELDS: Final = {
    Level.STUDY: "ParentPatient",
    Level.SERIES: "ParentStudy",
    Level.INSTANCE: "ParentSeries",
}
_CHILDREN_FIELDS: Final = {
    Level.PATIENT: "Studies",
    Level.STUDY: "Series",
    Level.SERIES: "Instances",
}


def parse_response_content(names: Sequence[str]) -> frozenset[str]:
    """Read `response-content`.

    Raises
    ------
    InvalidParameter
        A name is none of `PARTS`.
    """
    for name in names:
        if name not in PARTS:
            raise InvalidParameter(f'Unrecognized value for "ResponseContent": {name}')
    return frozenset(names)


def orthanc_time(moment: datetime) -> str:
    """Write a moment as Orthanc does, ``YYYYMMDDTHHMMSS`` in UTC."""
    return moment.astimezone(UTC).strftime("%Y%m%dT%H%M%S")


def file_uuid(resource: Resource) -> str:
    """Return what clients know as the `FileUuid` of an instance: its receipt id."""
    return resource.object_key.rpartition("/")[2].removesuffix(".dcm")


def resource_json(
    resource: Resource,
    names: MetadataNames,
    *,
    parts: Collection[str] = EXPANDED,
    tag_format: TagFormat = "simplify",
    requested: Mapping[str, Any] | None = None,
    attached: Sequence[Attachment] = (),
) -> dict[str, Any]:
    """Show a resource.

    Parameters
    ----------
    resource : Resource
        As the index knows it.
    names : MetadataNames
        How its metadata are called.
    parts : collection of str
        Of `PARTS`, or `EXPANDED`.
    tag_format : TagFormat
        Of the main tags.
    requested : mapping or None
        The content of `RequestedTags`, where it was asked for.
    attached : sequence of Attachment
        What users attached to it, for the part `Attachments`.
    """
    level = resource.level
    answer: dict[str, Any] = {"ID": resource.public_id, "Type": str(level)}
    if "MainDicomTags" in parts:
        answer["MainDicomTags"] = shown_main_tags(resource, tag_format)
        if level is Level.STUDY:
            answer["PatientMainDicomTags"] = shown_tags(resource.patient_main_tags, tag_format)
    if "Labels" in parts:
        answer["Labels"] = list(resource.labels)
    if "Parent" in parts and level in _PARENT_FIELDS:
        answer[_PARENT_FIELDS[level]] = resource.parent_id
    if "Children" in parts and level in _CHILDREN_FIELDS:
        answer[_CHILDREN_FIELDS[level]] = list(resource.child_ids)
    if "IsStable" in parts and level is not Level.INSTANCE:
        answer["IsStable"] = resource.is_stable
    if "IsProtected" in parts and level is Level.PATIENT:
        answer["IsProtected"] = resource.is_protected
    if "Status" in parts and level is Level.SERIES:
        answer["Status"] = series_status(resource)
    if "Metadata" in parts:
        answer["Metadata"] = names.shown(metadata_of(resource))
    if "Attachments" in parts:
        answer["Attachments"] = _attachments(resource) + [_attachment(one) for one in attached]
    if _OLD_FIELDS in parts:
        answer.update(_old_fields(resource))
    if requested is not None:
        answer["RequestedTags"] = requested
    return answer


def _old_fields(resource: Resource) -> dict[str, Any]:
    fields: dict[str, Any] = {
        name: resource.metadata[name]
        for name in ("ModifiedFrom", "AnonymizedFrom")
        if name in resource.metadata
    }
    if resource.level is Level.INSTANCE:
        fields["FileSize"] = resource.size_bytes
        fields["FileUuid"] = file_uuid(resource)
        fields["IndexInSeries"] = resource.index_in_series
        return fields
    fields["LastUpdate"] = orthanc_time(resource.updated_at)
    if resource.level is Level.SERIES:
        fields["ExpectedNumberOfInstances"] = resource.expected_number_of_instances
    return fields


def _attachments(resource: Resource) -> list[dict[str, Any]]:
    if resource.level is not Level.INSTANCE:
        return []
    return [
        {
            "CompressedSize": resource.size_bytes,
            "ContentType": DICOM_ATTACHMENT,
            "UncompressedSize": resource.size_bytes,
            "Uuid": file_uuid(resource),
        }
    ]


def _attachment(attached: Attachment) -> dict[str, Any]:
    return {
        "CompressedMD5": attached.md5,
        "CompressedSize": attached.size_bytes,
        "ContentType": attached.number,
        "UncompressedMD5": attached.md5,
        "UncompressedSize": attached.size_bytes,
        "Uuid": attached.object_key.rpartition("/")[2],
    }


def metadata_of(resource: Resource) -> dict[str, str]:
    """Return the metadata of a resource, by the keys of the index."""
    metadata = dict(resource.metadata)
    if resource.level is not Level.INSTANCE:
        metadata["LastUpdate"] = orthanc_time(resource.updated_at)
    return metadata


def series_status(resource: Resource) -> str:
    """Tell whether a series is complete, as far as its headers say."""
    expected = resource.expected_number_of_instances
    if expected is None:
        return "Unknown"
    seen: set[int] = set()
    for index in resource.child_indexes:
        if index is None:
            return "Unknown"
        if not 1 <= index <= expected or index in seen:
            return "Inconsistent"
        seen.add(index)
    return "Complete" if len(seen) == expected else "Missing"


def shown_main_tags(resource: Resource, tag_format: TagFormat) -> dict[str, Any]:
    """Show the main tags of a resource, sequences included."""
    answer = shown_tags(resource.main_tags, tag_format)
    for tag, element in main_sequences(resource).items():
        answer |= shown_element(tag, element, tag_format)
    return answer


def main_sequences(resource: Resource) -> dict[int, dict[str, Any]]:
    """Return the main tags that are sequences, by tag, in the full format."""
    document = resource.metadata.get("MainDicomSequences")
    if not document:
        return {}
    sequences = orjson.loads(document)["Sequences"]
    return {parse_tag(key): element for key, element in sequences.items()}


def shown_tags(tags: Mapping[str, str], tag_format: TagFormat) -> dict[str, Any]:
    """Show tags that are given by keyword."""
    if tag_format == "simplify":
        return dict(tags)
    if tag_format == "short":
        return {_key(keyword): value for keyword, value in tags.items()}
    return {
        _key(keyword): {"Name": keyword, "Type": "String", "Value": value}
        for keyword, value in tags.items()
    }


def shown_element(tag: int, element: Mapping[str, Any], tag_format: TagFormat) -> dict[str, Any]:
    """Show one element that is given in the full format."""
    if tag_format == "full":
        return {format_tag(tag): element}
    if tag_format == "short":
        return {format_tag(tag): shortened(element)}
    return {element["Name"]: simplify(dict(element))}


def shortened(element: Mapping[str, Any]) -> Any:
    """Turn an element of the full format into its value in the short one."""
    value = element["Value"]
    if element["Type"] != "Sequence":
        return value
    return [{key: shortened(inner) for key, inner in item.items()} for item in value]


@lru_cache(maxsize=1024)
def _key(keyword: str) -> str:
    return format_tag(parse_tag(keyword))


def levels_above(level: Level) -> tuple[Level, ...]:
    """Levels above this one, the nearest first."""
    return LEVELS[: level.depth][::-1]
