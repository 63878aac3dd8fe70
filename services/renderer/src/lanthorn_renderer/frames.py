"""Where the frames of an object lie, and how to get one without the rest.

References
----------
DICOM PS3.5 Section 8.1.1 (native pixel data), Section A.4 (encapsulation, offset tables).
"""

from __future__ import annotations

import asyncio
import itertools
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, Protocol

import numpy as np

from lanthorn_core.dicom.elements import (
    ITEM,
    PIXEL_DATA,
    SEQUENCE_END,
    UNDEFINED,
    ElementHeader,
)
from lanthorn_core.dicom.encodings import GE_PRIVATE_IMPLICIT, Encoding, encoding_of, is_deflated
from lanthorn_core.dicom.part10 import read_file_meta
from lanthorn_core.errors import (
    DecodeFailed,
    InvalidDataset,
    InvalidParameter,
    NotRenderable,
)
from lanthorn_core.ports.object_store import ObjectStore
from lanthorn_renderer.cache import ByteBoundedCache
from lanthorn_renderer.describe import (
    EXTENDED_OFFSET_TABLE,
    EXTENDED_OFFSET_TABLE_LENGTHS,
    PER_FRAME_FUNCTIONAL_GROUPS,
    WANTED,
    ImageDescription,
    PerFrameGroups,
    describe_image,
    number_of_frames,
)
from lanthorn_renderer.elements import (
    PIXEL_TAGS,
    MoreNeeded,
    elements_to_pixel_data,
    item_values,
)

FIRST_READ_BYTES: Final = 1 << 20
"""One read gets the whole of most single-frame objects."""
MAX_HEADER_BYTES: Final = 256 << 20
MAX_DEFLATED_BYTES: Final = 256 << 20
"""A deflated object is held whole, before and after."""
MAX_FRAME_BYTES: Final = 1 << 30
MAX_FRAGMENTS: Final = 1 << 20
_WALK_READ_BYTES: Final = 1 << 16
_FARTHEST_OFFSET: Final = 1 << 62
_FRAGMENT_SIZE_BYTES: Final = 200
"""What a fragment's place costs in memory, about."""
_FRAME_STARTS: Final = (b"\xff\xd8", b"\xff\x4f\xff\x51", b"\x00\x00\x00\x0cjP")
"""JPEG's and JPEG-LS's SOI, a JPEG 2000 codestream's SOC and SIZ, a JP2 signature box."""


class ByteSource(Protocol):
    """Bytes of one object by range."""

    async def read(self, start: int, length: int) -> bytes:
        """Return `length` bytes from `start`, fewer where the object ends."""
        ...


@dataclass(frozen=True, slots=True)
class StoredBytes:
    """An object too large to be held, read from the store range by range."""

    objects: ObjectStore
    object_key: str

    async def read(self, start: int, length: int) -> bytes:
        """Return `length` bytes from `start`, fewer where the object ends."""
        return await self.objects.get(self.object_key, start=start, length=length)


@dataclass(frozen=True, slots=True)
class HeldBytes:
    """An object that is small, or that is deflated and so can only be read as a whole."""

    data: bytes

    async def read(self, start: int, length: int) -> bytes:
        """Return `length` bytes from `start`, fewer where the object ends."""
        return self.data[start : start + length]


