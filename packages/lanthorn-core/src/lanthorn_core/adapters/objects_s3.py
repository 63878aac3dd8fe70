"""The object store on S3: MinIO, or any server that speaks its protocol."""

from __future__ import annotations

import asyncio
import contextlib
import io
import itertools
import re
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import urlsplit

import urllib3
from minio import Minio
from minio.error import InvalidResponseError, MinioException, S3Error, ServerError

from lanthorn_core.adapters.blocking_calls import in_thread, read_ahead, uninterrupted
from lanthorn_core.adapters.object_files import remove
from lanthorn_core.adapters.object_keys import check_key, check_prefix, check_range
from lanthorn_core.adapters.private_spool import PrivateSpool
from lanthorn_core.errors import LanthornError, StorageFull, StorageUnavailable, UnknownResource
from lanthorn_core.model import ObjectInfo
from lanthorn_core.ports.object_store import Buffer, Digest

CONNECT_TIMEOUT_S: Final = 3.0
READ_TIMEOUT_S: Final = 20.0
PART_BYTES: Final = 16 << 20
"""A spool file goes in parts of this size, one in memory at a time."""

_RETRIES: Final = urllib3.Retry(
    total=2,
    backoff_factor=0.1,
    status_forcelist=(500, 502, 503, 504),
    raise_on_status=False,
    respect_retry_after_header=False,
)
_INSUFFICIENT_STORAGE: Final = 507
_RANGE_NOT_SATISFIABLE: Final = 416
_CODE: Final = re.compile(r"<Code>(\w+)</Code>")
_FULL: Final = frozenset({"XMinioStorageFull", "XMinioAdminBucketQuotaExceeded", "QuotaExceeded"})
_NOT_THERE: Final = frozenset({"NoSuchKey", "ResourceNotFound"})
_OURS_ALREADY: Final = frozenset({"BucketAlreadyOwnedByYou", "BucketAlreadyExists"})
_JOINED_AT_ONCE_BYTES: Final = 1 << 20
_LISTED_AT_ONCE: Final = 1000
_MEDIA_TYPE: Final = "application/dicom"
_FAILURES: Final = (MinioException, urllib3.exceptions.HTTPError, OSError)


