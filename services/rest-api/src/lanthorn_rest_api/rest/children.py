"""What is below a resource, and what is above it (reference 2.4)."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from lanthorn_core.errors import UnknownResource
from lanthorn_core.model import LEVELS, Level
from lanthorn_core.ports.index import FindQuery
from lanthorn_rest_api.answers import json_answer
from lanthorn_rest_api.barrier import current_index
from lanthorn_rest_api.levels import PLURALS
from lanthorn_rest_api.parameters import flag
from lanthorn_rest_api.presentation import Presentation, existing
from lanthorn_rest_api.services import ServicesDep

router = APIRouter(dependencies=[Depends(current_index)])


def _add_descendants(level: Level, below: Level) -> None:
    @router.get(f"/{PLURALS[level]}/{{public_id}}/{PLURALS[below]}")
    async def list_descendants(public_id: str, request: Request, services: ServicesDep) -> Response:
        parameters = request.query_params
        # Unlike listings these are expanded where the client does not say otherwise.
        expand = flag(parameters, "expand", default=True)
        presentation = Presentation.of_resource(parameters)
        await existing(services, level, public_id)
        query = FindQuery(level=below, ancestors=[(level, public_id)])
        if not expand:
            return json_answer(await services.reader.find_ids(query))
        return json_answer(await presentation.show(services, await services.reader.find(query)))


def _add_ancestor(level: Level, above: Level) -> None:
    @router.get(f"/{PLURALS[level]}/{{public_id}}/{above.lower()}")
    async def show_ancestor(public_id: str, request: Request, services: ServicesDep) -> Response:
        presentation = Presentation.of_resource(request.query_params)
        ancestor_id = await services.reader.ancestor(level, public_id, above)
        if ancestor_id is None:
            raise UnknownResource
        resource = await existing(services, above, ancestor_id)
        return json_answer(await presentation.show_one(services, resource))


for _level in LEVELS:
    for _other in LEVELS:
        if _other.depth > _level.depth:
            _add_descendants(_level, _other)
        elif _other.depth < _level.depth:
            _add_ancestor(_level, _other)
