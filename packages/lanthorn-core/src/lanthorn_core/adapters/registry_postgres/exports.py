"""`ExportLog` on PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence

import asyncpg

from lanthorn_core.adapters.index_postgres.pool import translated
from lanthorn_core.adapters.registry_postgres.statements import SQL
from lanthorn_core.model import LEVELS
from lanthorn_core.ports.exports import Export, ExportedResource


class PostgresExportLog:
    """See `ExportLog` for the contract."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def record(self, resources: Sequence[ExportedResource]) -> None:
        """Write resources into the log, in this order."""
        if not resources:
            return
        async with translated(), self._pool.acquire() as connection, connection.transaction():
            last = await connection.fetchval(SQL["count_exports"], len(resources))
            await connection.execute(
                SQL["record_exports"],
                last - len(resources),
                [resource.modality for resource in resources],
                [resource.level.depth for resource in resources],
                [resource.public_id for resource in resources],
                [resource.patient_id for resource in resources],
                [resource.study_instance_uid for resource in resources],
                [resource.series_instance_uid for resource in resources],
                [resource.sop_instance_uid for resource in resources],
            )

    async def page(self, *, since: int, limit: int) -> Sequence[Export]:
        """Return at most `limit` entries after number `since`."""
        async with translated():
            return [_export(row) for row in await self._pool.fetch(SQL["exports"], since, limit)]

    async def last(self) -> Export | None:
        """Return the newest entry."""
        async with translated():
            row = await self._pool.fetchrow(SQL["last_export"])
            return None if row is None else _export(row)

    async def clear(self) -> None:
        """Empty the log; its numbers go on."""
        async with translated():
            await self._pool.execute(SQL["clear_exports"])


def _export(row: asyncpg.Record) -> Export:
    return Export(**{**row, "level": LEVELS[row["level"]]})
