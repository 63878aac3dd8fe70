"""ZIP archives written as they are sent: bytes come out, nothing is kept but the directory.

Everything is deflated, also what is compressed already: stored entries of a size that is told
afterwards cannot be read by everybody, and `isal` finds out at 1 GB/s that there is nothing to
gain.

References
----------
PKWARE's APPNOTE.TXT 6.3.10, Sections 4.3 (records), 4.4 (fields) and 4.5.3 (ZIP64).
"""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from isal import isal_zlib

COMMENT: Final = b"Created by Lanthorn"

_LOCAL: Final = struct.Struct("<4s5H3L2H")
_CENTRAL: Final = struct.Struct("<4s6H3L5H2L")
_END: Final = struct.Struct("<4s4H2LH")
_END_64: Final = struct.Struct("<4sQ2H2L4Q")
_LOCATOR_64: Final = struct.Struct("<4sLQL")
_DEFLATED: Final = 8
_VERSION: Final = 20
_VERSION_64: Final = 45
_SIZES_FOLLOW: Final = 0x0008
_IS_UTF8: Final = 0x0800
_EXTRA_64: Final = 0x0001
_MAX_16: Final = 0xFFFF
_MAX_32: Final = 0xFFFF_FFFF
_LARGE_BYTES: Final = 0xF000_0000
"""From this size on an entry uses ZIP64: deflating may make it a little larger than it was."""
_LEVEL: Final = 1
_RAW_DEFLATE: Final = -15


@dataclass(frozen=True, slots=True)
class _Entry:
    name: bytes
    flags: int
    dos_time: tuple[int, int]
    crc: int
    packed_bytes: int
    size_bytes: int
    offset: int


class ZipStream:
    """Write one archive. Use `whole_file`, or the three of `begin`, `write` and `end`.

    Parameters
    ----------
    now_s : float
        Time stamp of all entries, in seconds since epoch; written in local time, as ZIP has it.
    """

    def __init__(self, now_s: float) -> None:
        moment = time.localtime(now_s)
        self._dos_time = (
            moment.tm_hour << 11 | moment.tm_min << 5 | moment.tm_sec // 2,
            max(moment.tm_year - 1980, 0) << 9 | moment.tm_mon << 5 | moment.tm_mday,
        )
        self._entries: list[_Entry] = []
        self._offset = 0
        self._open: _OpenFile | None = None

    def whole_file(self, name: str, data: bytes) -> list[bytes]:
        """Write a file that is in memory; its sizes stand where every reader finds them."""
        deflater = isal_zlib.compressobj(_LEVEL, isal_zlib.DEFLATED, _RAW_DEFLATE)
        packed = [deflater.compress(data), deflater.flush()]
        encoded, flags = _encoded_name(name)
        entry = _Entry(
            encoded,
            flags,
            self._dos_time,
            isal_zlib.crc32(data),
            sum(map(len, packed)),
            len(data),
            self._offset,
        )
        self._entries.append(entry)
        return self._count([_local_header(entry), *packed])

    def begin(self, name: str, size_bytes: int) -> list[bytes]:
        """Begin a file that comes in pieces; `size_bytes` only tells whether it needs ZIP64."""
        encoded, flags = _encoded_name(name)
        flags |= _SIZES_FOLLOW
        self._open = _OpenFile(encoded, flags, self._offset, size_bytes >= _LARGE_BYTES)
        extra = struct.pack("<2H2Q", _EXTRA_64, 16, 0, 0) if self._open.is_large else b""
        local = _LOCAL.pack(
            b"PK\x03\x04",
            _VERSION_64 if self._open.is_large else _VERSION,
            flags,
            _DEFLATED,
            *self._dos_time,
            0,
            _MAX_32 if self._open.is_large else 0,
            _MAX_32 if self._open.is_large else 0,
            len(encoded),
            len(extra),
        )
        return self._count([local, encoded, extra])

    def write(self, data: bytes) -> list[bytes]:
        """Write the next piece of the file that was begun."""
        file = self._file()
        file.crc = isal_zlib.crc32(data, file.crc)
        file.size_bytes += len(data)
        packed = file.deflater.compress(data)
        file.packed_bytes += len(packed)
        return self._count([packed])

    def end(self) -> list[bytes]:
        """End the file that was begun."""
        file, self._open = self._file(), None
        packed = file.deflater.flush()
        file.packed_bytes += len(packed)
        descriptor = struct.pack(
            "<4sL2Q" if file.is_large else "<4s3L",
            b"PK\x07\x08",
            file.crc,
            file.packed_bytes,
            file.size_bytes,
        )
        self._entries.append(
            _Entry(
                file.name,
                file.flags,
                self._dos_time,
                file.crc,
                file.packed_bytes,
                file.size_bytes,
                file.offset,
            )
        )
        return self._count([packed, descriptor])

    def finish(self) -> Iterator[bytes]:
        """Write the central directory, in pieces."""
        start, size = self._offset, 0
        for entry in self._entries:
            record = _central_record(entry)
            size += len(record)
            yield record
        count = len(self._entries)
        if count >= _MAX_16 or start + size >= _MAX_32:
            yield _END_64.pack(
                b"PK\x06\x06",
                _END_64.size - 12,
                _VERSION_64,
                _VERSION_64,
                0,
                0,
                count,
                count,
                size,
                start,
            )
            yield _LOCATOR_64.pack(b"PK\x06\x07", 0, start + size, 1)
        short_count = min(count, _MAX_16)
        yield _END.pack(
            b"PK\x05\x06",
            0,
            0,
            short_count,
            short_count,
            min(size, _MAX_32),
            min(start, _MAX_32),
            len(COMMENT),
        )
        yield COMMENT

    def _file(self) -> _OpenFile:
        if self._open is None:
            raise ValueError("no file was begun")
        return self._open

    def _count(self, pieces: list[bytes]) -> list[bytes]:
        self._offset += sum(map(len, pieces))
        return pieces


