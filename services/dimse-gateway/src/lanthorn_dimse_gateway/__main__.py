"""``python -m lanthorn_dimse_gateway``: read the settings, run until told to stop."""

from __future__ import annotations

import asyncio
import os
import sys

import structlog

from lanthorn_core.runtime.lifecycle import run_service
from lanthorn_core.runtime.logs import configure_logging
from lanthorn_core.runtime.settings import EXIT_CODE, SettingsError, load_settings
from lanthorn_dimse_gateway.app import run


def main() -> int:
    """Run the gateway; returns the process's exit status."""
    try:
        settings = load_settings(os.environ)
        settings.runtime.require("nats_url")
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_CODE
    configure_logging(
        "dimse-gateway",
        level=settings.lanthorn.log_level,
        json=settings.lanthorn.log_format == "json",
    )
    log = structlog.get_logger(__name__)
    for warning in settings.warnings:
        log.warning("setting_doubted", text=warning)

    async def serve(stop: asyncio.Event) -> None:
        await run(settings, stop)

    run_service(serve)
    return 0


if __name__ == "__main__":
    sys.exit(main())
