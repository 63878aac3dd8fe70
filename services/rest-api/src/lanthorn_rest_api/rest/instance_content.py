"""`/instances/{id}/content`: single values of a data set as they are stored (reference 2.6)."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from lanthorn_core.dicom.encodings import encoding_of
from lanthorn_core.dicom.tags import parse_tag
from lanthorn_core.errors import InvalidDataset
from lanthorn_core.ports.index import StoredInstance
from lanthorn_rest_api.answers import json_answer
from lanthorn_rest_api.dataset_content import NothingThere, content, in_little_endian, path_tag
from lanthorn_rest_api.instance_datasets import (
    PIXEL_DATA,
    inflated_pixels,
    pixel_layout,
    read_instance,
)
from lanthorn_rest_api.rest.instance_files import stored_instance
from lanthorn_rest_api.services import Services, ServicesDep

router = APIRouter()

_BYTES: Final = "application/octet-stream"


@router.get("/instances/{public_id}/content")
async def root_tags(public_id: str, request: Request, services: ServicesDep) -> Response:
    """List the tags of the data set."""
    instance = await stored_instance(request, public_id)
    parsed = await read_instance(services, instance, whole=True)
    tags = {int(tag) for tag in parsed.dataset.keys()}  # noqa: SIM118 - iteration would convert the values
    if parsed.has_pixels:
        tags.add(PIXEL_DATA)
    return json_answer([path_tag(tag) for tag in sorted(tags)])


@router.get("/instances/{public_id}/content/{path:path}")
async def value_at(public_id: str, path: str, request: Request, services: ServicesDep) -> Response:
    """Send the bytes of a value, or list what is in a sequence or item."""
    steps = [step for step in path.split("/") if step]
    instance = await stored_instance(request, public_id)
    tag = parse_tag(steps[0])
    try:
        if tag == PIXEL_DATA:
            return await _pixels(services, instance, steps[1:])
        whole = tag > PIXEL_DATA
        parsed = await read_instance(services, instance, whole=whole)
        found = content(parsed.dataset, steps, little_endian=parsed.little_endian)
    except NothingThere:
        return Response(status_code=HTTPStatus.NOT_FOUND)
    if isinstance(found, list):
        return json_answer(found)
    return Response(found, media_type=_BYTES)


async def _pixels(services: Services, instance: StoredInstance, steps: list[str]) -> Response:
    """Pixel Data is never read as a whole: its blocks are found, and one is sent."""
    if instance.pixel_data_offset is None:
        inflated = await inflated_pixels(services, instance)
        if inflated is None:
            raise NothingThere
        block = _block(steps, count=1)
        return json_answer(["0"]) if block is None else Response(inflated, media_type=_BYTES)
    layout = await pixel_layout(services.objects, instance)
    block = _block(steps, count=len(layout.blocks))
    if block is None:
        return json_answer([str(number) for number in range(len(layout.blocks))])
    start, length = layout.blocks[block]
    encoding = encoding_of(instance.transfer_syntax_uid)
    if encoding is not None and not encoding.little_endian:
        async with services.budget.reserve(length):
            value = await services.objects.get(instance.object_key, start=start, length=length)
            return Response(
                in_little_endian(value, layout.vr, little_endian=False), media_type=_BYTES
            )
    return StreamingResponse(
        services.objects.stream(instance.object_key, start=start, length=length),
        headers={"Content-Length": str(length)},
        media_type=_BYTES,
    )


def _block(steps: list[str], *, count: int) -> int | None:
    """Read which block is meant; None when the path ends before it."""
    if not steps:
        return None
    if not (steps[0].isascii() and steps[0].isdigit()):
        raise InvalidDataset("Invalid Block URI: not a number")
    if len(steps) > 1 or len(steps[0]) > 9 or int(steps[0]) >= count:
        raise NothingThere
    return int(steps[0])
