"""The beginning of an object: its meta information, and its elements up to Pixel Data."""

from __future__ import annotations

import asyncio
import zlib
from dataclasses import dataclass
from typing import Final

from lanthorn_core.dicom.elements import ElementHeader
from lanthorn_core.dicom.encodings import Encoding, encoding_of, is_deflated
from lanthorn_core.dicom.part10 import FileMeta, read_file_meta
from lanthorn_core.errors import DecodeFailed, InvalidDataset, NotRenderable
from lanthorn_core.ports.object_store import ObjectStore
from lanthorn_renderer.elements import PIXEL_TAGS, MoreNeeded, elements_to_pixel_data
from lanthorn_renderer.sources import ByteSource, HeldBytes, StoredBytes

FIRST_READ_BYTES: Final = 1 << 20
"""One read gets the whole of most single-frame objects."""
MAX_HEADER_BYTES: Final = 256 << 20
MAX_DEFLATED_BYTES: Final = 256 << 20
"""A deflated object is held whole, before and after."""


@dataclass(frozen=True, slots=True)
class Beginning:
    """What was read of an object.

    `data` has the elements in it, the first at `start`; it is inflated where the object is
    deflated. `source` gives all bytes in the same places; `held_bytes` of them are in memory.
    """

    meta: FileMeta
    encoding: Encoding
    data: bytes
    start: int
    elements: tuple[ElementHeader, ...]
    source: ByteSource
    held_bytes: int

    @property
    def pixels(self) -> ElementHeader | None:
        """Pixel Data, or one of its floating point kin, if there is any."""
        last = self.elements[-1] if self.elements else None
        return last if last is not None and last.tag in PIXEL_TAGS else None

    def value(self, element: ElementHeader) -> bytes:
        """Return the value of an element before Pixel Data."""
        return self.data[element.start : element.start + element.length]


async def read_beginning(objects: ObjectStore, object_key: str) -> Beginning:
    """Read an object up to its Pixel Data.

    Raises
    ------
    UnknownResource, StorageUnavailable
        As the object store says.
    NotRenderable
        Nobody knows its transfer syntax.
    DecodeFailed
        The object is broken.
    """
    beginning = await objects.get(object_key, length=FIRST_READ_BYTES)
    complete = len(beginning) < FIRST_READ_BYTES
    try:
        meta = read_file_meta(beginning)
    except InvalidDataset as exc:
        raise DecodeFailed(exc.details) from exc
    encoding = encoding_of(meta.transfer_syntax_uid)
    if encoding is None:
        raise NotRenderable(f"unknown transfer syntax {meta.transfer_syntax_uid}")
    pos = meta.dataset_offset
    if is_deflated(meta.transfer_syntax_uid):
        deflated = await objects.get(object_key, start=pos, length=MAX_DEFLATED_BYTES)
        # Up to a quarter of a gigabyte: too long for the loop, and zlib lets go of the GIL.
        beginning = await asyncio.to_thread(_inflate, deflated)
        pos, complete = 0, True
    while True:
        try:
            elements = list(elements_to_pixel_data(beginning, pos, encoding, complete=complete))
            break
        except MoreNeeded as more:
            if more.size_bytes > MAX_HEADER_BYTES:
                raise DecodeFailed(f"the header is longer than {MAX_HEADER_BYTES} bytes") from None
            wanted = max(more.size_bytes, 2 * len(beginning))
            beginning = await objects.get(object_key, length=wanted)
            complete = len(beginning) < wanted
    source: ByteSource = HeldBytes(beginning) if complete else StoredBytes(objects, object_key)
    held_bytes = len(beginning) if complete else 0
    return Beginning(meta, encoding, beginning, pos, tuple(elements), source, held_bytes)


def _inflate(deflated: bytes) -> bytes:
    """Inflate a data set, no further than may be held (PS3.5 Section A.5)."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        inflated = inflater.decompress(deflated, MAX_DEFLATED_BYTES)
    except zlib.error as exc:
        raise DecodeFailed(f"the deflated data set is broken: {exc}") from exc
    if not inflater.eof:
        raise DecodeFailed(
            f"the deflated data set is truncated, or larger than {MAX_DEFLATED_BYTES} bytes"
        )
    return inflated
