"""Retrieving from remote application entities by C-MOVE and C-GET, as jobs (reference 2.12)."""

from __future__ import annotations

from typing import Any, Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from lanthorn_core.commands import RetrieveIdentifier
from lanthorn_core.dicom.tags import parse_tag
from lanthorn_rest_api.job_requests import answer_job, job_options
from lanthorn_rest_api.levels import parse_level
from lanthorn_rest_api.parameters import BadFormat
from lanthorn_rest_api.remote_find import body_format, level_field
from lanthorn_rest_api.remote_requests import ae_title_field, called_remote, object_body
from lanthorn_rest_api.remote_retrieves import get_request, move_request, retrieve_identifier
from lanthorn_rest_api.services import ServicesDep

router = APIRouter()

_NO_BODY: Final = "Must provide a JSON body containing fields Resources and Level"


@router.post("/modalities/{name}/move")
async def move(name: str, request: Request, services: ServicesDep) -> Response:
    """Have a remote application entity send resources to us, or to a third one."""
    await services.remote_aes.get(name)
    body = await object_body(request, _NO_BODY)
    identifiers = _identifiers(body)
    target = ae_title_field(body, "TargetAet") or services.settings.dicom_aet
    remote = await called_remote(services, name, body)
    options = job_options(body)
    job = move_request(remote, target, identifiers, options, style=body_format(body, "short"))
    return await answer_job(services.jobs, job, synchronous=options.is_synchronous)


@router.post("/modalities/{name}/get")
async def get(name: str, request: Request, services: ServicesDep) -> Response:
    """Fetch resources of a remote application entity."""
    await services.remote_aes.get(name)
    body = await object_body(request, _NO_BODY)
    identifiers = _identifiers(body)
    remote = await called_remote(services, name, body)
    options = job_options(body)
    job = get_request(remote, identifiers, options, style=body_format(body, "short"))
    return await answer_job(services.jobs, job, synchronous=options.is_synchronous)


def _identifiers(body: dict[str, Any]) -> list[RetrieveIdentifier]:
    level_text = level_field(body, _NO_BODY)
    resources = body.get("Resources")
    if not isinstance(resources, list):
        raise BadFormat(_NO_BODY)
    level = parse_level(level_text)
    return [retrieve_identifier(level, _keys(resource)) for resource in resources]


def _keys(resource: Any) -> dict[int, str]:
    if not isinstance(resource, dict):
        raise BadFormat("Expecting an object in field 'Resources elements'")
    keys: dict[int, str] = {}
    for name, text in resource.items():
        if not isinstance(text, str):
            raise BadFormat(f"Expecting a string in field '{name}'")
        keys[parse_tag(name)] = text
    return keys
