"""Orthanc's index in PostgreSQL, as its plugin `orthanc-postgresql` keeps it; read only."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

import asyncpg

from lanthorn_embedded.importing.index import Row
from lanthorn_embedded.importing.source import SourceUnavailable

_CONNECT_WITHIN_S: Final = 15.0
_FAILURES: Final = (OSError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError)


@asynccontextmanager
async def open_postgres_index(url: str, password: str = "") -> AsyncIterator[PostgresIndex]:
    """Connect to the database of an Orthanc, which may go on running.

    Parameters
    ----------
    url : str
        As PostgreSQL's own programs take it.
    password : str
        Where it is not in the URL, `PGPASSWORD` or the password file of PostgreSQL's programs.

    Raises
    ------
    SourceUnavailable
        It does not answer, or refuses.
    """
    try:
        connection = await asyncpg.connect(
            url,
            password=password or None,
            timeout=_CONNECT_WITHIN_S,
            # A pooler in between may not keep prepared statements.
            statement_cache_size=0,
            server_settings={"default_transaction_read_only": "on"},
        )
    except _FAILURES as exc:
        # Not the URL: a password may be in it.
        raise SourceUnavailable(f"the index's PostgreSQL cannot be reached: {exc}") from exc
    try:
        yield PostgresIndex(connection)
    finally:
        connection.terminate()


class PostgresIndex:
    """See `Index` for the contract."""

    patient_type = 0

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection
        self._turn = asyncio.Lock()

    async def rows(self, statement: str, *parameters: object) -> Sequence[Row]:
        """Return what a statement finds."""
        places = [f"${place + 1}" for place in range(len(parameters))]
        try:
            async with self._turn:
                found = await self._connection.fetch(
                    statement.format(*places, md5="uncompressedHash"), *parameters
                )
        except _FAILURES as exc:
            raise SourceUnavailable(f"the index's PostgreSQL failed: {exc}") from exc
        return [tuple(row) for row in found]

    async def has_table(self, name: str) -> bool:
        """Tell whether a table exists; the plugin's names are in lower case."""
        [(found,)] = await self.rows("SELECT to_regclass({0}) IS NOT NULL", name.lower())
        return bool(found)
