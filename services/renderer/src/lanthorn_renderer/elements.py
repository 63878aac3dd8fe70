"""The beginning of an object, read no further than its Pixel Data.

An object of gigabytes is never loaded to find what its frames look like: the walk below works on
however much of the object has arrived and says when that is not enough.

References
----------
DICOM PS3.5 Section 7.1 (elements), Section 7.5 (sequences).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from lanthorn_core.dicom.encodings import IMPLICIT_LITTLE, Encoding
from lanthorn_core.errors import DecodeFailed

UNDEFINED: Final = 0xFFFF_FFFF
PIXEL_DATA: Final = 0x7FE0_0010
FLOAT_PIXEL_DATA: Final = 0x7FE0_0008
DOUBLE_FLOAT_PIXEL_DATA: Final = 0x7FE0_0009
PIXEL_TAGS: Final = frozenset({PIXEL_DATA, FLOAT_PIXEL_DATA, DOUBLE_FLOAT_PIXEL_DATA})
_ITEM: Final = 0xFFFE_E000
_ITEM_END: Final = 0xFFFE_E00D
_SEQUENCE_END: Final = 0xFFFE_E0DD
_DELIMITER_GROUP: Final = 0xFFFE
_MAX_NESTING: Final = 128


class Truncated(Exception):
    """The bytes at hand end before the walk does; `needed` of them would let it go on."""

    def __init__(self, needed: int) -> None:
        super().__init__(f"{needed} bytes needed")
        self.needed = needed


@dataclass(frozen=True, slots=True)
class Element:
    """Where a top-level element's value lies; offsets count from the start of the object.

    `length` is `UNDEFINED` only for encapsulated Pixel Data; of sequences of undefined length it
    covers the items and their Sequence Delimitation Item.
    """

    tag: int
    vr: str | None
    start: int
    length: int


def elements_to_pixel_data(
    data: bytes, pos: int, encoding: Encoding, *, complete: bool
) -> Iterator[Element]:
    """Yield the top-level elements up to and with Pixel Data.

    Parameters
    ----------
    data : bytes
        The beginning of the object.
    pos : int
        Where its data set starts.
    encoding : Encoding
        How the data set is written.
    complete : bool
        Whether `data` is the whole object.

    Raises
    ------
    Truncated
        `data` is not complete and ends before Pixel Data.
    DecodeFailed
        The data set is broken.
    """
    end = len(data)
    while pos < end or not complete:
        try:
            tag, vr, start, length = _element_header(data, pos, encoding)
            if tag in PIXEL_TAGS:
                yield Element(tag, vr, start, length)
                return
            if length == UNDEFINED:
                after = _skip_undefined(data, start, vr, encoding, depth=0)
            else:
                after = start + length
            if after > end:
                raise Truncated(after)
        except Truncated:
            if complete:
                raise DecodeFailed(f"the data set ends within the element at byte {pos}") from None
            raise
        yield Element(tag, vr, start, after - start)
        pos = after


def item_values(data: bytes, element: Element, encoding: Encoding) -> list[tuple[int, int]]:
    """Find where the items of a sequence lie: (start, end) of the value of each."""
    items = []
    pos, end = element.start, element.start + element.length
    if element.vr == "UN":
        encoding = IMPLICIT_LITTLE
    while pos < end:
        tag, length = _item_header(data, pos, encoding)
        pos += 8
        if tag == _SEQUENCE_END:
            break
        if tag != _ITEM:
            raise DecodeFailed(f"a sequence has ({tag:08x}) at byte {pos - 8}, expected an item")
        if length == UNDEFINED:
            after = _skip_item(data, pos, encoding, depth=0)
            items.append((pos, after - 8))
        else:
            after = pos + length
            items.append((pos, after))
        pos = after
    return items


def _element_header(data: bytes, pos: int, encoding: Encoding) -> tuple[int, str | None, int, int]:
    try:
        if encoding.implicit:
            group, number, length = encoding.implicit_header.unpack_from(data, pos)
            return group << 16 | number, None, pos + 8, length
        group, number, vr_code, length = encoding.short.unpack_from(data, pos)
        vr, is_long = encoding.vrs.get(vr_code) or ("UN", data[pos + 4 : pos + 6].isalpha())
        if not is_long or group == _DELIMITER_GROUP:
            return group << 16 | number, vr, pos + 8, length
        (length,) = encoding.long.unpack_from(data, pos + 8)
    except struct.error:
        raise Truncated(pos + 12) from None
    return group << 16 | number, vr, pos + 12, length


def _item_header(data: bytes, pos: int, encoding: Encoding) -> tuple[int, int]:
    try:
        group, number, length = encoding.implicit_header.unpack_from(data, pos)
    except struct.error:
        raise Truncated(pos + 8) from None
    return group << 16 | number, length


def _skip_undefined(data: bytes, pos: int, vr: str | None, encoding: Encoding, depth: int) -> int:
    """Walk a sequence of undefined length, or the fragments of an icon; return where it ends."""
    if depth > _MAX_NESTING:
        raise DecodeFailed(f"sequences nested deeper than {_MAX_NESTING}")
    if vr == "UN":  # PS3.5 Section 6.2.2 Note 3: the content is Implicit VR Little Endian
        encoding = IMPLICIT_LITTLE
    while True:
        tag, length = _item_header(data, pos, encoding)
        pos += 8
        if tag == _SEQUENCE_END:
            return pos
        if tag != _ITEM:
            raise DecodeFailed(f"a sequence has ({tag:08x}) at byte {pos - 8}, expected an item")
        pos = _skip_item(data, pos, encoding, depth) if length == UNDEFINED else pos + length


def _skip_item(data: bytes, pos: int, encoding: Encoding, depth: int) -> int:
    while True:
        tag, vr, start, length = _element_header(data, pos, encoding)
        if tag == _ITEM_END:
            return pos + 8
        if length == UNDEFINED:
            pos = _skip_undefined(data, start, vr, encoding, depth + 1)
        else:
            pos = start + length
