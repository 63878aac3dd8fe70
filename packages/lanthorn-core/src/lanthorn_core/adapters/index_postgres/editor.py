"""`IndexEditor` on PostgreSQL: what users add to resources, and the changes log."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import asyncpg

from lanthorn_core.adapters.index_postgres.imports import add_imported
from lanthorn_core.adapters.index_postgres.pool import Connection, translated
from lanthorn_core.adapters.index_postgres.reader import SQL
from lanthorn_core.errors import RevisionMismatch, UnknownResource
from lanthorn_core.model import Level
from lanthorn_core.ports.imported import ImportedResource
from lanthorn_core.ports.index import Attachment, Revision


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

    async def attach(
        self,
        level: Level,
        public_id: str,
        attachment: Attachment,
        *,
        expected: tuple[int, str] | None = None,
        must_expect: bool = False,
    ) -> int:
        """Attach a file and log the change; the object that it replaces is discarded."""
        async with self._edit(level, public_id) as (connection, key):
            await _discard_attachment(
                connection, level, key, attachment.number, expected, must_expect=must_expect
            )
            revision: int = await connection.fetchval(
                SQL["attach"],
                level.depth,
                key,
                attachment.number,
                attachment.object_key,
                attachment.size_bytes,
                attachment.md5,
            )
            await connection.execute(SQL["log_change"], "UpdatedAttachment", level.depth, public_id)
            return revision

    async def detach(
        self,
        level: Level,
        public_id: str,
        number: int,
        *,
        expected: tuple[int, str] | None = None,
        must_expect: bool = False,
    ) -> bool:
        """Remove an attachment and log the change."""
        async with self._edit(level, public_id) as (connection, key):
            there = await _discard_attachment(
                connection, level, key, number, expected, must_expect=must_expect
            )
            if not there:
                return False
            await connection.execute(SQL["detach"], level.depth, key, number)
            await connection.execute(SQL["log_change"], "UpdatedAttachment", level.depth, public_id)
            return True

    async def set_protected(self, patient_id: str, protected: bool) -> None:
        """Protect a patient from recycling."""
        async with self._transaction() as connection:
            if await connection.fetchval(SQL["set_protected"], patient_id, protected) is None:
                raise UnknownResource(f"There is no Patient {patient_id}")

    async def add_imported(self, resources: Sequence[ImportedResource]) -> list[tuple[Level, str]]:
        """Add what another server knew of resources that are stored here."""
        async with self._transaction() as connection:
            return await add_imported(connection, resources)

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
    present = None
    if row is not None:
        digest = hashlib.md5(row["value"].encode(), usedforsecurity=False).hexdigest()
        present = row["revision"], digest
    _must_be(present, expected, must_expect=must_expect)
    return present is not None


async def _discard_attachment(
    connection: Connection,
    level: Level,
    key: int,
    number: int,
    expected: tuple[int, str] | None,
    *,
    must_expect: bool,
) -> bool:
    """Have the object of an attachment removed, if it is the one that the client believes in.

    Returns whether there is such an attachment.
    """
    row = await connection.fetchrow(SQL["lock_attachment"], level.depth, key, number)
    present = None if row is None else (row["revision"], row["md5"])
    _must_be(present, expected, must_expect=must_expect)
    if row is None:
        return False
    await connection.execute(SQL["discard_object"], row["object_key"])
    return True


def _must_be(
    present: tuple[int, str] | None, expected: tuple[int, str] | None, *, must_expect: bool
) -> None:
    if present is None:
        if expected is not None:
            raise RevisionMismatch
    elif expected is None:
        if must_expect:
            raise RevisionMismatch(
                'HTTP header "If-Match" is missing, as "CheckRevisions" is "true"'
            )
    elif expected != present:
        raise RevisionMismatch
