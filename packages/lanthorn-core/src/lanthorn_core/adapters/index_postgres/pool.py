"""Connections to PostgreSQL: the right server, codecs, and its failures as ours."""

from __future__ import annotations

import asyncio
import json
import re
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import asyncpg
from asyncpg.connect_utils import SessionAttribute
from asyncpg.pool import PoolConnectionProxy

from lanthorn_core.errors import IndexRefused, IndexUnavailable, InvalidParameter

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

_REFUSED = (
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.InsufficientPrivilegeError,
    asyncpg.ClientConfigurationError,
    ssl.SSLCertVerificationError,
)
"""What stays so until somebody changes URL, password or rights."""


@asynccontextmanager
async def translated() -> AsyncIterator[None]:
    """Turn failures of the database into `IndexUnavailable`, texts that no text can be into 400.

    Raises
    ------
    IndexRefused
        The database is there, and does not let us do this.
    """
    try:
        yield
    except asyncpg.CharacterNotInRepertoireError as error:
        raise InvalidParameter("A text has a character that cannot be stored") from error
    except _REFUSED as error:  # some of them are `_UNAVAILABLE` by their base class
        raise IndexRefused(f"The database refuses us: {error!r}") from error
    except _UNAVAILABLE as error:
        raise IndexUnavailable(f"The database does not answer: {error!r}") from error


CONNECT_S: Final = 60.0
CONNECT_AMONG_SEVERAL_S: Final = 5.0
"""Patience with one of several hosts: another one may be the primary by now."""


@dataclass
class ConnectionCount:
    """How many connections were made: a new one may be to a server that was just promoted."""

    made: int = 0


class PoolConnection(asyncpg.Connection):
    """A connection that is given up where a query cannot be cancelled.

    asyncpg waits for as long as a command may take until the server has heard of it, which it
    never does where the network is cut, and whoever cancelled waits with it.
    """

    CANCELLED_WITHIN_S: Final = 2.0

    async def _cancel(self, *waiters: Any) -> None:
        try:
            async with asyncio.timeout(self.CANCELLED_WITHIN_S) as limit:
                await super()._cancel(*waiters)  # type: ignore[misc]
        finally:
            if limit.expired() and not self.is_closed():
                self.terminate()


class PrimaryServer:
    """The one of the hosts of a URL that can be written to.

    Parameters
    ----------
    url : str
        Names one host, or several with commas between them.
    count : ConnectionCount, optional
        Counts the connections.
    """

    def __init__(self, url: str, count: ConnectionCount | None = None) -> None:
        self._urls = url_of_each_host(url)
        self._count = count or ConnectionCount()

    async def connect(self, *_dsn: Any, **options: Any) -> asyncpg.Connection:
        """Connect, first to where the last connection was made; as asyncpg's own `connect`.

        asyncpg goes through several hosts by itself, but all of them share one time limit, which
        the first may use up.
        """
        failures: list[Exception] = []
        patience_s = CONNECT_S if len(self._urls) == 1 else CONNECT_AMONG_SEVERAL_S
        for url in tuple(self._urls):
            try:
                connection: asyncpg.Connection = await asyncpg.connect(
                    url,
                    timeout=patience_s,
                    target_session_attrs=SessionAttribute.primary,
                    **options,
                )
            except (
                OSError,
                asyncpg.CannotConnectNowError,
                asyncpg.TargetServerAttributeNotMatched,
            ) as error:
                failures.append(error)
            else:
                self._urls.sort(key=lambda each, found=url: each != found)  # type: ignore[misc]
                self._count.made += 1
                return connection
        raise failures[0]


def url_of_each_host(url: str) -> list[str]:
    """Take a URL of several hosts apart into one for each."""
    # By hand: to urllib, an IPv6 address behind another host is a mistake.
    scheme, slashes, behind = url.partition("://")
    place = len(re.split("[/?#]", behind, maxsplit=1)[0])
    account, at, hosts = behind[:place].rpartition("@")
    if "," not in hosts:
        return [url]
    return [f"{scheme}{slashes}{account}{at}{host}{behind[place:]}" for host in hosts.split(",")]


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
    count: ConnectionCount | None = None,
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
            connect=PrimaryServer(database_url, count).connect,
            connection_class=PoolConnection,
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
