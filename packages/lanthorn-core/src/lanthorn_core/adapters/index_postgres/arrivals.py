"""New instances as the parameters of one statement, level by level."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final

import msgspec

from lanthorn_core.adapters.index_postgres.pool import Connection
from lanthorn_core.adapters.sqlfile import load_statements
from lanthorn_core.model import LEVELS, Level
from lanthorn_core.ports.bus import StreamPosition
from lanthorn_core.ports.index_writer import InstanceEntry

SQL: Final = load_statements(__package__, "arrivals.sql")

_Column = list[Any]


async def store(
    connection: Connection,
    entries: Collection[InstanceEntry],
    position: StreamPosition | None = None,
) -> bool:
    """Store instances with the parents that are missing, and record `position` if there is one.

    Everything happens in one statement, so that it needs no transaction of its own.

    Parameters
    ----------
    entries : collection of InstanceEntry
        At least one, and no instance twice.

    Returns
    -------
    bool
        False where the index knows one of the instances, or was told to discard one of the
        objects; then nothing was done.
    """
    columns = [*_columns(Level.INSTANCE, entries), *_columns_of_objects(entries)]
    for level in (Level.SERIES, Level.STUDY, Level.PATIENT):
        first = _first_of_each(entries, level)
        columns += _columns(level, first)
        if level is not Level.PATIENT:
            columns.append([_id_at(entry, LEVELS[level.depth - 1]) for entry in first])
    place = (None, None) if position is None else (position.epoch, position.sequence)
    return bool(await connection.fetchval(SQL["store"], *columns, *place))


async def reindex(connection: Connection, entries: Collection[InstanceEntry]) -> None:
    """Read main tags and metadata of known instances and their parents again."""
    for level in reversed(LEVELS):
        table = level.lower()
        statement = SQL[f"reindex_{table}"].format(history=SQL["history"].format(table=table))
        first = entries if level is Level.INSTANCE else _first_of_each(entries, level)
        await connection.execute(statement, *_columns(level, first))


def _id_at(entry: InstanceEntry, level: Level) -> str:
    return entry.public_ids[level.depth]


def _first_of_each(entries: Iterable[InstanceEntry], level: Level) -> Collection[InstanceEntry]:
    """Choose for each patient, study or series the instance that speaks for it."""
    first: dict[str, InstanceEntry] = {}
    for entry in entries:
        first.setdefault(_id_at(entry, level), entry)
    return first.values()


def _columns(level: Level, entries: Collection[InstanceEntry]) -> list[_Column]:
    """Give what the resources of a level say of themselves."""
    columns: list[_Column] = [
        [_id_at(entry, level) for entry in entries],
        [_json(entry.main_tags[level]) for entry in entries],
        [_json(entry.metadata[level]) for entry in entries],
    ]
    if level is Level.STUDY:
        columns.append([_json(entry.main_tags[Level.PATIENT]) for entry in entries])
    elif level is Level.SERIES:
        columns.append([entry.expected_number_of_instances for entry in entries])
    elif level is Level.INSTANCE:
        columns.append([entry.index_in_series for entry in entries])
        columns.append([entry.number_of_frames for entry in entries])
    return columns


def _columns_of_objects(entries: Collection[InstanceEntry]) -> list[_Column]:
    """Give what is known of the objects and their way here, and of which series they are."""
    return [
        [entry.public_ids.series for entry in entries],
        [entry.event.object_key for entry in entries],
        [entry.event.size_bytes for entry in entries],
        [entry.event.sha256 for entry in entries],
        [entry.sop_class_uid for entry in entries],
        [entry.event.transfer_syntax_uid for entry in entries],
        [entry.event.pixel_data_offset for entry in entries],
        [entry.event.received_at for entry in entries],
    ]


def _json(texts: Mapping[str, str]) -> str:
    return msgspec.json.encode(texts).decode()
