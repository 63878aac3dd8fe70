"""Walking a data set by a path of tags and item numbers, down to the bytes of a value."""

from __future__ import annotations

import array
from collections.abc import Sequence
from typing import Any, Final

from pydicom import Dataset
from pydicom.dataelem import RawDataElement

from lanthorn_core.dicom.tags import parse_tag, vr_of_tag
from lanthorn_core.errors import InvalidDataset

_WIDTHS: Final = {
    **dict.fromkeys(("AT", "OW", "SS", "US"), 2),
    **dict.fromkeys(("FL", "OF", "OL", "SL", "UL"), 4),
    **dict.fromkeys(("FD", "OD", "OV", "SV", "UV"), 8),
}
"""Bytes of one number, of the VRs that depend on the byte order (PS3.5 Section 7.3)."""
_TYPE_CODES: Final = {2: "H", 4: "I", 8: "Q"}


class NothingThere(Exception):
    """The path leads nowhere."""


Content = bytes | list[str]
"""The bytes of a value; or the items of a sequence, or the tags of an item."""


def path_tag(tag: int) -> str:
    """Write a tag as paths have it, ``gggg-eeee``."""
    return f"{tag >> 16:04x}-{tag & 0xFFFF:04x}"


def content(dataset: Dataset, path: Sequence[str], *, little_endian: bool) -> Content:
    """Follow a path.

    Parameters
    ----------
    dataset : pydicom.Dataset
        Where it begins.
    path : sequence of str
        Tag, number of an item from 0 on, tag, and so on.
    little_endian : bool
        How the data set is written; values always come out as little endian.

    Raises
    ------
    NothingThere
        A tag or item is absent, or the path goes on behind a value.
    UnknownTag
        Something stands where a tag should that is none.
    InvalidDataset
        A sequence on the way cannot be read.
    """
    if not path:
        return [path_tag(int(tag)) for tag in sorted(dataset.keys())]
    tag = parse_tag(path[0])
    if tag not in dataset:
        raise NothingThere
    vr = _vr(dataset, tag)
    if vr != "SQ":
        if len(path) > 1:
            raise NothingThere
        return in_little_endian(_value(dataset, tag), vr, little_endian=little_endian)
    items = _items(dataset, tag)
    if len(path) == 1:
        return [str(index) for index in range(len(items))]
    if not (path[1].isascii() and path[1].isdigit() and len(path[1]) < 10):
        raise NothingThere
    if int(path[1]) >= len(items):
        raise NothingThere
    return content(items[int(path[1])], path[2:], little_endian=little_endian)


def in_little_endian(value: bytes, vr: str, *, little_endian: bool) -> bytes:
    """Return a value with its numbers in little endian; an incomplete last one is left out."""
    width = _WIDTHS.get(vr)
    if little_endian or width is None:
        return value
    numbers = array.array(_TYPE_CODES[width], value[: len(value) // width * width])
    numbers.byteswap()
    return numbers.tobytes()


def _vr(dataset: Dataset, tag: int) -> str:
    vr = dataset.get_item(tag).VR
    if vr is not None:
        return str(vr)
    creator = None
    if tag >> 16 & 1:
        creator = dataset.get((tag & 0xFFFF_0000) | (tag & 0xFFFF) >> 8)
    return vr_of_tag(tag, None if creator is None else str(creator.value))


def _value(dataset: Dataset, tag: int) -> bytes:
    element = dataset.get_item(tag)
    value: Any = element.value
    if isinstance(element, RawDataElement) or isinstance(value, bytes):
        return value or b""
    # pydicom converts Specific Character Set (0008,0005) while it reads.
    terms = [value] if isinstance(value, str) else value or ()
    text = "\\".join(terms).encode("ascii", "replace")
    return text + b" " * (len(text) % 2)


def _items(dataset: Dataset, tag: int) -> Sequence[Dataset]:
    try:
        return list(dataset[tag].value or ())
    except RecursionError:
        raise InvalidDataset("sequences are nested too deep") from None
    except Exception as error:
        # pydicom raises what its parts raise.
        raise InvalidDataset(f"pydicom cannot read the sequence: {error}") from error
