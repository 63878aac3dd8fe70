"""What the active indexer does by the clock: stability, recycling, garbage, the sweep."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Final

import msgspec
import structlog
from prometheus_client import Counter

from lanthorn_core.errors import StorageUnavailable
from lanthorn_core.events import InstanceStored, decode_event
from lanthorn_core.ports.bus import EventPublisher, Retries
from lanthorn_core.ports.index_writer import IndexWriter
from lanthorn_core.ports.object_store import ObjectStore
from lanthorn_core.usecases.announce_objects import announce_objects

log = structlog.get_logger(__name__)

GARBAGE_BATCH: Final = 200
SWEEP_OVERLAP_S: Final = 3600.0
REMOVED: Final = Counter("lanthorn_indexer_objects_removed_total", "Objects garbage-collected")
SWEPT: Final = Counter("lanthorn_indexer_objects_swept_total", "Objects found without index row")


async def stabilise_forever(writer: IndexWriter, stable_age_s: float) -> None:
    """Mark resources as stable about when their time has come."""
    pause_s = min(1.0, max(0.1, stable_age_s / 4))
    while True:
        await writer.stabilise(stable_age_s)
        await asyncio.sleep(pause_s)


async def recycle_forever(writer: IndexWriter, *, max_bytes: int, max_patients: int) -> None:
    """Keep the store below its limits (Orthanc's `MaximumStorageMode` `Recycle`)."""
    while True:
        await writer.recycle(max_bytes=max_bytes, max_patients=max_patients)
        await asyncio.sleep(1)


async def collect_garbage_forever(writer: IndexWriter, objects: ObjectStore) -> None:
    """Remove objects that no instance needs any more; a store that fails is tried again."""
    while True:
        keys = await writer.garbage(at_most=GARBAGE_BATCH)
        try:
            for key in keys:
                await objects.delete(key)
        except StorageUnavailable as error:
            log.warning("garbage_not_removed", error=str(error))
            keys = []
        if keys:
            # First the object, then its entry: a crash in between only means one more try.
            await writer.forget_garbage(keys)
            REMOVED.inc(len(keys))
        if len(keys) < GARBAGE_BATCH:
            await asyncio.sleep(1)


@dataclass(frozen=True)
class Sweep:
    """Finds objects that neither index nor garbage list knows, and announces them again.

    Such are what a crash left between object and event, and what stream or index forgot when the
    machine lost power. Objects younger than `grace_s` may still be on their way.
    """

    objects: ObjectStore
    publisher: EventPublisher
    retries: Retries
    writer: IndexWriter
    grace_s: float = 60.0

    async def forever(self, interval_s: float) -> None:
        """Sweep now and then every `interval_s`."""
        while True:
            try:
                await self.once()
            except StorageUnavailable as error:
                log.warning("sweep_postponed", error=str(error))
            await asyncio.sleep(interval_s)

    async def once(self) -> int:
        """Sweep what arrived since the last sweep, and an hour before; returns what was found."""
        until_s = time.time() - self.grace_s
        swept_until = (await self.writer.progress()).swept_until
        since_s = None if swept_until is None else swept_until - SWEEP_OVERLAP_S
        parked = {_key(event.payload) for event in await self.retries.parked()}

        async def unknown(keys: list[str]) -> list[str]:
            return [key for key in await self.writer.unknown_keys(keys) if key not in parked]

        found = await announce_objects(
            self.objects, self.publisher, since_s=since_s, until_s=until_s, choose=unknown
        )
        await self.writer.swept(until_s)
        if found:
            SWEPT.inc(found)
            log.warning("orphans_announced", objects=found)
        return found


def _key(payload: bytes) -> str | None:
    """Tell which object a parked event is about; None if it is no event, or not about one."""
    try:
        event = decode_event(payload)
    except msgspec.DecodeError:
        return None
    return event.object_key if isinstance(event, InstanceStored) else None
