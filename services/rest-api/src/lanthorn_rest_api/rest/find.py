"""Searching (reference 2.11.1), and what is done to many resources at once (2.11)."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from lanthorn_core.errors import BadRequest
from lanthorn_core.model import Level
from lanthorn_core.ports.index import FindQuery, Resource
from lanthorn_rest_api.answers import empty_answer, json_answer
from lanthorn_rest_api.barrier import current_index
from lanthorn_rest_api.bodies import Body, formatted_boolean
from lanthorn_rest_api.find_body import parse_presentation, parse_query, tag_format
from lanthorn_rest_api.levels import parse_level, path_of
from lanthorn_rest_api.parameters import BadFormat, read_object
from lanthorn_rest_api.presentation import Presentation
from lanthorn_rest_api.resources_json import EXPANDED
from lanthorn_rest_api.services import Services, ServicesDep

router = APIRouter(dependencies=[Depends(current_index)])


@router.post("/tools/find")
async def find(request: Request, services: ServicesDep) -> Response:
    """Find resources by their tags, labels, metadata and parents."""
    body = await read_object(request)
    query = parse_query(body, services.settings)
    presentation = parse_presentation(body)
    if presentation.is_ids:
        return json_answer(await services.find.ids(query))
    return json_answer(await presentation.show(services, await services.find.resources(query)))


@router.post("/tools/count-resources")
async def count(request: Request, services: ServicesDep) -> Response:
    """Count what `/tools/find` would find without a window."""
    query = parse_query(await read_object(request), services.settings)
    return json_answer({"Count": await services.find.count(query)})


@router.post("/tools/lookup")
async def look_up(request: Request, services: ServicesDep) -> Response:
    """Find resources by their PatientID or UID."""
    text = (await request.body()).decode("utf-8", "replace").replace("\0", "")
    found = await services.reader.lookup(text.strip())
    return json_answer(
        [
            {"ID": public_id, "Path": path_of(level, public_id), "Type": str(level)}
            for level, public_id in found
        ]
    )


@router.post("/tools/bulk-content")
async def show_many(request: Request, services: ServicesDep) -> Response:
    """Show resources by id, or what is above or below them; unknown ids are passed over."""
    body = await read_object(request)
    ids = _resource_ids(body)
    level = _wanted_level(body)
    with_metadata = formatted_boolean(body, "Metadata", default=True)
    presentation = Presentation(
        parts=EXPANDED | {"Metadata"} if with_metadata else EXPANDED, tag_format=tag_format(body)
    )
    answers: list[dict[str, Any]] = []
    seen: set[str] = set()
    for public_id in ids:
        found = [
            resource
            for resource in await _resources_at(services, public_id, level)
            if resource.public_id not in seen
        ]
        seen.update(resource.public_id for resource in found)
        answers += await presentation.show(services, found)
    return json_answer(answers)


@router.post("/tools/bulk-delete")
async def delete_many(request: Request, services: ServicesDep) -> Response:
    """Delete resources by id; unknown ids are passed over."""
    ids = (await read_object(request)).get("Resources")
    if not isinstance(ids, list):
        raise BadRequest("The body must contain a Resources array")
    if not all(isinstance(public_id, str) for public_id in ids):
        raise BadRequest("Invalid payload")
    resources = []
    for public_id in ids:
        level = await services.reader.level_of(public_id)
        if level is not None:
            resources.append((level, public_id))
    if resources:
        await services.delete(resources)
    return empty_answer()


def _resource_ids(body: Body) -> list[str]:
    ids = body.get("Resources")
    if not isinstance(ids, list) or not all(isinstance(public_id, str) for public_id in ids):
        raise BadFormat("List of strings expected in field: Resources")
    return ids


def _wanted_level(body: Body) -> Level | None:
    text = body.get("Level")
    if text is None:
        return None
    if not isinstance(text, str):
        raise BadFormat("String value expected in field: Level")
    return parse_level(text)


async def _resources_at(services: Services, public_id: str, wanted: Level | None) -> list[Resource]:
    """Return the resource itself, the one above it, or those below it."""
    level = await services.reader.level_of(public_id)
    if level is None:
        return []
    if wanted is None or wanted is level:
        return await services.reader.resources(level, [public_id])
    if wanted.depth > level.depth:
        return await services.reader.find(FindQuery(level=wanted, ancestors=[(level, public_id)]))
    ancestor_id = await services.reader.ancestor(level, public_id, wanted)
    return await services.reader.resources(wanted, [ancestor_id] if ancestor_id else [])
