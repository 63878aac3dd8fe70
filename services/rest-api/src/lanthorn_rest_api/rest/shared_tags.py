"""Tags of many instances at once, and of modules (reference 2.4)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from lanthorn_core.dicom.orthancjson import to_orthanc_json
from lanthorn_core.dicom.tags import parse_tag
from lanthorn_core.errors import UnknownResource
from lanthorn_core.model import Level
from lanthorn_core.ports.index import StoredInstance
from lanthorn_core.usecases.instance_header import read_header, select_elements
from lanthorn_rest_api.answers import json_answer
from lanthorn_rest_api.barrier import current_index
from lanthorn_rest_api.dicom_modules import MODULE_TAGS
from lanthorn_rest_api.instance_datasets import mark_pixels, read_instance
from lanthorn_rest_api.levels import PLURALS
from lanthorn_rest_api.parameters import Parameters, TagFormat, ignored_lengths, tag_format
from lanthorn_rest_api.resources_json import shown_element
from lanthorn_rest_api.services import Services, ServicesDep

router = APIRouter(dependencies=[Depends(current_index)])

FILES_AT_ONCE: Final = 8


@router.get("/{level:level}/{public_id}/module")
async def show_module(
    level: Level, public_id: str, request: Request, services: ServicesDep
) -> Response:
    """Show the tags of a level's DICOM module, as the first instance has them."""
    return await _module(services, level, public_id, level, request.query_params)


@router.get("/studies/{public_id}/module-patient")
async def show_patient_module(public_id: str, request: Request, services: ServicesDep) -> Response:
    """Show the tags of the patient module of a study."""
    return await _module(services, Level.STUDY, public_id, Level.PATIENT, request.query_params)


async def _module(
    services: Services, level: Level, public_id: str, module: Level, parameters: Parameters
) -> Response:
    ignore_length = ignored_lengths(parameters)
    [first, *_] = await _instances(services, level, public_id)
    dataset = await read_header(services.objects, first)
    wanted = MODULE_TAGS[module]
    shown = to_orthanc_json(
        select_elements(dataset, wanted),
        style="full",
        default_encoding=services.settings.default_encoding,
        ignore_length=ignore_length,
    )
    tags = {parse_tag(key): element for key, element in shown.items()}
    return json_answer(
        _formatted(
            {tag: element for tag, element in tags.items() if tag in wanted},
            tag_format(parameters, default="full"),
        )
    )


def _formatted(elements: dict[int, dict[str, Any]], wanted: TagFormat) -> dict[str, Any]:
    answer: dict[str, Any] = {}
    for tag, element in elements.items():
        answer |= shown_element(tag, element, wanted)
    return answer


def _add_routes(level: Level) -> None:
    @router.get(f"/{PLURALS[level]}/{{public_id}}/shared-tags")
    async def show_shared_tags(public_id: str, request: Request, services: ServicesDep) -> Response:
        shared: dict[str, Any] | None = None
        async for _, tags in _all_tags(services, level, public_id, "full", frozenset()):
            if shared is None:
                shared = {
                    key: element for key, element in tags.items() if element["Type"] == "String"
                }
            else:
                shared = {
                    key: element for key, element in shared.items() if tags.get(key) == element
                }
        elements = {parse_tag(key): element for key, element in (shared or {}).items()}
        wanted = tag_format(request.query_params, default="full")
        return json_answer(_formatted(elements, wanted))

    @router.get(f"/{PLURALS[level]}/{{public_id}}/instances-tags")
    async def show_instances_tags(
        public_id: str, request: Request, services: ServicesDep
    ) -> Response:
        parameters = request.query_params
        style = tag_format(parameters, default="full")
        ignore_length = ignored_lengths(parameters)
        tags = _all_tags(services, level, public_id, style, ignore_length)
        return json_answer({instance_id: shown async for instance_id, shown in tags})


for _level in (Level.PATIENT, Level.STUDY, Level.SERIES):
    _add_routes(_level)


async def _instances(services: Services, level: Level, public_id: str) -> Sequence[StoredInstance]:
    instances = await services.reader.instances(level, public_id)
    if not instances:
        raise UnknownResource
    return instances


async def _all_tags(
    services: Services,
    level: Level,
    public_id: str,
    style: TagFormat,
    ignore_length: frozenset[int],
) -> AsyncIterator[tuple[str, dict[str, Any]]]:
    """Read the tags of all instances, some files at a time."""

    async def tags_of(instance: StoredInstance) -> dict[str, Any]:
        parsed = await read_instance(services, instance)
        return to_orthanc_json(
            mark_pixels(parsed),
            style=style,
            default_encoding=services.settings.default_encoding,
            ignore_length=ignore_length,
        )

    instances = await _instances(services, level, public_id)
    for start in range(0, len(instances), FILES_AT_ONCE):
        some = instances[start : start + FILES_AT_ONCE]
        answers = await asyncio.gather(*(tags_of(instance) for instance in some))
        for instance, tags in zip(some, answers, strict=True):
            yield instance.public_id, tags
