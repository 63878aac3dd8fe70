"""``python -m lanthorn_indexer.migrate``: bring the database to this version's schema, and end.

For compose and Helm, where the services themselves never migrate. It waits for a database that is
still starting, and several at once do no harm.
"""

from __future__ import annotations

import asyncio
from typing import Final

import structlog

from lanthorn_core import wiring
from lanthorn_core.errors import IndexUnavailable
from lanthorn_core.runtime.lifecycle import start_service
from lanthorn_core.runtime.settings import Settings

log = structlog.get_logger(__name__)

PATIENCE_S: Final = 60.0
"""How long a database may take to answer."""
_PAUSE_S: Final = 1.0


async def run(settings: Settings, stop: asyncio.Event) -> None:
    """Migrate, as soon as the database answers.

    Raises
    ------
    IndexUnavailable
        It did not within `PATIENCE_S`.
    """
    settings.runtime.require("database_url")
    loop = asyncio.get_running_loop()
    deadline = loop.time() + PATIENCE_S
    while not stop.is_set():
        try:
            applied = await wiring.migrate(settings.runtime.database_url)
        except IndexUnavailable as error:
            if loop.time() > deadline:
                raise
            log.info("database_awaited", error=str(error))
            await asyncio.sleep(_PAUSE_S)
        else:
            log.info("database_migrated", applied=applied)
            return


if __name__ == "__main__":
    start_service("migrate", run)
