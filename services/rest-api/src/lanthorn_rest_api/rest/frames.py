"""Frames of instances as pictures and as stored bytes (reference 2.7)."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, cast, get_args

import structlog
from fastapi import APIRouter
from isal import igzip
from starlette.requests import Request
from starlette.responses import Response

from lanthorn_core.errors import (
    BadRequest,
    DecodeFailed,
    InvalidParameter,
    NotRenderable,
    UnknownResource,
)
from lanthorn_core.ports.index import StoredInstance
from lanthorn_core.ports.renderer import ImageFormat, RenderedImage, RenderMode, RenderRequest
from lanthorn_rest_api.answers import json_answer
from lanthorn_rest_api.image_types import accepted_format
from lanthorn_rest_api.parameters import Parameters, flag
from lanthorn_rest_api.rest.instance_files import stored_instance
from lanthorn_rest_api.services import Services, ServicesDep
from lanthorn_rest_api.threads import in_thread

log = structlog.get_logger(__name__)
router = APIRouter()

_EIGHT_BIT_MODES: Final = frozenset({"preview", "rendered", "image-uint8"})
_PICTURES: Final = tuple(mode for mode in get_args(RenderMode) if mode != "raw")
_FRAME_ROUTES: Final = sorted([*_PICTURES, "raw", "raw.gz"])
_UNSUPPORTED: Final = "app/images/unsupported.png"
_DEFAULT_QUALITY: Final = 90
_INT32: Final = range(-(1 << 31), 1 << 31)
_UINT32: Final = range(1 << 32)
_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,20}")
_NO_PIXELS: Final = "Cannot extract a frame from a DICOM file that does not have pixel data."


class _NoAnswer(Exception):
    """Orthanc leaves such a request unanswered: 404 with nothing in it."""


@router.get("/instances/{public_id}/frames")
async def list_frames(public_id: str, request: Request) -> Response:
    """List the numbers of an instance's frames, from 0 on; without pixels there is one."""
    instance = await stored_instance(request, public_id)
    return json_answer(list(range(max(instance.number_of_frames, 1))))


@router.get("/instances/{public_id}/frames/{frame}")
async def list_frame_routes(public_id: str, frame: str) -> Response:
    """List what can be had of a frame."""
    return json_answer(_FRAME_ROUTES)


@router.get("/instances/{public_id}/frames/{frame}/raw")
async def raw_frame(
    public_id: str, frame: str, request: Request, services: ServicesDep
) -> Response:
    """Send the bytes of a frame as they are stored."""
    instance = await stored_instance(request, public_id)
    try:
        image = await _raw(services, instance, frame)
    except _NoAnswer:
        return _no_answer()
    return Response(image.body, media_type=image.media_type)


@router.get("/instances/{public_id}/frames/{frame}/raw.gz")
async def gzipped_raw_frame(
    public_id: str, frame: str, request: Request, services: ServicesDep
) -> Response:
    """Send the bytes of a frame as a gzip file."""
    instance = await stored_instance(request, public_id)
    try:
        image = await _raw(services, instance, frame)
    except _NoAnswer:
        return _no_answer()
    body = await in_thread(igzip.compress, image.body, 1)
    return Response(body, media_type="application/gzip")


def _add_pictures(mode: RenderMode) -> None:
    @router.get(f"/instances/{{public_id}}/{mode}")
    async def first_frame(public_id: str, request: Request, services: ServicesDep) -> Response:
        return await _picture(request, services, public_id, "0", mode, up="../../")

    @router.get(f"/instances/{{public_id}}/frames/{{frame}}/{mode}")
    async def one_frame(
        public_id: str, frame: str, request: Request, services: ServicesDep
    ) -> Response:
        return await _picture(request, services, public_id, frame, mode, up="../../../../")


for _mode in _PICTURES:
    _add_pictures(cast("RenderMode", _mode))


