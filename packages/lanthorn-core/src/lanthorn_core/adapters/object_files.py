"""Objects as files: the blocking halves of `objects_fs`, each run in one of its threads."""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from lanthorn_core.adapters.direct_write import WORTH_IT_BYTES, DirectWriter
from lanthorn_core.model import ObjectInfo
from lanthorn_core.ports.object_store import Buffer

_BUFFERS_AT_ONCE: Final = 1024  # IOV_MAX of Linux
_PRIVATE: Final = 0o600
_NEW_FILE: Final = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
_NOT_WAITING: Final[int | None] = getattr(os, "RWF_NOWAIT", None)
"""Linux only; file systems that know no such thing refuse it."""


class FileReader:
    """Reads a range of a file in chunks; opened by the first read, in a thread of the reads."""

    def __init__(self, path: Path, start: int, length: int | None, chunk_bytes: int) -> None:
        self._path = path
        self._position = start
        self._length = length
        self._chunk_bytes = chunk_bytes
        self._end = 0
        self._descriptor = -1

    @property
    def at_end(self) -> bool:
        """Whether the range was read to its end."""
        return self._position >= self._end

    def read(self) -> bytes:
        """Read the next chunk."""
        if self._descriptor < 0:
            self._descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
            self._end = _end_of_range(self._descriptor, self._position, self._length)
        wanted = min(self._chunk_bytes, self._end - self._position)
        chunk = _read_fully(self._descriptor, self._position, wanted)
        self._position += len(chunk)
        if len(chunk) < wanted:
            self._end = self._position
        return chunk

    def close(self) -> None:
        """Close the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class FileWriter:
    """Writes new files, large ones past the page cache."""

    def __init__(self) -> None:
        self._direct = DirectWriter()

    def write(self, path: str, buffers: Sequence[Buffer]) -> None:
        """Write a new file and wait until its bytes are durable; its directory entry is not."""
        parts = [memoryview(buffer).cast("B") for buffer in buffers if len(buffer)]
        size_bytes = sum(map(len, parts))
        if size_bytes >= WORTH_IT_BYTES and self._direct.write(path, parts, size_bytes):
            return
        # O_DSYNC: a write of so little is one call, which then does the work of `fdatasync`, too.
        once = os.O_DSYNC if 0 < size_bytes < WORTH_IT_BYTES else 0
        descriptor = os.open(path, _NEW_FILE | once, _PRIVATE)
        try:
            _write_all(descriptor, parts)
            if not once:
                os.fdatasync(descriptor)
        finally:
            os.close(descriptor)


def _write_all(descriptor: int, parts: Sequence[memoryview]) -> None:
    rest = list(parts)
    while rest:
        written = os.writev(descriptor, rest[:_BUFFERS_AT_ONCE])
        done = 0
        while done < len(rest) and written >= len(rest[done]):
            written -= len(rest[done])
            done += 1
        del rest[:done]
        if written:
            rest[0] = rest[0][written:]


def sync_file(path: Path) -> None:
    """Wait until the bytes of a file that others wrote are durable."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.fdatasync(descriptor)
    finally:
        os.close(descriptor)


def read_range(path: Path, start: int, length: int | None) -> bytes:
    """Read `length` bytes from `start`, or all that follow; fewer where the file ends."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        end = _end_of_range(descriptor, start, length)
        return _read_fully(descriptor, start, end - start)
    finally:
        os.close(descriptor)


def read_cached(path: Path, into: bytearray) -> int | None:
    """Read a whole file without waiting for the disk; None where some of it is not in memory."""
    if _NOT_WAITING is None:
        return None
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        size_bytes = os.fstat(descriptor).st_size
        if size_bytes > len(into):
            return None
        done = os.preadv(descriptor, [into], 0, _NOT_WAITING)
    finally:
        os.close(descriptor)
    return done if done == size_bytes else None


def _end_of_range(descriptor: int, start: int, length: int | None) -> int:
    size_bytes = os.fstat(descriptor).st_size
    end = size_bytes if length is None else min(size_bytes, start + length)
    return max(start, end)


def _read_fully(descriptor: int, position: int, wanted: int) -> bytes:
    """Read `wanted` bytes, fewer only where the file ends; most often one call, and no copy."""
    first = os.pread(descriptor, wanted, position)
    if len(first) in {0, wanted}:
        return first
    parts = [first]
    missing = wanted - len(first)
    while missing:
        part = os.pread(descriptor, missing, position + wanted - missing)
        if not part:
            break
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)


def stat_object(path: Path, key: str) -> ObjectInfo:
    """Tell the size of a file; a folder is no object."""
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    return ObjectInfo(key, path.stat().st_size)


def remove(path: Path | str) -> None:
    """Remove a file; what cannot be removed stays."""
    with contextlib.suppress(OSError):
        os.unlink(path)  # noqa: PTH108  # a path costs more than the call


def remove_leftovers(spool: Path, *, older_than_s: float) -> None:
    """Remove what nobody wrote to for `older_than_s` seconds."""
    oldest = time.time() - older_than_s
    with os.scandir(spool) as entries:
        for entry in entries:
            # Another process may have just taken it, or be cleaning up as well.
            with contextlib.suppress(FileNotFoundError):
                if entry.stat(follow_symlinks=False).st_mtime < oldest:
                    remove(entry.path)


def objects_below(folder: Path, folder_key: str, prefix: str) -> Iterator[ObjectInfo]:
    """Walk a folder, whose keys start with `folder_key`, in ascending order of the keys."""
    try:
        with os.scandir(folder) as entries:
            # "a/x" comes after "a.x": a folder has its place by its name with the slash.
            names = sorted(
                entry.name + "/" if entry.is_dir(follow_symlinks=False) else entry.name
                for entry in entries
                if not entry.name.startswith(".")
            )
    except (FileNotFoundError, NotADirectoryError):
        return
    for name in names:
        key = folder_key + name
        if not name.endswith("/"):
            if key.startswith(prefix):
                with contextlib.suppress(FileNotFoundError):
                    yield ObjectInfo(key, (folder / name).stat().st_size)
        elif key.startswith(prefix) or prefix.startswith(key):
            yield from objects_below(folder / name, key, prefix)
