"""Run the service: settings from the environment, then serve until a signal."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext

from lanthorn_core.runtime.engines import when_engines_answer
from lanthorn_core.runtime.health import HealthApp, serve_asgi, serving_health
from lanthorn_core.runtime.lifecycle import Stop, start_service
from lanthorn_core.runtime.settings import Settings
from lanthorn_core.runtime.shared_ports import shared_port
from lanthorn_rest_api.app import create_app
from lanthorn_rest_api.services import open_services


async def main(settings: Settings, stop: Stop) -> None:
    """Serve until `stop` is set."""
    runtime = settings.runtime
    runtime.require("database_url", "nats_url", "renderer_url")
    health = HealthApp(ending=stop.announced)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(serving_health(health, runtime.listen))
        services = await when_engines_answer(
            lambda: stack.enter_async_context(open_services(settings)), stop, health
        )
        listening = await stack.enter_async_context(open_listening(settings, stop))
        await serve_asgi(
            create_app(settings, lambda _: nullcontext(services), health),
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
