"""The beginning of an object, read no further than its Pixel Data.

An object of gigabytes is never loaded to find what its frames look like: the walk below works on
however much of the object has arrived and says when that is not enough.

References
----------
DICOM PS3.5 Section 7.1 (elements), Section 7.5 (sequences).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from lanthorn_core.dicom.elements import (
    ITEM,
    ITEM_END,
    PIXEL_DATA,
    SEQUENCE_END,
    UNDEFINED,
    ElementHeader,
    Truncated,
    read_element_header,
    skip_sequence,
)
from lanthorn_core.dicom.encodings import Encoding
from lanthorn_core.errors import DecodeFailed, InvalidDataset

FLOAT_PIXEL_DATA: Final = 0x7FE0_0008
DOUBLE_FLOAT_PIXEL_DATA: Final = 0x7FE0_0009
PIXEL_TAGS: Final = frozenset({PIXEL_DATA, FLOAT_PIXEL_DATA, DOUBLE_FLOAT_PIXEL_DATA})


class MoreNeeded(Exception):
    """The bytes at hand end before the walk does; with `size_bytes` of them it would go on."""

    def __init__(self, size_bytes: int) -> None:
        super().__init__(f"{size_bytes} bytes needed")
        self.size_bytes = size_bytes


def elements_to_pixel_data(
    data: bytes, pos: int, encoding: Encoding, *, complete: bool
) -> Iterator[ElementHeader]:
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

    Yields
    ------
    ElementHeader
        Its `length` is `UNDEFINED` only for encapsulated Pixel Data; of sequences of undefined
        length it covers the items and their Sequence Delimitation Item.

    Raises
    ------
    MoreNeeded
        `data` is not complete and ends before Pixel Data.
    DecodeFailed
        The data set is broken.
    """
    end = len(data)
    while pos < end or not complete:
        try:
            header = read_element_header(data, pos, end, encoding)
            if header.tag in PIXEL_TAGS:
                yield header
                return
            after = header.start + header.length
            if header.length == UNDEFINED:
                after = skip_sequence(data, header, end, encoding)
        except Truncated as exc:
            if complete:
                raise DecodeFailed(exc.details) from exc
            raise MoreNeeded(end + 1) from None
        except InvalidDataset as exc:
            raise DecodeFailed(exc.details) from exc
        if after > end:
            if complete:
                raise DecodeFailed(f"the data set ends within the element at byte {pos}")
            raise MoreNeeded(after)
        yield header._replace(length=after - header.start)
        pos = after


def item_values(data: bytes, start: int, length: int, encoding: Encoding) -> list[bytes]:
    """Cut the value of a sequence into its items.

    Parameters
    ----------
    data : bytes
        Bytes with a sequence in them.
    start, length : int
        Where its value lies.
    encoding : Encoding
        How it is written.

    Raises
    ------
    InvalidDataset
        It is no sequence.
    """
    items = []
    pos, end = start, start + length
    while end - pos >= 8:
        tag, item_length = _delimiter(data, pos, encoding)
        pos += 8
        if tag == SEQUENCE_END:
            break
        if tag != ITEM:
            raise InvalidDataset(f"a sequence has ({tag:08x}) at byte {pos - 8}, expected an item")
        after = pos + item_length
        if item_length == UNDEFINED:
            after = _end_of_item(data, pos, end, encoding)
            items.append(data[pos : after - 8])
        else:
            items.append(data[pos : min(after, end)])
        pos = after
    return items


def _end_of_item(data: bytes, pos: int, end: int, encoding: Encoding) -> int:
    """Walk an item of undefined length to behind its Item Delimitation Item."""
    while end - pos >= 8 and _delimiter(data, pos, encoding)[0] != ITEM_END:
        header = read_element_header(data, pos, end, encoding)
        pos = header.start + header.length
        if header.length == UNDEFINED:
            pos = skip_sequence(data, header, end, encoding)
    return pos + 8


def _delimiter(data: bytes, pos: int, encoding: Encoding) -> tuple[int, int]:
    group, number, length = encoding.implicit_header.unpack_from(data, pos)
    return group << 16 | number, length
