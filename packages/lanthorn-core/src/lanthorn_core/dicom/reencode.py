"""Data sets written anew in another encoding, element by element, without losing a byte of meaning.

Values are copied; only byte order, VRs and lengths change. Nothing is parsed that need not be:
between encodings of the same layout an element is copied as it stands.

References
----------
DICOM PS3.5 Section 6.2.2 (UN), Section 7 (layout), Annex A (transfer syntaxes).
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from lanthorn_core.dicom.elements import (
    ITEM,
    ITEM_END,
    MAX_NESTING,
    PIXEL_DATA,
    SEQUENCE_END,
    UNDEFINED,
    ElementHeader,
    ends_within_element,
    read_element_header,
    skip_sequence,
    too_long,
)
from lanthorn_core.dicom.encodings import IMPLICIT_LITTLE, Encoding
from lanthorn_core.dicom.tags import US_OR_SS, format_tag, vr_of_tag
from lanthorn_core.errors import InvalidDataset, UnsupportedTransferSyntax

Replacements = Mapping[int, tuple[str, bytes] | None]
"""Elements by tag: their VR and little endian value, or None to leave one out."""

PIXEL_REPRESENTATION: Final = 0x0028_0103
_LONGEST_SHORT: Final = 0xFFFF
_WORD_BYTES: Final = {
    **dict.fromkeys(("US", "SS", "OW", "AT"), 2),
    **dict.fromkeys(("UL", "SL", "FL", "OL", "OF"), 4),
    **dict.fromkeys(("FD", "OD", "SV", "UV", "OV"), 8),
}
"""What the byte order applies to (PS3.5 Section 7.3); other VRs are bytes."""
_WORD_CODES: Final = {2: "H", 4: "I", 8: "Q"}
"""Of the `array` module."""


def swap_words(value: bytes, word_bytes: int) -> bytes:
    """Turn the byte order of each word around; what is left of a last one stays."""
    whole = len(value) // word_bytes * word_bytes
    words = array(_WORD_CODES[word_bytes], value[:whole])
    words.byteswap()
    return words.tobytes() + value[whole:]


def reencode_elements(
    data: bytes,
    start: int,
    elements: Iterable[ElementHeader],
    source: Encoding,
    target: Encoding,
    *,
    replacements: Replacements | None = None,
) -> Iterator[bytes]:
    """Write top-level elements in another encoding.

    Group lengths (retired) are left out: they would have to be counted anew.

    Parameters
    ----------
    data : bytes
        What the elements lie in, one behind the other.
    start : int
        Where the first one begins.
    elements : iterable of ElementHeader
        The elements; lengths are those that they take, also where they are written as undefined.
    source, target : Encoding
        How they are written, and shall be.
    replacements : mapping, optional
        Elements to put in the place of others or among them, or to leave out.

    Yields
    ------
    bytes
        The encoded elements.

    Raises
    ------
    InvalidDataset
        A sequence is broken.
    UnsupportedTransferSyntax
        There are encapsulated pixels within a sequence, which `target` cannot hold.
    """
    replaced = dict(replacements or {})
    waiting = sorted(replaced, reverse=True)
    writer = _Writer(source, target)
    pos, order = start, _Order()
    for element in elements:
        while waiting and waiting[-1] < element.tag:
            yield from writer.insert(waiting[-1], replaced[waiting.pop()])
        header_at, pos = pos, element.start + element.length
        if waiting and waiting[-1] == element.tag:
            yield from writer.insert(waiting[-1], replaced[waiting.pop()])
        elif element.tag & 0xFFFF:
            yield from writer.element(data, header_at, pos, order, depth=0)
    while waiting:
        yield from writer.insert(waiting[-1], replaced[waiting.pop()])


def element_header(tag: int, vr: str, length: int, encoding: Encoding) -> bytes:
    """Write what stands before a value."""
    order = "<" if encoding.little_endian else ">"
    group, number = tag >> 16, tag & 0xFFFF
    if encoding.implicit:
        return struct.pack(f"{order}HHL", group, number, length)
    (code,) = struct.unpack(f"{order}H", vr.encode("latin-1"))
    known = encoding.vrs.get(code)
    is_long = known[1] if known else vr.isalpha() and vr.isupper()
    if not is_long and length <= _LONGEST_SHORT:
        return struct.pack(f"{order}HH2sH", group, number, vr.encode("latin-1"), length)
    if not is_long:
        vr = "UN"  # PS3.5 Section 6.2.2: what is too long for its VR
    return struct.pack(f"{order}HH2sHL", group, number, vr.encode("latin-1"), 0, length)


class _Order:
    """What elements before say of those behind: Pixel Representation and private creators."""

    __slots__ = ("creators", "is_signed")

    def __init__(self, *, is_signed: bool = False) -> None:
        self.is_signed = is_signed
        self.creators: dict[int, str] = {}

    def vr_of(self, tag: int) -> str:
        """Find the VR of an element that does not tell its own."""
        creator = None
        if tag >> 16 & 1:
            creator = self.creators.get(tag >> 8)
        vr = vr_of_tag(tag, creator)
        if vr == US_OR_SS:
            return "SS" if self.is_signed else "US"
        return vr

    def note(self, tag: int, value: bytes, source: Encoding) -> None:
        """Remember what matters of an element."""
        if tag == PIXEL_REPRESENTATION and len(value) >= 2:
            self.is_signed = bool(
                int.from_bytes(value[:2], "little" if source.little_endian else "big")
            )
        elif tag >> 16 & 1 and 0x10 <= tag & 0xFFFF <= 0xFF:
            block = tag >> 16 << 8 | tag & 0xFF
            self.creators[block] = value.decode("latin-1").strip(" \0")


class _Writer:
    """Writes elements of one encoding in another."""

    def __init__(self, source: Encoding, target: Encoding) -> None:
        self._source = source
        self._target = target
        self._copies = source is target
        self._swaps = source.little_endian != target.little_endian

    def insert(self, tag: int, element: tuple[str, bytes] | None) -> Iterator[bytes]:
        """Write an element that was not there; its value is little endian."""
        if element is None:
            return
        vr, value = element
        if not self._target.little_endian and vr in _WORD_BYTES:
            value = swap_words(value, _WORD_BYTES[vr])
        yield element_header(tag, vr, len(value), self._target)
        yield value

    def element(
        self, data: bytes, pos: int, after: int, order: _Order, *, depth: int
    ) -> Iterator[bytes]:
        """Write the element from `pos` to `after`."""
        if self._copies:
            yield data[pos:after]
            return
        header = read_element_header(data, pos, after, self._source)
        vr = header.vr or order.vr_of(header.tag)
        if header.length == UNDEFINED:
            yield from self._undefined(data, header, after, order, depth=depth)
        elif vr == "SQ":
            items = b"".join(self.items(data, header.start, after, order, depth=depth))
            yield element_header(header.tag, vr, len(items), self._target)
            yield items
        else:
            value = data[header.start : after]
            order.note(header.tag, value, self._source)
            if self._swaps and vr in _WORD_BYTES:
                value = swap_words(value, _WORD_BYTES[vr])
            yield element_header(header.tag, vr, len(value), self._target)
            yield value

    def _undefined(
        self, data: bytes, header: ElementHeader, after: int, order: _Order, *, depth: int
    ) -> Iterator[bytes]:
        writer = self
        if header.tag == PIXEL_DATA:
            raise UnsupportedTransferSyntax("a sequence has compressed pixels")
        if header.vr == "UN":
            # PS3.5 Section 6.2.2 Note 3: it holds Implicit VR Little Endian, wherever it stands.
            if self._target.little_endian:
                yield element_header(header.tag, "UN", UNDEFINED, self._target)
                yield data[header.start : after]
                return
            # Readers of big endian data sets fall for that.
            writer = _Writer(IMPLICIT_LITTLE, self._target)
        yield element_header(header.tag, "SQ", UNDEFINED, self._target)
        yield from writer.items(data, header.start, after, order, depth=depth)

    def items(
        self, data: bytes, pos: int, end: int, order: _Order, *, depth: int
    ) -> Iterator[bytes]:
        """Write the value of a sequence, its delimiter included where it has one."""
        if depth >= MAX_NESTING:
            raise InvalidDataset(f"sequences nested deeper than {MAX_NESTING}")
        delimiter = self._target.implicit_header
        while pos < end:
            if end - pos < 8:
                raise ends_within_element(end)
            group, number, length = self._source.implicit_header.unpack_from(data, pos)
            tag, start = group << 16 | number, pos + 8
            if tag == SEQUENCE_END:
                yield delimiter.pack(0xFFFE, 0xE0DD, 0)
                return
            if tag != ITEM:
                raise InvalidDataset(
                    f"a sequence has ({format_tag(tag)}) at byte {pos}, expected an item"
                )
            item, pos = self._item(data, start, length, end, order, depth=depth)
            yield delimiter.pack(0xFFFE, 0xE000, UNDEFINED if length == UNDEFINED else len(item))
            yield item
            if length == UNDEFINED:
                yield delimiter.pack(0xFFFE, 0xE00D, 0)

    def _item(
        self, data: bytes, pos: int, length: int, limit: int, outer: _Order, *, depth: int
    ) -> tuple[bytes, int]:
        """Write the elements of an item; answers them, and where the next item begins."""
        end = None if length == UNDEFINED else min(pos + length, limit)
        order = _Order(is_signed=outer.is_signed)
        parts: list[bytes] = []
        while end is None or pos < end:
            if end is None:
                if limit - pos < 8:
                    raise ends_within_element(limit)
                group, number, _ = self._source.implicit_header.unpack_from(data, pos)
                if group << 16 | number == ITEM_END:
                    return b"".join(parts), pos + 8
            header = read_element_header(data, pos, limit, self._source)
            after = header.start + header.length
            if header.length == UNDEFINED:
                after = skip_sequence(data, header, limit, self._source)
            if after > limit:
                raise too_long(header.tag, pos, header.length, limit - header.start)
            if header.tag & 0xFFFF:
                parts += self.element(data, pos, after, order, depth=depth + 1)
            pos = after
        return b"".join(parts), pos
