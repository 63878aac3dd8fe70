"""The renderer's HTTP: frames as pictures, how many there are, objects transcoded."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from time import perf_counter
from typing import Annotated, Final

from fastapi import APIRouter, Query, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from lanthorn_core.errors import NotRenderable
from lanthorn_core.ports.renderer import (
    ImageFormat,
    RenderedImage,
    RenderMode,
    RenderRequest,
    TranscodeRequest,
)
from lanthorn_core.telemetry.tracing import span
from lanthorn_renderer.frames import FrameReader, OpenedObject
from lanthorn_renderer.job import RenderJob, render
from lanthorn_renderer.metrics import FRAME_SECONDS
from lanthorn_renderer.pool import DecoderPool
from lanthorn_renderer.transcode import Transcoder

_RAW_MEDIA_TYPES: Final = {
    "1.2.840.10008.1.2.4.50": "image/jpeg",  # JPEG Baseline
    "1.2.840.10008.1.2.4.90": "image/jp2",  # JPEG 2000, lossless only
    "1.2.840.10008.1.2.4.91": "image/jp2",  # JPEG 2000
}
FRAMES_IN_HAND: Final = 8
"""Requests beyond these wait before their frame is read, so that a burst does not fill memory."""
_LARGEST_SIDE: Final = 1 << 16


class FrameQuery(BaseModel):
    """The query of ``/v1/frame``: the fields of `RenderRequest`."""

    model_config = ConfigDict(extra="forbid")

    object_key: Annotated[str, Field(min_length=1)]
    frame_index: int = 0
    mode: RenderMode = "preview"
    image_format: ImageFormat = "png"
    window_center: Annotated[float, Field(allow_inf_nan=False)] | None = None
    window_width: Annotated[float, Field(allow_inf_nan=False)] | None = None
    width: Annotated[int, Field(ge=0, le=_LARGEST_SIDE)] | None = None
    height: Annotated[int, Field(ge=0, le=_LARGEST_SIDE)] | None = None
    smooth: bool = False
    quality: Annotated[int, Field(ge=1, le=100)] = 90

    def to_request(self) -> RenderRequest:
        """Make the port's request of it."""
        return RenderRequest(**self.model_dump())


class FrameCount(BaseModel):
    """The answer of ``/v1/frames``."""

    number_of_frames: int


class TranscodeQuery(BaseModel):
    """The query of ``/v1/transcoded``: the fields of `TranscodeRequest`."""

    model_config = ConfigDict(extra="forbid")

    object_key: Annotated[str, Field(min_length=1)]
    transfer_syntax_uid: Annotated[str, Field(pattern=r"^[0-9.]{1,64}$")]
    quality: Annotated[int, Field(ge=1, le=100)] = 90
    with_file_meta: bool = True

    def to_request(self) -> TranscodeRequest:
        """Make the port's request of it."""
        return TranscodeRequest(**self.model_dump())


def transcode_routes(transcode: Transcoder) -> APIRouter:
    """Make the route that writes whole objects in other transfer syntaxes."""
    router = APIRouter(prefix="/v1")

    @router.get("/transcoded", response_class=Response)
    async def transcoded(query: Annotated[TranscodeQuery, Query()]) -> Response:
        """Answer an object in another transfer syntax."""
        chunks = transcode(query.to_request())
        # Until the first bytes are there, what goes wrong can still be told.
        first = await anext(chunks, b"")

        async def all_chunks() -> AsyncIterator[bytes]:
            yield first
            async for chunk in chunks:
                yield chunk

        return StreamingResponse(all_chunks(), media_type="application/dicom")

    return router


def frame_routes(frames: FrameReader, pool: DecoderPool) -> APIRouter:
    """Make the routes over what they read from and decode with."""
    router = APIRouter(prefix="/v1")
    in_hand = asyncio.Semaphore(FRAMES_IN_HAND)

    @router.get("/frame", response_class=Response)
    async def frame(query: Annotated[FrameQuery, Query()]) -> Response:
        """Answer one frame as a picture, or as it is stored."""
        started = perf_counter()
        async with in_hand:
            image = await render_frame(frames, pool, query.to_request())
        FRAME_SECONDS.labels(query.mode).observe(perf_counter() - started)
        return Response(image.body, media_type=image.media_type)

    @router.get("/frames")
    async def number_of_frames(object_key: Annotated[str, Query(min_length=1)]) -> FrameCount:
        """Answer how many frames an object has; 1 also where it has no pixels."""
        opened = await frames.open(object_key)
        return FrameCount(number_of_frames=opened.number_of_frames)

    return router


async def render_frame(
    frames: FrameReader, pool: DecoderPool, request: RenderRequest
) -> RenderedImage:
    """Fetch, decode and encode one frame.

    Raises
    ------
    UnknownResource
        There is no such object.
    NotRenderable
        It has no pixels that can become this picture, or no such frame.
    InvalidParameter
        Mode `raw` asks for a frame that is not there; the others say `NotRenderable` to that, as
        Orthanc does.
    DecodeFailed
        Its pixels are broken.
    """
    opened = await frames.open(request.object_key)
    if request.mode == "raw":
        return RenderedImage(
            _raw_media_type(opened), await frames.fetch(opened, request.frame_index)
        )
    if not 0 <= request.frame_index < opened.number_of_frames:
        raise NotRenderable(
            f"frame {request.frame_index} is out of range, there are {opened.number_of_frames}"
        )
    image = opened.describe_frame(request.frame_index)
    encoded = await frames.fetch(opened, request.frame_index)
    with span("decode", mode=request.mode, transfer_syntax_uid=image.transfer_syntax_uid):
        return await pool.run(render, RenderJob(request, image, encoded))


def _raw_media_type(opened: OpenedObject) -> str:
    uid = opened.image.transfer_syntax_uid if opened.image else ""
    return _RAW_MEDIA_TYPES.get(uid, "application/octet-stream")
