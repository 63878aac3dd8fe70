"""``python -m lanthorn_indexer.migrate``: bring the database to this version's schema, and end.

For compose and Helm, where the services themselves never migrate. It waits for a database that does
not answer yet, and several at once do no harm.
"""

from __future__ import annotations

import structlog

from lanthorn_core import wiring
from lanthorn_core.runtime.engines import when_engines_answer
from lanthorn_core.runtime.lifecycle import Stop, start_service
from lanthorn_core.runtime.settings import Settings

log = structlog.get_logger(__name__)


async def run(settings: Settings, stop: Stop) -> None:
    """Migrate, as soon as the database answers."""
    url = settings.runtime.database_url
    settings.runtime.require("database_url")
    applied = await when_engines_answer(lambda: wiring.migrate(url), stop)
    log.info("database_migrated", applied=applied)


if __name__ == "__main__":
    start_service("migrate", run)
