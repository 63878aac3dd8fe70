"""Data sets of stored instances, of which no more is read than what was asked for."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from pydicom import DataElement
from pydicom.dataset import FileDataset

from lanthorn_core.dicom.encodings import EXPLICIT_LITTLE, encoding_of, is_deflated
from lanthorn_core.dicom.part10 import MAX_INFLATED_WHOLE_BYTES, read_dataset, scan_file
from lanthorn_core.errors import InvalidDataset
from lanthorn_core.ports.index import StoredInstance
from lanthorn_core.ports.object_store import ObjectStore
from lanthorn_core.usecases.instance_header import PARSE_IN_THREAD_BYTES
from lanthorn_rest_api.services import Services
from lanthorn_rest_api.threads import in_thread

PIXEL_DATA: Final = 0x7FE0_0010
_WINDOW_BYTES: Final = 64 << 10
_UNDEFINED: Final = 0xFFFF_FFFF
_ITEM: Final = (0xFFFE, 0xE000)
_LONG_HEADER_BYTES: Final = 12
_LARGEST_RATIO: Final = 1032
"""No deflate stream (RFC 1951) grows more than this many times."""


@dataclass(frozen=True, slots=True)
class PixelLayout:
    """Where Pixel Data lies in an object.

    Attributes
    ----------
    blocks : tuple of (int, int)
        Start and length in bytes: the value of native pixels; the Basic Offset Table and the
        fragments of encapsulated ones (PS3.5 Section A.4).
    end : int
        Where the element ends.
    vr : str
        Value representation, empty in Implicit VR.
    """

    blocks: tuple[tuple[int, int], ...]
    end: int
    vr: str


@dataclass(frozen=True, slots=True)
class InstanceDataset:
    """A data set without its Pixel Data, and how it was written."""

    dataset: FileDataset
    little_endian: bool
    has_pixels: bool


async def read_instance(
    services: Services, instance: StoredInstance, *, whole: bool = False
) -> InstanceDataset:
    """Read what stands before Pixel Data (7fe0,0010), and what stands after it if `whole`.

    Raises
    ------
    InvalidDataset
        The object is broken.
    StorageUnavailable, UnknownResource
        As `ObjectStore.get`.
    """
    offset = instance.pixel_data_offset
    head_bytes = instance.size_bytes if offset is None else offset
    async with services.budget.reserve(head_bytes):
        data = await services.objects.get(instance.object_key, length=offset)
        if whole and offset is not None:
            layout = await pixel_layout(services.objects, instance)
            data += await services.objects.get(instance.object_key, start=layout.end)
        if len(data) > PARSE_IN_THREAD_BYTES:
            return await in_thread(_parse, data, instance)
        return _parse(data, instance)


async def inflated_pixels(services: Services, instance: StoredInstance) -> bytes | None:
    """Read the pixels of a deflated data set, which lie nowhere; None when there are none.

    Raises
    ------
    InvalidDataset, StorageUnavailable, UnknownResource
        As `read_instance`.
    """
    async with services.budget.reserve(in_memory_bytes(instance)):
        data = await services.objects.get(instance.object_key)
        dataset = await in_thread(read_dataset, data, until_pixels=False)
        if PIXEL_DATA not in dataset:
            return None
        return bytes(dataset.get_item(PIXEL_DATA).value or b"")


def in_memory_bytes(instance: StoredInstance) -> int:
    """Return what the whole data set may take in memory, once it is inflated."""
    if is_deflated(instance.transfer_syntax_uid):
        return min(instance.size_bytes * _LARGEST_RATIO, MAX_INFLATED_WHOLE_BYTES)
    return instance.size_bytes


def mark_pixels(parsed: InstanceDataset) -> FileDataset:
    """Return the data set with an empty Pixel Data element if there are pixels."""
    if parsed.has_pixels:
        parsed.dataset[PIXEL_DATA] = DataElement(PIXEL_DATA, "OW", None)
    return parsed.dataset


def _parse(data: bytes, instance: StoredInstance) -> InstanceDataset:
    dataset = read_dataset(data)
    _, little_endian = dataset.original_encoding
    has_pixels = instance.pixel_data_offset is not None
    if is_deflated(instance.transfer_syntax_uid):
        _, header = scan_file(data)
        has_pixels = header.has_pixel_data
    return InstanceDataset(dataset, little_endian is not False, has_pixels)


async def pixel_layout(objects: ObjectStore, instance: StoredInstance) -> PixelLayout:
    """Find the value of Pixel Data, or its fragments, without reading the pixels.

    Raises
    ------
    InvalidDataset
        The object is not what was checked when it was stored.
    """
    offset = instance.pixel_data_offset
    if offset is None:
        raise InvalidDataset("there is no Pixel Data to be found")
    encoding = encoding_of(instance.transfer_syntax_uid) or EXPLICIT_LITTLE
    window = _Window(objects, instance.object_key)
    header = await window.read(offset, _LONG_HEADER_BYTES)
    try:
        if encoding.implicit:
            _, _, length = encoding.implicit_header.unpack_from(header)
            vr, start = "", offset + 8
        else:
            vr, start = header[4:6].decode("latin-1"), offset + _LONG_HEADER_BYTES
            (length,) = encoding.long.unpack_from(header, 8)
        if length != _UNDEFINED:
            return PixelLayout(((start, length),), start + length, vr)
        blocks: list[tuple[int, int]] = []
        while True:
            item = await window.read(start, 8)
            group, number, length = encoding.implicit_header.unpack_from(item)
            start += 8
            if (group, number) != _ITEM:
                return PixelLayout(tuple(blocks), start, vr)
            blocks.append((start, length))
            start += length
    except struct.error as error:
        raise InvalidDataset("Pixel Data ends too early") from error


class _Window:
    """Reads a few bytes here and there, in steps that make one request serve many of them."""

    def __init__(self, objects: ObjectStore, key: str) -> None:
        self._objects = objects
        self._key = key
        self._start = 0
        self._held = b""

    async def read(self, start: int, length: int) -> bytes:
        at = start - self._start
        if at < 0 or at + length > len(self._held):
            self._held = await self._objects.get(self._key, start=start, length=_WINDOW_BYTES)
            self._start, at = start, 0
        return self._held[at : at + length]
