"""The object store on S3: MinIO, or any server that speaks its protocol."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import itertools
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from minio.error import MinioException

from lanthorn_core.adapters.blocking_calls import in_thread, read_ahead, uninterrupted
from lanthorn_core.adapters.object_files import remove
from lanthorn_core.adapters.object_keys import check_key, check_prefix, check_range
from lanthorn_core.adapters.private_spool import PrivateSpool
from lanthorn_core.adapters.s3_bucket import MEDIA_TYPE, S3Bucket
from lanthorn_core.adapters.s3_failures import translated
from lanthorn_core.adapters.s3_reader import ObjectReader
from lanthorn_core.adapters.worker_threads import WorkerThreads
from lanthorn_core.errors import StorageUnavailable, UnknownResource
from lanthorn_core.model import ObjectInfo
from lanthorn_core.ports.object_store import Buffer, Digest

PART_BYTES: Final = 8 << 20
"""A larger spool file goes in parts of this size; each writing thread holds one in memory."""

_JOINED_AT_ONCE_BYTES: Final = 1 << 20
_LISTED_AT_ONCE: Final = 1000


class S3ObjectStore:
    """Objects in one bucket.

    The SDK blocks: its calls run in threads, reads in other ones than writes. Where versions are
    kept, what is deleted is no longer listed or found, and its bytes stay for the bucket's own
    rules to remove.

    Parameters
    ----------
    endpoint : str
        ``http://host:port`` or ``https://host:port``.
    access_key, secret_key : str
        Credentials.
    bucket : str
        Made when it does not exist.
    region : str
        Region of the bucket.
    ca_file : Path, optional
        Certificates that the server's must come from; by default those that the system trusts.
    threads : int
        Writes, and as many reads, at once.
    spool_parent : Path, optional
        Where the private spool folder is made; the system's temporary folder by default.
    """

    def __init__(
        self,
        endpoint: str,
        *,
        access_key: str,
        secret_key: str,
        bucket: str,
        region: str = "us-east-1",
        ca_file: Path | None = None,
        threads: int = 6,
        spool_parent: Path | None = None,
    ) -> None:
        self._bucket = S3Bucket(
            endpoint,
            access_key=access_key,
            secret_key=secret_key,
            name=bucket,
            region=region,
            ca_file=ca_file,
            connections=2 * threads,
        )
        self._threads = threads
        self._writers: WorkerThreads
        self._readers = ThreadPoolExecutor(threads, thread_name_prefix="objects-read")
        self._spool = PrivateSpool(spool_parent)

    async def __aenter__(self) -> Self:
        """Make the spool folder, and the bucket if it is not there."""
        self._writers = WorkerThreads(self._threads, "objects-write")
        try:
            await uninterrupted(self._readers, self._open)
        except BaseException:
            self._readers.shutdown(wait=False)
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Let what is under way end, drop the connections, remove the spool folder."""
        # In the loop's own pool: the end of ours is what is waited for.
        await asyncio.to_thread(self._shut_down)

    @property
    def spool_folder(self) -> Path:
        """Private folder of this process; its files are uploaded."""
        return self._spool.folder

    async def put(
        self, key: str, source: Sequence[Buffer] | Path, *, digest: Digest | None = None
    ) -> None:
        """Upload an object; a spool file goes in parts and appears as a whole.

        The caller may reuse its buffers as soon as this returns or raises. A cancelled `put` goes
        on in its thread, and may leave the whole object.
        """
        if isinstance(source, Path):
            if source.parent != self.spool_folder:
                raise ValueError("a file to be put must lie in the spool folder")
            try:
                await self._writers.run(self._put_file, key, source)
            except asyncio.CancelledError:
                # The thread may never have begun; if it has, it holds the file open.
                remove(source)
                raise
            return
        check_key(key)
        if sum(map(len, source)) > _JOINED_AT_ONCE_BYTES:
            data = await uninterrupted(self._readers, _joined, source)
        else:
            data = _joined(source)
        await self._writers.run(self._put_bytes, key, data, digest or hashlib.sha256())

    async def get(self, key: str, *, start: int = 0, length: int | None = None) -> bytes:
        """Read an object, or `length` bytes of it from `start` (fewer where it ends)."""
        check_key(key)
        check_range(start, length)
        return await in_thread(self._readers, self._get, key, start, length)

    def read_cached(self, key: str, into: bytearray) -> int | None:
        """Tell that nothing is kept in memory."""
        return None

    async def stream(
        self, key: str, *, start: int = 0, length: int | None = None, chunk_bytes: int = 1 << 18
    ) -> AsyncIterator[bytes]:
        """Read an object in chunks; the next is read while the consumer has the present one."""
        check_key(key)
        check_range(start, length)
        reader = ObjectReader(
            self._bucket, key, start=start, length=length, chunk_bytes=chunk_bytes
        )
        async with contextlib.aclosing(read_ahead(reader, self._readers)) as chunks:
            async for chunk in chunks:
                yield chunk

    async def stat(self, key: str) -> ObjectInfo:
        """Tell the size of an object."""
        check_key(key)
        return ObjectInfo(key, await in_thread(self._readers, self._size, key))

    async def delete(self, key: str) -> None:
        """Remove an object; one that is already gone is no error."""
        check_key(key)
        with contextlib.suppress(UnknownResource):
            await self._writers.run(self._remove, key)

    async def list(self, prefix: str = "") -> AsyncIterator[ObjectInfo]:
        """List objects page by page, each a request of its own."""
        check_prefix(prefix)
        bucket = self._bucket
        objects = bucket.client.list_objects(bucket.name, prefix=prefix, recursive=True)
        while True:
            page = await in_thread(self._readers, _next_page, objects)
            for info in page:
                yield info
            if len(page) < _LISTED_AT_ONCE:
                return

    async def check(self) -> None:
        """Return when the bucket is there."""
        if not await in_thread(self._readers, self._bucket_exists):
            raise StorageUnavailable("The bucket of the objects is gone")

    def _open(self) -> None:
        self._spool.open()
        try:
            self._make_bucket()
        except BaseException:
            self._spool.close()
            self._bucket.close()
            raise

    def _shut_down(self) -> None:
        self._readers.shutdown()
        self._writers.shut_down()
        self._bucket.close()
        self._spool.close()

    def _bucket_exists(self) -> bool:
        with translated():
            return self._bucket.exists()

    def _make_bucket(self) -> None:
        if self._bucket_exists():
            return
        with translated():
            try:
                self._bucket.client.make_bucket(self._bucket.name)
            except MinioException:
                # Another process may have been quicker; servers differ in how they say so.
                if not self._bucket_exists():
                    raise

    def _put_bytes(self, key: str, data: bytes, digest: Digest) -> None:
        digest.update(data)
        with translated():
            self._bucket.put(key, data, digest.digest())

    def _put_file(self, key: str, path: Path) -> None:
        try:
            check_key(key)
            with translated():
                # What fails after the first part, the SDK aborts: no parts stay behind.
                self._bucket.client.fput_object(
                    self._bucket.name,
                    key,
                    str(path),
                    content_type=MEDIA_TYPE,
                    part_size=PART_BYTES,
                    num_parallel_uploads=1,
                )
        finally:
            path.unlink(missing_ok=True)

    def _get(self, key: str, start: int, length: int | None) -> bytes:
        reader = ObjectReader(self._bucket, key, start=start, length=length)
        try:
            return reader.read()
        finally:
            reader.close()

    def _size(self, key: str) -> int:
        with translated(key):
            return self._bucket.size(key)

    def _remove(self, key: str) -> None:
        with translated(key):
            self._bucket.client.remove_object(self._bucket.name, key)


def _joined(source: Sequence[Buffer]) -> bytes:
    if len(source) == 1 and isinstance(source[0], bytes):
        return source[0]
    return b"".join(source)


def _next_page(objects: Iterator[Any]) -> list[ObjectInfo]:
    with translated():
        page = itertools.islice(objects, _LISTED_AT_ONCE)
        return [ObjectInfo(found.object_name, int(found.size)) for found in page]
