"""Files that are written past the page cache.

Where the file system takes it, `O_DIRECT` spares a copy and the writing-back of dirty pages: a
sender is slowed by the disk itself, and nothing piles up before the last sync.
"""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
from pathlib import Path
from typing import Final

from lanthorn_core.ports.object_store import Buffer

_BUFFER_BYTES: Final = 1 << 20
_BLOCK_BYTES: Final = 4096
"""Alignment of addresses, offsets and lengths; no logical block of a disk is larger."""

_DIRECT: Final[int] = getattr(os, "O_DIRECT", 0)


class AlignedFile:
    """A new file that is written from its beginning to its end.

    Parameters
    ----------
    path : Path
        Must not exist.

    Raises
    ------
    OSError
        By every method, as the system says it. `close` or `abandon` ends the file in any case.
    """

    def __init__(self, path: Path) -> None:
        self._descriptor = _create(path)
        self._buffer = mmap.mmap(-1, _BUFFER_BYTES)
        self._filled = 0
        self._size_bytes = 0

    def write(self, data: Buffer) -> None:
        """Append bytes; they are copied."""
        rest = memoryview(data)
        self._size_bytes += len(rest)
        while rest:
            count = min(len(rest), _BUFFER_BYTES - self._filled)
            self._buffer[self._filled : self._filled + count] = rest[:count]
            self._filled += count
            rest = rest[count:]
            if self._filled == _BUFFER_BYTES:
                self._flush(_BUFFER_BYTES)

    def close(self) -> None:
        """Write what is left and give the file its true length; it is not synced."""
        try:
            if self._filled:
                blocks = -(-self._filled // _BLOCK_BYTES)
                self._flush(blocks * _BLOCK_BYTES)
                os.ftruncate(self._descriptor, self._size_bytes)
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Close the file as it is; harmless when it is closed."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
            self._buffer.close()

    def _flush(self, count: int) -> None:
        self._filled = 0
        with memoryview(self._buffer) as view:
            done = 0
            while done < count:
                done += self._write_some(view[done:count])

    def _write_some(self, view: memoryview) -> int:
        with view:
            try:
                return os.write(self._descriptor, view)
            except OSError as error:
                flags = fcntl.fcntl(self._descriptor, fcntl.F_GETFL)
                if error.errno != errno.EINVAL or not flags & _DIRECT:
                    raise
                # Some file systems take the flag and refuse the write.
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
