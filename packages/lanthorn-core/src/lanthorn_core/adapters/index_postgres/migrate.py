"""The schema: numbered SQL files, each applied once, in order; and emptying what they made."""

from __future__ import annotations

from importlib import resources

import asyncpg
import structlog

from lanthorn_core.adapters.index_postgres.pool import translated
from lanthorn_core.adapters.sqlfile import load_statements

SQL = load_statements(__package__, "writes.sql")
log = structlog.get_logger(__name__)

LOCK_NUMBER = 0x4C414E54
"""Advisory lock ("LANT") that keeps two migrations of one database apart."""


async def migrate(database_url: str) -> list[str]:
    """Bring a database to the newest schema; returns the names of the migrations applied.

    Raises
    ------
    IndexUnavailable
        The database does not answer.
    """
    async with translated():
        connection = await asyncpg.connect(database_url)
        try:
            return await _apply(connection)
        finally:
            await connection.close()


async def _apply(connection: asyncpg.Connection) -> list[str]:
    applied = []
    await connection.execute("SELECT pg_advisory_lock($1)", LOCK_NUMBER)
    await connection.execute(
        "CREATE TABLE IF NOT EXISTS schema_migration "
        "(name text PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())"
    )
    done = {row["name"] for row in await connection.fetch("SELECT name FROM schema_migration")}
    folder = resources.files(__package__) / "migrations"
    for file in sorted(folder.iterdir(), key=lambda entry: entry.name):
        name = file.name.removesuffix(".sql")
        if name == file.name or name in done:
            continue
        async with connection.transaction():
            await connection.execute("SET LOCAL lock_timeout = '10s'")
            await connection.execute(file.read_text())
            await connection.execute("INSERT INTO schema_migration (name) VALUES ($1)", name)
        log.info("migration_applied", name=name)
        applied.append(name)
    return applied


async def empty_index(database_url: str) -> None:
    """Forget all resources with what users added to them; the changes' numbers go on.

    Raises
    ------
    IndexUnavailable
        The database does not answer.
    """
    async with translated():
        connection = await asyncpg.connect(database_url)
        try:
            async with connection.transaction():
                await connection.execute(SQL["truncate"])
                await connection.execute(SQL["clear_statistic"])
        finally:
            await connection.close()
