"""The index: who reads it, who writes what users say, who writes what arrives."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from lanthorn_core.ports.index import IndexEditor, IndexReader
from lanthorn_core.ports.index_writer import IndexWriter
from lanthorn_core.runtime.settings import Settings
from lanthorn_core.usecases.storage_limits import StorageLimits
from lanthorn_core.wiring.stream import ServiceBus


@asynccontextmanager
async def open_reader(
    settings: Settings, bus: ServiceBus, *, lazy: bool = False
) -> AsyncIterator[IndexReader]:
    """Open a pool of reading connections behind the index barrier.

    A `lazy` one does not ask the database before the first question: it may be down now.
    """
    from lanthorn_core.adapters.index_postgres.barrier import IndexBarrier
    from lanthorn_core.adapters.index_postgres.pool import ConnectionCount, open_pool
    from lanthorn_core.adapters.index_postgres.reader import PostgresIndexReader

    url, count = settings.runtime.database_url, ConnectionCount()
    async with open_pool(
        url, application="lanthorn-reader", read_only=True, lazy=lazy, count=count
    ) as pool:
        timeout_s = settings.lanthorn.index_barrier_timeout
        barrier = IndexBarrier(pool, bus.publisher, bus.signals, timeout_s, count)
        await bus.signals.on_announce(barrier.announce)
        yield PostgresIndexReader(pool, barrier)


@asynccontextmanager
async def open_storage_limits(
    settings: Settings, bus: ServiceBus, reader: IndexReader | None = None
) -> AsyncIterator[StorageLimits | None]:
    """Open what tells whether the store is full; None where nothing is ever refused for that.

    Parameters
    ----------
    reader : IndexReader, optional
        That of the process, where it has one; else one is opened if it is needed.
    """
    has_limit = settings.maximum_storage_size > 0 or settings.maximum_patient_count > 0
    if not has_limit or settings.maximum_storage_mode != "Reject":
        yield None
        return
    async with AsyncExitStack() as stack:
        if reader is None:
            settings.runtime.require("database_url")
            reader = await stack.enter_async_context(open_reader(settings, bus))
        yield StorageLimits(
            reader,
            max_bytes=settings.maximum_storage_size << 20,
            max_patients=settings.maximum_patient_count,
        )


@asynccontextmanager
async def open_editor(settings: Settings) -> AsyncIterator[IndexEditor]:
    """Open a small pool for what users write."""
    from lanthorn_core.adapters.index_postgres.editor import PostgresIndexEditor
    from lanthorn_core.adapters.index_postgres.pool import open_pool

    url = settings.runtime.database_url
    async with open_pool(url, application="lanthorn-editor", read_only=False, size=2) as pool:
        yield PostgresIndexEditor(pool)


@asynccontextmanager
async def open_index_writer(settings: Settings) -> AsyncIterator[IndexWriter]:
    """Wait for the turn to write the index, and have it."""
    from lanthorn_core.adapters.index_postgres.writer import open_writer

    url = settings.runtime.database_url
    async with open_writer(url, overwrite=settings.overwrite_instances) as writer:
        yield writer
