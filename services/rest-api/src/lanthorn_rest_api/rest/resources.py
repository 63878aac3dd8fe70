"""Listing, showing and deleting resources (reference 2.4)."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from lanthorn_core.errors import InvalidParameter, UnknownResource
from lanthorn_core.model import LEVELS, Level
from lanthorn_core.ports.index import FindQuery
from lanthorn_rest_api.answers import empty_answer, json_answer, text_answer
from lanthorn_rest_api.barrier import current_index
from lanthorn_rest_api.levels import PLURALS, path_of
from lanthorn_rest_api.parameters import BadFormat, flag, window
from lanthorn_rest_api.presentation import Presentation, existing
from lanthorn_rest_api.resources_json import levels_above
from lanthorn_rest_api.services import Services, ServicesDep

router = APIRouter(dependencies=[Depends(current_index)])

MEGABYTE = 1 << 20


@router.get("/{level:level}")
async def list_resources(level: Level, request: Request, services: ServicesDep) -> Response:
    """List the resources of a level, as ids or expanded."""
    parameters = request.query_params
    since, limit = window(parameters, f"/{PLURALS[level]}/")
    presentation = Presentation.of_listing(parameters, expand=flag(parameters, "expand"))
    query = FindQuery(level=level, since=since, limit=limit)
    if presentation.is_ids:
        return json_answer(await services.reader.find_ids(query))
    found = await services.reader.find(query)
    return json_answer(await presentation.show(services, found))


@router.get("/{level:level}/{public_id}")
async def show_resource(
    level: Level, public_id: str, request: Request, services: ServicesDep
) -> Response:
    """Show one resource."""
    presentation = Presentation.of_resource(request.query_params)
    resource = await existing(services, level, public_id)
    return json_answer(await presentation.show_one(services, resource))


@router.delete("/{level:level}/{public_id}")
async def delete_resource(level: Level, public_id: str, services: ServicesDep) -> Response:
    """Delete a resource with all below it; tell the lowest of those above it that is left."""
    await existing(services, level, public_id)
    above = [
        (at, await services.reader.ancestor(level, public_id, at)) for at in levels_above(level)
    ]
    await services.delete([(level, public_id)])
    for at, ancestor_id in above:
        if ancestor_id is not None and await services.reader.resource(at, ancestor_id) is not None:
            left = {"ID": ancestor_id, "Path": path_of(at, ancestor_id), "Type": str(at)}
            return json_answer({"RemainingAncestor": left})
    return json_answer({"RemainingAncestor": None})


@router.get("/{level:level}/{public_id}/statistics")
async def show_statistics(level: Level, public_id: str, services: ServicesDep) -> Response:
    """Count what is below a resource."""
    counts = await services.reader.resource_statistics(level, public_id)
    if counts is None:
        raise UnknownResource
    answer: dict[str, int | str] = {}
    for prefix in ("Dicom", ""):
        for name in ("DiskSize", "UncompressedSize"):
            answer[f"{prefix}{name}"] = str(counts.size_bytes)
            answer[f"{prefix}{name}MB"] = counts.size_bytes // MEGABYTE
    below = {
        Level.STUDY: ("CountStudies", counts.studies),
        Level.SERIES: ("CountSeries", counts.series),
        Level.INSTANCE: ("CountInstances", counts.instances),
    }
    for at in LEVELS[level.depth + 1 :]:
        name, count = below[at]
        answer[name] = count
    return json_answer(answer)


@router.get("/patients/{public_id}/protected")
async def show_protection(public_id: str, services: ServicesDep) -> Response:
    """Tell whether a patient is protected from recycling."""
    return text_answer("1" if await _is_protected(services, public_id) else "0")


@router.put("/patients/{public_id}/protected")
async def set_protection(public_id: str, request: Request, services: ServicesDep) -> Response:
    """Protect a patient from recycling, or no longer."""
    await _is_protected(services, public_id)
    body = (await request.body()).strip().lower()
    if body not in {b"0", b"1", b"true", b"false"}:
        raise BadFormat("Boolean value expected")
    await services.editor.set_protected(public_id, body in {b"1", b"true"})
    return empty_answer()


async def _is_protected(services: Services, public_id: str) -> bool:
    patient = await services.reader.resource(Level.PATIENT, public_id)
    if patient is None:  # as observed, this one is no 404
        raise InvalidParameter
    return patient.is_protected
