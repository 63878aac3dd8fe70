"""Writing files past the page cache: half the CPU of a buffered write, and no flood of dirty pages.

What does not begin on a page already, as O_DIRECT asks, goes through one page-aligned buffer per
thread, reused for every object.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import threading
from collections.abc import Iterator, Sequence
from typing import Final

WORTH_IT_BYTES: Final = 64 << 10
"""Below this size a buffered write costs less."""

_STAGING_BYTES: Final = 1 << 20
_ALIGNMENT: Final = 4096
_PRIVATE: Final = 0o600


class DirectWriter:
    """Writes new files with O_DIRECT, until the file system says that it has no such thing."""

    def __init__(self) -> None:
        self._supported = True
        self._local = threading.local()

    def write(self, path: str, parts: Sequence[memoryview], size_bytes: int) -> bool:
        """Write a new file and wait until its bytes are durable.

        Parameters
        ----------
        path : str
            The file; it must not exist.
        parts : sequence of memoryview
            The content, each part a view of bytes.
        size_bytes : int
            Length of all parts.

        Returns
        -------
        bool
            False when the file system does not take direct writes: nothing was written, the file
            may exist, and the caller writes it the usual way.
        """
        if not self._supported:
            return False
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_DIRECT
        try:
            descriptor = os.open(path, flags, _PRIVATE)
        except OSError as error:
            return self._give_up(error)
        try:
            if len(parts) == 1 and _is_aligned(parts[0]):
                self._write_in_place(descriptor, parts[0])
            else:
                for block in self._blocks(parts):
                    _write_block(descriptor, block)
            if size_bytes % _ALIGNMENT:
                os.ftruncate(descriptor, size_bytes)
            os.fdatasync(descriptor)
        except OSError as error:
            return self._give_up(error)
        finally:
            os.close(descriptor)
        return True

    def _give_up(self, error: OSError) -> bool:
        if error.errno not in {errno.EINVAL, errno.EOPNOTSUPP}:
            raise error
        self._supported = False
        return False

    def _write_in_place(self, descriptor: int, content: memoryview) -> None:
        """Write an aligned buffer without copying more than its last page."""
        whole = len(content) // _ALIGNMENT * _ALIGNMENT
        last = content[whole:]
        if not last:
            _write_block(descriptor, content)
            return
        page = self._staging()[:_ALIGNMENT]
        page[: len(last)] = last
        written = os.writev(descriptor, [content[:whole], page]) if whole else 0
        if written < whole:
            _refuse_half_pages(written)
            _write_block(descriptor, content[written:whole])
            written = whole
        if written == whole:
            _write_block(descriptor, page)

    def _blocks(self, parts: Sequence[memoryview]) -> Iterator[memoryview]:
        """Gather the parts into aligned blocks; the last one is filled up with what was there."""
        staging = self._staging()
        filled = 0
        for part in parts:
            rest = part
            while rest:
                fitting = rest[: _STAGING_BYTES - filled]
                staging[filled : filled + len(fitting)] = fitting
                filled += len(fitting)
                rest = rest[len(fitting) :]
                if filled == _STAGING_BYTES:
                    yield staging
                    filled = 0
        if filled:
            yield staging[: -(-filled // _ALIGNMENT) * _ALIGNMENT]

    def _staging(self) -> memoryview:
        staging: memoryview | None = getattr(self._local, "staging", None)
        if staging is None:
            staging = self._local.staging = memoryview(mmap.mmap(-1, _STAGING_BYTES))
        return staging


def _write_block(descriptor: int, block: memoryview) -> None:
    while block:
        written = os.write(descriptor, block)
        _refuse_half_pages(written)
        block = block[written:]


def _refuse_half_pages(written: int) -> None:
    if written % _ALIGNMENT:
        # Only a full disk ends a direct write in the middle of a page.
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _is_aligned(content: memoryview) -> bool:
    if content.readonly:
        return False  # bytes objects never are
    return ctypes.addressof(ctypes.c_char.from_buffer(content)) % _ALIGNMENT == 0
