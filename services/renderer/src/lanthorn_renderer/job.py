"""One frame's way through a worker process: decode, display values, file."""

from __future__ import annotations

from dataclasses import dataclass

from lanthorn_core.ports.renderer import RenderedImage, RenderRequest
from lanthorn_renderer.decode import decode_frame
from lanthorn_renderer.describe import ImageDescription
from lanthorn_renderer.encode import encode_picture
from lanthorn_renderer.pipeline import make_picture


@dataclass(frozen=True, slots=True)
class RenderJob:
    """All that a worker needs: it reads no object store."""

    request: RenderRequest
    image: ImageDescription
    frame: bytes


def render(job: RenderJob) -> RenderedImage:
    """Make the picture of a frame.

    Raises
    ------
    NotRenderable, DecodeFailed, InvalidParameter, NotAcceptable
        As the steps do.
    """
    decoded = decode_frame(job.image, job.frame)
    picture = make_picture(job.image, decoded, job.request)
    return encode_picture(picture, job.request.image_format, quality=job.request.quality)
