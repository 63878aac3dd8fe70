"""The header scanner: a data set's structure and top-level elements, without its values.

Every instance that arrives passes through here, so the loops are written for speed: one
`struct` call an element, no object more than the result needs, no copy of pixels. Lengths of the
wire are compared with what is there before anything is done with them.

References
----------
DICOM PS3.5 Chapter 7 (data set), Section 7.5 (sequences), Annex A (transfer syntaxes).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from mmap import mmap
from typing import Final, NamedTuple

from lanthorn_core.dicom.encodings import (
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    Encoding,
    detect_encoding,
    encoding_of,
    is_deflated,
)
from lanthorn_core.dicom.inflate import InflatedDataset
from lanthorn_core.dicom.tags import format_tag
from lanthorn_core.errors import InvalidDataset

Buffer = bytes | bytearray | memoryview | mmap

MAX_NESTING: Final = 128
"""Sequences within sequences; real data sets stay below 10."""
MAX_INFLATED_BYTES: Final = 2 << 30
"""What a deflated data set may grow to, pixels included."""

PIXEL_DATA: Final = 0x7FE0_0010
UNDEFINED: Final = 0xFFFF_FFFF
_ITEM: Final = 0xFFFE_E000
_ITEM_END: Final = 0xFFFE_E00D
_SEQUENCE_END: Final = 0xFFFE_E0DD


class RawElement(NamedTuple):
    """Where a top-level element's value lies in `Header.encoded`.

    `vr` is None in Implicit VR. `length` counts bytes; of a sequence of undefined length it covers
    the items and the Sequence Delimitation Item.
    """

    vr: str | None
    start: int
    length: int


@dataclass(frozen=True, slots=True)
class Header:
    """A data set up to its Pixel Data.

    `encoded` holds the bytes before Pixel Data (inflated if the transfer syntax is a deflated one)
    and `elements` finds values in them by tag. `pixel_data_offset` counts from the start of the
    file; it is None without Pixel Data and in a deflated file, in which it names no place.
    """

    transfer_syntax_uid: str
    encoded: bytes
    pixel_data_offset: int | None
    pixel_data_vr: str | None
    elements: dict[int, RawElement]

    @property
    def encoding(self) -> Encoding:
        """How `encoded` is written."""
        return effective_encoding(self.encoded, self.transfer_syntax_uid)

    def value(self, tag: int) -> bytes | None:
        """Return the bytes of a top-level element, None when it is absent."""
        element = self.elements.get(tag)
        if element is None:
            return None
        return self.encoded[element.start : element.start + element.length]


def scan_dataset(
    data: Buffer,
    transfer_syntax_uid: str,
    *,
    base_offset: int = 0,
    max_inflated_bytes: int = MAX_INFLATED_BYTES,
) -> Header:
    """Check the structure of a whole data set and find its top-level elements.

    Parameters
    ----------
    data : bytes-like
        The data set alone (no preamble, no File Meta Information); of a mapped file, a
        `memoryview` of the part behind `FileMeta.dataset_offset`.
    transfer_syntax_uid : str
        Transfer Syntax UID (0002,0010) of the data set.
    base_offset : int
        Where the data set begins in its file, in bytes; added to `Header.pixel_data_offset`.
    max_inflated_bytes : int
        Largest size of a deflated data set once inflated.

    Returns
    -------
    Header
        The header owns its bytes: `data` may be closed afterwards.

    Raises
    ------
    InvalidDataset
        The data set is truncated, a length exceeds what contains it, sequences are nested too
        deep, or a deflated data set is broken or grows too large.
    """
    if is_deflated(transfer_syntax_uid):
        return _scan_deflated(data, transfer_syntax_uid, max_inflated_bytes)
    encoding = effective_encoding(data, transfer_syntax_uid)
    elements: dict[int, RawElement] = {}
    end = len(data)
    stop = _scan_top_level(data, 0, end, encoding, elements)
    with memoryview(data) as view, view[:stop] as header:
        encoded = bytes(header)
    if stop == end:
        return Header(transfer_syntax_uid, encoded, None, None, elements)
    vr, after = _skip_pixel_data(data, stop, end, encoding)
    while after < end:
        after = _scan_top_level(data, after, end, encoding, {})
        if after < end:
            raise InvalidDataset(f"Pixel Data (7fe0,0010) occurs twice, again at byte {after}")
    return Header(transfer_syntax_uid, encoded, base_offset + stop, vr, elements)


def parse_header(encoded: bytes, transfer_syntax_uid: str) -> Header:
    """Find the elements of a header that was scanned before.

    Parameters
    ----------
    encoded : bytes
        `Header.encoded` of an earlier scan.
    transfer_syntax_uid : str
        Transfer syntax of the file; headers of deflated files are already inflated.

    Raises
    ------
    InvalidDataset
        These bytes are no header.
    """
    elements: dict[int, RawElement] = {}
    encoding = effective_encoding(encoded, transfer_syntax_uid)
    stop = _scan_top_level(encoded, 0, len(encoded), encoding, elements)
    if stop != len(encoded):
        raise InvalidDataset("a header does not contain Pixel Data (7fe0,0010)")
    return Header(transfer_syntax_uid, encoded, None, None, elements)


def effective_encoding(data: Buffer, transfer_syntax_uid: str) -> Encoding:
    """Return how a data set is written; for unknown transfer syntaxes, look at the bytes."""
    return encoding_of(transfer_syntax_uid) or detect_encoding(data) or EXPLICIT_LITTLE


def _scan_deflated(data: Buffer, transfer_syntax_uid: str, max_inflated_bytes: int) -> Header:
    source = InflatedDataset(data, max_inflated_bytes)
    while True:
        elements: dict[int, RawElement] = {}
        try:
            stop = _scan_top_level(source.held, 0, len(source.held), EXPLICIT_LITTLE, elements)
            if stop < len(source.held) or source.complete:
                break
        except _Truncated:
            if source.complete:
                raise
        source.inflate_more()
    encoded = bytes(memoryview(source.held)[:stop])
    if stop == len(source.held):
        return Header(transfer_syntax_uid, encoded, None, None, elements)
    vr = _skip_deflated_pixels(source, stop)
    return Header(transfer_syntax_uid, encoded, None, vr, elements)


def _skip_deflated_pixels(source: InflatedDataset, start: int) -> str | None:
    """Check Pixel Data and what follows it, holding a native value in pieces only."""
    while len(source.held) - start < EXPLICIT_LITTLE.longest_element_header and not source.complete:
        source.inflate_more()
    _, vr, value_start, length = _element_header(
        source.held, start, len(source.held), EXPLICIT_LITTLE
    )
    if length == UNDEFINED:
        source.inflate_all()
        end = len(source.held)
        _, after = _skip_pixel_data(source.held, start, end, EXPLICIT_LITTLE)
    else:
        source.skip_to(value_start + length)
        source.inflate_all()
        after, end = 0, len(source.held)
    if after < end:
        _scan_top_level(source.held, after, end, EXPLICIT_LITTLE, {})
    return vr


class _Truncated(InvalidDataset):
    """The bytes end too early; more of them could help."""


def _scan_top_level(
    data: Buffer | memoryview,
    pos: int,
    end: int,
    encoding: Encoding,
    elements: dict[int, RawElement],
) -> int:
    """Fill `elements` from `pos` on; return where Pixel Data begins, or `end`."""
    scan = _scan_implicit if encoding.implicit else _scan_explicit
    try:
        return scan(data, pos, end, encoding, elements)
    except struct.error:
        raise _Truncated(f"the data set ends within an element, at byte {end}") from None


def _scan_explicit(
    data: Buffer, pos: int, end: int, encoding: Encoding, elements: dict[int, RawElement]
) -> int:
    read, read_long, vrs = encoding.short.unpack_from, encoding.long.unpack_from, encoding.vrs
    new = tuple.__new__
    while pos < end:
        group, number, vr_code, length = read(data, pos)
        tag = group << 16 | number
        if tag == PIXEL_DATA:
            return pos
        known = vrs.get(vr_code)
        if known is None:
            tag, vr, start, length = _element_header(data, pos, end, encoding)
        else:
            vr, is_long = known
            if is_long:
                (length,) = read_long(data, pos + 8)
                start = pos + 12
            else:
                start = pos + 8
        if vr == "SQ" or length == UNDEFINED:
            after = _skip_sequence(data, start, length, end, tag, vr, encoding)
            length = after - start
        else:
            after = start + length
            if after > end:
                raise _too_long(tag, pos, length, end - start)
        if tag not in elements:
            elements[tag] = new(RawElement, (vr, start, length))
        pos = after
    return pos


def _scan_implicit(
    data: Buffer, pos: int, end: int, encoding: Encoding, elements: dict[int, RawElement]
) -> int:
    read = encoding.implicit_header.unpack_from
    new = tuple.__new__
    while pos < end:
        group, number, length = read(data, pos)
        tag = group << 16 | number
        if tag == PIXEL_DATA:
            return pos
        start = pos + 8
        if length == UNDEFINED:
            after = _skip_sequence(data, start, length, end, tag, None, encoding)
            length = after - start
        else:
            after = start + length
            if after > end:
                raise _too_long(tag, pos, length, end - start)
        if tag not in elements:
            elements[tag] = new(RawElement, (None, start, length))
        pos = after
    return pos


def _too_long(tag: int, pos: int, length: int, left: int) -> InvalidDataset:
    return _Truncated(
        f"element ({format_tag(tag)}) at byte {pos} says it is {length} bytes long, "
        f"but {max(left, 0)} are left"
    )


def _element_header(
    data: Buffer, pos: int, end: int, encoding: Encoding
) -> tuple[int, str | None, int, int]:
    """Read one element's header: tag, VR, where the value starts, its length."""
    if end - pos < 8:
        raise _Truncated(f"the data set ends within an element, at byte {end}")
    if encoding.implicit:
        group, number, length = encoding.implicit_header.unpack_from(data, pos)
        return group << 16 | number, None, pos + 8, length
    group, number, vr_code, length = encoding.short.unpack_from(data, pos)
    tag = group << 16 | number
    if group == 0xFFFE:
        raise InvalidDataset(f"unexpected ({format_tag(tag)}) at byte {pos}")
    known = encoding.vrs.get(vr_code)
    if known is None:
        vr = bytes(data[pos + 4 : pos + 6])
        # VRs to come will have long lengths (PS3.5 Section 7.1.2); anything but letters is a slip
        # of the writer, which DCMTK takes for a short one.
        known = vr.decode("latin-1"), vr.isalpha() and vr.isupper()
    if not known[1]:
        return tag, known[0], pos + 8, length
    if end - pos < 12:
        raise _Truncated(f"the data set ends within an element, at byte {end}")
    (length,) = encoding.long.unpack_from(data, pos + 8)
    return tag, known[0], pos + 12, length


