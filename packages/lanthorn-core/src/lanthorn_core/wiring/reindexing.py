"""Building the index anew from the stored objects."""

from __future__ import annotations

import time
from dataclasses import dataclass

import structlog

from lanthorn_core.runtime.settings import Settings
from lanthorn_core.wiring.index import open_reader
from lanthorn_core.wiring.objects import open_object_store
from lanthorn_core.wiring.stream import open_bus

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class ReindexSummary:
    """What a reindexing came to: objects read, and what the index then holds."""

    objects: int
    patients: int
    studies: int
    series: int
    instances: int


async def reindex(settings: Settings, *, fresh: bool = False) -> ReindexSummary:
    """Have the running indexer read all objects of the store again, and wait until it has.

    Parameters
    ----------
    fresh : bool
        Empty the index first: it then holds what the objects alone say, without the labels and
        metadata of users.
    """
    from lanthorn_core.adapters.index_postgres.migrate import empty_index
    from lanthorn_core.usecases.announce_objects import announce_objects

    async def everything(keys: list[str]) -> list[str]:
        return keys

    async with (
        open_object_store(settings) as objects,
        open_bus(settings) as bus,
        open_reader(settings, bus) as reader,
    ):
        if fresh:
            await empty_index(settings.runtime.database_url)
        announced = await announce_objects(
            objects, bus.publisher, choose=everything, until_s=time.time(), reindex=True
        )
        while not await reader.wait_until_current():
            log.info("reindex_continued")
        counts = await reader.statistics()
    return ReindexSummary(
        announced, counts.patients, counts.studies, counts.series, counts.instances
    )
