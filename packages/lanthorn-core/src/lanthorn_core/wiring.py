"""From settings to adapters: the only place that knows which technology does what.

Adapters are imported where they are opened, so that a service loads only the client libraries
that it uses.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import structlog

from lanthorn_core.commands import Command
from lanthorn_core.ports.bus import (
    EventBacklog,
    EventConsumer,
    EventPublisher,
    IndexSignals,
    Retries,
    StreamPosition,
)
from lanthorn_core.ports.commands import CommandHandler, GatewayCommands
from lanthorn_core.ports.commitment import CommitmentRelay, CommitmentReports
from lanthorn_core.ports.exports import ExportLog
from lanthorn_core.ports.index import IndexEditor, IndexReader
from lanthorn_core.ports.index_writer import IndexWriter
from lanthorn_core.ports.jobs import JobSignals, JobStore
from lanthorn_core.ports.move_receipts import MoveReceipts
from lanthorn_core.ports.object_store import ObjectStore
from lanthorn_core.ports.remote_aes import RegistrySignals, RemoteAERegistry
from lanthorn_core.ports.remote_queries import RemoteQueryStore
from lanthorn_core.ports.renderer import Renderer
from lanthorn_core.runtime.settings import Settings
from lanthorn_core.usecases.job_registry import JobRegistry
from lanthorn_core.usecases.storage_limits import StorageLimits
from lanthorn_core.usecases.worklists import WorklistRules, Worklists

if TYPE_CHECKING:
    from nats.aio.client import Client

log = structlog.get_logger(__name__)

_SCHEMA_POLL_S: Final = 1.0


@asynccontextmanager
async def open_object_store(settings: Settings) -> AsyncIterator[ObjectStore]:
    """Open the object store: S3 where an endpoint is configured, else files."""
    from lanthorn_core.adapters.objects_observed import ObservedObjectStore

    s3 = settings.runtime.s3
    if s3 is None:
        from lanthorn_core.adapters.objects_fs import FilesystemObjectStore

        threads = settings.lanthorn.object_store_threads
        folder = settings.runtime.data_folder / "objects"
        async with FilesystemObjectStore(folder, threads=threads) as files:
            yield ObservedObjectStore(files)
    else:
        from lanthorn_core.adapters.objects_s3 import S3ObjectStore

        async with S3ObjectStore(
            endpoint=s3.endpoint,
            access_key=s3.access_key,
            secret_key=s3.secret_key.get_secret_value(),
            bucket=s3.bucket,
            region=s3.region,
            ca_file=s3.ca_file,
            threads=settings.lanthorn.object_store_threads,
        ) as bucket:
            yield ObservedObjectStore(bucket)


@dataclass(frozen=True)
class ServiceBus:
    """The stream as services see it that publish events and wait at the index barrier."""

    publisher: EventPublisher
    signals: IndexSignals
    retries: Retries
    backlog: EventBacklog
    job_signals: JobSignals
    registry_signals: RegistrySignals
    commands: GatewayCommands
    move_receipts: MoveReceipts
    commitment_relay: CommitmentRelay
    client: Client

    def serving_commands(
        self, handlers: Mapping[type[Command], CommandHandler]
    ) -> AbstractAsyncContextManager[None]:
        """Serve commands for the length of the block: the gateway's end of `commands`."""
        from lanthorn_core.adapters.bus_nats.command_server import serve_commands

        return serve_commands(self.client, handlers)


@dataclass(frozen=True)
class IndexerBus(ServiceBus):
    """The stream as the indexer sees it."""

    stream_replicas: int

    def open_consumer(self, applied: StreamPosition) -> AbstractAsyncContextManager[EventConsumer]:
        """Take the stream over after what is applied; only the holder of the index lock may."""
        from lanthorn_core.adapters.bus_nats.consumer import open_consumer

        return open_consumer(self.client, applied, replicas=self.stream_replicas)


@asynccontextmanager
async def open_indexer_bus(settings: Settings) -> AsyncIterator[IndexerBus]:
    """Connect to the stream, made where it is missing, with all that the indexer needs."""
    from lanthorn_core.adapters.bus_nats.backlog import NatsBacklog
    from lanthorn_core.adapters.bus_nats.command_client import NatsGatewayCommands
    from lanthorn_core.adapters.bus_nats.commitment_relay import NatsCommitmentRelay
    from lanthorn_core.adapters.bus_nats.connection import connect, ensure_streams
    from lanthorn_core.adapters.bus_nats.job_signals import NatsJobSignals
    from lanthorn_core.adapters.bus_nats.move_receipts import NatsMoveReceipts
    from lanthorn_core.adapters.bus_nats.publisher import NatsPublisher
    from lanthorn_core.adapters.bus_nats.registry_signals import NatsRegistrySignals
    from lanthorn_core.adapters.bus_nats.retries import NatsRetries
    from lanthorn_core.adapters.bus_nats.signals import NatsIndexSignals

    runtime = settings.runtime
    async with connect(
        runtime.nats_url,
        name="lanthorn",
        account=runtime.nats_account,
        ca_file=runtime.nats_ca_file,
    ) as client:
        await ensure_streams(client, replicas=runtime.nats_stream_replicas)
        yield IndexerBus(
            publisher=NatsPublisher(client),
            signals=NatsIndexSignals(client),
            retries=NatsRetries(client),
            backlog=NatsBacklog(client),
            job_signals=NatsJobSignals(client),
            registry_signals=NatsRegistrySignals(client),
            commands=NatsGatewayCommands(client),
            move_receipts=NatsMoveReceipts(client),
            commitment_relay=NatsCommitmentRelay(client),
            client=client,
            stream_replicas=runtime.nats_stream_replicas,
        )


