"""Bytes of one object by range, whether it is held or stays in the store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

from lanthorn_core.errors import DecodeFailed
from lanthorn_core.ports.object_store import ObjectStore

MAX_FRAME_BYTES: Final = 1 << 30
_FARTHEST_OFFSET: Final = 1 << 62


class ByteSource(Protocol):
    """Bytes of one object by range."""

    async def read(self, start: int, length: int) -> bytes:
        """Return `length` bytes from `start`, fewer where the object ends."""
        ...


@dataclass(frozen=True, slots=True)
class StoredBytes:
    """An object too large to be held, read from the store range by range."""

    objects: ObjectStore
    object_key: str

    async def read(self, start: int, length: int) -> bytes:
        """Return `length` bytes from `start`, fewer where the object ends."""
        return await self.objects.get(self.object_key, start=start, length=length)


@dataclass(frozen=True, slots=True)
class HeldBytes:
    """An object that is small, or that is deflated and so can only be read as a whole."""

    data: bytes

    async def read(self, start: int, length: int) -> bytes:
        """Return `length` bytes from `start`, fewer where the object ends."""
        return self.data[start : start + length]


async def read_all(source: ByteSource, start: int, length: int) -> bytes:
    """Read a range of which every byte is there.

    Raises
    ------
    DecodeFailed
        The object ends before, or no object could have such a range.
    """
    if length > MAX_FRAME_BYTES or start >= _FARTHEST_OFFSET:
        raise DecodeFailed(f"a frame of {length} bytes at byte {start} is beyond all limits")
    data = await source.read(start, length)
    if len(data) < length:
        raise DecodeFailed(f"the object ends {length - len(data)} bytes before the end of a frame")
    return data
