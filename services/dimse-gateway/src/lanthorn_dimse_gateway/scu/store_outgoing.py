"""Stored instances on their way out: read ahead, sent as they are, or transcoded.

The bytes of a stored data set are never parsed: behind the File Meta Information they go to the
association as they lie in the object store, small ones from memory, large ones chunk by chunk.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, TypeVar

import structlog

from lanthorn_core.dicom.part10 import read_file_meta
from lanthorn_core.errors import InvalidDataset, LanthornError
from lanthorn_core.ports.index import StoredInstance
from lanthorn_core.ports.object_store import Buffer, ObjectStore
from lanthorn_core.ports.renderer import Renderer, TranscodeRequest
from lanthorn_dimse import DataSet

log = structlog.get_logger(__name__)

WHOLE_BYTES: Final = 2 << 20
"""Objects up to this size are read by one call, ahead of their turn; there are two in memory."""
_CHUNK_BYTES: Final = 1 << 20
_FILE_META_BYTES: Final = 16 << 10
"""More than the File Meta Information of any ordinary file."""
_ELEMENT_HEADER_BYTES: Final = 8

Outcome = TypeVar("Outcome")


@dataclass(frozen=True, slots=True)
class OutgoingObject:
    """A stored instance that can be sent, also more than once.

    `whole` is its file, None if that is too large for memory. `dataset_offset` counts bytes from
    the start of the file to the data set.
    """

    instance: StoredInstance
    dataset_offset: int
    whole: Buffer | None
    objects: ObjectStore
    renderer: Renderer

    def stored_data_set(self) -> DataSet:
        """Give the data set as it is stored, without copying it."""
        if self.whole is not None:
            return memoryview(self.whole)[self.dataset_offset :]
        return self.objects.stream(
            self.instance.object_key, start=self.dataset_offset, chunk_bytes=_CHUNK_BYTES
        )

    async def transcoded_data_set(self, transfer_syntax_uid: str) -> DataSet:
        """Give the data set in another transfer syntax.

        On return its beginning is there: what cannot be transcoded has failed by then, before
        anything was sent.

        Raises
        ------
        LanthornError
            As `Renderer.transcode`.
        """
        chunks = self.renderer.transcode(
            TranscodeRequest(
                object_key=self.instance.object_key,
                transfer_syntax_uid=transfer_syntax_uid,
                with_file_meta=False,
            )
        )
        first = await anext(chunks, b"")
        return _from_first_on(first, chunks)


async def _from_first_on(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    try:
        yield first
        async for chunk in rest:
            yield chunk
    finally:
        if isinstance(rest, AsyncGenerator):
            await rest.aclose()


@dataclass(frozen=True, slots=True)
class OutgoingObjects:
    """Where outgoing instances come from."""

    objects: ObjectStore
    renderer: Renderer

    async def read(
        self, instance: StoredInstance, buffer: bytearray | None = None
    ) -> OutgoingObject | LanthornError:
        """Read an instance, or as much of it as must be known before it can be sent.

        What goes wrong is returned: it concerns this instance, and others are under way. If there
        is a `buffer`, the instance may lie in it afterwards.
        """
        try:
            if instance.size_bytes <= WHOLE_BYTES:
                whole = await self._whole(instance, buffer)
                offset = read_file_meta(whole).dataset_offset
            else:
                whole, offset = None, await self._dataset_offset(instance)
        except LanthornError as error:
            log.warning(
                "outgoing_instance_not_read",
                sop_instance_uid=instance.sop_instance_uid,
                error=error.slug,
            )
            return error
        return OutgoingObject(instance, offset, whole, self.objects, self.renderer)

    async def _whole(self, instance: StoredInstance, buffer: bytearray | None) -> Buffer:
        # What is in memory is read at once, into memory that was used before: a thread, or fresh
        # pages, would cost more than the reading.
        if buffer is not None:
            size_bytes = self.objects.read_cached(instance.object_key, buffer)
            if size_bytes is not None:
                return memoryview(buffer)[:size_bytes]
        return await self.objects.get(instance.object_key)

    async def _dataset_offset(self, instance: StoredInstance) -> int:
        beginning = await self.objects.get(instance.object_key, length=_FILE_META_BYTES)
        with suppress(InvalidDataset):
            offset = read_file_meta(beginning).dataset_offset
            if offset + _ELEMENT_HEADER_BYTES <= len(beginning):
                return offset
        return read_file_meta(
            await self.objects.get(instance.object_key, length=WHOLE_BYTES)
        ).dataset_offset

    async def each(
        self,
        instances: Sequence[StoredInstance],
        send: Callable[[OutgoingObject | LanthornError, StoredInstance], Awaitable[Outcome]],
    ) -> AsyncGenerator[tuple[StoredInstance, Outcome], None]:
        """Send instances one after the other; the next is read while the present one is sent.

        Parameters
        ----------
        instances : sequence of StoredInstance
            In the order of sending.
        send : callable
            Sends one; it gets what `read` returned. What it raises is a bug.

        Yields
        ------
        (StoredInstance, Outcome)
            After each one. Who needs no more of them closes the iterator.
        """
        if not instances:
            return
        # While one is sent, the next comes into the other; when that is sent, the first is free.
        longest = max(_length_in_memory(instance) for instance in instances)
        buffers = (bytearray(longest), bytearray(longest))
        ahead = await self.read(instances[0], buffers[0])
        for place, instance in enumerate(instances):
            async with asyncio.TaskGroup() as group:
                reading = None
                if place + 1 < len(instances):
                    reading = group.create_task(
                        self.read(instances[place + 1], buffers[(place + 1) % 2]),
                        name="read-outgoing",
                    )
                outcome = await send(ahead, instance)
            yield instance, outcome
            if reading is not None:
                ahead = reading.result()


def _length_in_memory(instance: StoredInstance) -> int:
    return instance.size_bytes if instance.size_bytes <= WHOLE_BYTES else 0