@asynccontextmanager
async def open_bus(settings: Settings) -> AsyncIterator[ServiceBus]:
    """Connect to the stream, made where it is missing."""
    async with open_indexer_bus(settings) as bus:
        yield bus


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


@dataclass(frozen=True)
class JobsEngine:
    """The jobs of the system: the registry for those who make them, the rest for workers."""

    store: JobStore
    signals: JobSignals
    registry: JobRegistry


@asynccontextmanager
async def open_jobs(settings: Settings, bus: ServiceBus) -> AsyncIterator[JobsEngine]:
    """Open a small pool for jobs, and begin to hear of those that end."""
    from lanthorn_core.adapters.index_postgres.pool import open_pool
    from lanthorn_core.adapters.jobs_postgres.store import PostgresJobStore

    url = settings.runtime.database_url
    async with open_pool(
        url, application="lanthorn-jobs", read_only=False, size=3, lazy=True, stateless=True
    ) as pool:
        store = PostgresJobStore(pool, history_size=settings.jobs_history_size)
        registry = JobRegistry(store, bus.job_signals)
        await registry.listen()
        yield JobsEngine(store, bus.job_signals, registry)


async def forget_jobs(database_url: str) -> None:
    """Delete all jobs: what `SaveJobs` false means when the whole system starts."""
    from lanthorn_core.adapters.jobs_postgres.store import forget_jobs as forget

    await forget(database_url)


@asynccontextmanager
async def open_worklists(settings: Settings, *, lazy: bool = False) -> AsyncIterator[Worklists]:
    """Open the worklist items: a folder where one is configured, else the database.

    A `lazy` database is not asked before the first question.
    """
    section = settings.worklists
    rules = WorklistRules(
        default_encoding=settings.default_encoding,
        case_sensitive_pn=settings.case_sensitive_pn,
        filter_issuer_aet=section.filter_issuer_aet,
    )
    if section.directory:
        from lanthorn_core.adapters.worklist_files import WorklistFolder

        folder = settings.runtime.data_folder / section.directory
        async with WorklistFolder(folder) as files:
            yield Worklists(files, rules)
        return
    from lanthorn_core.adapters.index_postgres.pool import open_pool
    from lanthorn_core.adapters.worklists_postgres.worklists import PostgresWorklists

    url = settings.runtime.database_url
    async with open_pool(
        url, application="lanthorn-worklists", read_only=False, size=2, lazy=lazy
    ) as pool:
        yield Worklists(PostgresWorklists(pool), rules)


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


@asynccontextmanager
async def open_index_writer(settings: Settings) -> AsyncIterator[IndexWriter]:
    """Wait for the turn to write the index, and have it."""
    from lanthorn_core.adapters.index_postgres.writer import open_writer

    url = settings.runtime.database_url
    async with open_writer(url, overwrite=settings.overwrite_instances) as writer:
        yield writer


@asynccontextmanager
async def open_renderer(settings: Settings) -> AsyncIterator[Renderer]:
    """Open the client of the renderer."""
    from lanthorn_core.adapters.renderer_http import HttpRenderer

    async with HttpRenderer(settings.runtime.renderer_url) as renderer:
        yield renderer


async def wait_for_schema(settings: Settings) -> None:
    """Return when the database has all tables that this version needs; it may have more.

    So a service that is started before the migration of its database waits for that, and one that
    is still the older version goes on during and after it.

    Raises
    ------
    IndexUnavailable
        The database does not answer.
    """
    from lanthorn_core.adapters.index_postgres.migrate import missing_migrations

    while missing := await missing_migrations(settings.runtime.database_url):
        log.warning("schema_older_than_needed", missing=missing, asks_again_after_s=_SCHEMA_POLL_S)
        await asyncio.sleep(_SCHEMA_POLL_S)


async def migrate(database_url: str) -> list[str]:
    """Bring a database to the newest schema; returns the names of the migrations applied."""
    from lanthorn_core.adapters.index_postgres.migrate import migrate as apply

    return await apply(database_url)


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
