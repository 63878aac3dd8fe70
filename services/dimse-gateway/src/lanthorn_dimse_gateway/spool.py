"""Data sets as they arrive: small ones stay in memory, the rest goes straight to the disk.

Either way the result is a whole Part 10 file, our meta information followed by the data set's
bytes as they were received, in the form that the object store takes without another copy.
"""

from __future__ import annotations

import errno
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from lanthorn_core.errors import LanthornError, StorageFull, StorageUnavailable
from lanthorn_core.ports.object_store import Buffer
from lanthorn_dimse_gateway.aligned_file import AlignedFile

IN_MEMORY_BYTES: Final = 1 << 20
"""What one association may hold: a CT slice stays in memory, a mammogram does not."""

_IN_MEMORY_FRAGMENTS: Final = 256
"""A sender of tiny fragments goes to the disk earlier: each costs more than its bytes."""

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class SpooledFile:
    """A Part 10 file that grows while its data set arrives.

    Parameters
    ----------
    folder : Path
        The object store's spool folder.
    file_meta : bytes
        Preamble and File Meta Information.
    in_memory_bytes : int
        From this size on the file is on the disk.

    Notes
    -----
    `write` never raises: a sender must be read to the end of its data set before it can be told
    that the disk is full. `finish` tells.
    """

    def __init__(
        self, folder: Path, file_meta: bytes, *, in_memory_bytes: int = IN_MEMORY_BYTES
    ) -> None:
        self._folder = folder
        self._in_memory_bytes = in_memory_bytes
        self._parts: list[Buffer] = [file_meta]
        self._path: Path | None = None
        self._file: AlignedFile | None = None
        self._failure: LanthornError | None = None
        self.size_bytes = len(file_meta)

    def write(self, fragment: Buffer) -> None:
        """Take the next bytes of the data set; the buffer is kept, it must not change."""
        self.size_bytes += len(fragment)
        if self._failure is not None:
            return
        try:
            if self._file is None:
                self._parts.append(fragment)
                if (
                    self.size_bytes > self._in_memory_bytes
                    or len(self._parts) > _IN_MEMORY_FRAGMENTS
                ):
                    self._move_to_disk()
            else:
                self._file.write(fragment)
        except OSError as error:
            self.discard()
            self._failure = _failure_of(error)

    def finish(self) -> Sequence[Buffer] | Path:
        """Return the whole file; a path then belongs to the caller.

        Raises
        ------
        StorageFull, StorageUnavailable
            The file could not be written; nothing of it is left.
        """
        if self._failure is not None:
            raise self._failure
        if self._file is None or self._path is None:
            return self._parts
        try:
            self._file.close()
        except OSError as error:
            self.discard()
            raise _failure_of(error) from error
        path, self._path, self._file = self._path, None, None
        return path

    def discard(self) -> None:
        """Remove what is there; harmless after `finish`."""
        self._parts = []
        file, self._file = self._file, None
        path, self._path = self._path, None
        if file is not None:
            file.abandon()
        if path is not None:
            path.unlink(missing_ok=True)

    def _move_to_disk(self) -> None:
        path = self._folder / f"dimse-{uuid.uuid4().hex}.part"
        file = AlignedFile(path)
        self._path, self._file = path, file
        parts, self._parts = self._parts, []
        for part in parts:
            file.write(part)


def _failure_of(error: OSError) -> LanthornError:
    if error.errno in _FULL:
        return StorageFull("The spool folder is full")
    return StorageUnavailable(f"The spool folder cannot be written: {error.strerror}")
