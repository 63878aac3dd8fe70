"""Limits to what a small upload may grow into, and gzip bodies inflated within them.

A deflated stream can grow a thousandfold. Real images hardly do, but empty masks do, so that a
ratio alone cannot tell a bomb: only the size that it leads to counts.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from lanthorn_core.errors import InvalidDataset

INFLATE_STEP_BYTES: Final = 1 << 18
_GZIP_FORMAT: Final = 31
"""Of zlib's window bits: a gzip header and trailer around the stream (RFC 1952)."""
_GZIP_MAGIC: Final = b"\x1f\x8b"


@dataclass(frozen=True, slots=True)
class InflationLimits:
    """What an upload may inflate to.

    Attributes
    ----------
    file_bytes : int
        One file, at most (Orthanc's `MaximumFileSizeInArchiveMB`).
    free_bytes : int
        All files together, however small the upload was.
    ratio : int
        All files together may be this many times as large as the upload.
    entries : int
        Files of one ZIP archive.
    """

    file_bytes: int = 4 << 30
    free_bytes: int = 256 << 20
    ratio: int = 200
    entries: int = 100_000

    def allowed_bytes(self, received_bytes: int) -> int:
        """Tell what all files of an upload of this size may come to."""
        return max(self.free_bytes, self.ratio * received_bytes)


def _new_inflater() -> zlib._Decompress:
    return zlib.decompressobj(_GZIP_FORMAT)


class Gunzip:
    """Inflate a gzip stream piece by piece, each member of it (RFC 1952 Section 2.2)."""

    def __init__(self, limits: InflationLimits) -> None:
        self._limits = limits
        self._inflater = _new_inflater()
        self._received_bytes = 0
        self._inflated_bytes = 0
        self._in_padding = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Inflate the next bytes of the stream, in pieces of bounded size.

        Raises
        ------
        InvalidDataset
            This is not gzip, or it grows too large.
        """
        self._received_bytes += len(data)
        while not self._in_padding:
            if self._inflater.eof and data:
                # Another member, or padding, which gunzip does not look at either.
                self._in_padding = not data.startswith(_GZIP_MAGIC[: len(data)])
                self._inflater = self._inflater if self._in_padding else _new_inflater()
                continue
            try:
                piece = self._inflater.decompress(data, INFLATE_STEP_BYTES)
            except zlib.error as error:
                raise InvalidDataset("Cannot inflate a broken gzip body") from error
            self._count(len(piece))
            if piece:
                yield piece
            data = (
                self._inflater.unused_data if self._inflater.eof else self._inflater.unconsumed_tail
            )
            if not data and len(piece) < INFLATE_STEP_BYTES:
                return

    def finish(self) -> None:
        """Say that the stream has ended.

        Raises
        ------
        InvalidDataset
            Bytes are missing.
        """
        if not self._inflater.eof:
            raise InvalidDataset("Truncated gzip input")

    def _count(self, size_bytes: int) -> None:
        self._inflated_bytes += size_bytes
        allowed = min(self._limits.file_bytes, self._limits.allowed_bytes(self._received_bytes))
        if self._inflated_bytes > allowed:
            raise InvalidDataset("The gzip body inflates to more than is allowed")
