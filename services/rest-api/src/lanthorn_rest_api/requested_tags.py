"""`RequestedTags`: attributes that clients want beside the main tags (reference 1.3 and 1.5)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

from pydicom.datadict import keyword_for_tag

from lanthorn_core.dicom.maintags import MAIN_TAGS
from lanthorn_core.dicom.matching import COMPUTED_TAGS
from lanthorn_core.dicom.orthancjson import to_orthanc_json
from lanthorn_core.dicom.tags import format_tag, tag_name
from lanthorn_core.errors import InvalidDataset, UnknownResource
from lanthorn_core.model import LEVELS, Level
from lanthorn_core.ports.index import Resource
from lanthorn_core.usecases.instance_header import read_header, select_elements
from lanthorn_rest_api.parameters import TagFormat
from lanthorn_rest_api.resources_json import main_sequences, shown_element
from lanthorn_rest_api.services import Services

FILES_AT_ONCE: Final = 8

_COMPUTED: Final = frozenset(keyword for names in COMPUTED_TAGS.values() for keyword in names)

Element = Mapping[str, Any]
"""``{"Name": ..., "Type": ..., "Value": ...}``."""


async def requested_values(
    services: Services, resources: Sequence[Resource], tags: Sequence[int], tag_format: TagFormat
) -> list[dict[str, Any] | None]:
    """Collect the `RequestedTags` of resources of one level.

    Main tags come from the index, computed ones are counted there, and for all others the first
    instance of each resource is read: where that does not have them, they are shown as null. They
    are not shown at all where `StorageAccessOnFind` is `Never`.

    Returns
    -------
    list
        The content of `RequestedTags` for each resource, or None where no tags were requested.
    """
    if not tags or not resources:
        return [None] * len(resources)
    level = resources[0].level
    ids = [resource.public_id for resource in resources]
    keywords = {keyword_for_tag(tag): tag for tag in tags}
    counted = [keyword for keyword in COMPUTED_TAGS[level] if keyword in keywords]
    computed = await services.reader.computed_tags(level, ids, counted) if counted else {}
    indexed = await _indexed_elements(services, resources, tags)
    in_files = [
        tag
        for tag in tags
        if keyword_for_tag(tag) not in _COMPUTED and not _is_main_tag(tag, level)
    ]
    if services.settings.storage_access_on_find == "Never":
        in_files = []
    from_files = await _elements_of_files(services, level, ids, in_files)
    answers: list[dict[str, Any] | None] = []
    for public_id, main, read in zip(ids, indexed, from_files, strict=True):
        elements = main | read
        for keyword, value in computed.get(public_id, {}).items():
            elements[keywords[keyword]] = _text(keyword, value)
        answer: dict[str, Any] = {}
        for tag in tags:
            if tag in elements:
                answer |= shown_element(tag, elements[tag], tag_format)
        answers.append(answer)
    return answers


def _text(name: str, value: str) -> dict[str, Any]:
    return {"Name": name, "Type": "String", "Value": value}


def _is_main_tag(tag: int, level: Level) -> bool:
    return any(main.tag == tag for at in LEVELS[: level.depth + 1] for main in MAIN_TAGS[at])


async def _indexed_elements(
    services: Services, resources: Sequence[Resource], tags: Sequence[int]
) -> list[dict[int, Element]]:
    """Take main tags from the resources themselves or from those above them.

    Below the patients, their tags are those of the study's first instance, as in Orthanc.
    """
    level = resources[0].level
    found = [_main_elements(resource, tags) for resource in resources]
    # Nothing above needs to be asked of the index where the level itself has all there can be.
    above = [tag for tag in tags if _is_main_tag(tag, level) and not _is_own_tag(tag, level)]
    if not above or level is Level.STUDY:
        return found
    parents = await _parents(services, resources)
    upper = iter(await _indexed_elements(services, parents, above)) if parents else iter(())
    by_id = dict(zip((parent.public_id for parent in parents), upper, strict=False))
    return [
        by_id.get(resource.parent_id or "", {}) | own
        for resource, own in zip(resources, found, strict=True)
    ]


def _is_own_tag(tag: int, level: Level) -> bool:
    return any(main.tag == tag for main in MAIN_TAGS[level])


def _main_elements(resource: Resource, tags: Sequence[int]) -> dict[int, Element]:
    elements: dict[int, Element] = {}
    texts = {**resource.patient_main_tags, **resource.main_tags}
    sequences = main_sequences(resource)
    for tag in tags:
        keyword = keyword_for_tag(tag)
        if keyword in texts:
            elements[tag] = _text(keyword, texts[keyword])
        elif tag in sequences:
            elements[tag] = sequences[tag]
    return elements


async def _parents(services: Services, resources: Sequence[Resource]) -> list[Resource]:
    level = LEVELS[resources[0].level.depth - 1]
    ids = dict.fromkeys(resource.parent_id for resource in resources if resource.parent_id)
    return await services.reader.resources(level, list(ids))


async def _elements_of_files(
    services: Services, level: Level, ids: Sequence[str], tags: Sequence[int]
) -> list[dict[int, Element]]:
    found: list[dict[int, Element]] = []
    for start in range(0, len(ids), FILES_AT_ONCE):
        found += await asyncio.gather(
            *(
                _elements_of_file(services, level, public_id, tags)
                for public_id in ids[start : start + FILES_AT_ONCE]
            )
        )
    return found


async def _elements_of_file(
    services: Services, level: Level, public_id: str, tags: Sequence[int]
) -> dict[int, Element]:
    if not tags:
        return {}
    absent: dict[int, Element] = {
        tag: {"Name": tag_name(tag), "Type": "Null", "Value": None} for tag in tags
    }
    instances = await services.reader.instances(level, public_id)
    if not instances:
        return absent
    try:
        dataset = await read_header(services.objects, instances[0])
    except (InvalidDataset, UnknownResource):
        return absent
    shown = to_orthanc_json(
        select_elements(dataset, tags),
        style="full",
        default_encoding=services.settings.default_encoding,
    )
    return absent | {tag: shown[format_tag(tag)] for tag in tags if format_tag(tag) in shown}
