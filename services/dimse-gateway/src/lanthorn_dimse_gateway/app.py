"""The gateway's composition: settings and ports in, a running service out."""

from __future__ import annotations

import asyncio
import gc
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

import structlog

from lanthorn_core.ports.bus import EventPublisher
from lanthorn_core.ports.object_store import ObjectStore
from lanthorn_core.runtime.health import HealthApp, serve_asgi
from lanthorn_core.runtime.settings import Settings
from lanthorn_core.usecases.byte_budget import ByteBudget
from lanthorn_core.usecases.storage_limits import StorageLimits
from lanthorn_core.usecases.store_instance import StoreInstance
from lanthorn_core.wiring import open_bus, open_object_store, open_storage_limits
from lanthorn_dimse_gateway.access import AccessPolicy, KnownAE, Service
from lanthorn_dimse_gateway.bridge import LoopBridge
from lanthorn_dimse_gateway.contexts import ContextPolicy
from lanthorn_dimse_gateway.gateway import AssociationLimits, Gateway
from lanthorn_dimse_gateway.scp.store import StoreScp
from lanthorn_dimse_gateway.server import DicomServer, inherit, listen

log = structlog.get_logger(__name__)

_DRAIN_S: Final = 6.0
"""For requests in hand at the end; `lifecycle` leaves eight seconds to the whole service."""
_STORE_TIMEOUT_S: Final = 120.0
"""For one object to become durable; past it the sender is told to try again."""


def access_policy(settings: Settings) -> AccessPolicy:
    """Make the rules of admission from Orthanc's options."""
    always = {
        Service.ECHO: settings.dicom_always_allow_echo,
        Service.STORE: settings.dicom_always_allow_store,
        Service.FIND: settings.dicom_always_allow_find,
        Service.FIND_WORKLIST: settings.dicom_always_allow_find_worklist,
        Service.GET: settings.dicom_always_allow_get,
        Service.MOVE: settings.dicom_always_allow_move,
    }
    return AccessPolicy(
        ae_title=settings.dicom_aet,
        check_called_ae_title=settings.dicom_check_called_aet,
        strict_comparison=settings.strict_aet_comparison,
        check_host=settings.dicom_check_modality_host,
        open_to_everybody=frozenset(service for service, allowed in always.items() if allowed),
        known=tuple(
            KnownAE(
                remote.ae_title,
                remote.host,
                frozenset(
                    service
                    for service, allowed in {
                        Service.ECHO: remote.allow_echo,
                        Service.STORE: remote.allow_store,
                        Service.FIND: remote.allow_find,
                        Service.FIND_WORKLIST: remote.allow_find_worklist,
                        Service.GET: remote.allow_get,
                        Service.MOVE: remote.allow_move,
                    }.items()
                    if allowed
                ),
            )
            for remote in settings.dicom_modalities.values()
        ),
    )


def context_policy(settings: Settings) -> ContextPolicy:
    """Make the negotiation policy from Orthanc's options; `ReadOnly` offers no storage."""
    return ContextPolicy(
        accepted_transfer_syntaxes=settings.accepted_transfer_syntaxes,
        accepted_sop_classes=settings.accepted_sop_classes,
        rejected_sop_classes=("*",) if settings.read_only else settings.rejected_sop_classes,
        unknown_sop_class_accepted=settings.unknown_sop_class_accepted,
    )


def build_gateway(settings: Settings, store: StoreInstance, spool_folder: Path) -> Gateway:
    """Compose policies and services."""
    access = access_policy(settings)
    return Gateway(
        access=access,
        contexts=context_policy(settings),
        limits=AssociationLimits(
            maximum_pdu_length=settings.maximum_pdu_length,
            timeout_s=float(settings.dicom_scp_timeout) or None,
            associations=settings.dicom_threads_count,
        ),
        store=StoreScp(store, spool_folder, access),
    )


@asynccontextmanager
async def serving_dicom(
    settings: Settings,
    objects: ObjectStore,
    publisher: EventPublisher,
    listening: socket.socket,
    *,
    limits: StorageLimits | None = None,
    drain_s: float = _DRAIN_S,
) -> AsyncIterator[DicomServer]:
    """Serve DICOM on a listening socket for the length of the block, then drain.

    Parameters
    ----------
    settings : Settings
        Orthanc's options.
    objects, publisher
        Where instances and their events go.
    listening : socket
        Closed at the end, in this process only.
    limits : StorageLimits, optional
        Where new instances are refused once the store is full.
    drain_s : float
        How long requests in hand may take at the end.
    """
    store = StoreInstance(
        objects,
        publisher,
        ByteBudget(settings.lanthorn.maximum_in_flight_bytes),
        settings.default_encoding,
        limits,
    )
    server = DicomServer(
        build_gateway(settings, store, objects.spool_folder),
        listening,
        LoopBridge(asyncio.get_running_loop(), _STORE_TIMEOUT_S),
    )
    server.start()
    try:
        yield server
    finally:
        await server.stop(drain_s)


def open_listening(settings: Settings) -> socket.socket:
    """Take the inherited socket, or bind `DicomPort` on every address."""
    descriptor = settings.runtime.dicom_fd
    return listen("", settings.dicom_port) if descriptor is None else inherit(descriptor)


async def run(settings: Settings, stop: asyncio.Event) -> None:
    """Run the service until `stop` is set."""
    settings.runtime.require("nats_url")
    async with AsyncExitStack() as stack:
        objects = await stack.enter_async_context(open_object_store(settings))
        bus = await stack.enter_async_context(open_bus(settings))
        publisher = bus.publisher
        health_over = asyncio.Event()
        group = await stack.enter_async_context(asyncio.TaskGroup())
        stack.callback(health_over.set)
        if settings.runtime.listen is not None:
            health = HealthApp({"objects": objects.check, "events": publisher.check})
            group.create_task(
                serve_asgi(
                    health,
                    host=settings.runtime.listen.host,
                    port=settings.runtime.listen.port,
                    stop=health_over,
                ),
                name="health",
            )
        if settings.dicom_server_enabled:
            listening = open_listening(settings)
            limits = await stack.enter_async_context(open_storage_limits(settings, bus))
            await stack.enter_async_context(
                serving_dicom(settings, objects, publisher, listening, limits=limits)
            )
            log.info(
                "dicom_listening",
                port=listening.getsockname()[1],
                ae_title=settings.dicom_aet,
                inherited=settings.runtime.dicom_fd is not None,
            )
        # What lives as long as the process shall not be walked by every full collection.
        gc.collect()
        gc.freeze()
        await stop.wait()
        log.info("draining_started")
