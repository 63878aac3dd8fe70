"""`WorklistStore` on PostgreSQL: every gateway and every rest-api sees the same items."""

from __future__ import annotations

from collections.abc import Sequence

import asyncpg

from lanthorn_core.adapters.index_postgres.pool import translated
from lanthorn_core.adapters.sqlfile import load_statements
from lanthorn_core.errors import UnknownResource
from lanthorn_core.ports.worklists import WorklistEntry

SQL = load_statements(__package__, "worklists.sql")


class PostgresWorklists:
    """See `WorklistStore` for the contract; each call is one statement."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def entries(self) -> Sequence[WorklistEntry]:
        """List all items."""
        async with translated():
            rows = await self._pool.fetch(SQL["entries"])
        return [
            WorklistEntry(row["worklist_id"], str(row["revision"]), row["created_at"])
            for row in rows
        ]

    async def read(self, worklist_id: str) -> bytes:
        """Read the file of an item."""
        async with translated():
            file: bytes | None = await self._pool.fetchval(SQL["read"], worklist_id)
        if file is None:
            raise UnknownResource("Worklist not found")
        return file

    async def write(self, worklist_id: str, file: bytes) -> None:
        """Add or replace an item; `created_at` stays."""
        async with translated():
            await self._pool.execute(SQL["write"], worklist_id, file)

    async def delete(self, worklist_id: str) -> bool:
        """Remove an item."""
        async with translated():
            return await self._pool.fetchval(SQL["delete"], worklist_id) is not None
