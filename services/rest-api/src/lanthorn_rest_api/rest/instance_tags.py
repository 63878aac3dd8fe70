"""Tags of instances as JSON, and the PDF that one may hold (reference 2.6)."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from lanthorn_core.dicom.orthancjson import file_meta_to_orthanc_json, to_orthanc_json
from lanthorn_core.dicom.part10 import scan_file
from lanthorn_rest_api.answers import json_answer
from lanthorn_rest_api.instance_datasets import read_instance
from lanthorn_rest_api.parameters import (
    TagFormat,
    flag,
    ignored_lengths,
    tag_format,
)
from lanthorn_rest_api.rest.instance_files import stored_instance
from lanthorn_rest_api.services import Services, ServicesDep
from lanthorn_rest_api.threads import in_thread

router = APIRouter()

_ENCAPSULATED_DOCUMENT: Final = 0x0042_0011
_MIME_TYPE_OF_ENCAPSULATED_DOCUMENT: Final = 0x0042_0012
_PDF: Final = "application/pdf"


@router.get("/instances/{public_id}/tags")
async def tags(public_id: str, request: Request, services: ServicesDep) -> Response:
    """Show the data set, in Orthanc's full format if no other is asked for."""
    style = tag_format(request.query_params, default="full")
    return await _tags(request, services, public_id, style)


@router.get("/instances/{public_id}/simplified-tags")
async def simplified_tags(public_id: str, request: Request, services: ServicesDep) -> Response:
    """Show the data set by names; the parameters for other formats have no effect here."""
    return await _tags(request, services, public_id, "simplify")


async def _tags(request: Request, services: Services, public_id: str, style: TagFormat) -> Response:
    parameters = request.query_params
    whole = flag(parameters, "whole")
    ignore_length = ignored_lengths(parameters)
    instance = await stored_instance(request, public_id)
    parsed = await read_instance(services, instance, whole=whole)
    return json_answer(
        to_orthanc_json(
            parsed.dataset,
            style=style,
            default_encoding=services.settings.default_encoding,
            ignore_length=ignore_length,
            whole=whole,
            pixel_data=parsed.has_pixels,
        )
    )


@router.get("/instances/{public_id}/header")
async def file_meta(public_id: str, request: Request, services: ServicesDep) -> Response:
    """Show the File Meta Information (group 0002)."""
    instance = await stored_instance(request, public_id)
    parsed = await read_instance(services, instance)
    style = tag_format(request.query_params, default="full")
    return json_answer(file_meta_to_orthanc_json(parsed.dataset.file_meta, style=style))


@router.get("/instances/{public_id}/pdf")
async def pdf(public_id: str, request: Request, services: ServicesDep) -> Response:
    """Send the PDF document of an Encapsulated PDF (PS3.3 Section A.45.1)."""
    instance = await stored_instance(request, public_id)
    async with services.budget.reserve(instance.size_bytes):
        data = await services.objects.get(instance.object_key, length=instance.pixel_data_offset)
        _, header = await in_thread(scan_file, data)
        media_type = header.value(_MIME_TYPE_OF_ENCAPSULATED_DOCUMENT) or b""
        document = header.value(_ENCAPSULATED_DOCUMENT)
        if document is None or media_type.decode("ascii", "replace").strip(" \0") != _PDF:
            return Response(status_code=HTTPStatus.NOT_FOUND)
        # Only the byte that makes the length even: what else ends a document belongs to it.
        return Response(document.removesuffix(b"\0"), media_type=_PDF)
