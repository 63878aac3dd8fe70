"""One element's header, and what lies within an element of undefined length.

References
----------
DICOM PS3.5 Sections 7.1, 7.5 and A.4.
"""

from __future__ import annotations

from mmap import mmap
from typing import Final, NamedTuple

from lanthorn_core.dicom.encodings import IMPLICIT_LITTLE, Encoding
from lanthorn_core.dicom.tags import format_tag, vr_of_tag
from lanthorn_core.errors import InvalidDataset

Buffer = bytes | bytearray | memoryview | mmap

PIXEL_DATA: Final = 0x7FE0_0010
ITEM: Final = 0xFFFE_E000
ITEM_END: Final = 0xFFFE_E00D
SEQUENCE_END: Final = 0xFFFE_E0DD
UNDEFINED: Final = 0xFFFF_FFFF
"""The length of what ends with a delimiter."""

MAX_NESTING: Final = 64
"""Sequences within sequences; real data sets stay below 10, and a real Orthanc dies of 60."""


class Truncated(InvalidDataset):
    """The bytes end too early; more of them could help."""


class ElementHeader(NamedTuple):
    """Tag, VR (None in Implicit VR), where the value starts, and its length in bytes."""

    tag: int
    vr: str | None
    start: int
    length: int


def read_element_header(data: Buffer, pos: int, end: int, encoding: Encoding) -> ElementHeader:
    """Read one element's header.

    Raises
    ------
    InvalidDataset
        No header is there.
    """
    if end - pos < 8:
        raise ends_within_element(end)
    if encoding.implicit:
        group, number, length = encoding.implicit_header.unpack_from(data, pos)
        return ElementHeader(group << 16 | number, None, pos + 8, length)
    group, number, vr_code, length = encoding.short.unpack_from(data, pos)
    tag = group << 16 | number
    known = encoding.vrs.get(vr_code)
    if known is None:
        known = _unknown_vr(tag, bytes(data[pos + 4 : pos + 6]), pos)
    vr, is_long = known
    if not is_long:
        return ElementHeader(tag, vr, pos + 8, length)
    if end - pos < 12:
        raise ends_within_element(end)
    (length,) = encoding.long.unpack_from(data, pos + 8)
    return ElementHeader(tag, vr, pos + 12, length)


def _unknown_vr(tag: int, vr: bytes, pos: int) -> tuple[str, bool]:
    if tag >> 16 == 0xFFFE or not (vr.isascii() and min(vr) >= 0x20):
        raise InvalidDataset(f"unexpected ({format_tag(tag)}) at byte {pos}")
    # VRs to come will have long lengths (PS3.5 Section 7.1.2); anything but capital letters is a
    # slip of the writer, which DCMTK takes for a short one.
    return vr.decode("latin-1"), vr.isalpha() and vr.isupper()


def too_long(tag: int, pos: int, length: int, left: int) -> InvalidDataset:
    """Say that a value is longer than what contains it."""
    return Truncated(
        f"element ({format_tag(tag)}) at byte {pos} says it is {length} bytes long, "
        f"but {max(left, 0)} are left"
    )


def ends_within_element(end: int) -> InvalidDataset:
    """Say that the data set stops in the middle."""
    return Truncated(f"the data set ends within an element, at byte {end}")


def skip_fragments(data: Buffer, pos: int, end: int, encoding: Encoding) -> int:
    """Walk encapsulated Pixel Data to behind its Sequence Delimitation Item (PS3.5 Section A.4).

    Raises
    ------
    InvalidDataset
        Something else than fragments is there, or they do not end.
    """
    read = encoding.implicit_header.unpack_from
    while end - pos >= 8:
        group, number, length = read(data, pos)
        tag = group << 16 | number
        pos += 8
        if tag == SEQUENCE_END:
            return pos
        if tag != ITEM:
            raise InvalidDataset(
                f"Pixel Data has ({format_tag(tag)}) at byte {pos - 8}, expected a fragment"
            )
        if length > end - pos:
            raise Truncated(
                f"a fragment of Pixel Data at byte {pos - 8} says it is {length} bytes long, "
                f"but {end - pos} are left"
            )
        pos += length
    raise Truncated("Pixel Data lacks its Sequence Delimitation Item")


