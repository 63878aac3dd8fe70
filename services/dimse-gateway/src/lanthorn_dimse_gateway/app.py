"""The gateway's composition: settings and ports in, a running service out."""

from __future__ import annotations

import asyncio
import gc
import socket
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

import structlog

from lanthorn_core.runtime.health import HealthApp, serve_asgi
from lanthorn_core.runtime.settings import Settings
from lanthorn_core.wiring import open_bus, open_object_store
from lanthorn_dimse import Server, ServerOptions, Timers, serve
from lanthorn_dimse_gateway.gateway import Gateway, KnownRemoteAEs
from lanthorn_dimse_gateway.listening import inherit, listen
from lanthorn_dimse_gateway.scp.provider import ServiceDirectory, ServiceProvider
from lanthorn_dimse_gateway.services import open_services
from lanthorn_dimse_gateway.tls import acceptor_context

log = structlog.get_logger(__name__)

_DRAIN_S: Final = 6.0
"""For requests in hand at the end; `lifecycle` leaves eight seconds to the whole service."""


def server_options(settings: Settings) -> ServerOptions:
    """Make timers and limits of the associations that come in from Orthanc's options and ours."""
    silence_s = float(settings.dicom_scp_timeout) or None
    artim_s = settings.lanthorn.dicom_artim_timeout
    return ServerOptions(
        timers=Timers(
            artim_s=artim_s if silence_s is None else min(artim_s, silence_s),
            dimse_s=silence_s,
            idle_s=silence_s,
            network_s=silence_s,
        ),
        tls=acceptor_context(settings),
        associations_per_host=settings.lanthorn.dicom_associations_per_host or None,
    )


@asynccontextmanager
async def serving_dicom(
    settings: Settings,
    providers: Iterable[ServiceProvider],
    remote_aes: KnownRemoteAEs,
    listening: socket.socket,
    *,
    drain_s: float = _DRAIN_S,
) -> AsyncIterator[Server]:
    """Serve DICOM on a listening socket for the length of the block, then drain.

    Parameters
    ----------
    settings : Settings
        Orthanc's options.
    providers : iterable of ServiceProvider
        What is served.
    remote_aes : KnownRemoteAEs
        Who is known.
    listening : socket
        Closed at the end, in this process only.
    drain_s : float
        How long requests in hand may take at the end.
    """
    gateway = Gateway(settings, ServiceDirectory(providers), remote_aes)
    options = server_options(settings)
    async with serve(listening, gateway.negotiate, gateway.serve, options) as server:
        try:
            yield server
        finally:
            await server.drain(drain_s)


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
        health_over = asyncio.Event()
        group = await stack.enter_async_context(asyncio.TaskGroup())
        stack.callback(health_over.set)
        if settings.runtime.listen is not None:
            health = HealthApp({"objects": objects.check, "events": bus.publisher.check})
            group.create_task(
                serve_asgi(
                    health,
                    host=settings.runtime.listen.host,
                    port=settings.runtime.listen.port,
                    stop=health_over,
                ),
                name="health",
            )
        services = await stack.enter_async_context(open_services(settings, objects, bus, stop))
        if settings.dicom_server_enabled:
            listening = open_listening(settings)
            await stack.enter_async_context(
                serving_dicom(settings, services.providers, services.remote_aes, listening)
            )
            log.info(
                "dicom_listening",
                port=listening.getsockname()[1],
                ae_title=settings.dicom_aet,
                inherited=settings.runtime.dicom_fd is not None,
                tls=settings.dicom_tls_enabled,
            )
        # What lives as long as the process shall not be walked by every full collection.
        gc.collect()
        gc.freeze()
        await stop.wait()
        log.info("draining_started")
