"""The content of one file on its way: in memory when it is small, else on the disk."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import IO, Final, Self

IN_MEMORY_BYTES: Final = 4 << 20
PIECE_BYTES: Final = 1 << 20


class Content:
    """Bytes with their length and MD5; a context manager that lets go of them.

    Parameters
    ----------
    file : binary file, optional
        Where the bytes are already; by default an empty place that takes what is written.
    """

    def __init__(self, file: IO[bytes] | None = None) -> None:
        # Its own `with` is this object's.
        self._file = file or tempfile.SpooledTemporaryFile(IN_MEMORY_BYTES)  # noqa: SIM115
        self._md5 = hashlib.md5(usedforsecurity=False)
        self.size_bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the bytes."""
        self._file.close()

    def write(self, piece: bytes) -> None:
        """Add bytes."""
        self._file.write(piece)
        self.count(piece)

    def count(self, piece: bytes) -> None:
        """Count bytes that the file has already."""
        self._md5.update(piece)
        self.size_bytes += len(piece)

    @property
    def md5(self) -> str:
        """Digest of what was written or counted so far, in hexadecimal."""
        return self._md5.hexdigest()

    def pieces(self) -> Iterator[bytes]:
        """Give the bytes from their beginning."""
        self._file.seek(0)
        while piece := self._file.read(PIECE_BYTES):
            yield piece

    async def stream(self) -> AsyncIterator[bytes]:
        """Give the bytes from their beginning, as the body of a request."""
        # A read of what was read a moment ago comes from the page cache.
        for piece in self.pieces():
            yield piece


@contextmanager
def closed_on_failure(content: Content) -> Iterator[Content]:
    """Let go of a content that cannot be completed; who gets a complete one lets go of it."""
    try:
        yield content
    except BaseException:
        content.close()
        raise
