"""The services of one gateway process, and the ports that they work with."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from lanthorn_core.model import RemoteAE
from lanthorn_core.ports.bus import EventPublisher
from lanthorn_core.ports.index import IndexReader
from lanthorn_core.ports.object_store import ObjectStore
from lanthorn_core.runtime.settings import Settings
from lanthorn_core.usecases.byte_budget import ByteBudget
from lanthorn_core.usecases.find_answers import FindAnswers
from lanthorn_core.usecases.storage_limits import StorageLimits
from lanthorn_core.usecases.store_instance import StoreInstance, StoreReceipt
from lanthorn_core.wiring import (
    ServiceBus,
    open_reader,
    open_remote_aes,
    open_storage_limits,
)
from lanthorn_dimse import Request
from lanthorn_dimse_gateway.database_services import open_database_services
from lanthorn_dimse_gateway.gateway import KnownRemoteAEs
from lanthorn_dimse_gateway.receive_buffers import ReceiveBuffers
from lanthorn_dimse_gateway.scp.echo import EchoScp
from lanthorn_dimse_gateway.scp.find import FindScp
from lanthorn_dimse_gateway.scp.find_identifier import FindRules
from lanthorn_dimse_gateway.scp.moved import announce_moved
from lanthorn_dimse_gateway.scp.provider import ServiceProvider
from lanthorn_dimse_gateway.scp.store import StoreScp


@dataclass(frozen=True, slots=True)
class ConfiguredRemoteAEs:
    """The remote AEs of `DicomModalities`, where there is no database that may hold more."""

    remote_aes: Mapping[str, RemoteAE]

    @classmethod
    def of(cls, settings: Settings) -> ConfiguredRemoteAEs:
        """Take them from the configuration."""
        return cls({name: option.remote_ae for name, option in settings.dicom_modalities.items()})

    async def all(self) -> Mapping[str, RemoteAE]:
        """Return all of them by symbolic name."""
        return self.remote_aes


@dataclass(frozen=True, slots=True)
class Services:
    """What a gateway process provides, and whom it knows."""

    providers: tuple[ServiceProvider, ...]
    remote_aes: KnownRemoteAEs


def receiving_services(
    settings: Settings,
    objects: ObjectStore,
    publisher: EventPublisher,
    limits: StorageLimits | None = None,
    stored: Callable[[Request, StoreReceipt], Awaitable[None]] | None = None,
) -> tuple[EchoScp, StoreScp]:
    """Make the services that need object store and stream only: C-ECHO and C-STORE."""
    # The receive buffers hold the process's share of memory, so that the verb need not.
    store = StoreInstance(objects, publisher, None, settings.default_encoding, limits)
    buffers = ReceiveBuffers(ByteBudget(settings.lanthorn.maximum_in_flight_bytes))
    tells_each = settings.lanthorn.log_level == "debug"
    return (EchoScp(), StoreScp(store, objects.spool_folder, buffers, stored, tells_each))


def find_service(settings: Settings, objects: ObjectStore, reader: IndexReader) -> FindScp:
    """Make C-FIND of patients, studies, series and instances."""
    return FindScp(
        FindAnswers(
            reader,
            objects,
            settings.default_encoding,
            reads_files=settings.storage_access_on_find != "Never",
        ),
        ae_title=settings.dicom_aet,
        rules=FindRules(settings.default_encoding, settings.case_sensitive_pn),
        limit=settings.limit_find_results,
        instances_limit=settings.limit_find_instances,
    )


@asynccontextmanager
async def open_services(
    settings: Settings, objects: ObjectStore, bus: ServiceBus, stop: asyncio.Event
) -> AsyncIterator[Services]:
    """Open what the settings ask for, and close it at the end.

    Nothing here waits for the database: storing goes on while it is down, and queries say that it
    is. Without `DATABASE_URL` the gateway only receives. When `stop` is set it takes no more
    commands and jobs.
    """
    async with AsyncExitStack() as stack:
        if not settings.runtime.database_url:
            limits = await stack.enter_async_context(open_storage_limits(settings, bus))
            receiving = receiving_services(settings, objects, bus.publisher, limits)
            yield Services(receiving, ConfiguredRemoteAEs.of(settings))
            return
        reader = await stack.enter_async_context(open_reader(settings, bus, lazy=True))
        remote_aes = await stack.enter_async_context(open_remote_aes(settings, bus))
        limits = await stack.enter_async_context(open_storage_limits(settings, bus, reader))
        receiving = receiving_services(
            settings, objects, bus.publisher, limits, announce_moved(bus.move_receipts)
        )
        others = await stack.enter_async_context(
            open_database_services(
                settings,
                objects,
                bus,
                reader=reader,
                remote_aes=remote_aes,
                receiver=receiving[1],
                stop=stop,
            )
        )
        queries = find_service(settings, objects, reader)
        yield Services((*receiving, queries, *others), remote_aes)
