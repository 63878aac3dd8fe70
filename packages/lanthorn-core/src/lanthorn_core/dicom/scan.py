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
from typing import Final

import msgspec

from lanthorn_core.dicom.elements import (
    ITEM_END,
    PIXEL_DATA,
    UNDEFINED,
    Buffer,
    ElementHeader,
    Truncated,
    ends_within_element,
    read_element_header,
    skip_fragments,
    skip_sequence,
    too_long,
)
from lanthorn_core.dicom.encodings import (
    EXPLICIT_LITTLE,
    Encoding,
    detect_encoding,
    encoding_of,
    is_deflated,
)
from lanthorn_core.dicom.inflate import InflatedDataset
from lanthorn_core.dicom.tags import format_tag, vr_of_tag
from lanthorn_core.errors import InvalidDataset

MAX_INFLATED_BYTES: Final = 2 << 30
"""What a deflated data set may grow to, pixels included."""


class RawElement(msgspec.Struct, frozen=True, gc=False):
    """Where a top-level element's value lies in `Header.encoded`.

    Made for each element of each instance that arrives: a named tuple takes four times as long.

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

    @property
    def has_pixel_data(self) -> bool:
        """Whether Pixel Data (7fe0,0010) follows the header; False for a parsed header."""
        return self.pixel_data_offset is not None or self.pixel_data_vr is not None

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
    stop, at_pixels = _scan_top_level(data, 0, end, encoding, elements)
    with memoryview(data) as view, view[:stop] as header:
        encoded = bytes(header)
    if not at_pixels:
        return Header(transfer_syntax_uid, encoded, None, None, elements)
    vr = _check_from_pixels_on(data, stop, end, encoding)
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
    stop, _ = _scan_top_level(encoded, 0, len(encoded), encoding, elements)
    if stop != len(encoded):
        raise InvalidDataset("a header does not contain Pixel Data (7fe0,0010)")
    return Header(transfer_syntax_uid, encoded, None, None, elements)


def effective_encoding(data: Buffer, transfer_syntax_uid: str) -> Encoding:
    """Return how a data set is written; for unknown transfer syntaxes, look at the bytes."""
    return encoding_of(transfer_syntax_uid) or detect_encoding(data) or EXPLICIT_LITTLE


def _scan_deflated(data: Buffer, transfer_syntax_uid: str, max_inflated_bytes: int) -> Header:
    source = InflatedDataset(data, limit_bytes=max_inflated_bytes)
    while True:
        elements: dict[int, RawElement] = {}
        end = len(source.held)
        try:
            stop, at_pixels = _scan_top_level(source.held, 0, end, EXPLICIT_LITTLE, elements)
        except Truncated:
            if source.complete:
                raise
        else:
            if at_pixels or source.complete:
                break
        source.inflate_more()
    encoded = source.held[:stop]
    vr = _check_deflated_pixels(source, stop) if at_pixels else None
    return Header(transfer_syntax_uid, encoded, None, vr, elements)


def _check_deflated_pixels(source: InflatedDataset, start: int) -> str | None:
    """Check Pixel Data and what follows it, holding a native value in pieces only."""
    while len(source.held) - start < EXPLICIT_LITTLE.longest_element_header and not source.complete:
        source.inflate_more()
    header = read_element_header(source.held, start, len(source.held), EXPLICIT_LITTLE)
    if header.length == UNDEFINED:
        source.inflate_all()
        return _check_from_pixels_on(source.held, start, len(source.held), EXPLICIT_LITTLE)
    source.skip_to(header.start + header.length)
    source.inflate_all()
    _check_behind_pixels(source.held, 0, len(source.held), EXPLICIT_LITTLE)
    return header.vr


def _check_from_pixels_on(data: Buffer, pos: int, end: int, encoding: Encoding) -> str | None:
    """Check Pixel Data and what follows it; return the VR of Pixel Data."""
    header = read_element_header(data, pos, end, encoding)
    after = _skip_pixel_data(data, header, end, encoding)
    _check_behind_pixels(data, after, end, encoding)
    return header.vr


def _skip_pixel_data(data: Buffer, header: ElementHeader, end: int, encoding: Encoding) -> int:
    if header.length == UNDEFINED:
        return skip_fragments(data, header.start, end, encoding)
    if header.length > end - header.start:
        raise too_long(header.tag, header.start, header.length, end - header.start)
    return header.start + header.length


def _check_behind_pixels(data: Buffer, pos: int, end: int, encoding: Encoding) -> None:
    at_pixels = True
    while at_pixels:
        pos, at_pixels = _scan_top_level(data, pos, end, encoding, {})
        if at_pixels:  # a second time: tolerated and ignored, as by DCMTK
            header = read_element_header(data, pos, end, encoding)
            pos = _skip_pixel_data(data, header, end, encoding)


def _scan_top_level(
    data: Buffer, pos: int, end: int, encoding: Encoding, elements: dict[int, RawElement]
) -> tuple[int, bool]:
    """Fill `elements` from `pos` on; return where it ends and whether Pixel Data is there.

    An Item Delimitation Item ends a data set, whatever follows it, as in DCMTK.
    """
    scan = _scan_implicit if encoding.implicit else _scan_explicit
    try:
        return scan(data, pos, end, encoding, elements)
    except struct.error:
        raise ends_within_element(end) from None


def _scan_explicit(
    data: Buffer, pos: int, end: int, encoding: Encoding, elements: dict[int, RawElement]
) -> tuple[int, bool]:
    read, read_long, vrs = encoding.short.unpack_from, encoding.long.unpack_from, encoding.vrs
    while pos < end:
        group, number, vr_code, length = read(data, pos)
        tag = group << 16 | number
        if tag == PIXEL_DATA:
            return pos, True
        known = vrs.get(vr_code)
        if known is None:
            if tag == ITEM_END:
                return pos, False
            tag, vr, start, length = read_element_header(data, pos, end, encoding)
        else:
            vr, is_long = known
            if is_long:
                (length,) = read_long(data, pos + 8)
                start = pos + 12
            else:
                start = pos + 8
        if vr == "SQ" or length == UNDEFINED:
            header = ElementHeader(tag, vr, start, length)
            after = skip_sequence(data, header, end, encoding)
            length = after - start
        else:
            after = start + length
            if after > end:
                raise too_long(tag, pos, length, end - start)
        if tag not in elements:
            elements[tag] = RawElement(vr, start, length)
        pos = after
    return pos, False


def _scan_implicit(
    data: Buffer, pos: int, end: int, encoding: Encoding, elements: dict[int, RawElement]
) -> tuple[int, bool]:
    read = encoding.implicit_header.unpack_from
    while pos < end:
        group, number, length = read(data, pos)
        tag = group << 16 | number
        if tag == PIXEL_DATA:
            return pos, True
        if group == 0xFFFE:
            if tag == ITEM_END:
                return pos, False
            raise InvalidDataset(f"unexpected ({format_tag(tag)}) at byte {pos}")
        start = pos + 8
        if length == UNDEFINED or (length and vr_of_tag(tag) == "SQ"):
            header = ElementHeader(tag, None, start, length)
            after = skip_sequence(data, header, end, encoding)
            length = after - start
        else:
            after = start + length
            if after > end:
                raise too_long(tag, pos, length, end - start)
        if tag not in elements:
            elements[tag] = RawElement(None, start, length)
        pos = after
    return pos, False
