"""Frames as pictures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

RenderMode = Literal["preview", "rendered", "image-uint8", "image-uint16", "image-int16", "raw"]
ImageFormat = Literal["png", "jpeg", "pam"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderRequest:
    """One frame of one object as a picture; semantics of Orthanc's image routes.

    `frame_index` is 0-based. `width` and `height` are a box in pixels that the picture is made to
    fit, its ratio kept. `quality` (1 to 100) applies to JPEG.
    """

    object_key: str
    frame_index: int = 0
    mode: RenderMode = "preview"
    image_format: ImageFormat = "png"
    window_center: float | None = None
    window_width: float | None = None
    width: int | None = None
    height: int | None = None
    smooth: bool = False
    quality: int = 90


@dataclass(frozen=True, slots=True)
class RenderedImage:
    """A picture ready to be sent."""

    media_type: str
    body: bytes


class Renderer(Protocol):
    """Raises `NotRenderable`, `DecodeFailed`, `UnknownResource` and `RendererUnavailable`."""

    async def render(self, request: RenderRequest) -> RenderedImage:
        """Decode one frame and encode it as asked."""
        ...

    async def check(self) -> None:
        """Return when the renderer answers."""
        ...