async def _picture(
    request: Request, services: Services, public_id: str, frame: str, mode: RenderMode, *, up: str
) -> Response:
    """Answer with a picture; Orthanc answers most errors here with a status and nothing else."""
    parameters = request.query_params
    try:
        instance = await stored_instance(request, public_id)
        image = await services.renderer.render(_render_request(request, instance, frame, mode))
    except (UnknownResource, _NoAnswer):
        return _no_answer()
    except (NotRenderable, DecodeFailed, InvalidParameter) as error:
        log.info("frame_not_rendered", error=error.slug, path=request.url.path)
        if flag(parameters, "returnUnsupportedImage"):
            return Response(
                status_code=HTTPStatus.TEMPORARY_REDIRECT,
                headers={"Location": up + _UNSUPPORTED},
            )
        return Response(status_code=HTTPStatus.UNSUPPORTED_MEDIA_TYPE)
    return Response(image.body, media_type=image.media_type)


def _render_request(
    request: Request, instance: StoredInstance, frame: str, mode: RenderMode
) -> RenderRequest:
    parameters = request.query_params
    is_rendered = mode == "rendered"
    frame_index = _integer(frame, _INT32)
    box = _Box.read(parameters) if is_rendered else _Box()
    image_format = _image_format(request, mode)
    if frame_index not in _frames(instance):
        raise NotRenderable("there is no such frame")
    return RenderRequest(
        object_key=instance.object_key,
        frame_index=frame_index,
        mode=mode,
        image_format=image_format,
        window_center=box.window_center,
        window_width=box.window_width,
        width=box.width,
        height=box.height,
        smooth=is_rendered and flag(parameters, "smooth"),
        quality=_quality(parameters),
    )


async def _raw(services: Services, instance: StoredInstance, frame: str) -> RenderedImage:
    frame_index = _integer(frame, _INT32)
    is_there = frame_index in _frames(instance)
    try:
        # Also of a frame that is not there: whether there are pixels decides about the error.
        image = await services.renderer.render(
            RenderRequest(
                object_key=instance.object_key,
                frame_index=frame_index if is_there else 0,
                mode="raw",
            )
        )
    except NotRenderable as error:
        raise BadRequest(_NO_PIXELS) from error
    if not is_there:
        raise InvalidParameter
    return image


@dataclass(frozen=True, slots=True)
class _Box:
    """What only `rendered` takes: the window, and the box that the picture shall fit."""

    window_center: float | None = None
    window_width: float | None = None
    width: int | None = None
    height: int | None = None

    @classmethod
    def read(cls, parameters: Parameters) -> _Box:
        return cls(
            _number(parameters.get("window-center")),
            _number(parameters.get("window-width")),
            _integer(parameters.get("width", "0"), _UINT32) or None,
            _integer(parameters.get("height", "0"), _UINT32) or None,
        )


def _frames(instance: StoredInstance) -> range:
    return range(max(instance.number_of_frames, 1))


def _image_format(request: Request, mode: RenderMode) -> ImageFormat:
    offered: tuple[ImageFormat, ...] = ("png", "pam")
    if mode in _EIGHT_BIT_MODES:
        offered = ("png", "jpeg", "pam")
    found = accepted_format(request.headers.get("Accept", ""), offered)
    if found is None:
        raise _NoAnswer
    return found


def _quality(parameters: Parameters) -> int:
    try:
        quality = _integer(parameters.get("quality", str(_DEFAULT_QUALITY)), _UINT32)
    except _NoAnswer:
        quality = 0
    if not 1 <= quality <= 100:
        raise InvalidParameter("the quality of a picture is a number from 1 to 100")
    return quality


def _integer(text: str, allowed: range) -> int:
    if not _INTEGER.fullmatch(text) or int(text) not in allowed:
        raise _NoAnswer
    return int(text)


def _number(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        number = float(text)
    except ValueError as error:
        raise _NoAnswer from error
    if not math.isfinite(number):
        raise _NoAnswer
    return number


def _no_answer() -> Response:
    return Response(status_code=HTTPStatus.NOT_FOUND)
