"""Connections to PostgreSQL: codecs, and its failures as ours."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from lanthorn_core.errors import IndexUnavailable, InvalidParameter

Connection = asyncpg.Connection | PoolConnectionProxy
"""A connection of one's own, or one lent by a pool."""

_UNAVAILABLE = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
    asyncpg.QueryCanceledError,
    asyncpg.SerializationError,
    asyncpg.DeadlockDetectedError,
    asyncpg.DiskFullError,
)
"""Failures of the server, the network or the moment, not of what was asked."""


@asynccontextmanager
async def translated() -> AsyncIterator[None]:
    """Turn failures of the database into `IndexUnavailable`, texts that no text can be into 400."""
    try:
        yield
    except asyncpg.CharacterNotInRepertoireError as error:
        raise InvalidParameter("A text has a character that cannot be stored") from error
    except _UNAVAILABLE as error:
        raise IndexUnavailable(f"The database does not answer: {error!r}") from error


async def init_connection(connection: asyncpg.Connection) -> None:
    """Let JSONB arrive as Python objects."""
    await connection.set_type_codec(
        "jsonb", schema="pg_catalog", encoder=json.dumps, decoder=json.loads
    )


async def _leave_as_it_is(_connection: asyncpg.Connection) -> None:
    """Reset nothing."""


@asynccontextmanager
async def open_pool(
    database_url: str,
    *,
    application: str,
    read_only: bool,
    size: int = 8,
    lazy: bool = False,
    stateless: bool = False,
) -> AsyncIterator[asyncpg.Pool]:
    """Open a pool of at most `size` connections.

    A `lazy` one connects when it is first asked: a database that is down then is told there. Users
    of a `stateless` one leave no settings or locks behind, which saves a round trip each time a
    connection is given back; readers never do.

    Raises
    ------
    IndexUnavailable
        The database does not answer.
    """
    settings = {
        "application_name": application,
        "jit": "off",
        # A LIKE can use its index only where the planner sees the pattern.
        "plan_cache_mode": "force_custom_plan",
    }
    if read_only:
        settings["default_transaction_read_only"] = "on"
    async with translated():
        pool = await asyncpg.create_pool(
            database_url,
            min_size=0 if lazy else 1,
            max_size=size,
            init=init_connection,
            reset=_leave_as_it_is if read_only or stateless else None,
            command_timeout=30,
            server_settings=settings,
        )
    try:
        yield pool
    finally:
        pool.terminate()
