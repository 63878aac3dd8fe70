"""Run the service: settings from the environment, then serve until a signal."""

from __future__ import annotations

import asyncio
import os

from lanthorn_core.runtime.health import serve_asgi
from lanthorn_core.runtime.lifecycle import run_service
from lanthorn_core.runtime.logs import configure_logging
from lanthorn_core.runtime.settings import load_settings
from lanthorn_rest_api.app import create_app


async def main(stop: asyncio.Event) -> None:
    """Serve until `stop` is set."""
    settings = load_settings(os.environ)
    await serve_asgi(create_app(settings), host="0.0.0.0", port=settings.http_port, stop=stop)  # noqa: S104 - who may ask is decided per request (authentication.py)


if __name__ == "__main__":
    configure_logging("rest-api")
    run_service(main)
