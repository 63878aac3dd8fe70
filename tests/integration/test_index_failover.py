"""Databases that fail over, and databases that fall silent."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import nats
import pytest
from nats.js import JetStreamContext
from nats.js.api import RetentionPolicy
from nats.js.errors import NotFoundError

from lanthorn_core.adapters.bus_nats.connection import FACTS_AND_COMMANDS
from lanthorn_core.adapters.index_postgres.migrate import empty_index
from lanthorn_core.adapters.index_postgres.pool import open_pool
from lanthorn_core.events import STREAM
from lanthorn_core.model import Level
from lanthorn_core.ports.index import FindQuery
from lanthorn_embedded.engines.postgres import DATABASE, PostgresEngine
from tests.fixtures.database_door import database_door
from tests.fixtures.dicom_files import ct_file
from tests.fixtures.index import MakeSystem, System


async def found(system: System) -> set[str]:
    """Ask for all instances behind the index barrier."""
    ids, is_current = await system.reader.read_current(
        lambda: system.reader.find_ids(FindQuery(level=Level.INSTANCE))
    )
    assert is_current
    return set(ids)


async def test_an_index_that_fell_back_is_brought_forward_by_the_stream(
    make_system: MakeSystem, database_url: str
) -> None:
    system = await make_system(LANTHORN__MAXIMUM_STANDBY_LAG="60")
    stored = set()
    async with system.indexer():
        for _ in range(3):
            stored.add((await system.store(ct_file())).public_ids.instance)
        assert await found(system) == stored
    # What a standby knows that has replayed nothing of it.
    await empty_index(database_url)
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute("UPDATE index_progress SET applied_sequence = 0")
    finally:
        await connection.close()
    # The reader finds itself connected to another server.
    await end_connections_of_readers(database_url)
    async with system.indexer():
        assert await found(system) == stored


async def end_connections_of_readers(database_url: str) -> None:
    """End them as a server does that shuts down; return when they are gone."""
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity "
            "WHERE application_name = 'lanthorn-reader' AND datname = current_database()"
        )
    finally:
        await connection.close()


async def test_a_question_is_asked_again_when_its_connection_is_about_to_end(
    make_system: MakeSystem,
    database_url: str,
    postgres_engine: PostgresEngine,
    engines_folder: Path,
) -> None:
    folder = engines_folder / "ending-door"
    folder.mkdir()
    database = urlsplit(database_url).path.strip("/")
    async with database_door(postgres_engine, database, folder) as (door, url):
        system = await make_system({"DATABASE_URL": url})
        async with system.indexer():
            stored = {(await system.store(ct_file())).public_ids.instance}
            assert await found(system) == stored  # waited: so the next question waits first
            door.keep_open_what_ends()
            await end_connections_of_readers(database_url)
            await door.somebody_hung_up.wait()
            asyncio.get_running_loop().call_later(0.2, door.let_end)
            assert await found(system) == stored


async def test_who_gives_up_on_a_silent_database_does_not_wait_for_it(
    postgres_engine: PostgresEngine, engines_folder: Path
) -> None:
    folder = engines_folder / "silent-door"
    folder.mkdir()
    async with (
        database_door(postgres_engine, DATABASE, folder) as (door, url),
        open_pool(url, application="test", read_only=True, size=1) as pool,
    ):
        assert await pool.fetchval("SELECT 1") == 1
        door.fall_silent()
        # Far above what it takes, far below the 30 s that a command may.
        async with asyncio.timeout(20):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await pool.fetchval("SELECT 2")
        door.shut()
        door.open()
        assert await pool.fetchval("SELECT 3") == 3


async def test_a_stream_of_the_former_kind_is_replaced(
    make_system: MakeSystem, nats_url: str
) -> None:
    client = await nats.connect(nats_url)
    try:
        js = client.jetstream()
        await js.add_stream(
            name=STREAM, subjects=FACTS_AND_COMMANDS, retention=RetentionPolicy.WORK_QUEUE
        )
        system = await make_system()
        async with system.indexer():
            await until_replaced(js)
            stored = (await system.store(ct_file())).public_ids.instance
            assert await found(system) == {stored}
    finally:
        await client.close()


async def until_replaced(js: JetStreamContext) -> None:
    for _ in range(600):
        with contextlib.suppress(NotFoundError):
            if (await js.stream_info(STREAM)).config.retention == RetentionPolicy.LIMITS:
                return
        await asyncio.sleep(0.05)
    raise AssertionError("the stream was not replaced")
