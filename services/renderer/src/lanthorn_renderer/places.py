"""Where the frames lie within Pixel Data.

References
----------
DICOM PS3.5 Section 8.1.1 (native pixel data), Section A.4 (encapsulation, offset tables).
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from lanthorn_core.dicom.elements import ITEM, SEQUENCE_END
from lanthorn_core.dicom.encodings import GE_PRIVATE_IMPLICIT, Encoding
from lanthorn_core.errors import DecodeFailed
from lanthorn_renderer.describe import (
    EXTENDED_OFFSET_TABLE,
    EXTENDED_OFFSET_TABLE_LENGTHS,
    ImageDescription,
)
from lanthorn_renderer.sources import ByteSource

MAX_FRAGMENTS: Final = 1 << 20
_WALK_READ_BYTES: Final = 1 << 16
_FRAME_STARTS: Final = (b"\xff\xd8", b"\xff\x4f\xff\x51", b"\x00\x00\x00\x0cjP")
"""JPEG's and JPEG-LS's SOI, a JPEG 2000 codestream's SOC and SIZ, a JP2 signature box."""


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


def locate_native(
    image: ImageDescription, encoding: Encoding, *, start: int, length: int
) -> NativeFrames:
    """Locate the frames of native Pixel Data, the value of which lies at `start`."""
    return NativeFrames(
        start,
        length,
        frame_bits=_native_frame_bits(image),
        word_bytes=_swapped_word_bytes(image, encoding),
    )


def _native_frame_bits(image: ImageDescription) -> int:
    bits = image.samples * image.bits_allocated
    if image.photometric_interpretation == "YBR_FULL_422":
        bits = bits * 2 // 3  # PS3.3 Section C.7.6.3.1.2: half of the CB and CR values
    return bits


def _swapped_word_bytes(image: ImageDescription, encoding: Encoding) -> int:
    if encoding.little_endian and image.transfer_syntax_uid != GE_PRIVATE_IMPLICIT:
        return 1
    if image.bits_allocated in (16, 32):
        return image.bits_allocated // 8
    return 2 if image.pixel_data_vr == "OW" else 1  # two samples of 8 bits share a word


async def locate_encapsulated(
    source: ByteSource, start: int, count: int, values: Mapping[int, bytes]
) -> EncapsulatedFrames:
    """Locate the frames of encapsulated Pixel Data, by offset tables where that saves the walk.

    Raises
    ------
    DecodeFailed
        It is broken, or its fragments cannot be told apart into `count` frames.
    """
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
