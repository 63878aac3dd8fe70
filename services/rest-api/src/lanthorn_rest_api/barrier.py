"""The index barrier: every route that reads the index waits here first (architecture, section 1).

A router takes `Depends(current_index)`; a plain ASGI route calls `wait_at_barrier`.
"""

from __future__ import annotations

from typing import Final

import structlog
from starlette.requests import HTTPConnection
from starlette.types import Scope

from lanthorn_core.ports.index import IndexReader
from lanthorn_rest_api.services import services_of

log = structlog.get_logger()

WARNINGS: Final = "lanthorn.warnings"
"""Key of the ASGI scope under which the texts of `Warning` headers are collected."""

BEHIND: Final = '199 lanthorn "the index is behind the stream"'


async def wait_at_barrier(reader: IndexReader, scope: Scope) -> None:
    """Wait until everything acknowledged before now is in the index, or the time is up."""
    if not await reader.wait_until_current():
        warn_of_lag(scope)


def warn_of_lag(scope: Scope) -> None:
    """Say in log and answer that the index may lack the newest instances."""
    log.warning("index_was_behind", path=scope["path"])
    scope.setdefault(WARNINGS, []).append(BEHIND)


async def current_index(connection: HTTPConnection) -> None:
    """Wait at the barrier before the route runs (a FastAPI dependency)."""
    await wait_at_barrier(services_of(connection).reader, connection.scope)