def _skip_pixel_data(
    data: Buffer, pos: int, end: int, encoding: Encoding
) -> tuple[str | None, int]:
    """Check top-level Pixel Data; return its VR and where it ends."""
    tag, vr, start, length = _element_header(data, pos, end, encoding)
    if length == UNDEFINED:
        return vr, _skip_fragments(data, start, end, encoding)
    if length > end - start:
        raise _too_long(tag, pos, length, end - start)
    return vr, start + length


def _skip_fragments(data: Buffer, pos: int, end: int, encoding: Encoding) -> int:
    """Walk encapsulated Pixel Data to its end (PS3.5 Section A.4)."""
    read = encoding.implicit_header.unpack_from
    while end - pos >= 8:
        group, number, length = read(data, pos)
        tag = group << 16 | number
        pos += 8
        if tag == _SEQUENCE_END:
            return pos
        if tag != _ITEM:
            raise InvalidDataset(
                f"Pixel Data has ({format_tag(tag)}) at byte {pos - 8}, expected a fragment"
            )
        if length > end - pos:
            raise _Truncated(
                f"a fragment of Pixel Data at byte {pos - 8} says it is {length} bytes long, "
                f"but {end - pos} are left"
            )
        pos += length
    raise _Truncated("Pixel Data lacks its Sequence Delimitation Item")


