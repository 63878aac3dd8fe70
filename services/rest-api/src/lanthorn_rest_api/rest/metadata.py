"""Metadata of resources (reference 2.8)."""

from __future__ import annotations

from http import HTTPStatus

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from lanthorn_core.errors import BadRequest, NotAuthorized, UnknownResource
from lanthorn_core.model import Level
from lanthorn_core.ports.index import Revision
from lanthorn_rest_api.answers import empty_answer, json_answer, text_answer
from lanthorn_rest_api.barrier import current_index
from lanthorn_rest_api.etags import etag, expected_revision, matches_client, md5_of
from lanthorn_rest_api.metadata_names import MetadataNames, is_user_metadata
from lanthorn_rest_api.parameters import flag
from lanthorn_rest_api.presentation import existing
from lanthorn_rest_api.resources_json import metadata_of
from lanthorn_rest_api.services import Services, ServicesDep

router = APIRouter(dependencies=[Depends(current_index)])


@router.get("/{level:level}/{public_id}/metadata")
async def list_metadata(
    level: Level, public_id: str, request: Request, services: ServicesDep
) -> Response:
    """List the names of metadata, or names and values."""
    numeric = "numeric" in request.query_params
    resource = await existing(services, level, public_id)
    shown = _names(services).shown(metadata_of(resource), numeric=numeric)
    if flag(request.query_params, "expand"):
        return json_answer(shown)
    return json_answer([int(name) for name in shown] if numeric else list(shown))


@router.get("/{level:level}/{public_id}/metadata/{name}")
async def show_metadata(
    level: Level, public_id: str, name: str, request: Request, services: ServicesDep
) -> Response:
    """Show the value of one metadata, with its revision."""
    names = _names(services)
    key = names.key(name)
    resource = await existing(services, level, public_id)
    revision: Revision | None
    if is_user_metadata(names.number(name)):
        revision = await services.reader.user_metadata(level, public_id, key)
    else:
        value = metadata_of(resource).get(key)
        revision = None if value is None else Revision(value, 0)
    if revision is None:
        raise UnknownResource
    headers = _etag_header(revision)
    if matches_client(request, revision.revision, md5_of(revision.value)):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    return text_answer(revision.value, headers=headers)


@router.put("/{level:level}/{public_id}/metadata/{name}")
async def set_metadata(
    level: Level, public_id: str, name: str, request: Request, services: ServicesDep
) -> Response:
    """Write one user metadata."""
    key = _writable_key(services, name)
    revision = await services.editor.set_metadata(
        level,
        public_id,
        key,
        _text(await request.body()),
        expected=expected_revision(request),
        must_expect=services.settings.check_revisions,
    )
    return empty_answer(headers=_etag_header(revision))


@router.delete("/{level:level}/{public_id}/metadata/{name}")
async def delete_metadata(
    level: Level, public_id: str, name: str, request: Request, services: ServicesDep
) -> Response:
    """Delete one user metadata."""
    key = _writable_key(services, name)
    was_there = await services.editor.delete_metadata(
        level,
        public_id,
        key,
        expected=expected_revision(request),
        must_expect=services.settings.check_revisions,
    )
    if not was_there:
        raise UnknownResource
    return empty_answer()


def _names(services: Services) -> MetadataNames:
    return MetadataNames(services.settings.user_metadata)


def _writable_key(services: Services, name: str) -> str:
    names = _names(services)
    if not is_user_metadata(names.number(name)):
        raise NotAuthorized
    return names.key(name)


def _etag_header(revision: Revision) -> dict[str, str]:
    return {"ETag": etag(revision.revision, md5_of(revision.value))}


def _text(body: bytes) -> str:
    """Read a value; the index keeps texts, and a text has no zero bytes."""
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise BadRequest("A metadata must be a text in UTF-8") from error
    if "\0" in text:
        raise BadRequest("A metadata must be a text, without zero bytes")
    return text
