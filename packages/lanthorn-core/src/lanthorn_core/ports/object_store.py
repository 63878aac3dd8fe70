"""The object store: immutable objects under time-ordered keys."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Protocol

from lanthorn_core.model import ObjectInfo

Buffer = bytes | bytearray | memoryview


class Digest(Protocol):
    """What takes the bytes of an object as they are stored: a fresh ``hashlib.sha256()``."""

    def update(self, data: Buffer, /) -> None:
        """Take the next bytes."""
        ...

    def digest(self) -> bytes:
        """Return the digest of all that was taken."""
        ...


class ObjectStore(Protocol):
    """Bytes by key. Keys are never overwritten and never hold a value from the wire.

    Every method raises `StorageUnavailable` when the store does not answer, and those that read
    raise `UnknownResource` when there is no such object.
    """

    @property
    def spool_folder(self) -> Path:
        """A local folder for objects that arrive too large for memory; `put` takes its files."""
        ...

    async def put(
        self, key: str, source: Sequence[Buffer] | Path, *, digest: Digest | None = None
    ) -> None:
        """Store an object; on return it is durable and visible under its key.

        A `digest` is fed with the bytes of the buffers, while the store is busy with them; it is
        not fed with those of a file.

        A `Path` must lie in `spool_folder` and belongs to the store from here on: it is gone
        afterwards, also when the call fails. Raises `StorageFull` when no room is left; then,
        as after a crash in mid-call, nothing is visible under the key.
        """
        ...

    async def get(self, key: str, *, start: int = 0, length: int | None = None) -> bytes:
        """Read an object, or `length` bytes of it from `start` (fewer where it ends)."""
        ...

    def read_cached(self, key: str, into: bytearray) -> int | None:
        """Read a whole object into a buffer if that takes no waiting: it is in memory already.

        Returns its size in bytes. None says nothing about the object (it may be on the disk, too
        large for the buffer, or nowhere): ask `get`. Called on the event loop.
        """
        ...

    def stream(
        self, key: str, *, start: int = 0, length: int | None = None, chunk_bytes: int = 1 << 18
    ) -> AsyncIterator[bytes]:
        """Read an object in chunks of at most `chunk_bytes`, never holding more than two."""
        ...

    async def stat(self, key: str) -> ObjectInfo:
        """Tell size of an object."""
        ...

    async def delete(self, key: str) -> None:
        """Remove an object; one that is already gone is no error."""
        ...

    def list(self, prefix: str = "") -> AsyncIterator[ObjectInfo]:
        """List objects whose key starts with `prefix`, in ascending order of the keys."""
        ...

    async def check(self) -> None:
        """Return when the store answers; raise `StorageUnavailable` when it does not."""
        ...
