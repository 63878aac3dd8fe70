"""`IndexEditor` on PostgreSQL: labels, user metadata, protection, the changes log."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from lanthorn_core.adapters.index_postgres.pool import Connection, translated
from lanthorn_core.adapters.index_postgres.reader import SQL
from lanthorn_core.errors import RevisionMismatch, UnknownResource
from lanthorn_core.model import Level
from lanthorn_core.ports.index import Revision


class PostgresIndexEditor:
    """See `IndexEditor` for the contract; each call is one short transaction."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[Connection]:
        async with translated(), self._pool.acquire() as connection, connection.transaction():
            yield connection

    @asynccontextmanager
    async def _edit(self, level: Level, public_id: str) -> AsyncIterator[tuple[Connection, int]]:
        """Hold a resource against deletion while something is written about it."""
        async with self._transaction() as connection:
            key = await connection.fetchval(
                SQL["lock_resource"].format(level=level.lower()), public_id
            )
            if key is None:
                raise UnknownResource(f"There is no {level} {public_id}")
            yield connection, key

    async def set_label(self, level: Level, public_id: str, label: str) -> None:
        """Set a label."""
        async with self._edit(level, public_id) as (connection, key):
            await connection.execute(SQL["set_label"], level.depth, key, label)

    async def remove_label(self, level: Level, public_id: str, label: str) -> None:
        """Remove a label."""
        async with self._edit(level, public_id) as (connection, key):
            await connection.execute(SQL["remove_label"], level.depth, key, label)

    async def set_metadata(
        self,
        level: Level,
        public_id: str,
        name: str,
        value: str,
        *,
        expected: tuple[int, str] | None = None,
        must_expect: bool = False,
    ) -> Revision:
        """Write a user metadata and log the change."""
        async with self._edit(level, public_id) as (connection, key):
            await _check_revision(connection, level, key, name, expected, must_expect=must_expect)
            (row,) = await connection.fetch(SQL["set_metadata"], level.depth, key, name, value)
            await connection.execute(SQL["log_change"], "UpdatedMetadata", level.depth, public_id)
            return Revision(row["value"], row["revision"])

    async def delete_metadata(
        self,
        level: Level,
        public_id: str,
        name: str,
        *,
        expected: tuple[int, str] | None = None,
        must_expect: bool = False,
    ) -> bool:
        """Delete a user metadata and log the change."""
        async with self._edit(level, public_id) as (connection, key):
            there = await _check_revision(
                connection, level, key, name, expected, must_expect=must_expect
            )
            if not there:
                return False
            await connection.execute(SQL["delete_metadata"], level.depth, key, name)
            await connection.execute(SQL["log_change"], "UpdatedMetadata", level.depth, public_id)
            return True

    async def set_protected(self, patient_id: str, protected: bool) -> None:
        """Protect a patient from recycling."""
        async with self._transaction() as connection:
            if await connection.fetchval(SQL["set_protected"], patient_id, protected) is None:
                raise UnknownResource(f"There is no Patient {patient_id}")

    async def clear_changes(self) -> None:
        """Empty the changes log."""
        async with self._transaction() as connection:
            await connection.execute(SQL["clear_changes"])


async def _check_revision(
    connection: Connection,
    level: Level,
    key: int,
    name: str,
    expected: tuple[int, str] | None,
    *,
    must_expect: bool,
) -> bool:
    """Compare the present value with what the client believes; tells whether there is one."""
    row = await connection.fetchrow(SQL["lock_metadata"], level.depth, key, name)
    if row is None:
        if expected is not None:
            raise RevisionMismatch
        return False
    if expected is None:
        if must_expect:
            raise RevisionMismatch(
                'HTTP header "If-Match" is missing, as "CheckRevisions" is "true"'
            )
        return True
    digest = hashlib.md5(row["value"].encode(), usedforsecurity=False).hexdigest()
    if expected != (row["revision"], digest):
        raise RevisionMismatch
    return True
