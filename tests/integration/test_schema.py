"""The schema and the services that need it: who waits for whom during an upgrade."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest
from structlog.testing import capture_logs

from lanthorn_core import wiring
from lanthorn_core.errors import IndexUnavailable, SchemaOutdated
from lanthorn_core.runtime.engines import when_engines_answer
from lanthorn_core.runtime.lifecycle import Stop
from lanthorn_core.runtime.settings import load_settings
from lanthorn_embedded.engines.postgres import PostgresEngine


async def test_a_service_waits_for_the_schema_that_it_needs(empty_database_url: str) -> None:
    settings = load_settings({"DATABASE_URL": empty_database_url})
    with pytest.raises(SchemaOutdated, match="0001_initial"):
        await wiring.require_schema(settings)
    with capture_logs() as logs:
        waiting = asyncio.ensure_future(
            when_engines_answer(lambda: wiring.require_schema(settings), Stop())
        )
        while not logs:  # noqa: ASYNC110  # they cannot be waited for
            await asyncio.sleep(0.01)
        assert not waiting.done()
        # Two at once, as when several pods begin: one of them migrates.
        first, second = await asyncio.gather(
            wiring.migrate(empty_database_url), wiring.migrate(empty_database_url)
        )
        await waiting
    assert {first == [], second == []} == {True, False}
    waits = [entry for entry in logs if entry["event"].startswith("engines_")]
    assert [entry["event"] for entry in waits] == ["engines_awaited", "engines_answered"]
    assert waits[0]["error"].endswith(", ".join([*first, *second]))


async def test_a_database_that_refuses_us_is_told_like_one_that_is_down(
    postgres_engine: PostgresEngine,
) -> None:
    # The gateway then goes on to store, which needs no database.
    settings = load_settings({"DATABASE_URL": postgres_engine.url_of("of_nobody")})
    with pytest.raises(IndexUnavailable, match="refuses us"):
        await wiring.require_schema(settings)


async def test_a_schema_that_is_newer_than_a_service_is_no_hindrance(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute("INSERT INTO schema_migration (name) VALUES ('9999_of_later')")
    finally:
        await connection.close()
    await wiring.require_schema(load_settings({"DATABASE_URL": database_url}))
