"""What an import adds to resources that are stored, a batch in one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from lanthorn_core.adapters.index_postgres.pool import Connection
from lanthorn_core.adapters.sqlfile import load_statements
from lanthorn_core.model import LEVELS, Level
from lanthorn_core.ports.imported import ORIGIN, ImportedResource

SQL: Final = load_statements(__package__, "imports.sql")


async def add_imported(
    connection: Connection, resources: Sequence[ImportedResource]
) -> list[tuple[Level, str]]:
    """Add to the index what another server knew; returns the resources that are not there.

    Lower levels come first, because a resource is never older than what lies in it.
    """
    unknown: list[tuple[Level, str]] = []
    for level in reversed(LEVELS):
        # In one order everywhere, so that two imports never wait for each other in a circle.
        here = sorted((r for r in resources if r.level is level), key=lambda r: r.public_id)
        if here:
            unknown += [(level, missing) for missing in await _add(connection, level, here)]
    return unknown


async def _add(
    connection: Connection, level: Level, resources: Sequence[ImportedResource]
) -> list[str]:
    table = level.lower()
    ids = [resource.public_id for resource in resources]
    rows = await connection.fetch(SQL["present"].format(level=table), ids)
    await _restore(connection, level, resources)
    metadata = [(r.public_id, *item) for r in resources for item in r.metadata.items()]
    if metadata:
        await connection.execute(
            SQL["add_metadata"].format(level=table), level.depth, *_columns(metadata)
        )
    labels = [(r.public_id, label) for r in resources for label in r.labels]
    if labels:
        await connection.execute(
            SQL["add_labels"].format(level=table), level.depth, *_columns(labels)
        )
    protected = [r.public_id for r in resources if r.is_protected]
    if protected and level is Level.PATIENT:
        await connection.execute(SQL["protect"], protected)
    present = {row["public_id"] for row in rows}
    return [public_id for public_id in ids if public_id not in present]


async def _restore(
    connection: Connection, level: Level, resources: Sequence[ImportedResource]
) -> None:
    told = [r for r in resources if r.history or r.changed_at is not None]
    if not told:
        return
    columns = (
        [r.public_id for r in told],
        [msgspec.json.encode(r.history).decode() for r in told],
        [r.changed_at for r in told],
    )
    if level is Level.INSTANCE:
        await connection.execute(SQL["restore_instances"], *columns, sorted(ORIGIN))
        return
    child = LEVELS[level.depth + 1]
    statement = SQL["restore_parents"].format(
        level=level.lower(),
        child=child.lower(),
        arrival="received_at" if child is Level.INSTANCE else "updated_at",
    )
    await connection.execute(statement, *columns)


def _columns(rows: Sequence[tuple[str, ...]]) -> list[list[str]]:
    return [list(column) for column in zip(*rows, strict=True)]
