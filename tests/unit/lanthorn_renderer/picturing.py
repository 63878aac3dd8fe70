"""Shortcuts from the bytes of a file to its picture, without HTTP and without processes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from lanthorn_core.dicom.part10 import normalize_upload
from lanthorn_core.errors import UnknownResource
from lanthorn_core.ports.renderer import RenderRequest
from lanthorn_renderer.decode import DecodedFrame, decode_frame
from lanthorn_renderer.frames import FrameReader
from lanthorn_renderer.pipeline import make_picture

DATA = Path(__file__).parents[2] / "data"


class MemoryObjects:
    """An object store of a few objects, which notes what is read."""

    def __init__(self, **objects: bytes) -> None:
        self.objects = objects
        self.reads: list[tuple[int, int | None]] = []

    async def get(self, key: str, *, start: int = 0, length: int | None = None) -> bytes:
        if key not in self.objects:
            raise UnknownResource(f"no object {key}")
        self.reads.append((start, length))
        return self.objects[key][start:][:length]

    async def stream(self, key: str) -> AsyncIterator[bytes]:
        """Yield an object in small pieces."""
        data = await self.get(key)
        for start in range(0, len(data), 1000):
            yield data[start : start + 1000]

    async def check(self) -> None:
        """Always there."""


def sample(name: str) -> bytes:
    """Return a sample file as the object store would hold it."""
    return normalize_upload((DATA / "pydicom" / name).read_bytes())


async def decoded(data: bytes, frame_index: int = 0) -> DecodedFrame:
    """Decode a frame of a file."""
    reader = FrameReader(MemoryObjects(it=data))
    opened = await reader.open("it")
    image = opened.describe_frame(frame_index)
    return decode_frame(image, await reader.fetch(opened, frame_index))


async def picture(data: bytes, mode: str = "preview", **wishes: Any) -> NDArray[Any]:
    """Make the picture of a frame of a file."""
    request = RenderRequest(object_key="it", mode=mode, **wishes)
    reader = FrameReader(MemoryObjects(it=data))
    opened = await reader.open("it")
    image = opened.describe_frame(request.frame_index)
    frame = await reader.fetch(opened, request.frame_index)
    return make_picture(image, decode_frame(image, frame), request)
