"""The object store as it is watched: each operation timed, counted and traced."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing
from pathlib import Path
from time import perf_counter
from types import TracebackType
from typing import Final, TypeVar, cast

from lanthorn_core.errors import LanthornError, UnknownResource
from lanthorn_core.model import ObjectInfo
from lanthorn_core.ports.object_store import Buffer, Digest, ObjectStore
from lanthorn_core.telemetry.metrics import (
    OBJECT_STORE_ERRORS,
    OBJECT_STORE_READ_BYTES,
    OBJECT_STORE_SECONDS,
    OBJECT_STORE_WRITTEN_BYTES,
)
from lanthorn_core.telemetry.tracing import span

Part = TypeVar("Part")

_OPERATIONS: Final = ("put", "get", "stream", "stat", "delete", "list")
_SPANS: Final = {name: f"object {name}" for name in _OPERATIONS}
_SECONDS: Final = {name: OBJECT_STORE_SECONDS.labels(name) for name in _OPERATIONS}


class ObservedObjectStore:
    """See `ObjectStore` for the contract, which is kept by the store within."""

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects

    @property
    def spool_folder(self) -> Path:
        """That of the store within."""
        return self._objects.spool_folder

    async def put(
        self, key: str, source: Sequence[Buffer] | Path, *, digest: Digest | None = None
    ) -> None:
        """Store an object."""
        # Before: afterwards a file is gone, and buffers may be used again.
        size_bytes = _size_bytes(source)
        with _Observed("put"):
            await self._objects.put(key, source, digest=digest)
        OBJECT_STORE_WRITTEN_BYTES.inc(size_bytes)

    async def get(self, key: str, *, start: int = 0, length: int | None = None) -> bytes:
        """Read an object, or a part of it."""
        with _Observed("get"):
            data = await self._objects.get(key, start=start, length=length)
        OBJECT_STORE_READ_BYTES.inc(len(data))
        return data

    def read_cached(self, key: str, into: bytearray) -> int | None:
        """Read an object that is in memory already."""
        size_bytes = self._objects.read_cached(key, into)
        if size_bytes:
            OBJECT_STORE_READ_BYTES.inc(size_bytes)
        return size_bytes

    def stream(
        self, key: str, *, start: int = 0, length: int | None = None, chunk_bytes: int = 1 << 18
    ) -> AsyncIterator[bytes]:
        """Read an object in chunks; the time is that of the first."""
        chunks = self._objects.stream(key, start=start, length=length, chunk_bytes=chunk_bytes)
        return _observed_parts(
            "stream", chunks, lambda data: OBJECT_STORE_READ_BYTES.inc(len(data))
        )

    async def stat(self, key: str) -> ObjectInfo:
        """Tell size of an object."""
        with _Observed("stat"):
            return await self._objects.stat(key)

    async def delete(self, key: str) -> None:
        """Remove an object."""
        with _Observed("delete"):
            await self._objects.delete(key)

    def list(self, prefix: str = "") -> AsyncIterator[ObjectInfo]:
        """List objects; the time is that of the first."""
        return _observed_parts("list", self._objects.list(prefix))

    async def check(self) -> None:
        """Return when the store answers."""
        await self._objects.check()


class _Observed:
    """One operation. A class, because a generator would take twice the time of it."""

    __slots__ = ("_operation", "_span", "_started")

    def __init__(self, operation: str) -> None:
        self._operation = operation
        self._span = span(_SPANS[operation])

    def __enter__(self) -> None:
        self._span.__enter__()
        self._started = perf_counter()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        _SECONDS[self._operation].observe(perf_counter() - self._started)
        _count_failure(self._operation, error)
        self._span.__exit__(kind, error, traceback)


async def _observed_parts(
    operation: str, parts: AsyncIterator[Part], take: Callable[[Part], None] | None = None
) -> AsyncGenerator[Part, None]:
    """Pass parts on; the store's own iterator ends with ours, wherever that is."""
    # Both stores write these as generators, which are to be closed.
    async with aclosing(cast(AsyncGenerator[Part, None], parts)) as source:
        with _Observed(operation):
            first = await anext(source, None)
        part = first
        try:
            while part is not None:
                if take is not None:
                    take(part)
                yield part
                part = await anext(source, None)
        except LanthornError as error:
            _count_failure(operation, error)
            raise


def _size_bytes(source: Sequence[Buffer] | Path) -> int:
    return source.stat().st_size if isinstance(source, Path) else sum(map(len, source))


def _count_read(data: bytes) -> None:
    OBJECT_STORE_READ_BYTES.inc(len(data))


def _count_failure(operation: str, error: BaseException | None) -> None:
    # That there is no such object is an answer.
    if isinstance(error, LanthornError) and not isinstance(error, UnknownResource):
        OBJECT_STORE_ERRORS.labels(operation, error.slug).inc()