def skip_sequence(data: Buffer, header: ElementHeader, end: int, encoding: Encoding) -> int:
    """Walk one sequence with all below it; return where it ends.

    Parameters
    ----------
    data : bytes-like
        The data set.
    header : ElementHeader
        The element: a sequence, or of undefined length.
    end : int
        Where the data set, or the item around it, ends.
    encoding : Encoding
        How the data set is written.

    Raises
    ------
    InvalidDataset
        A length exceeds what contains it, an end is missing, nesting is too deep.
    """
    opened = _open_sequence(header, end, encoding)
    if opened is None:
        return skip_fragments(data, header.start, end, encoding)
    stack, pos = [opened], header.start
    # Iterative, since nesting is the sender's to choose.
    while stack:
        container = stack[-1]
        if container.end is not None and pos >= container.end:
            stack.pop()
        elif container.limit - pos < 8:
            raise Truncated(f"a sequence or item lacks its end, at byte {pos}")
        elif container.is_item:
            pos = _step_in_item(data, pos, stack)
        else:
            pos = _step_in_sequence(data, pos, stack)
    return pos


class _Container(NamedTuple):
    """A sequence or item; `end` is None if its length is undefined, `limit` that of the outer."""

    is_item: bool
    end: int | None
    limit: int
    encoding: Encoding


def _step_in_sequence(data: Buffer, pos: int, stack: list[_Container]) -> int:
    sequence = stack[-1]
    group, number, length = sequence.encoding.implicit_header.unpack_from(data, pos)
    tag, start = group << 16 | number, pos + 8
    if tag == SEQUENCE_END:
        stack.pop()
    elif tag != ITEM:
        raise InvalidDataset(f"a sequence has ({format_tag(tag)}) at byte {pos}, expected an item")
    else:
        # Lengths of items are taken for hints: DCMTK and pydicom read on while an element is not
        # complete, and no further than the sequence.
        end = None if length == UNDEFINED else min(start + length, sequence.limit)
        stack.append(_Container(True, end, sequence.limit, sequence.encoding))
    return start


def _step_in_item(data: Buffer, pos: int, stack: list[_Container]) -> int:
    item = stack[-1]
    group, number, _ = item.encoding.implicit_header.unpack_from(data, pos)
    if group << 16 | number == ITEM_END:
        stack.pop()
        return pos + 8
    header = read_element_header(data, pos, item.limit, item.encoding)
    tag, vr, start, length = header
    is_sequence = vr == "SQ" or (vr is None and vr_of_tag(tag) == "SQ")
    if not is_sequence and length != UNDEFINED:
        if length > item.limit - start:
            raise too_long(tag, pos, length, item.limit - start)
        return start + length
    if len(stack) >= 2 * MAX_NESTING:
        raise InvalidDataset(f"sequences nested deeper than {MAX_NESTING}")
    sequence = _open_sequence(header, item.limit, item.encoding)
    if sequence is None:
        return skip_fragments(data, start, item.limit, item.encoding)
    stack.append(sequence)
    return start


def _open_sequence(header: ElementHeader, limit: int, encoding: Encoding) -> _Container | None:
    """Begin a sequence; None when it is not one but encapsulated pixels, as in an icon."""
    tag, vr, start, length = header
    if length != UNDEFINED:
        if length > limit - start:
            raise too_long(tag, start, length, limit - start)
        return _Container(False, start + length, start + length, encoding)
    if tag == PIXEL_DATA:
        return None
    if vr == "UN":
        # PS3.5 Section 6.2.2 Note 3: the content is Implicit VR Little Endian.
        return _Container(False, None, limit, IMPLICIT_LITTLE)
    if vr not in (None, "SQ"):
        raise InvalidDataset(f"element ({format_tag(tag)}) of VR {vr} has an undefined length")
    return _Container(False, None, limit, encoding)
