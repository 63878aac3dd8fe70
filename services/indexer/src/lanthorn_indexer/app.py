"""The indexer: waits for its turn, then is the one that writes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

import structlog

from lanthorn_core import wiring
from lanthorn_core.dicom.tags import parse_tag
from lanthorn_core.errors import TransientError
from lanthorn_core.ports.bus import EventPublisher, Retries
from lanthorn_core.ports.index_writer import IndexWriter
from lanthorn_core.ports.object_store import ObjectStore
from lanthorn_core.runtime.engines import when_engines_answer
from lanthorn_core.runtime.health import HealthApp, serving_health
from lanthorn_core.runtime.lifecycle import Stop
from lanthorn_core.runtime.settings import Settings
from lanthorn_indexer.consume import Consume
from lanthorn_indexer.demand import Demand
from lanthorn_indexer.extract import ExtractionRules
from lanthorn_indexer.housekeeping import (
    Sweep,
    collect_garbage_forever,
    forget_forever,
    recycle_forever,
    stabilise_forever,
)
from lanthorn_indexer.metrics import ACTIVE
from lanthorn_indexer.retry import retry_forever

log = structlog.get_logger(__name__)

PAUSE_S: Final = 0.5
"""Between two attempts to become the active indexer, after something failed."""


async def run(settings: Settings, stop: Stop) -> None:
    """Run until `stop` is set; whatever fails for a moment is begun anew.

    At the end the batch in hand is applied, and the turn to write is given away at once.
    """
    settings.runtime.require("database_url", "nats_url")
    health = HealthApp(ending=stop.announced)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(serving_health(health, settings.runtime.listen))
        objects, bus = await when_engines_answer(
            lambda: stack.enter_async_context(_open_engines(settings)), stop, health
        )
        health.begin({"objects": objects.check, "stream": bus.publisher.check})
        in_hand = asyncio.Lock()
        group = await stack.enter_async_context(asyncio.TaskGroup())
        index = group.create_task(
            _be_active_forever(group, settings, objects, bus, in_hand), name="index"
        )
        await stop.wait()
        async with in_hand:
            index.cancel()


@asynccontextmanager
async def _open_engines(settings: Settings) -> AsyncIterator[tuple[ObjectStore, wiring.IndexerBus]]:
    await wiring.require_schema(settings)
    async with (
        wiring.open_object_store(settings) as objects,
        wiring.open_indexer_bus(settings) as bus,
    ):
        yield objects, bus


async def _be_active_forever(
    group: asyncio.TaskGroup,
    settings: Settings,
    objects: ObjectStore,
    bus: wiring.IndexerBus,
    in_hand: asyncio.Lock,
) -> None:
    demand = Demand()
    await bus.signals.on_ask(demand.ask)
    while True:
        # A task of its own: on Python 3.11 a task group that failed leaves its owner marked as
        # being cancelled, for ever.
        await group.create_task(_be_active(settings, objects, bus, demand, in_hand), name="active")
        await asyncio.sleep(PAUSE_S)


async def _be_active(
    settings: Settings,
    objects: ObjectStore,
    bus: wiring.IndexerBus,
    demand: Demand,
    in_hand: asyncio.Lock,
) -> None:
    """Wait for the turn to write, then write until a dependency fails."""
    try:
        async with (
            wiring.open_index_writer(settings) as writer,
            bus.open_consumer(before := (await writer.progress()).position) as consumer,
        ):
            ACTIVE.set(1)
            log.info("indexer_active")
            consume = Consume(
                consumer=consumer,
                writer=writer,
                retries=bus.retries,
                signals=bus.signals,
                objects=objects,
                rules=_rules(settings),
                demand=demand,
                before=before,
                in_hand=in_hand,
            )
            async with asyncio.TaskGroup() as group:
                group.create_task(consume(), name="consume")
                keep_s = settings.lanthorn.maximum_standby_lag
                group.create_task(forget_forever(consumer, writer, keep_s), name="forget")
                _start_housekeeping(group, settings, objects, bus, writer)
    except* TransientError as failures:
        log.warning("indexer_interrupted", errors=[str(e) for e in failures.exceptions])
    finally:
        ACTIVE.set(0)


def _start_housekeeping(
    group: asyncio.TaskGroup,
    settings: Settings,
    objects: ObjectStore,
    bus: wiring.IndexerBus,
    writer: IndexWriter,
) -> None:
    retries: Retries = bus.retries
    publisher: EventPublisher = bus.publisher
    sweep = Sweep(objects, publisher, retries, writer)
    group.create_task(retry_forever(retries, writer, objects, _rules(settings)), name="retry")
    group.create_task(stabilise_forever(writer, settings.stable_age), name="stabilise")
    keep_s = settings.lanthorn.maximum_standby_lag
    group.create_task(collect_garbage_forever(writer, objects, keep_s), name="garbage")
    group.create_task(sweep.forever(settings.lanthorn.sweep_interval), name="sweep")
    limited = settings.maximum_storage_size or settings.maximum_patient_count
    if limited and settings.maximum_storage_mode == "Recycle":
        limits = recycle_forever(
            writer,
            max_bytes=settings.maximum_storage_size << 20,
            max_patients=settings.maximum_patient_count,
        )
        group.create_task(limits, name="recycle")


def _rules(settings: Settings) -> ExtractionRules:
    extra: dict[str, list[int]] = {
        level: [parse_tag(tag) for tag in tags]
        for level, tags in settings.extra_main_dicom_tags.items()
    }
    return ExtractionRules(settings.default_encoding, extra)
