"""Which resources a client wants to be sent, and what the log of exports says of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson
import pyjson5

from lanthorn_core.errors import UnknownResource
from lanthorn_core.model import LEVELS, Level
from lanthorn_core.ports.exports import ExportedResource
from lanthorn_core.ports.index import Resource
from lanthorn_rest_api.parameters import BadFormat
from lanthorn_rest_api.services import Services

_PUBLIC_ID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{8}){4}")


@dataclass(frozen=True, slots=True)
class SelectedResources:
    """Resources in the order in which they were named, and all instances at and below them."""

    resources: Sequence[Resource]
    instances: Sequence[str]


def parse_resources(content: bytes) -> tuple[list[str], dict[str, Any]]:
    """Read which resources are meant, and the fields beside them.

    Parameters
    ----------
    content : bytes
        A body: one id as it is, a JSON string or array of ids, or an object with `Resources`.

    Raises
    ------
    BadFormat
        It is something else.
    """
    text = content.decode("utf-8", "replace").strip()
    if _PUBLIC_ID.fullmatch(text):
        return [text], {}
    document = _decoded(content)
    if isinstance(document, str):
        return [_checked(document)], {}
    body: dict[str, Any] = {}
    if isinstance(document, dict):
        body = document
        if "Resources" not in body:
            raise BadFormat('Missing field in JSON: "Resources"')
        document = body["Resources"]
        if not isinstance(document, list):
            raise BadFormat('JSON field "Resources" must contain an array')
    if not isinstance(document, list):
        raise BadFormat("Must provide a JSON object, or a JSON array of strings")
    if not all(isinstance(public_id, str) for public_id in document):
        raise BadFormat("Resources to be exported must be specified as a JSON array of strings")
    return [_checked(public_id) for public_id in document], body


def _decoded(content: bytes) -> Any:
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError:
        pass
    try:
        return pyjson5.decode_utf8(content)
    except (ValueError, pyjson5.Json5Exception) as error:
        raise BadFormat("Must provide a JSON value") from error


def _checked(public_id: str) -> str:
    if not _PUBLIC_ID.fullmatch(public_id):
        raise BadFormat(f"This string is not a valid Orthanc identifier: {public_id}")
    return public_id


async def select(services: Services, public_ids: Sequence[str]) -> SelectedResources:
    """Find resources with the instances at and below them.

    Raises
    ------
    UnknownResource
        There is none of an id.
    """
    resources: list[Resource] = []
    instances: list[str] = []
    for public_id in public_ids:
        level = await services.reader.level_of(public_id)
        resource = None if level is None else await services.reader.resource(level, public_id)
        if resource is None:
            raise UnknownResource(f"There is no resource {public_id}")
        resources.append(resource)
        if resource.level is Level.INSTANCE:
            instances.append(public_id)
        else:
            below = await services.reader.instances(resource.level, public_id)
            instances += [instance.public_id for instance in below]
    return SelectedResources(resources, instances)


async def record_exports(services: Services, modality: str, selected: SelectedResources) -> None:
    """Write resources into the log of exports."""
    await services.records.exports.record(
        [await _exported(services, modality, resource) for resource in selected.resources]
    )


async def _exported(services: Services, modality: str, resource: Resource) -> ExportedResource:
    tags: dict[str, str] = {}
    level, above = resource.level, resource
    while True:
        tags = dict(above.main_tags) | tags
        if above.parent_id is None:
            break
        level = LEVELS[level.depth - 1]
        parent = await services.reader.resource(level, above.parent_id)
        if parent is None:
            break
        above = parent
    return ExportedResource(
        modality=modality,
        level=resource.level,
        public_id=resource.public_id,
        patient_id=tags.get("PatientID", ""),
        study_instance_uid=tags.get("StudyInstanceUID"),
        series_instance_uid=tags.get("SeriesInstanceUID"),
        sop_instance_uid=tags.get("SOPInstanceUID"),
    )
