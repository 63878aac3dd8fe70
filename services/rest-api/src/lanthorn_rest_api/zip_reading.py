"""Uploaded ZIP archives, read from memory or a mapped file, with nothing taken on trust.

The standard library's `zipfile` reads a whole central directory before it says a word, and an
entry's name or size is the sender's to choose. Here entries are found one by one, names are only
looked at, and an entry is inflated piece by piece, never to more than what it said when the limits
were checked.

References
----------
PKWARE's APPNOTE.TXT 6.3.10, Sections 4.3 (records) and 4.4 (fields).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from mmap import mmap
from typing import Final

from lanthorn_core.errors import InvalidDataset
from lanthorn_rest_api.inflation import INFLATE_STEP_BYTES, InflationLimits

CANNOT_OPEN: Final = "Cannot open ZIP archive from memory buffer"
"""Orthanc's text for whatever is wrong with the archive as a whole."""

_MAGICS: Final = frozenset({b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08"})
_END: Final = struct.Struct("<4s4H2LH")
_END_MAGIC: Final = b"PK\x05\x06"
_LONGEST_COMMENT: Final = 0xFFFF
_LOCATOR: Final = struct.Struct("<4sLQL")
_LOCATOR_MAGIC: Final = b"PK\x06\x07"
_END_64: Final = struct.Struct("<4sQ2H2L4Q")
_END_64_MAGIC: Final = b"PK\x06\x06"
_CENTRAL: Final = struct.Struct("<4s6H3L5H2L")
_CENTRAL_MAGIC: Final = b"PK\x01\x02"
_LOCAL: Final = struct.Struct("<4s5H3L2H")
_LOCAL_MAGIC: Final = b"PK\x03\x04"
_EXTRA: Final = struct.Struct("<2H")
_EXTRA_64: Final = 0x0001
_IN_EXTRA: Final = 0xFFFF_FFFF
_IS_ENCRYPTED: Final = 0x0001
_STORED: Final = 0
_DEFLATED: Final = 8
_RAW_DEFLATE: Final = -15

Archive = bytes | mmap


class UnreadableEntry(Exception):
    """One file of the archive cannot be had; the others may."""


@dataclass(frozen=True, slots=True)
class ZipEntry:
    """One file of an archive; `name` is what the sender says and no path of ours."""

    name: str
    method: int
    is_encrypted: bool
    crc: int
    packed_bytes: int
    size_bytes: int
    offset: int

    @property
    def is_folder(self) -> bool:
        """Whether this is a folder, which holds nothing."""
        return self.name.endswith(("/", "\\"))


def is_zip(beginning: bytes) -> bool:
    """Whether bytes begin as a ZIP archive does."""
    return beginning[:4] in _MAGICS


class ZipReading:
    """One archive, read once.

    Parameters
    ----------
    archive : bytes or mmap
        The whole archive.
    limits : InflationLimits
        What its files may come to.

    Raises
    ------
    InvalidDataset
        It has no central directory, or a broken one, or one that promises more files or bytes than
        are allowed. Nothing was inflated by then.
    """

    def __init__(self, archive: Archive, limits: InflationLimits) -> None:
        self._archive = archive
        self._start, self._end, self._shift = _central_directory(archive)
        left_bytes = limits.allowed_bytes(len(archive))
        for count, entry in enumerate(self.entries(), start=1):
            left_bytes -= entry.size_bytes
            if count > limits.entries:
                raise InvalidDataset("The ZIP archive has more files than are allowed")
            if left_bytes < 0 or entry.size_bytes > limits.file_bytes:
                raise InvalidDataset("The ZIP archive inflates to more than is allowed")

    def entries(self) -> Iterator[ZipEntry]:
        """Find the files, in the order of the central directory.

        Raises
        ------
        InvalidDataset
            The directory is broken from here on; not after the constructor has seen it.
        """
        pos = self._start
        while pos < self._end:
            if self._end - pos < _CENTRAL.size:
                raise InvalidDataset(CANNOT_OPEN)
            fields = _CENTRAL.unpack_from(self._archive, pos)
            (magic, _, _, flags, method, _, _, crc, packed, size) = fields[:10]
            name_bytes, extra_bytes, comment_bytes = fields[10:13]
            offset = fields[16]
            name_at = pos + _CENTRAL.size
            extra_at = name_at + name_bytes
            after = extra_at + extra_bytes + comment_bytes
            if magic != _CENTRAL_MAGIC or after > self._end:
                raise InvalidDataset(CANNOT_OPEN)
            if _IN_EXTRA in (packed, size, offset):
                extra = self._archive[extra_at : extra_at + extra_bytes]
                size, packed, offset = _with_extra(extra, size, packed, offset)
            yield ZipEntry(
                name=self._archive[name_at:extra_at].decode("utf-8", "replace"),
                method=method,
                is_encrypted=bool(flags & _IS_ENCRYPTED),
                crc=crc,
                packed_bytes=packed,
                size_bytes=size,
                offset=offset + self._shift,
            )
            pos = after

    def inflate(self, entry: ZipEntry) -> Iterator[bytes]:
        """Read a file, in pieces of bounded size.

        Raises
        ------
        UnreadableEntry
            The file is encrypted, compressed in a way nobody uses for this, broken, or larger than
            it says.
        """
        if entry.is_encrypted:
            raise UnreadableEntry("encrypted")
        if entry.method not in (_STORED, _DEFLATED):
            raise UnreadableEntry(f"compression method {entry.method}")
        start = self._data_start(entry)
        end = start + entry.packed_bytes
        if end > self._start:
            raise UnreadableEntry("its bytes exceed the archive")
        pieces = self._stored(start, end) if entry.method == _STORED else self._inflated(start, end)
        crc = size_bytes = 0
        for piece in pieces:
            size_bytes += len(piece)
            if size_bytes > entry.size_bytes:
                raise UnreadableEntry("it is larger than it says")
            crc = zlib.crc32(piece, crc)
            yield piece
        if size_bytes != entry.size_bytes or crc != entry.crc:
            raise UnreadableEntry("its size or checksum is wrong")

    def _data_start(self, entry: ZipEntry) -> int:
        if entry.offset < 0 or entry.offset + _LOCAL.size > self._start:
            raise UnreadableEntry("its local header is outside the archive")
        fields = _LOCAL.unpack_from(self._archive, entry.offset)
        if fields[0] != _LOCAL_MAGIC:
            raise UnreadableEntry("it has no local header")
        name_bytes, extra_bytes = fields[9:11]
        start: int = entry.offset + _LOCAL.size + name_bytes + extra_bytes
        return start

    def _stored(self, start: int, end: int) -> Iterator[bytes]:
        for at in range(start, end, INFLATE_STEP_BYTES):
            yield self._archive[at : min(at + INFLATE_STEP_BYTES, end)]

    def _inflated(self, start: int, end: int) -> Iterator[bytes]:
        inflater = zlib.decompressobj(_RAW_DEFLATE)
        at, packed = start, b""
        while not inflater.eof:
            if not packed:
                packed = self._archive[at : min(at + INFLATE_STEP_BYTES, end)]
                at += len(packed)
            try:
                piece = inflater.decompress(packed, INFLATE_STEP_BYTES)
            except zlib.error as error:
                raise UnreadableEntry("it cannot be inflated") from error
            packed = inflater.unconsumed_tail
            if piece:
                yield piece
            elif not packed and at >= end and not inflater.eof:
                raise UnreadableEntry("it is truncated")


def _central_directory(archive: Archive) -> tuple[int, int, int]:
    """Return where the central directory begins and ends, and by how much offsets are shifted."""
    end_at = archive.rfind(_END_MAGIC, max(0, len(archive) - _END.size - _LONGEST_COMMENT))
    if end_at < 0 or end_at + _END.size > len(archive):
        raise InvalidDataset(CANNOT_OPEN)
    _, _, _, _, _, size, offset, _ = _END.unpack_from(archive, end_at)
    directory_end = end_at
    locator_at = end_at - _LOCATOR.size
    if locator_at >= 0 and archive[locator_at : locator_at + 4] == _LOCATOR_MAGIC:
        _, _, end_64_at, _ = _LOCATOR.unpack_from(archive, locator_at)
        if end_64_at + _END_64.size > locator_at:
            raise InvalidDataset(CANNOT_OPEN)
        end_64 = _END_64.unpack_from(archive, end_64_at)
        if end_64[0] != _END_64_MAGIC:
            raise InvalidDataset(CANNOT_OPEN)
        size, offset, directory_end = end_64[8], end_64[9], end_64_at
    start = directory_end - size
    # Something may stand before the archive, as in self-extracting ones.
    shift = start - offset
    if start < 0 or shift < 0:
        raise InvalidDataset(CANNOT_OPEN)
    return start, directory_end, shift


def _with_extra(extra: bytes, size: int, packed: int, offset: int) -> tuple[int, int, int]:
    """Take the numbers that do not fit into 32 bits from the ZIP64 field (Section 4.5.3)."""
    at = 0
    while at + _EXTRA.size <= len(extra):
        kind, length = _EXTRA.unpack_from(extra, at)
        at += _EXTRA.size
        if kind != _EXTRA_64:
            at += length
            continue
        numbers = iter(struct.unpack_from(f"<{min(length, len(extra) - at) // 8}Q", extra, at))
        size = next(numbers, size) if size == _IN_EXTRA else size
        packed = next(numbers, packed) if packed == _IN_EXTRA else packed
        offset = next(numbers, offset) if offset == _IN_EXTRA else offset
        break
    return size, packed, offset
