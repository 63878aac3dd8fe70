"""The database's schema: whether it is there, and bringing it there."""

from __future__ import annotations

from lanthorn_core.runtime.settings import Settings


async def require_schema(settings: Settings) -> None:
    """Return if the database has all tables that this version needs; it may have more.

    Raises
    ------
    SchemaOutdated
        It lacks some.
    IndexUnavailable
        The database does not answer.
    """
    from lanthorn_core.adapters.index_postgres.migrate import require_schema as require

    await require(settings.runtime.database_url)


async def migrate(database_url: str) -> list[str]:
    """Bring a database to the newest schema; returns the names of the migrations applied."""
    from lanthorn_core.adapters.index_postgres.migrate import migrate as apply

    return await apply(database_url)
