"""What the routes work with: the ports and use cases of this process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends
from starlette.requests import HTTPConnection

from lanthorn_core.ports.bus import EventBacklog, EventPublisher, Retries
from lanthorn_core.ports.commands import GatewayCommands
from lanthorn_core.ports.commitment import CommitmentReports
from lanthorn_core.ports.index import IndexEditor, IndexReader
from lanthorn_core.ports.object_store import ObjectStore
from lanthorn_core.ports.remote_aes import RemoteAERegistry
from lanthorn_core.ports.renderer import Renderer
from lanthorn_core.runtime.settings import Settings
from lanthorn_core.usecases.byte_budget import ByteBudget
from lanthorn_core.usecases.delete_resources import DeleteResources
from lanthorn_core.usecases.find import FindResources
from lanthorn_core.usecases.job_registry import JobRegistry
from lanthorn_core.usecases.store_instance import StoreInstance
from lanthorn_core.usecases.system_figures import (
    refresh_backlog,
    refresh_jobs,
    refresh_resources,
)
from lanthorn_core.usecases.worklists import Worklists
from lanthorn_core.wiring import (
    RemoteRecords,
    open_bus,
    open_commitment_reports,
    open_editor,
    open_jobs,
    open_object_store,
    open_reader,
    open_remote_aes,
    open_remote_records,
    open_renderer,
    open_storage_limits,
    open_worklists,
    require_schema,
)


@dataclass(frozen=True, slots=True)
class Services:
    """Everything a route may need; made once per process by the application's lifespan."""

    settings: Settings
    objects: ObjectStore
    publisher: EventPublisher
    retries: Retries
    backlog: EventBacklog
    reader: IndexReader
    editor: IndexEditor
    renderer: Renderer
    store: StoreInstance
    delete: DeleteResources
    find: FindResources
    jobs: JobRegistry
    remote_aes: RemoteAERegistry
    records: RemoteRecords
    commands: GatewayCommands
    worklists: Worklists | None
    commitment_reports: CommitmentReports
    budget: ByteBudget


OpenServices = Callable[[Settings], AbstractAsyncContextManager[Services]]


@asynccontextmanager
async def open_services(settings: Settings) -> AsyncIterator[Services]:
    """Open the real ports that the settings name, and close them at the end."""
    await require_schema(settings)
    async with AsyncExitStack() as stack:
        objects = await stack.enter_async_context(open_object_store(settings))
        bus = await stack.enter_async_context(open_bus(settings))
        reader = await stack.enter_async_context(open_reader(settings, bus))
        editor = await stack.enter_async_context(open_editor(settings))
        limits = await stack.enter_async_context(open_storage_limits(settings, bus, reader))
        renderer = await stack.enter_async_context(open_renderer(settings))
        jobs = await stack.enter_async_context(open_jobs(settings, bus))
        remote_aes = await stack.enter_async_context(open_remote_aes(settings, bus))
        records = await stack.enter_async_context(open_remote_records(settings))
        worklists = None
        if settings.worklists.enable:
            worklists = await stack.enter_async_context(open_worklists(settings))
        reports = await stack.enter_async_context(open_commitment_reports(settings))
        budget = ByteBudget(settings.lanthorn.maximum_in_flight_bytes)
        yield Services(
            settings=settings,
            objects=objects,
            publisher=bus.publisher,
            retries=bus.retries,
            backlog=bus.backlog,
            reader=reader,
            editor=editor,
            renderer=renderer,
            store=StoreInstance(objects, bus.publisher, budget, settings.default_encoding, limits),
            delete=DeleteResources(bus.publisher, reader),
            find=FindResources(
                reader,
                objects,
                settings.default_encoding,
                reads_files=settings.storage_access_on_find != "Never",
            ),
            jobs=jobs.registry,
            remote_aes=remote_aes,
            records=records,
            commands=bus.commands,
            worklists=worklists,
            commitment_reports=reports,
            budget=budget,
        )


async def refresh_system_figures(services: Services) -> None:
    """Bring the metrics up to date that tell of the whole system; each as far as it can be told."""
    refreshes = (
        refresh_backlog(services.backlog, services.reader),
        refresh_jobs(services.jobs),
        refresh_resources(services.reader),
    )
    for outcome in await asyncio.gather(*refreshes, return_exceptions=True):
        if isinstance(outcome, BaseException):
            raise outcome


def services_of(connection: HTTPConnection) -> Services:
    """Return the services of the application that received this request."""
    services: Services = connection.app.state.services
    return services


async def _services(connection: HTTPConnection) -> Services:
    # A coroutine, because FastAPI sends plain functions to a thread, which costs more than they do.
    return services_of(connection)


ServicesDep = Annotated[Services, Depends(_services)]