@dataclass(frozen=True, slots=True)
class NativeFrames:
    """Frames of equal size, one behind the other; frames of 1-bit samples share bytes.

    `word_bytes` is what the byte order applies to, 1 where there is nothing to swap.
    """

    start: int
    length: int
    frame_bits: int
    word_bytes: int

    def byte_range(self, frame_index: int) -> tuple[int, int]:
        """Where the words lie that hold the frame: offset and length."""
        first_bit = frame_index * self.frame_bits
        end = -(-(first_bit + self.frame_bits) // 8)
        if end > self.length:
            raise DecodeFailed(
                f"Pixel Data is {self.length} bytes long, frame {frame_index} would end at {end}"
            )
        first_word = first_bit // 8 // self.word_bytes
        end_word = -(-end // self.word_bytes)
        first, end = first_word * self.word_bytes, min(end_word * self.word_bytes, self.length)
        return self.start + first, end - first

    def cut(self, words: bytes, frame_index: int) -> bytes:
        """Take the frame out of what was read at `byte_range`, in little endian."""
        if self.word_bytes > 1:
            whole = len(words) // self.word_bytes * self.word_bytes
            big = np.frombuffer(words, f">u{self.word_bytes}", whole // self.word_bytes)
            words = big.byteswap().tobytes() + words[whole:]
        first_bit = frame_index * self.frame_bits % (8 * self.word_bytes)
        frame = words[first_bit // 8 : -(-(first_bit + self.frame_bits) // 8)]
        if first_bit % 8 == 0:
            return frame
        bits = np.unpackbits(np.frombuffer(frame, np.uint8), bitorder="little")
        return np.packbits(bits[first_bit % 8 :], bitorder="little").tobytes()


@dataclass(frozen=True, slots=True)
class EncapsulatedFrames:
    """The fragments of each frame: offset and length of their values."""

    frames: tuple[tuple[tuple[int, int], ...], ...]


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
            opened = await _open(self._objects, object_key)
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
            data = await _read_all(opened.source, *opened.frames.byte_range(frame_index))
            return opened.frames.cut(data, frame_index)
        fragments = opened.frames.frames[frame_index]
        if sum(length for _, length in fragments) > MAX_FRAME_BYTES:
            raise DecodeFailed(f"frame {frame_index} is larger than {MAX_FRAME_BYTES} bytes")
        return b"".join([await _read_all(opened.source, *fragment) for fragment in fragments])


async def _read_all(source: ByteSource, start: int, length: int) -> bytes:
    if length > MAX_FRAME_BYTES or start >= _FARTHEST_OFFSET:
        raise DecodeFailed(f"a frame of {length} bytes at byte {start} is beyond all limits")
    data = await source.read(start, length)
    if len(data) < length:
        raise DecodeFailed(f"the object ends {length - len(data)} bytes before the end of a frame")
    return data


async def _open(objects: ObjectStore, object_key: str) -> OpenedObject:
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
    source = HeldBytes(beginning) if complete else StoredBytes(objects, object_key)
    held = len(beginning) if complete else 0
    opened = await _describe(beginning, elements, encoding, meta.transfer_syntax_uid, source)
    return replace(opened, size_bytes=opened.size_bytes + held)


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


async def _describe(
    beginning: bytes,
    elements: list[ElementHeader],
    encoding: Encoding,
    transfer_syntax_uid: str,
    source: ByteSource,
) -> OpenedObject:
    values = {}
    groups = None
    held = 0
    for element in elements:
        if element.tag == PER_FRAME_FUNCTIONAL_GROUPS:
            try:
                items = item_values(beginning, element.start, element.length, encoding)
            except InvalidDataset as exc:
                raise DecodeFailed(exc.details) from exc
            groups = PerFrameGroups(tuple(items), transfer_syntax_uid)
            held += groups.size_bytes
        elif element.tag in WANTED:
            values[element.tag] = beginning[element.start : element.start + element.length]
            held += element.length
    count = number_of_frames(values)
    pixels = elements[-1] if elements else None
    if pixels is None or pixels.tag != PIXEL_DATA:
        is_float = pixels is not None and pixels.tag in PIXEL_TAGS
        why_not = "floating point pixels are not rendered" if is_float else "there is no pixel data"
        return OpenedObject(count, None, None, None, source, held, why_not)
    try:
        image = describe_image(
            values,
            transfer_syntax_uid=transfer_syntax_uid,
            pixel_data_vr=pixels.vr,
            encoding=encoding,
        )
    except NotRenderable as exc:
        return OpenedObject(count, None, None, None, source, held, exc.details)
    frames: NativeFrames | EncapsulatedFrames
    if pixels.length == UNDEFINED:
        frames = await _locate_encapsulated(source, pixels.start, count, values)
        held += _FRAGMENT_SIZE_BYTES * sum(map(len, frames.frames))
    else:
        frames = NativeFrames(
            pixels.start,
            pixels.length,
            frame_bits=_native_frame_bits(image),
            word_bytes=_swapped_word_bytes(image, encoding, transfer_syntax_uid),
        )
    return OpenedObject(count, image, frames, groups, source, held)


def _native_frame_bits(image: ImageDescription) -> int:
    bits = image.samples * image.bits_allocated
    if image.photometric_interpretation == "YBR_FULL_422":
        bits = bits * 2 // 3  # PS3.3 Section C.7.6.3.1.2: half of the CB and CR values
    return bits


def _swapped_word_bytes(image: ImageDescription, encoding: Encoding, uid: str) -> int:
    if encoding.little_endian and uid != GE_PRIVATE_IMPLICIT:
        return 1
    if image.bits_allocated in (16, 32):
        return image.bits_allocated // 8
    return 2 if image.pixel_data_vr == "OW" else 1  # two samples of 8 bits share a word


async def _locate_encapsulated(
    source: ByteSource, start: int, count: int, values: Mapping[int, bytes]
) -> EncapsulatedFrames:
    table_offset, table_length = await _first_item(source, start)
    first_fragment = table_offset + table_length
    extended = _extended_offset_table(values, first_fragment, count)
    if extended is not None:
        return extended
    fragments = await _walk_fragments(source, first_fragment)
    if count == 1:
        return EncapsulatedFrames((tuple(fragments),))
    if len(fragments) == count:
        return EncapsulatedFrames(tuple((fragment,) for fragment in fragments))
    table = await source.read(table_offset, table_length)
    offsets = struct.unpack(f"<{len(table) // 4}L", table[: len(table) // 4 * 4])
    if len(offsets) == count and offsets[0] == 0:
        starts = [first_fragment + 8 + offset for offset in offsets]
    else:
        starts = [
            offset
            for offset, length in fragments
            if (await source.read(offset, min(length, 8))).startswith(_FRAME_STARTS)
        ]
    return _group_fragments(fragments, starts, count)


def _group_fragments(
    fragments: list[tuple[int, int]], starts: list[int], count: int
) -> EncapsulatedFrames:
    if len(starts) != count or starts != sorted(set(starts)):
        raise DecodeFailed(
            f"{len(fragments)} fragments of pixel data cannot be told apart into {count} frames"
        )
    ends = itertools.chain(starts[1:], [fragments[-1][0] + 1])
    return EncapsulatedFrames(
        tuple(
            tuple(fragment for fragment in fragments if start <= fragment[0] < end)
            for start, end in zip(starts, ends, strict=True)
        )
    )


async def _first_item(source: ByteSource, start: int) -> tuple[int, int]:
    """Find the Basic Offset Table, which may be empty: offset and length of its value."""
    tag, length = _item_header(await source.read(start, 8), 0)
    if tag != ITEM:
        raise DecodeFailed("encapsulated Pixel Data does not start with an offset table")
    return start + 8, length


def _extended_offset_table(
    values: Mapping[int, bytes], first_fragment: int, count: int
) -> EncapsulatedFrames | None:
    offsets, lengths = values.get(EXTENDED_OFFSET_TABLE), values.get(EXTENDED_OFFSET_TABLE_LENGTHS)
    if offsets is None or lengths is None or not len(offsets) == len(lengths) == 8 * count:
        return None
    layout = f"<{count}Q"
    return EncapsulatedFrames(
        tuple(
            ((first_fragment + 8 + offset, length),)
            for offset, length in zip(
                struct.unpack(layout, offsets), struct.unpack(layout, lengths), strict=True
            )
        )
    )


async def _walk_fragments(source: ByteSource, pos: int) -> list[tuple[int, int]]:
    """Visit the fragments one after the other, reading little beside their headers."""
    fragments: list[tuple[int, int]] = []
    window_start, window = pos, b""
    while True:
        if pos + 8 > window_start + len(window) or pos < window_start:
            window_start, window = pos, await source.read(pos, _WALK_READ_BYTES)
        tag, length = _item_header(window, pos - window_start)
        if tag == SEQUENCE_END:
            return fragments
        if tag != ITEM:
            raise DecodeFailed(f"Pixel Data has ({tag:08x}) at byte {pos}, expected a fragment")
        if len(fragments) == MAX_FRAGMENTS:
            raise DecodeFailed(f"Pixel Data has more than {MAX_FRAGMENTS} fragments")
        fragments.append((pos + 8, length))
        pos += 8 + length


def _item_header(window: bytes, pos: int) -> tuple[int, int]:
    try:
        group, number, length = struct.unpack_from("<HHL", window, pos)
    except struct.error:
        raise DecodeFailed("the object ends within its encapsulated Pixel Data") from None
    return group << 16 | number, length
