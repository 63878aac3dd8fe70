"""From the stream into the index: batches in order, one transaction each."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
import structlog
from prometheus_client import Counter, Gauge, Histogram

from lanthorn_core.errors import IndexUnavailable, TransientError
from lanthorn_core.events import DeleteResources, decode_event
from lanthorn_core.ports.bus import Delivery, EventConsumer, IndexSignals, Retries, StreamPosition
from lanthorn_core.ports.index_writer import IndexWriter, InstanceEntry
from lanthorn_core.ports.object_store import ObjectStore
from lanthorn_indexer.extract import ExtractionRules, extract

log = structlog.get_logger(__name__)

BATCH_EVENTS: Final = 500
BATCH_S: Final = 0.1
"""How long a batch may gather after the one before, unless a reader waits."""

INDEXED: Final = Counter("lanthorn_indexer_events_total", "Events applied to the index")
SET_ASIDE: Final = Counter("lanthorn_indexer_set_aside_total", "Events moved to the retry subject")
BATCH: Final = Histogram(
    "lanthorn_indexer_batch_events", "Events a batch", buckets=(1, 10, 50, 500)
)
BATCH_SECONDS: Final = Histogram("lanthorn_indexer_batch_seconds", "Extraction and transaction")
APPLIED: Final = Gauge("lanthorn_indexer_applied_sequence", "Newest event of the stream applied")


@dataclass(frozen=True)
class Consume:
    """Applies what the stream delivers.

    A transient failure (database, stream) ends it: the batch is undone, and the next consumer
    gets it again. An event that fails by itself is set aside, so that nothing waits for it.
    `reader_waits` is set by whoever hears that a reader waits at the barrier.
    """

    consumer: EventConsumer
    writer: IndexWriter
    retries: Retries
    signals: IndexSignals
    objects: ObjectStore
    rules: ExtractionRules
    reader_waits: asyncio.Event

    async def __call__(self) -> None:
        """Run until cancelled or until a dependency fails."""
        applied = await self._take_over()
        while True:
            deliveries = await self.consumer.fetch(at_most=BATCH_EVENTS, wait_s=1.0)
            if not deliveries:
                continue
            self.reader_waits.clear()
            with BATCH_SECONDS.time():
                await self._apply(deliveries, applied)
            applied = deliveries[-1].position
            await self.consumer.acknowledge(deliveries)
            await self.signals.announce(applied)
            APPLIED.set(applied.sequence)
            BATCH.observe(len(deliveries))
            INDEXED.inc(len(deliveries))
            if len(deliveries) < BATCH_EVENTS:
                await self._gather()

    async def _gather(self) -> None:
        """Let events gather for a moment, unless a reader waits for one of them."""
        try:
            async with asyncio.timeout(BATCH_S):
                await self.reader_waits.wait()
        except TimeoutError:
            return

    async def _take_over(self) -> StreamPosition:
        """Bring progress and stream together; the sweep finds what neither knows of.

        All before the stream's oldest event was acknowledged or is lost, so that readers need
        not wait for it. A stream of another epoch, or one that ends before our progress, lost
        events: its numbers are given out again, and progress goes back to where it begins.
        """
        stream = self.consumer.last_position
        settled = StreamPosition(stream.epoch, max(0, self.consumer.first_sequence - 1))
        progress = (await self.writer.progress()).position
        is_same_stream = progress.epoch == stream.epoch
        if is_same_stream and settled.sequence <= progress.sequence <= stream.sequence:
            return progress
        log.info("progress_restarted", before=progress.sequence, after=settled.sequence)
        await self.writer.restart_at(settled)
        await self.signals.announce(settled)
        return settled

    async def _apply(self, deliveries: Sequence[Delivery], applied: StreamPosition) -> None:
        read = [(delivery, await self._read(delivery, applied)) for delivery in deliveries]
        entries = [entry for _, entry in read if entry is not None]
        position = deliveries[-1].position
        try:
            await self.writer.apply(entries, position)
        except TransientError:
            raise
        except Exception:
            log.exception("batch_refused", events=len(entries))
            for delivery, entry in read:
                if entry is not None:
                    await self._apply_one(delivery, entry)
            await self.writer.apply([], position)

    async def _read(
        self, delivery: Delivery, applied: StreamPosition
    ) -> InstanceEntry | DeleteResources | None:
        """Decode one event; None where there is nothing to apply."""
        try:
            event = decode_event(delivery.payload)
            if isinstance(event, DeleteResources):
                # Delivered again, a deletion must not take what was stored after it.
                return event if delivery.position > applied else None
            return await extract(event, self.objects, self.rules)
        except Exception as error:
            await self._set_aside(delivery, error)
            return None

    async def _apply_one(self, delivery: Delivery, entry: InstanceEntry | DeleteResources) -> None:
        try:
            await self.writer.apply([entry])
        except IndexUnavailable:
            raise
        except Exception as error:
            await self._set_aside(delivery, error)

    async def _set_aside(self, delivery: Delivery, error: Exception) -> None:
        SET_ASIDE.inc()
        log.error(
            "event_set_aside",
            sequence=delivery.position.sequence,
            error=type(error).__name__,
            exc_info=not isinstance(error, (TransientError, msgspec.DecodeError)),
        )
        await self.retries.set_aside(delivery, f"{type(error).__name__}: {error}")