class _OpenFile:
    """The file that is being written."""

    def __init__(self, name: bytes, flags: int, offset: int, is_large: bool) -> None:
        self.name = name
        self.flags = flags
        self.offset = offset
        self.is_large = is_large
        self.crc = 0
        self.size_bytes = 0
        self.packed_bytes = 0
        self.deflater = isal_zlib.compressobj(_LEVEL, isal_zlib.DEFLATED, _RAW_DEFLATE)


def _encoded_name(name: str) -> tuple[bytes, int]:
    if name.isascii():
        return name.encode("ascii"), 0
    return name.encode("utf-8", "replace"), _IS_UTF8


def _local_header(entry: _Entry) -> bytes:
    return (
        _LOCAL.pack(
            b"PK\x03\x04",
            _VERSION,
            entry.flags,
            _DEFLATED,
            *entry.dos_time,
            entry.crc,
            entry.packed_bytes,
            entry.size_bytes,
            len(entry.name),
            0,
        )
        + entry.name
    )


def _central_record(entry: _Entry) -> bytes:
    """Write an entry of the directory; what exceeds 32 bits goes into its ZIP64 field."""
    numbers = (entry.size_bytes, entry.packed_bytes, entry.offset)
    large = [number for number in numbers if number >= _MAX_32]
    extra = b""
    if large:
        extra = struct.pack(f"<2H{len(large)}Q", _EXTRA_64, 8 * len(large), *large)
    return (
        _CENTRAL.pack(
            b"PK\x01\x02",
            _VERSION_64 if large else _VERSION,
            _VERSION_64 if large else _VERSION,
            entry.flags,
            _DEFLATED,
            *entry.dos_time,
            entry.crc,
            min(entry.packed_bytes, _MAX_32),
            min(entry.size_bytes, _MAX_32),
            len(entry.name),
            len(extra),
            0,
            0,
            0,
            0,
            min(entry.offset, _MAX_32),
        )
        + entry.name
        + extra
    )
