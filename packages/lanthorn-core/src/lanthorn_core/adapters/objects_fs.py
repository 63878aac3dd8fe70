"""The object store on a file system: one file an object, durable when `put` returns."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import itertools
import os
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from lanthorn_core.adapters.arriving_files import ArrivingFiles
from lanthorn_core.adapters.blocking_calls import (
    in_thread,
    read_ahead,
    uninterrupted,
)
from lanthorn_core.adapters.directory_sync import DirectorySync, sync_directory
from lanthorn_core.adapters.object_files import (
    FileReader,
    FileWriter,
    objects_below,
    read_cached,
    read_range,
    remove,
    remove_leftovers,
    stat_object,
    sync_file,
)
from lanthorn_core.adapters.object_keys import check_key, check_prefix, check_range
from lanthorn_core.adapters.worker_threads import WorkerThreads
from lanthorn_core.errors import StorageFull, StorageRefused, StorageUnavailable, UnknownResource
from lanthorn_core.model import ObjectInfo
from lanthorn_core.ports.object_store import Buffer, Digest

SPOOL: Final = ".spool"
LEFTOVER_AGE_S: Final = 3600.0
"""A file of the spool folder that nobody wrote to for so long is what a crash left."""

_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_NOT_THERE: Final = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EISDIR})
_LISTED_AT_ONCE: Final = 512
_DIGESTED_MEANWHILE_BYTES: Final = 1 << 20
"""What the event loop may digest while a thread waits for the disk; more holds it up too long."""


class FilesystemObjectStore:
    """Objects as files below `root`; several processes may use the same folder.

    Parameters
    ----------
    root : Path
        Folder of the objects, made when it does not exist.
    threads : int
        How many writes, and as many reads, run at once.
    """

    def __init__(self, root: Path, *, threads: int = 6) -> None:
        self._root = root.absolute()
        self._spool = self._root / SPOOL
        # Reads have threads of their own: those of the writers mostly wait for the disk.
        self._threads = threads
        self._writers: WorkerThreads
        self._readers = ThreadPoolExecutor(threads, thread_name_prefix="objects-read")
        self._rounds = ThreadPoolExecutor(2, thread_name_prefix="objects-sync")
        self._directories = DirectorySync(self._root, self._rounds)
        self._files = FileWriter()
        self._arriving = ArrivingFiles(self._root)
        self._numbers = itertools.count()
        self._unique = f"{os.getpid()}-{os.urandom(6).hex()}"
        self._last_folder = "", self._root

    async def __aenter__(self) -> Self:
        """Make the folders; finish and remove what crashes left."""
        self._writers = WorkerThreads(self._threads, "objects-write")
        await uninterrupted(self._readers, self._open)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Let what is under way end."""
        await asyncio.to_thread(self._shut_down)

    @property
    def spool_folder(self) -> Path:
        """Folder on the same file system, so that `put` of a file in it is a rename."""
        return self._spool

    async def put(
        self, key: str, source: Sequence[Buffer] | Path, *, digest: Digest | None = None
    ) -> None:
        """Write, `fdatasync`, rename, and sync the directory where that is still needed.

        The caller may reuse its buffers as soon as this returns or raises, also when it was
        cancelled. A cancelled `put` may leave the whole object, as a crash after it would.
        """
        writers = self._writers
        try:
            if digest is None or isinstance(source, Path):
                writing = writers.run(self._put, key, source)
            elif sum(map(len, source)) > _DIGESTED_MEANWHILE_BYTES:
                writing = writers.run(self._put, key, source, digest)
            else:
                writing = writers.run(self._put, key, source)
                for part in source:
                    digest.update(part)
            pending = await writers.outcome(writing)
            if pending is not None:
                await self._shared_sync(pending, self._root / key)
        except OSError as error:
            raise _storage_error(error) from error

    async def get(self, key: str, *, start: int = 0, length: int | None = None) -> bytes:
        """Read an object, or `length` bytes of it from `start` (fewer where it ends)."""
        check_key(key)
        check_range(start, length)
        with _reading(key):
            return await in_thread(self._readers, read_range, self._root / key, start, length)

    def read_cached(self, key: str, into: bytearray) -> int | None:
        """Read an object whose pages are all in the page cache."""
        check_key(key)
        try:
            return read_cached(self._root / key, into)
        except OSError:
            return None

    async def stream(
        self, key: str, *, start: int = 0, length: int | None = None, chunk_bytes: int = 1 << 18
    ) -> AsyncIterator[bytes]:
        """Read an object in chunks; the next is read while the consumer has the present one."""
        check_key(key)
        check_range(start, length)
        reader = FileReader(self._root / key, start, length, chunk_bytes)
        with _reading(key):
            async with contextlib.aclosing(read_ahead(reader, self._readers)) as chunks:
                async for chunk in chunks:
                    yield chunk

    async def stat(self, key: str) -> ObjectInfo:
        """Tell the size of an object."""
        check_key(key)
        with _reading(key):
            return await in_thread(self._readers, stat_object, self._root / key, key)

    async def delete(self, key: str) -> None:
        """Remove an object durably: one that came back after a power loss would be swept in."""
        check_key(key)
        try:
            pending = await self._writers.outcome(self._writers.run(self._delete, self._root / key))
            if pending is not None:
                await asyncio.wrap_future(pending)
        except OSError as error:
            raise _storage_error(error) from error

    async def list(self, prefix: str = "") -> AsyncIterator[ObjectInfo]:
        """Walk the folders in the order of the keys, one of them in memory at a time."""
        check_prefix(prefix)
        walk = self._walk(prefix)
        while True:
            try:
                found = await in_thread(self._readers, _next_objects, walk)
            except OSError as error:
                raise _storage_error(error) from error
            for info in found:
                yield info
            if len(found) < _LISTED_AT_ONCE:
                return

    async def check(self) -> None:
        """Return when the folder is there and may be written to."""
        if not await in_thread(self._readers, os.access, self._spool, os.W_OK | os.X_OK):
            raise StorageUnavailable("The folder of the objects is not there or not writable")

    def _open(self) -> None:
        try:
            missing = list(itertools.takewhile(lambda path: not path.exists(), self._ancestors()))
            self._spool.mkdir(mode=0o700, parents=True, exist_ok=True)
            for folder in missing:
                sync_directory(folder.parent)
            remove_leftovers(self._spool, older_than_s=LEFTOVER_AGE_S)
            self._arriving.open()
        except OSError as error:  # unlike a server, a folder does not come by waiting
            raise StorageRefused(f"{self._root} cannot be used: {error.strerror}") from error

    def _ancestors(self) -> Iterator[Path]:
        yield self._root
        yield from self._root.parents

    def _shut_down(self) -> None:
        self._readers.shutdown()
        self._writers.shut_down()
        self._rounds.shutdown()
        self._arriving.close()

    def _put(
        self, key: str, source: Sequence[Buffer] | Path, digest: Digest | None = None
    ) -> Future[None] | None:
        # Texts, not paths: making those took a quarter of this thread's time for a small object.
        target = f"{self._root}/{key}"
        arriving = None
        if isinstance(source, Path):
            if source.parent != self._spool:
                raise ValueError("a file to be put must lie in the spool folder")
            written = os.fspath(source)
        else:
            check_key(key)
            arriving = self._arriving.path_for(key, sum(map(len, source)))
            written = arriving or f"{self._spool}/{self._unique}-{next(self._numbers)}"
        try:
            if isinstance(source, Path):
                check_key(key)
                sync_file(source)
            else:
                self._files.write(written, source)
                if digest is not None:
                    for part in source:
                        digest.update(part)
            folder = self._folder_of(key)
            try:
                os.rename(written, target)  # noqa: PTH104
            except FileNotFoundError:
                folder.mkdir(parents=True, exist_ok=True)
                os.rename(written, target)  # noqa: PTH104
        except BaseException:
            remove(written)
            raise
        if arriving:
            return None  # the name that was synced leads to the key as well
        try:
            return self._directories.sync(folder)
        except OSError:
            remove(target)
            raise

    def _folder_of(self, key: str) -> Path:
        """Return the folder of an object; in one hour it is the same for all that arrive."""
        name = key.rpartition("/")[0]
        known, folder = self._last_folder
        if name != known:
            folder = self._root / name
            self._last_folder = name, folder
        return folder

    async def _shared_sync(self, pending: Future[None], target: Path) -> None:
        try:
            await asyncio.wrap_future(pending)
        except OSError:
            await self._writers.outcome(self._writers.run(remove, target))
            raise

    def _delete(self, target: Path) -> Future[None] | None:
        try:
            target.unlink()
        except FileNotFoundError:
            return None
        return self._directories.sync(target.parent)

    def _walk(self, prefix: str) -> Iterator[ObjectInfo]:
        base = prefix.rpartition("/")[0]
        return objects_below(self._root / base if base else self._root, base and f"{base}/", prefix)


def _next_objects(walk: Iterator[ObjectInfo]) -> list[ObjectInfo]:
    return list(itertools.islice(walk, _LISTED_AT_ONCE))


@contextlib.contextmanager
def _reading(key: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _NOT_THERE:
            raise UnknownResource(f"There is no object {key}") from error
        raise _storage_error(error) from error


def _storage_error(error: OSError) -> StorageFull | StorageUnavailable:
    if error.errno in _NO_ROOM:
        return StorageFull("No room is left in the object store")
    return StorageUnavailable(f"The object store failed: {error.strerror}")
