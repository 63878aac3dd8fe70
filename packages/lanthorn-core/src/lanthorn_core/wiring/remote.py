"""What is known of remote AEs: who they are, and what was exchanged with them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from lanthorn_core.ports.commitment import CommitmentReports
from lanthorn_core.ports.exports import ExportLog
from lanthorn_core.ports.remote_aes import RemoteAERegistry
from lanthorn_core.ports.remote_queries import RemoteQueryStore
from lanthorn_core.runtime.settings import Settings
from lanthorn_core.wiring.stream import ServiceBus


@asynccontextmanager
async def open_remote_aes(settings: Settings, bus: ServiceBus) -> AsyncIterator[RemoteAERegistry]:
    """Open what knows the remote AEs, and begin to hear of changes."""
    from lanthorn_core.adapters.index_postgres.pool import open_pool
    from lanthorn_core.adapters.registry_postgres.remote_aes import PostgresRemoteAERegistry

    configured = {} if settings.dicom_modalities_in_database else settings.dicom_modalities
    url = settings.runtime.database_url
    async with open_pool(
        url, application="lanthorn-remote-aes", read_only=False, size=2, lazy=True
    ) as pool:
        registry = PostgresRemoteAERegistry(
            pool,
            bus.registry_signals,
            {name: entry.remote_ae for name, entry in configured.items()},
            strict=settings.strict_aet_comparison,
        )
        await registry.start()
        yield registry


@dataclass(frozen=True)
class RemoteRecords:
    """What is kept of the traffic with remote AEs: queries with their answers, and exports."""

    queries: RemoteQueryStore
    exports: ExportLog


@asynccontextmanager
async def open_remote_records(settings: Settings) -> AsyncIterator[RemoteRecords]:
    """Open a small pool for queries of remote AEs and exports to them."""
    from lanthorn_core.adapters.index_postgres.pool import open_pool
    from lanthorn_core.adapters.registry_postgres.exports import PostgresExportLog
    from lanthorn_core.adapters.registry_postgres.remote_queries import PostgresRemoteQueryStore

    url = settings.runtime.database_url
    async with open_pool(
        url, application="lanthorn-records", read_only=False, size=2, lazy=True
    ) as pool:
        yield RemoteRecords(
            queries=PostgresRemoteQueryStore(pool, size=settings.query_retrieve_size),
            exports=PostgresExportLog(pool),
        )


@asynccontextmanager
async def open_commitment_reports(
    settings: Settings, *, lazy: bool = False
) -> AsyncIterator[CommitmentReports]:
    """Open the storage commitment reports; a `lazy` one does not ask the database at once."""
    from lanthorn_core.adapters.commitment_postgres.reports import PostgresCommitmentReports
    from lanthorn_core.adapters.index_postgres.pool import open_pool

    url, size = settings.runtime.database_url, settings.storage_commitment_reports_size
    async with open_pool(
        url, application="lanthorn-commitment", read_only=False, size=2, lazy=lazy
    ) as pool:
        yield PostgresCommitmentReports(pool, size)
