"""Files that are written past the page cache, whole buffers at a time.

Where the file system takes it, `O_DIRECT` spares a copy and the writing-back of dirty pages: a
sender is slowed by the disk itself, and nothing piles up before the last sync.
"""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path
from typing import Final

BLOCK_BYTES: Final = 4096
"""Alignment of addresses, offsets and lengths; no logical block of a disk is larger."""

_DIRECT: Final[int] = getattr(os, "O_DIRECT", 0)


class AlignedFile:
    """A new file that is written from its beginning to its end, in blocking calls.

    Parameters
    ----------
    path : Path
        Must not exist.

    Raises
    ------
    OSError
        By every method, as the system says it. `close` ends the file in any case.
    """

    def __init__(self, path: Path) -> None:
        self._descriptor = _create(path)
        self._size_bytes = 0

    def write(self, buffer: memoryview, size_bytes: int) -> None:
        """Append the first `size_bytes` of a buffer.

        Parameters
        ----------
        buffer : memoryview
            Begins on a page and ends on one; what is not a multiple of a block can only be the end
            of the file.
        """
        blocks = -(-size_bytes // BLOCK_BYTES)
        view = buffer[: blocks * BLOCK_BYTES]
        while view:
            view = view[self._write_some(view) :]
        self._size_bytes += size_bytes
        if size_bytes % BLOCK_BYTES:
            os.ftruncate(self._descriptor, self._size_bytes)

    def close(self) -> None:
        """Close the file, which is not synced; harmless when it is closed."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _write_some(self, view: memoryview) -> int:
        try:
            return os.write(self._descriptor, view)
        except OSError as error:
            flags = fcntl.fcntl(self._descriptor, fcntl.F_GETFL)
            if error.errno != errno.EINVAL or not flags & _DIRECT:
                raise
            # Some file systems take the flag and refuse the write; the end of a full disk may have
            # left us within a block.
            fcntl.fcntl(self._descriptor, fcntl.F_SETFL, flags & ~_DIRECT)
            return os.write(self._descriptor, view)


def _create(path: Path) -> int:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        return os.open(path, flags | _DIRECT, 0o600)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        path.unlink(missing_ok=True)  # some file systems make the file before they refuse it
        return os.open(path, flags, 0o600)
