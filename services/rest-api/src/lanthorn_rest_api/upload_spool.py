"""Bytes on their way in: small ones stay in memory, the rest grows in the store's spool folder."""

from __future__ import annotations

import errno
import os
import uuid
from collections.abc import Iterable
from io import BufferedRandom
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from lanthorn_core.errors import LanthornError, StorageFull, StorageUnavailable
from lanthorn_core.ports.object_store import Buffer

IN_MEMORY_BYTES: Final = 1 << 20
"""What one upload may hold in memory: a CT slice does, a mammogram goes to the disk."""

_BEGINNING_BYTES: Final = 132
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class SpooledUpload:
    """A body, or one file of a body, that grows while it arrives.

    It is a context manager: what was not taken is gone at the end. Its methods touch the disk once
    the bytes exceed `in_memory_bytes`, and belong into a thread from then on (`on_disk`).

    Parameters
    ----------
    folder : Path
        The object store's spool folder.
    in_memory_bytes : int
        From this size on the bytes are on the disk.
    """

    def __init__(self, folder: Path, *, in_memory_bytes: int = IN_MEMORY_BYTES) -> None:
        self._folder = folder
        self._in_memory_bytes = in_memory_bytes
        self._parts: list[Buffer] = []
        self._path: Path | None = None
        self._file: BufferedRandom | None = None
        self._beginning = b""
        self.size_bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.discard()

    @property
    def on_disk(self) -> bool:
        """Whether the bytes are in a file."""
        return self._path is not None

    @property
    def beginning(self) -> bytes:
        """The first bytes, as many as a DICOM file needs to show what it is."""
        return self._beginning

    @property
    def has_beginning(self) -> bool:
        """Whether there is enough to see what it is."""
        return len(self._beginning) == _BEGINNING_BYTES

    def would_touch_disk(self, more_bytes: int) -> bool:
        """Whether writing so many more bytes means work for the disk."""
        return self.on_disk or self.size_bytes + more_bytes > self._in_memory_bytes

    def write(self, data: Buffer) -> None:
        """Take the next bytes; the buffer is kept, it must not change.

        Raises
        ------
        StorageFull, StorageUnavailable
            The spool folder does not take them.
        """
        if len(self._beginning) < _BEGINNING_BYTES:
            self._beginning += bytes(data[: _BEGINNING_BYTES - len(self._beginning)])
        self.size_bytes += len(data)
        try:
            if self._file is not None:
                self._file.write(data)
                return
            self._parts.append(data)
            if self.size_bytes > self._in_memory_bytes:
                self._move_to_disk()
        except OSError as error:
            raise _failure_of(error) from error

    def write_all(self, parts: Iterable[Buffer]) -> None:
        """Take several buffers; raises as `write` does."""
        for part in parts:
            self.write(part)

    def take(self) -> bytes | Path:
        """Return all bytes; a path then belongs to the caller.

        Raises
        ------
        StorageFull, StorageUnavailable
            The last bytes could not be written.
        """
        if self._file is None or self._path is None:
            parts, self._parts = self._parts, []
            return bytes(parts[0]) if len(parts) == 1 else b"".join(parts)
        try:
            self._file.close()
        except OSError as error:
            raise _failure_of(error) from error
        path, self._path, self._file = self._path, None, None
        return path

    def discard(self) -> None:
        """Remove what is there; harmless after `take`."""
        self._parts = []
        file, self._file = self._file, None
        path, self._path = self._path, None
        if file is not None:
            # What is still in the writer's buffer shall not go to a disk that may be full.
            file.detach().close()
        if path is not None:
            path.unlink(missing_ok=True)

    def _move_to_disk(self) -> None:
        path = self._folder / f"upload-{uuid.uuid4().hex}.part"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
        self._path = path
        file = self._file = os.fdopen(descriptor, "w+b")
        parts, self._parts = self._parts, []
        for part in parts:
            file.write(part)


def _failure_of(error: OSError) -> LanthornError:
    if error.errno in _FULL:
        return StorageFull("The spool folder is full")
    return StorageUnavailable(f"The spool folder cannot be written: {error.strerror}")
