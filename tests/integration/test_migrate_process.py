"""``python -m lanthorn_indexer.migrate``: the one-shot of compose and Helm."""

from __future__ import annotations

import asyncio
import os
import sys

import asyncpg


async def migrated(database_url: str) -> tuple[int, str]:
    """Run it to its end; exit code and what it printed."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "lanthorn_indexer.migrate"),
        env={**os.environ, "DATABASE_URL": database_url},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, output.decode()


async def test_an_empty_database_gets_the_schema_and_a_second_run_changes_nothing(
    empty_database_url: str,
) -> None:
    assert (await migrated(empty_database_url))[0] == 0
    connection = await asyncpg.connect(empty_database_url)
    try:
        tables = await connection.fetchval("SELECT count(*) FROM schema_migration")
        await connection.fetch("SELECT 1 FROM instance LIMIT 1")
    finally:
        await connection.close()
    assert tables > 0
    code, output = await migrated(empty_database_url)
    assert code == 0
    assert '"applied": []' in output or '"applied":[]' in output


async def test_without_a_database_to_migrate_it_says_what_is_missing() -> None:
    code, output = await migrated("")
    assert code == 2
    assert "DATABASE_URL" in output
