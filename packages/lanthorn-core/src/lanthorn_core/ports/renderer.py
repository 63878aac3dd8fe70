"""Frames as pictures, and objects in other transfer syntaxes."""

from __future__ import annotations

from collections.abc import AsyncIterator
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


@dataclass(frozen=True, slots=True, kw_only=True)
class TranscodeRequest:
    """One object in another transfer syntax; all else of it stays as it is.

    Attributes
    ----------
    object_key : str
        Which object.
    transfer_syntax_uid : str
        The transfer syntax to write.
    quality : int
        Of lossy ones, 1 to 100.
    with_file_meta : bool
        Write a Part 10 file; else the bare data set, as DIMSE sends it.
    """

    object_key: str
    transfer_syntax_uid: str
    quality: int = 90
    with_file_meta: bool = True


class Renderer(Protocol):
    """Raises `NotRenderable`, `DecodeFailed`, `UnknownResource` and `RendererUnavailable`."""

    async def render(self, request: RenderRequest) -> RenderedImage:
        """Decode one frame and encode it as asked."""
        ...

    def transcode(self, request: TranscodeRequest) -> AsyncIterator[bytes]:
        """Write an object in another transfer syntax.

        What cannot be transcoded raises `UnsupportedTransferSyntax` (or one of the class's
        errors) at the first step, before any bytes. A lossy target gives the instance a new SOP
        Instance UID; all others keep it.
        """
        ...

    async def check(self) -> None:
        """Return when the renderer answers."""
        ...