class _Open(NamedTuple):
    """A sequence or item around the current position; `end` is None if its length is undefined."""

    is_item: bool
    end: int | None
    limit: int
    encoding: Encoding


def _skip_sequence(
    data: Buffer, pos: int, length: int, end: int, tag: int, vr: str | None, encoding: Encoding
) -> int:
    """Walk one sequence with all below it; return where it ends.

    Iterative, since nesting is the sender's to choose.
    """
    opened = _open_sequence(pos, length, end, tag, vr, encoding)
    if opened is None:
        return _skip_fragments(data, pos, end, encoding)
    stack = [opened]
    while stack:
        current = stack[-1]
        if pos == current.end:
            stack.pop()
            continue
        if current.limit - pos < 8:
            raise _Truncated(f"a sequence or item lacks its end, at byte {pos}")
        group, number, length = current.encoding.implicit_header.unpack_from(data, pos)
        if not current.is_item:
            tag = group << 16 | number
            pos += 8
            if tag == _SEQUENCE_END:
                stack.pop()
            elif tag != _ITEM:
                raise InvalidDataset(
                    f"a sequence has ({format_tag(tag)}) at byte {pos - 8}, expected an item"
                )
            else:
                stack.append(_open_item(pos, length, current))
            continue
        if group == 0xFFFE:
            if number != 0xE00D:
                raise InvalidDataset(f"an item has (fffe,{number:04x}) at byte {pos}")
            pos += 8
            stack.pop()
            continue
        tag, vr, start, length = _element_header(data, pos, current.limit, current.encoding)
        if vr == "SQ" or length == UNDEFINED:
            if len(stack) >= 2 * MAX_NESTING:
                raise InvalidDataset(f"sequences nested deeper than {MAX_NESTING}")
            inner = _open_sequence(start, length, current.limit, tag, vr, current.encoding)
            if inner is None:
                pos = _skip_fragments(data, start, current.limit, current.encoding)
            else:
                stack.append(inner)
                pos = start
        else:
            if length > current.limit - start:
                raise _too_long(tag, pos, length, current.limit - start)
            pos = start + length
    return pos


def _open_sequence(
    pos: int, length: int, limit: int, tag: int, vr: str | None, encoding: Encoding
) -> _Open | None:
    """Begin a sequence; None when it is not one but encapsulated pixels (in an icon)."""
    if length != UNDEFINED:
        if length > limit - pos:
            raise _too_long(tag, pos, length, limit - pos)
        return _Open(False, pos + length, pos + length, encoding)
    if tag == PIXEL_DATA or vr in ("OB", "OW"):
        return None
    if vr == "UN":
        # PS3.5 Section 6.2.2 Note 3: the content is Implicit VR Little Endian.
        return _Open(False, None, limit, IMPLICIT_LITTLE)
    return _Open(False, None, limit, encoding)


def _open_item(pos: int, length: int, sequence: _Open) -> _Open:
    if length == UNDEFINED:
        return _Open(True, None, sequence.limit, sequence.encoding)
    if length > sequence.limit - pos:
        raise _Truncated(
            f"an item at byte {pos - 8} says it is {length} bytes long, "
            f"but {sequence.limit - pos} are left"
        )
    return _Open(True, pos + length, pos + length, sequence.encoding)
