"""Run the service: settings from the environment, then serve until a signal."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from lanthorn_core.runtime.health import serve_asgi, serving_health
from lanthorn_core.runtime.lifecycle import Stop, start_service
from lanthorn_core.runtime.settings import Settings
from lanthorn_core.runtime.shared_ports import shared_port
from lanthorn_core.wiring import wait_for_schema
from lanthorn_rest_api.app import create_app, health_of


async def main(settings: Settings, stop: Stop) -> None:
    """Serve until `stop` is set."""
    runtime = settings.runtime
    runtime.require("database_url", "nats_url", "renderer_url")
    app = create_app(settings, ending=stop.announced)
    async with serving_health(health_of(app), runtime.listen):
        await wait_for_schema(settings)
        async with open_listening(settings, stop) as listening:
            await serve_asgi(
                app,
                host=settings.http_bind_host,
                port=settings.http_port,
                sock=listening,
                stop=stop,
                ending=stop.announced,
                keep_alive_s=settings.keep_alive_timeout,
                drain_s=runtime.finish_within_s,
            )


@asynccontextmanager
async def open_listening(settings: Settings, stop: Stop) -> AsyncIterator[socket.socket | None]:
    """Take the shared socket, if there is one."""
    folder = settings.runtime.ports_folder
    if folder is None:
        yield None
        return
    async with shared_port(folder, "http", stop) as shared:
        yield shared


if __name__ == "__main__":
    start_service("rest-api", main)
