"""The gateway's composition: settings and ports in, a running service out."""

from __future__ import annotations

import asyncio
import gc
import socket
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import Final

import structlog

from lanthorn_core.errors import IndexUnavailable, SchemaOutdated
from lanthorn_core.ports.object_store import ObjectStore
from lanthorn_core.runtime.engines import when_engines_answer
from lanthorn_core.runtime.health import HealthApp, serving_health
from lanthorn_core.runtime.lifecycle import Stop
from lanthorn_core.runtime.settings import Settings
from lanthorn_core.runtime.shared_ports import shared_port
from lanthorn_core.wiring import ServiceBus, open_bus, open_object_store, require_schema
from lanthorn_dimse import Server, ServerOptions, Timers, serve
from lanthorn_dimse_gateway.gateway import Gateway, KnownRemoteAEs
from lanthorn_dimse_gateway.listening import inherit, listen
from lanthorn_dimse_gateway.scp.provider import ServiceDirectory, ServiceProvider
from lanthorn_dimse_gateway.services import open_services
from lanthorn_dimse_gateway.tls import acceptor_context

log = structlog.get_logger(__name__)

_DRAIN_S: Final = 6.0
"""Enough for the request in hand."""


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
        How long associations may take at the end: first those at work may go on, if there is so
        much time, and in the last `_DRAIN_S` only requests in hand are finished.
    """
    gateway = Gateway(settings, ServiceDirectory(providers), remote_aes)
    options = replace(server_options(settings), rejected=gateway.rejected)
    async with serve(listening, gateway.negotiate, gateway.serve, options) as server:
        try:
            yield server
        finally:
            in_hand_s = min(drain_s, _DRAIN_S)
            await server.drain(in_hand_s, patience_s=drain_s - in_hand_s)


@asynccontextmanager
async def open_listening(settings: Settings, stop: asyncio.Event) -> AsyncIterator[socket.socket]:
    """Take the shared or the inherited socket, or bind `DicomPort` on every address."""
    runtime = settings.runtime
    if runtime.ports_folder is not None:
        async with shared_port(runtime.ports_folder, "dicom", stop) as shared:
            yield shared
    elif runtime.dicom_fd is not None:
        yield inherit(runtime.dicom_fd)
    else:
        yield listen("", settings.dicom_port)


async def run(settings: Settings, stop: Stop) -> None:
    """Run the service until `stop` is set."""
    settings.runtime.require("nats_url")
    health = HealthApp(ending=stop.announced)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(serving_health(health, settings.runtime.listen))
        objects, bus = await when_engines_answer(
            lambda: stack.enter_async_context(_open_engines(settings)), stop, health
        )
        services = await stack.enter_async_context(open_services(settings, objects, bus, stop))
        if settings.dicom_server_enabled:
            listening = await stack.enter_async_context(open_listening(settings, stop))
            await stack.enter_async_context(
                serving_dicom(
                    settings,
                    services.providers,
                    services.remote_aes,
                    listening,
                    drain_s=settings.runtime.finish_within_s,
                )
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
        health.begin({"objects": objects.check, "events": bus.publisher.check})
        await stop.wait()
        log.info("draining_started")


@asynccontextmanager
async def _open_engines(settings: Settings) -> AsyncIterator[tuple[ObjectStore, ServiceBus]]:
    """Open what storing needs; of a database only that it does not lack our tables."""
    if settings.runtime.database_url:
        try:
            await require_schema(settings)
        except SchemaOutdated:
            raise
        except IndexUnavailable as error:  # storing goes on without it
            log.warning("started_without_database", error=str(error))
    async with open_object_store(settings) as objects, open_bus(settings) as bus:
        yield objects, bus
