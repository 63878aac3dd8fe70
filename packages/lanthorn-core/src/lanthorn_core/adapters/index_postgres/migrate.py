"""The schema: numbered SQL files, each applied once, in order; and emptying what they made."""

from __future__ import annotations

from importlib import resources
from importlib.resources.abc import Traversable

import asyncpg
import structlog

from lanthorn_core.adapters.index_postgres.pool import PrimaryServer, translated
from lanthorn_core.adapters.sqlfile import load_statements
from lanthorn_core.errors import SchemaOutdated

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
        connection = await PrimaryServer(database_url).connect()
        try:
            return await _apply(connection)
        finally:
            await connection.close()


async def require_schema(database_url: str) -> None:
    """Return if a database has all migrations of this version; what it has besides is no matter.

    So a service that is still the older version goes on during and after a migration.

    Raises
    ------
    SchemaOutdated
        It lacks some.
    IndexUnavailable
        The database does not answer, or (`IndexRefused`) does not let us in.
    """
    async with translated():
        connection = await PrimaryServer(database_url).connect()
        try:
            done = await _applied(connection)
        except asyncpg.UndefinedTableError:  # an empty database
            done = set()
        finally:
            await connection.close()
    missing = [name for name, _ in _migrations() if name not in done]
    if missing:
        raise SchemaOutdated(f"The database lacks migrations: {', '.join(missing)}")


async def _apply(connection: asyncpg.Connection) -> list[str]:
    applied = []
    await connection.execute("SELECT pg_advisory_lock($1)", LOCK_NUMBER)
    await connection.execute(
        "CREATE TABLE IF NOT EXISTS schema_migration "
        "(name text PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())"
    )
    done = await _applied(connection)
    for name, file in _migrations():
        if name in done:
            continue
        async with connection.transaction():
            await connection.execute("SET LOCAL lock_timeout = '10s'")
            await connection.execute(file.read_text())
            await connection.execute("INSERT INTO schema_migration (name) VALUES ($1)", name)
        log.info("migration_applied", name=name)
        applied.append(name)
    return applied


async def _applied(connection: asyncpg.Connection) -> set[str]:
    return {row["name"] for row in await connection.fetch("SELECT name FROM schema_migration")}


def _migrations() -> list[tuple[str, Traversable]]:
    """Find all migrations of this version with their names, in order."""
    folder = resources.files(__package__) / "migrations"
    files = [file for file in folder.iterdir() if file.name.endswith(".sql")]
    return sorted((file.name.removesuffix(".sql"), file) for file in files)


async def empty_index(database_url: str) -> None:
    """Forget all resources with what users added to them; the changes' numbers go on.

    Raises
    ------
    IndexUnavailable
        The database does not answer.
    """
    async with translated():
        connection = await PrimaryServer(database_url).connect()
        try:
            async with connection.transaction():
                await connection.execute(SQL["discard_attachments"])
                await connection.execute(SQL["truncate"])
                await connection.execute(SQL["clear_statistic"])
        finally:
            await connection.close()
