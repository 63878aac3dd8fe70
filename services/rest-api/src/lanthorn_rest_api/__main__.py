"""Run the service: settings from the environment, then serve until a signal."""

from __future__ import annotations

import asyncio

from lanthorn_core.runtime.health import serve_asgi
from lanthorn_core.runtime.lifecycle import start_service
from lanthorn_core.runtime.settings import Settings
from lanthorn_rest_api.app import create_app


async def main(settings: Settings, stop: asyncio.Event) -> None:
    """Serve until `stop` is set."""
    settings.runtime.require("database_url", "nats_url", "renderer_url")
    await serve_asgi(
        create_app(settings),
        host=settings.http_bind_host,
        port=settings.http_port,
        stop=stop,
        keep_alive_s=settings.keep_alive_timeout,
    )


if __name__ == "__main__":
    start_service("rest-api", main)
