"""Reading an object of an S3 server, from its first byte or another one."""

from __future__ import annotations

from typing import Final

from minio.error import MinioException
from urllib3.exceptions import HTTPError
from urllib3.response import BaseHTTPResponse

from lanthorn_core.adapters.s3_bucket import S3Bucket
from lanthorn_core.adapters.s3_failures import answer_in, translated
from lanthorn_core.errors import StorageUnavailable

_RANGE_NOT_SATISFIABLE: Final = 416
_RESUMED_AT_MOST: Final = 2


class ObjectReader:
    """Reads a range of an object in chunks, or at once when `chunk_bytes` is None.

    An answer that breaks off is asked for again from where it ended: objects never change.
    """

    def __init__(
        self,
        bucket: S3Bucket,
        key: str,
        *,
        start: int,
        length: int | None,
        chunk_bytes: int | None = None,
    ) -> None:
        self._bucket = bucket
        self._key = key
        self._position = start
        self._length = length
        self._chunk_bytes = chunk_bytes
        self._response: BaseHTTPResponse | None = None
        self._missing = 0
        self._resumed = 0
        self.at_end = False

    def read(self) -> bytes:
        """Read the next chunk; empty at the end."""
        with translated(self._key):
            if self._response is None:
                self._open(self._length)
            if self._missing == 0:
                self._finish()
                return b""
            wanted = min(self._chunk_bytes or self._missing, self._missing)
            chunk = self._take(wanted)
            while len(chunk) < wanted:
                chunk += self._take(wanted - len(chunk))
            if self._missing == 0:
                self._finish()
            return chunk

    def close(self) -> None:
        """Let go of the connection."""
        if self._response is not None:
            # The rest of the object is still on its way: this connection is of no more use.
            self._response.close()
            self._response.release_conn()
            self._response = None

    def _take(self, wanted: int) -> bytes:
        """Read up to `wanted` bytes: fewer, none perhaps, where the answer broke off."""
        if self._response is None:
            self._open(self._missing)
        try:
            chunk = bytes(self._response.read(wanted)) if self._response else b""
        except (HTTPError, OSError):
            if self._resumed >= _RESUMED_AT_MOST:
                raise
            chunk = b""
        self._position += len(chunk)
        self._missing -= len(chunk)
        if len(chunk) < wanted:
            self.close()
            self._resumed += 1
            if self._resumed > _RESUMED_AT_MOST:
                raise StorageUnavailable("The object store ended in the middle of an object")
        return chunk

    def _open(self, length: int | None) -> None:
        if length == 0:
            self._bucket.size(self._key)
            return
        try:
            self._response = self._bucket.client.get_object(
                self._bucket.name, self._key, offset=self._position, length=length or 0
            )
        except MinioException as error:
            if answer_in(error)[0] != _RANGE_NOT_SATISFIABLE:
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
