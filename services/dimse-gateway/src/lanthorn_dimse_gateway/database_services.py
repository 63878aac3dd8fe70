"""Every service of a gateway that has a database: what it provides, and what it asks of others."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from lanthorn_core.commands import Command, RequestCommitment
from lanthorn_core.ports.commands import CommandHandler
from lanthorn_core.ports.index import IndexReader
from lanthorn_core.ports.object_store import ObjectStore
from lanthorn_core.ports.remote_aes import RemoteAERegistry
from lanthorn_core.runtime.settings import Settings
from lanthorn_core.usecases.check_commitment import CheckCommitment
from lanthorn_core.usecases.job_runner import JobRunner
from lanthorn_core.usecases.job_worker import JobWorker
from lanthorn_core.wiring import (
    ServiceBus,
    open_commitment_reports,
    open_jobs,
    open_renderer,
    open_worklists,
)
from lanthorn_dimse_gateway.commands import command_handlers
from lanthorn_dimse_gateway.commitment_associations import OpenAssociations, keeping_associations
from lanthorn_dimse_gateway.contexts import ContextPolicy
from lanthorn_dimse_gateway.jobs.commitment import STORAGE_COMMITMENT_SCP, CommitmentJobRunner
from lanthorn_dimse_gateway.jobs.get import GetRunner
from lanthorn_dimse_gateway.jobs.move import MoveRunner
from lanthorn_dimse_gateway.jobs.store import StoreJobRunner
from lanthorn_dimse_gateway.requesting import requesting
from lanthorn_dimse_gateway.scp.commitment import CommitmentReportReceiver, CommitmentScp
from lanthorn_dimse_gateway.scp.provider import ServiceProvider
from lanthorn_dimse_gateway.scp.retrieve_get import GetScp
from lanthorn_dimse_gateway.scp.retrieve_move import MoveScp
from lanthorn_dimse_gateway.scp.store import StoreScp
from lanthorn_dimse_gateway.scp.worklist import WorklistScp
from lanthorn_dimse_gateway.scu.associations import ScuOptions, open_association_pool
from lanthorn_dimse_gateway.scu.commitment import open_commitment_scu
from lanthorn_dimse_gateway.scu.store import StoreScu
from lanthorn_dimse_gateway.scu.store_operation import StoreRules
from lanthorn_dimse_gateway.scu.store_outgoing import OutgoingObjects
from lanthorn_dimse_gateway.worklist_housekeeping import retiring_worklists


@asynccontextmanager
async def open_database_services(
    settings: Settings,
    objects: ObjectStore,
    bus: ServiceBus,
    *,
    reader: IndexReader,
    remote_aes: RemoteAERegistry,
    receiver: StoreScp,
    stop: asyncio.Event,
) -> AsyncIterator[tuple[ServiceProvider, ...]]:
    """Open what needs a database, serve commands and run jobs until `stop` is set.

    Parameters
    ----------
    reader, remote_aes
        Those of the process.
    receiver : StoreScp
        What takes instances; also those that we fetch ourselves.
    stop : asyncio.Event
        Set when the process shall end.

    Yields
    ------
    tuple of ServiceProvider
        Retrieval, worklists and storage commitment.
    """
    async with AsyncExitStack() as stack:
        renderer = await stack.enter_async_context(open_renderer(settings))
        pool = await stack.enter_async_context(open_association_pool(ScuOptions.of(settings)))
        jobs = await stack.enter_async_context(open_jobs(settings, bus))
        reports = await stack.enter_async_context(open_commitment_reports(settings, lazy=True))
        commitment = await stack.enter_async_context(open_commitment_scu(pool, reports))
        outgoing = OutgoingObjects(objects, renderer)
        rules = StoreRules.of(settings)
        store = StoreScu(pool, outgoing, rules)
        encoding = settings.default_encoding
        open_associations: OpenAssociations | None = None
        if settings.lanthorn.commitment_on_same_association:
            open_associations = await stack.enter_async_context(
                keeping_associations(bus.commitment_relay)
            )
        runners: dict[str, JobRunner] = {
            "DicomModalityStore": StoreJobRunner(reader, store, commitment),
            "DicomMoveScu": MoveRunner(pool, bus.move_receipts, settings.dicom_aet, encoding),
            "DicomGetScu": GetRunner(pool, receiver, ContextPolicy.of(settings, {}), encoding),
            STORAGE_COMMITMENT_SCP: CommitmentJobRunner(
                CheckCommitment(reader, objects), remote_aes, pool, open_associations
            ),
        }
        worker = JobWorker(
            jobs.store,
            jobs.signals,
            runners,
            concurrency=settings.concurrent_jobs or os.cpu_count() or 1,
        )
        handlers: dict[type[Command], CommandHandler] = {
            **command_handlers(pool, store, encoding),
            RequestCommitment: commitment.serve_command,
        }
        providers: list[ServiceProvider] = [
            GetScp(reader, remote_aes, outgoing, rules, encoding),
            MoveScp(
                reader, remote_aes, store, jobs.registry, settings.synchronous_c_move, encoding
            ),
            CommitmentScp(jobs.registry, open_associations),
            CommitmentReportReceiver(reports),
        ]
        if settings.worklists.enable:
            worklists = await stack.enter_async_context(open_worklists(settings, lazy=True))
            providers.append(WorklistScp(worklists, settings.worklists.limit_answers))
            await stack.enter_async_context(
                retiring_worklists(worklists, reader, settings.worklists)
            )
        await stack.enter_async_context(requesting(bus, handlers, worker, stop))
        yield tuple(providers)
