"""Objects as they arrive: what is small stays in one buffer, the rest streams to the disk.

Either way the result is a whole Part 10 file, our meta information followed by the data set's
bytes as they were received, in the form that the object store takes without another copy: a
page-aligned buffer, or a file in its spool folder.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import mmap
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from lanthorn_core.errors import LanthornError, StorageFull, StorageUnavailable
from lanthorn_core.ports.object_store import Buffer
from lanthorn_dimse_gateway.aligned_file import AlignedFile
from lanthorn_dimse_gateway.receive_buffers import BUFFER_BYTES, ReceiveBuffers

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class SpooledFile:
    """A Part 10 file that grows while its data set arrives; belongs to the event loop.

    Parameters
    ----------
    folder : Path
        The object store's spool folder.
    buffers : ReceiveBuffers
        Where memory comes from: one buffer, a second one while the first is written if there is.
    file_meta : bytes
        Preamble and File Meta Information.
    pause, resume : callable
        Hold the sender back while there is no room, and let it go on.

    Notes
    -----
    `write` never raises: a sender must be read to the end of its data set before it can be told
    that the disk is full. `finish` tells.
    """

    def __init__(
        self,
        folder: Path,
        buffers: ReceiveBuffers,
        file_meta: bytes,
        *,
        pause: Callable[[], None],
        resume: Callable[[], None],
    ) -> None:
        self._folder = folder
        self._buffers = buffers
        self._pause = pause
        self._resume = resume
        self._paused = False
        self._buffer: mmap.mmap | None = None
        self._filled = 0
        self._overflow = file_meta
        self._spare: mmap.mmap | None = None
        self._claim: asyncio.Future[None] | None = None
        self._writing: asyncio.Future[None] | None = None
        self._file: _FileOnDisk | None = None
        self._failure: BaseException | None = None
        self._discarded = False
        self.size_bytes = len(file_meta)
        self._await_buffer()

    @property
    def sha256(self) -> str | None:
        """Digest of a file on the disk, once it is finished; None for what stayed in memory."""
        return None if self._file is None else self._file.digest.hexdigest()

    def write(self, fragment: memoryview) -> None:
        """Take the next bytes of the data set; they are copied."""
        count = len(fragment)
        self.size_bytes += count
        filled = self._filled
        buffer = self._buffer
        if buffer is not None and filled + count <= BUFFER_BYTES:
            buffer[filled : filled + count] = fragment
            self._filled = filled + count
        else:
            self._take(fragment)

    async def finish(self) -> Sequence[Buffer] | Path:
        """Return the whole file; a path then belongs to the caller, a buffer until `discard`.

        Raises
        ------
        StorageFull, StorageUnavailable
            The file could not be written; nothing of it is left. Likewise after any other
            exception of the writing thread, which is raised here.
        """
        while (pending := self._writing or self._claim) is not None:
            await asyncio.wait([pending])
        if self._failure is None and self._file is not None and self._buffer is not None:
            self._start_writing(self._buffer, self._filled, is_last=True)
            while (pending := self._writing) is not None:
                await asyncio.wait([pending])
        if self._failure is not None:
            raise self._failure
        if self._file is not None:
            return self._file.hand_over()
        return [] if self._buffer is None else [memoryview(self._buffer)[: self._filled]]

    def discard(self) -> None:
        """Remove what is there and give the buffers back; harmless when done before."""
        self._discarded = True
        self._overflow = b""
        if self._claim is not None:
            self._claim.cancel()
        if self._paused:
            self._paused = False
            self._resume()
        if self._file is not None:
            self._file.unlink()
        if self._writing is None:
            self._let_go()

    def _take(self, fragment: Buffer) -> None:
        """Copy what there is room for, hand full buffers to the disk, and keep what is left."""
        if self._failure is not None or self._discarded:
            return
        rest = memoryview(fragment)
        while rest:
            if self._buffer is None:
                # What comes before the sender is held back: less than two PDUs.
                self._overflow += bytes(rest)
                self._hold()
                return
            room = BUFFER_BYTES - self._filled
            if room:
                part = rest[:room]
                self._buffer[self._filled : self._filled + len(part)] = part
                self._filled += len(part)
                rest = rest[room:]
            elif self._writing is None:
                self._start_writing(self._buffer, BUFFER_BYTES)
            else:
                self._overflow += bytes(rest)
                self._hold()
                return

    def _go_on(self) -> None:
        """There may be room again: take what waited, then more from the sender."""
        overflow, self._overflow = self._overflow, b""
        self._take(overflow)
        if not self._overflow and self._paused:
            self._paused = False
            self._resume()

    def _hold(self) -> None:
        if not self._paused:
            self._paused = True
            self._pause()

    def _await_buffer(self) -> None:
        claim = self._buffers.claim()
        if claim.done():
            self._buffer = self._buffers.lend()
            self._go_on()
            return
        self._hold()
        self._claim = claim
        claim.add_done_callback(self._granted)

    def _granted(self, claim: asyncio.Future[None]) -> None:
        self._claim = None
        if claim.cancelled():
            return
        if self._discarded:
            self._buffers.waive()
            return
        self._buffer = self._buffers.lend()
        self._go_on()

    def _start_writing(self, buffer: mmap.mmap, count: int, *, is_last: bool = False) -> None:
        if self._file is None:
            self._file = _FileOnDisk(self._folder)
            self._spare = self._second_buffer()
        loop = asyncio.get_running_loop()
        self._writing = loop.run_in_executor(None, self._file.append, buffer, count, is_last)
        self._writing.add_done_callback(lambda writing: self._written(writing, buffer))
        self._buffer, self._spare, self._filled = self._spare, None, 0

    def _second_buffer(self) -> mmap.mmap | None:
        claim = self._buffers.claim()
        if claim.done():
            return self._buffers.lend()
        claim.cancel()  # others need it more: this one waits for the disk
        return None

    def _written(self, writing: asyncio.Future[None], buffer: mmap.mmap) -> None:
        self._writing = None
        if self._buffer is None:
            self._buffer = buffer
        else:
            self._spare = buffer
        error = asyncio.CancelledError() if writing.cancelled() else writing.exception()
        if self._discarded:
            self._let_go()
        elif error is None:
            self._go_on()
        else:
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        self._failure = _failure_of(error) if isinstance(error, OSError) else error
        self._overflow = b""
        if self._file is not None:
            self._file.unlink()
        self._let_go()
        self._go_on()

    def _let_go(self) -> None:
        for buffer in (self._buffer, self._spare):
            if buffer is not None:
                self._buffers.take_back(buffer)
        self._buffer = self._spare = None
        if self._file is not None:
            self._file.close()


def _failure_of(error: OSError) -> LanthornError:
    if error.errno in _FULL:
        return StorageFull("The spool folder is full")
    return StorageUnavailable(f"The spool folder cannot be written: {error.strerror}")


class _FileOnDisk:
    """The file of a large object; `append` runs in a thread, one at a time."""

    def __init__(self, folder: Path) -> None:
        self._path: Path | None = folder / f"dimse-{uuid.uuid4().hex}.part"
        self._file: AlignedFile | None = None
        self._unlinked = False
        self.digest = hashlib.sha256()

    def append(self, buffer: mmap.mmap, count: int, is_last: bool) -> None:
        path = self._path
        if self._file is None and path is not None:
            self._file = AlignedFile(path)
            if self._unlinked:  # while it was being made
                path.unlink(missing_ok=True)
        if self._file is None:
            return
        with memoryview(buffer) as view:
            self._file.write(view, count)
            with view[:count] as content:
                self.digest.update(content)
        if is_last:
            self._file.close()

    def hand_over(self) -> Path:
        """Give the finished file away."""
        path, self._path = self._path, None
        if path is None:
            raise RuntimeError("the file was handed over before")
        return path

    def unlink(self) -> None:
        """Remove the file, also while a thread writes to it; nothing after `hand_over`."""
        self._unlinked = True
        if self._path is not None:
            self._path.unlink(missing_ok=True)

    def close(self) -> None:
        """Close the file; not while a thread writes."""
        if self._file is not None:
            self._file.close()
