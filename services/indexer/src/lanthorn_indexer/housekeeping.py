"""What the active indexer does by the clock: stability, recycling, garbage, the sweep."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, repeat
from typing import Final

import msgspec
import structlog

from lanthorn_core.errors import StorageFull, StorageRefused, StorageUnavailable
from lanthorn_core.events import InstanceStored, decode_event
from lanthorn_core.ports.bus import EventConsumer, EventPublisher, Retries, StreamPosition
from lanthorn_core.ports.index_writer import IndexWriter
from lanthorn_core.ports.object_store import ObjectStore
from lanthorn_core.usecases.announce_objects import announce_objects
from lanthorn_indexer.metrics import ANNOUNCED_ORPHANS, REFUSED_OBJECTS, REMOVED_OBJECTS

log = structlog.get_logger(__name__)

FORGET_EVERY_S: Final = 1.0
GARBAGE_BATCH: Final = 200
REFUSED_FOR_S: Final = 86_400.0
AFTER_REFUSALS_S: Final = 60.0
SWEEP_OVERLAP_S: Final = 3600.0
_STORE_FAILURES: Final = (StorageUnavailable, StorageFull)  # a full one may refuse anything


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


async def forget_forever(consumer: EventConsumer, writer: IndexWriter, keep_s: float) -> None:
    """Let the stream forget events `keep_s` after they were applied.

    Until then they can be had again: a standby of the database that is promoted may lack the last
    commits, and the index then goes on from an earlier place.
    """
    seen: deque[tuple[float, StreamPosition]] = deque()
    forgotten = None
    while True:
        now = time.monotonic()
        seen.append((now, (await writer.progress()).position))
        due = forgotten
        while seen and seen[0][0] <= now - keep_s:
            due = seen.popleft()[1]
        if due is not None and due != forgotten:
            await consumer.forget(due)
            forgotten = due
        await asyncio.sleep(FORGET_EVERY_S)


async def collect_garbage_forever(writer: IndexWriter, objects: ObjectStore, keep_s: float) -> None:
    """Remove objects that no instance needs any more; a store that fails is tried again.

    They stay for `keep_s`, see `forget_forever`: a promoted standby may still need them. Those that
    a lock or a policy holds are tried again after a day, and do not stand in the way of others.
    """
    while True:
        keys = await writer.garbage(at_most=GARBAGE_BATCH, older_than_s=keep_s)
        gone, refused = await _remove(keys, objects)
        if gone:
            # First the object, then its entry: a crash in between only means one more try.
            await writer.forget_garbage(gone)
            REMOVED_OBJECTS.inc(len(gone))
        if refused:
            await writer.postpone_garbage(refused, by_s=REFUSED_FOR_S)
            REFUSED_OBJECTS.inc(len(refused))
            log.warning("garbage_refused", objects=len(refused), again_in_s=REFUSED_FOR_S)
        if not gone and refused:
            await asyncio.sleep(AFTER_REFUSALS_S)
        elif len(gone) < GARBAGE_BATCH:
            await asyncio.sleep(1)


async def _remove(keys: Sequence[str], objects: ObjectStore) -> tuple[list[str], list[str]]:
    """Remove objects; returns those that are gone, and those that the store does not let go."""
    gone, refused = [], []
    for key in keys:
        try:
            await objects.delete(key)
        except StorageRefused:
            refused.append(key)
        except _STORE_FAILURES as error:
            log.warning("garbage_not_removed", error=str(error))
            break
        else:
            gone.append(key)
    return gone, refused


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
        """Sweep now, when what is on its way now has arrived, and then every `interval_s`."""
        pauses = chain([min(self.grace_s, interval_s)], repeat(interval_s))
        for pause_s in pauses:
            try:
                await self.once()
            except _STORE_FAILURES as error:
                log.warning("sweep_postponed", error=str(error))
            await asyncio.sleep(pause_s)

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
            ANNOUNCED_ORPHANS.inc(found)
            log.warning("orphans_announced", objects=found)
        return found


def _key(payload: bytes) -> str | None:
    """Tell which object a parked event is about; None if it is no event, or not about one."""
    try:
        event = decode_event(payload)
    except msgspec.DecodeError:
        return None
    return event.object_key if isinstance(event, InstanceStored) else None