class S3ObjectStore:
    """Objects in one bucket.

    The SDK blocks: its calls run in as many threads as there are kept connections.

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
    threads : int
        Calls, and kept connections, at once.
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
        threads: int = 6,
        spool_parent: Path | None = None,
    ) -> None:
        url = urlsplit(endpoint)
        # Not blocking when all are taken: an open stream keeps its connection between two reads,
        # and threads that waited for it would be those which its reads need.
        self._http = urllib3.PoolManager(
            maxsize=threads,
            block=False,
            retries=_RETRIES,
            timeout=urllib3.Timeout(connect=CONNECT_TIMEOUT_S, read=READ_TIMEOUT_S),
        )
        self._client = Minio(
            url.netloc,
            access_key=access_key,
            secret_key=secret_key,
            secure=url.scheme == "https",
            region=region,
            http_client=self._http,
        )
        self._bucket = bucket
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="objects-s3")
        self._spool = PrivateSpool(spool_parent)

    async def __aenter__(self) -> Self:
        """Make the spool folder, and the bucket if it is not there."""
        try:
            await uninterrupted(self._threads, self._open)
        except BaseException:
            self._threads.shutdown(wait=False)
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
                await in_thread(self._threads, self._put_file, key, source)
            except asyncio.CancelledError:
                # The thread may never have begun; if it has, it holds the file open.
                remove(source)
                raise
            return
        check_key(key)
        if sum(map(len, source)) > _JOINED_AT_ONCE_BYTES:
            data = await uninterrupted(self._threads, _joined, source)
        else:
            data = _joined(source)
        await in_thread(self._threads, self._put_bytes, key, data, digest)

    async def get(self, key: str, *, start: int = 0, length: int | None = None) -> bytes:
        """Read an object, or `length` bytes of it from `start` (fewer where it ends)."""
        check_key(key)
        check_range(start, length)
        return await in_thread(self._threads, self._get, key, start, length)

    def read_cached(self, key: str, into: bytearray) -> int | None:
        """Tell that nothing is kept in memory."""
        return None

    async def stream(
        self, key: str, *, start: int = 0, length: int | None = None, chunk_bytes: int = 1 << 18
    ) -> AsyncIterator[bytes]:
        """Read an object in chunks; the next is read while the consumer has the present one."""
        check_key(key)
        check_range(start, length)
        reader = _ObjectReader(
            self._client, self._bucket, key, start=start, length=length, chunk_bytes=chunk_bytes
        )
        async with contextlib.aclosing(read_ahead(reader, self._threads)) as chunks:
            async for chunk in chunks:
                yield chunk

    async def stat(self, key: str) -> ObjectInfo:
        """Tell the size of an object."""
        check_key(key)
        return ObjectInfo(key, await in_thread(self._threads, self._size, key))

    async def delete(self, key: str) -> None:
        """Remove an object; one that is already gone is no error."""
        check_key(key)
        with contextlib.suppress(UnknownResource):
            await in_thread(self._threads, self._remove, key)

    async def list(self, prefix: str = "") -> AsyncIterator[ObjectInfo]:
        """List objects page by page, each a request of its own."""
        check_prefix(prefix)
        objects = self._client.list_objects(self._bucket, prefix=prefix, recursive=True)
        while True:
            page = await in_thread(self._threads, _next_page, objects)
            for info in page:
                yield info
            if len(page) < _LISTED_AT_ONCE:
                return

    async def check(self) -> None:
        """Return when the bucket is there."""
        if not await in_thread(self._threads, self._bucket_exists):
            raise StorageUnavailable("The bucket of the objects is gone")

    def _open(self) -> None:
        self._spool.open()
        try:
            if not self._bucket_exists():
                self._make_bucket()
        except BaseException:
            self._spool.close()
            self._http.clear()
            raise

    def _shut_down(self) -> None:
        self._threads.shutdown()
        self._http.clear()
        self._spool.close()

    def _bucket_exists(self) -> bool:
        with _failures():
            return bool(self._client.bucket_exists(self._bucket))

    def _make_bucket(self) -> None:
        with _failures():
            try:
                self._client.make_bucket(self._bucket)
            except MinioException as error:
                # Another process may have been quicker.
                if _answer_in(error)[1] not in _OURS_ALREADY:
                    raise

    def _put_bytes(self, key: str, data: bytes, digest: Digest | None) -> None:
        if digest is not None:
            digest.update(data)
        with _failures():
            # BytesIO shares the bytes, and reading all of it at once gives them back uncopied.
            self._client.put_object(
                self._bucket, key, io.BytesIO(data), len(data), content_type=_MEDIA_TYPE
            )

    def _put_file(self, key: str, path: Path) -> None:
        try:
            check_key(key)
            with _failures():
                self._client.fput_object(
                    self._bucket,
                    key,
                    str(path),
                    content_type=_MEDIA_TYPE,
                    part_size=PART_BYTES,
                    num_parallel_uploads=1,
                )
        finally:
            path.unlink(missing_ok=True)

    def _get(self, key: str, start: int, length: int | None) -> bytes:
        reader = _ObjectReader(self._client, self._bucket, key, start=start, length=length)
        try:
            return reader.read()
        finally:
            reader.close()

    def _size(self, key: str) -> int:
        with _failures(key):
            return int(self._client.stat_object(self._bucket, key).size)

    def _remove(self, key: str) -> None:
        with _failures(key):
            self._client.remove_object(self._bucket, key)


class _ObjectReader:
    """Reads a range of an object in chunks, or at once when `chunk_bytes` is None."""

    def __init__(
        self,
        client: Minio,
        bucket: str,
        key: str,
        *,
        start: int,
        length: int | None,
        chunk_bytes: int | None = None,
    ) -> None:
        self._client = client
        self._bucket = bucket
        self._key = key
        self._start = start
        self._length = length
        self._chunk_bytes = chunk_bytes
        self._response: Any = None
        self._missing = 0
        self.at_end = False

    def read(self) -> bytes:
        with _failures(self._key):
            if self._response is None:
                self._open()
            if self._missing == 0:
                self._finish()
                return b""
            wanted = min(self._chunk_bytes or self._missing, self._missing)
            chunk = bytes(self._response.read(wanted))
            if len(chunk) < wanted:
                raise StorageUnavailable("The object store ended in the middle of an object")
            self._missing -= len(chunk)
            if self._missing == 0:
                self._finish()
            return chunk

    def _open(self) -> None:
        if self._length == 0:
            self._client.stat_object(self._bucket, self._key)
            return
        try:
            self._response = self._client.get_object(
                self._bucket, self._key, offset=self._start, length=self._length or 0
            )
        except MinioException as error:
            if _answer_in(error)[0] != _RANGE_NOT_SATISFIABLE:
                raise
            return
        self._missing = int(self._response.headers["content-length"])

    def _finish(self) -> None:
        self.at_end = True
        if self._response is not None:
            # One more read sees the end, so that the connection can serve the next request.
            self._response.drain_conn()
            self._response.release_conn()
            self._response = None

    def close(self) -> None:
        if self._response is not None:
            # The rest of the object is still on its way: this connection is of no more use.
            self._response.close()
            self._response.release_conn()
            self._response = None


def _joined(source: Sequence[Buffer]) -> bytes:
    if len(source) == 1 and isinstance(source[0], bytes):
        return source[0]
    return b"".join(source)


def _next_page(objects: Iterator[Any]) -> list[ObjectInfo]:
    with _failures():
        page = itertools.islice(objects, _LISTED_AT_ONCE)
        return [ObjectInfo(found.object_name, int(found.size)) for found in page]


@contextlib.contextmanager
def _failures(key: str = "") -> Iterator[None]:
    try:
        yield
    except _FAILURES as error:
        raise _storage_error(error, key) from error


def _storage_error(error: Exception, key: str) -> LanthornError:
    status, code = _answer_in(error)
    if code in _NOT_THERE:
        return UnknownResource(f"There is no object {key}")
    if code in _FULL or status == _INSUFFICIENT_STORAGE:
        return StorageFull("No room is left in the object store")
    if status:
        return StorageUnavailable(f"The object store answered {status} {code}".rstrip())
    return StorageUnavailable(f"The object store does not answer: {type(error).__name__}")


def _answer_in(error: Exception) -> tuple[int, str]:
    """HTTP status and S3's code that the SDK's exception tells of; 0 without an answer."""
    if isinstance(error, S3Error):
        return int(error.response.status), error.code or ""
    if isinstance(error, InvalidResponseError):
        # What the SDK does not take for XML, such as rclone's text/xml, may well be S3's.
        code = _CODE.search(error._body or "")
        return int(error._code), code[1] if code else ""
    return (int(error.status_code), "") if isinstance(error, ServerError) else (0, "")
