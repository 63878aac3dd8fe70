"""Opening objects, and getting one frame of them without the rest."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from lanthorn_core.dicom.elements import PIXEL_DATA, UNDEFINED
from lanthorn_core.errors import (
    DecodeFailed,
    InvalidDataset,
    InvalidParameter,
    NotRenderable,
)
from lanthorn_core.ports.object_store import ObjectStore
from lanthorn_renderer.beginning import Beginning, read_beginning
from lanthorn_renderer.cache import ByteBoundedCache
from lanthorn_renderer.describe import (
    PER_FRAME_FUNCTIONAL_GROUPS,
    WANTED,
    ImageDescription,
    PerFrameGroups,
    describe_image,
    number_of_frames,
)
from lanthorn_renderer.elements import item_values
from lanthorn_renderer.places import (
    EncapsulatedFrames,
    NativeFrames,
    locate_encapsulated,
    locate_native,
)
from lanthorn_renderer.sources import MAX_FRAME_BYTES, ByteSource, read_all

_FRAGMENT_SIZE_BYTES: Final = 200
"""What a fragment's place costs in memory, about."""


@dataclass(frozen=True, slots=True)
class OpenedObject:
    """All about an object but its pixels."""

    number_of_frames: int
    image: ImageDescription | None
    frames: NativeFrames | EncapsulatedFrames | None
    groups: PerFrameGroups | None
    source: ByteSource
    size_bytes: int
    why_not: str = ""

    def describe_frame(self, frame_index: int) -> ImageDescription:
        """Return what the header says of one frame.

        Raises
        ------
        NotRenderable
            There are no pixels, or none that can become a picture.
        """
        if self.image is None:
            raise NotRenderable(self.why_not)
        if self.groups is None:
            return self.image
        return self.groups.apply(self.image, frame_index)


class FrameReader:
    """Opens objects and fetches single frames.

    Parameters
    ----------
    objects : ObjectStore
        Where the objects are.
    cache_bytes : int
        How much of what was read lately is kept.
    """

    def __init__(self, objects: ObjectStore, *, cache_bytes: int = 64 << 20) -> None:
        self._objects = objects
        self._opened: ByteBoundedCache[OpenedObject] = ByteBoundedCache(cache_bytes)

    async def open(self, object_key: str) -> OpenedObject:
        """Read the header of an object and locate its frames.

        Raises
        ------
        UnknownResource, StorageUnavailable
            As the object store says.
        DecodeFailed
            The object is broken.
        """
        opened = self._opened.get(object_key)
        if opened is None:
            beginning = await read_beginning(self._objects, object_key)
            opened = await describe_object(beginning)
            opened = replace(opened, size_bytes=opened.size_bytes + beginning.held_bytes)
            self._opened.put(opened, opened.size_bytes, object_key)
        return opened

    async def fetch(self, opened: OpenedObject, frame_index: int) -> bytes:
        """Read the bytes of one frame as they are stored.

        Native frames come in little endian, as from Orthanc, and start at bit 0 of the first byte.

        Raises
        ------
        InvalidParameter
            There is no such frame.
        NotRenderable
            The object has no pixel data.
        DecodeFailed
            The object has fewer pixels than it says.
        """
        if opened.frames is None:
            raise NotRenderable(opened.why_not)
        if not 0 <= frame_index < opened.number_of_frames:
            raise InvalidParameter(
                f"frame {frame_index} is out of range, there are {opened.number_of_frames}"
            )
        if isinstance(opened.frames, NativeFrames):
            data = await read_all(opened.source, *opened.frames.byte_range(frame_index))
            return opened.frames.cut(data, frame_index)
        fragments = opened.frames.frames[frame_index]
        if sum(length for _, length in fragments) > MAX_FRAME_BYTES:
            raise DecodeFailed(f"frame {frame_index} is larger than {MAX_FRAME_BYTES} bytes")
        return b"".join([await read_all(opened.source, *fragment) for fragment in fragments])


async def describe_object(beginning: Beginning) -> OpenedObject:
    """Find out all about an object but its pixels.

    Raises
    ------
    DecodeFailed
        The object is broken.
    """
    encoding, source = beginning.encoding, beginning.source
    values = {}
    groups = None
    held = 0
    for element in beginning.elements:
        if element.tag == PER_FRAME_FUNCTIONAL_GROUPS:
            try:
                items = item_values(beginning.data, element.start, element.length, encoding)
            except InvalidDataset as exc:
                raise DecodeFailed(exc.details) from exc
            groups = PerFrameGroups(tuple(items), beginning.meta.transfer_syntax_uid)
            held += groups.size_bytes
        elif element.tag in WANTED:
            values[element.tag] = beginning.value(element)
            held += element.length
    count = number_of_frames(values)
    pixels = beginning.pixels
    if pixels is None or pixels.tag != PIXEL_DATA:
        is_float = pixels is not None
        why_not = "floating point pixels are not rendered" if is_float else "there is no pixel data"
        return OpenedObject(count, None, None, None, source, held, why_not)
    try:
        image = describe_image(
            values,
            transfer_syntax_uid=beginning.meta.transfer_syntax_uid,
            pixel_data_vr=pixels.vr,
            encoding=encoding,
        )
    except NotRenderable as exc:
        return OpenedObject(count, None, None, None, source, held, exc.details)
    frames: NativeFrames | EncapsulatedFrames
    if pixels.length == UNDEFINED:
        frames = await locate_encapsulated(source, pixels.start, count, values)
        held += _FRAGMENT_SIZE_BYTES * sum(map(len, frames.frames))
    else:
        frames = locate_native(image, encoding, start=pixels.start, length=pixels.length)
    return OpenedObject(count, image, frames, groups, source, held)
