"""From the stream into the index: batches in order, one transaction each."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from typing import Final

import msgspec
import structlog

from lanthorn_core.errors import IndexUnavailable, TransientError
from lanthorn_core.events import DeleteResources, decode_event
from lanthorn_core.ports.bus import (
    Applied,
    Delivery,
    EventConsumer,
    IndexSignals,
    Retries,
    StreamPosition,
)
from lanthorn_core.ports.index_writer import IndexWriter, InstanceEntry
from lanthorn_core.ports.object_store import ObjectStore
from lanthorn_core.telemetry.tracing import TRACEPARENT, Span, span
from lanthorn_indexer import metrics
from lanthorn_indexer.demand import Demand
from lanthorn_indexer.extract import ExtractionRules, extract

log = structlog.get_logger(__name__)

BATCH_EVENTS: Final = 500
BATCH_S: Final = 0.1
"""How long a batch may gather after the one before, unless a reader waits."""


def _batch_span(deliveries: Sequence[Delivery]) -> AbstractContextManager[Span]:
    """Begin the span of a batch, linked to those in which its events were published."""
    carriers = [{TRACEPARENT: each.traceparent} for each in deliveries if each.traceparent]
    return span("index batch", links=carriers, events=len(deliveries))


@dataclass(frozen=True)
class Consume:
    """Applies what the stream delivers.

    A transient failure (database, stream) ends it: the batch is undone, and the next consumer
    gets it again. An event that fails by itself is set aside, so that nothing waits for it.
    `before` is how far the index had come when the consumer was opened.
    `demand` is told by whoever hears that a reader waits at the barrier. `in_hand` is held while a
    batch is applied: who has it ends this between two batches.
    """

    consumer: EventConsumer
    writer: IndexWriter
    retries: Retries
    signals: IndexSignals
    objects: ObjectStore
    rules: ExtractionRules
    demand: Demand
    before: StreamPosition
    in_hand: asyncio.Lock

    async def __call__(self) -> None:
        """Run until cancelled or until a dependency fails."""
        await self._take_over()
        while True:
            deliveries = await self.consumer.fetch(at_most=BATCH_EVENTS, wait_s=1.0)
            if not deliveries:
                continue
            async with self.in_hand:
                with metrics.BATCH_SECONDS.time(), _batch_span(deliveries):
                    are_new = await self._apply(deliveries)
                applied = deliveries[-1].position
                new_after = deliveries[0].position.sequence - 1 if are_new else applied.sequence
                await self.signals.announce(Applied(applied, new_after))
            metrics.APPLIED_SEQUENCE.set(applied.sequence)
            metrics.BATCH_EVENTS.observe(len(deliveries))
            metrics.APPLIED_EVENTS.inc(len(deliveries))
            if len(deliveries) < BATCH_EVENTS:
                await self._gather(applied)

    async def _gather(self, applied: StreamPosition) -> None:
        """Let events gather for a moment, unless a reader waits for one of them."""
        with suppress(TimeoutError):
            async with asyncio.timeout(BATCH_S):
                await self.demand.beyond(applied)

    async def _take_over(self) -> None:
        """Let progress follow where the stream does not go on from it.

        The sweep finds what the stream lost, so that readers need not wait for it.
        """
        begin = self.consumer.begins_after
        if begin != self.before:
            log.info("progress_restarted", before=self.before.sequence, after=begin.sequence)
            await self.writer.restart_at(begin)
            await self.signals.announce(Applied(begin, begin.sequence))

    async def _apply(self, deliveries: Sequence[Delivery]) -> bool:
        """Apply a batch; True says that each event stored an instance that was not known."""
        read = [(delivery, await self._read(delivery)) for delivery in deliveries]
        entries = [entry for _, entry in read if entry is not None]
        position = deliveries[-1].position
        try:
            return await self.writer.apply(entries, position) and len(entries) == len(deliveries)
        except TransientError:
            raise
        except Exception:
            log.exception("batch_refused", events=len(entries))
            for delivery, entry in read:
                if entry is not None:
                    await self._apply_one(delivery, entry)
            await self.writer.apply([], position)
            return False

    async def _read(self, delivery: Delivery) -> InstanceEntry | DeleteResources | None:
        """Decode one event; None where there is nothing to apply."""
        try:
            event = decode_event(delivery.payload)
            if isinstance(event, DeleteResources):
                return event
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
        metrics.SET_ASIDE.inc()
        log.error(
            "event_set_aside",
            sequence=delivery.position.sequence,
            error=type(error).__name__,
            exc_info=not isinstance(error, (TransientError, msgspec.DecodeError)),
        )
        await self.retries.set_aside(delivery, f"{type(error).__name__}: {error}")
