"""`IndexReader` on PostgreSQL: a pool of read-only connections behind the index barrier."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

import asyncpg

from lanthorn_core.adapters.index_postgres.barrier import IndexBarrier
from lanthorn_core.adapters.index_postgres.pool import translated
from lanthorn_core.adapters.index_postgres.search import (
    Statement,
    build,
    page_of_texts,
    window,
)
from lanthorn_core.adapters.sqlfile import load_statements
from lanthorn_core.model import LEVELS, Level
from lanthorn_core.ports.bus import StreamPosition
from lanthorn_core.ports.index import (
    Answer,
    Attachment,
    Change,
    ChangesPage,
    FindQuery,
    Resource,
    Revision,
    Statistics,
    StoredInstance,
    TextPage,
)

SQL: Final = load_statements(__package__, "reads.sql")


class PostgresIndexReader:
    """See `IndexReader` for the contract."""

    def __init__(self, pool: asyncpg.Pool, barrier: IndexBarrier) -> None:
        self._pool = pool
        self._barrier = barrier

    async def wait_until_current(self) -> bool:
        """Wait at the index barrier."""
        return await self._barrier.wait()

    async def _fetch(self, statement: str, *parameters: object) -> list[asyncpg.Record]:
        async with translated():
            rows: list[asyncpg.Record] = await self._pool.fetch(statement, *parameters)
            return rows

    async def find_ids(self, query: FindQuery) -> list[str]:
        """Public ids of what matches."""
        statement = build(query)
        text = f"SELECT {query.level.lower()}.public_id FROM {statement.source()}{statement.where}"
        text += window(statement, query)
        return [row["public_id"] for row in await self._fetch(text, *statement.parameters)]

    async def read_current(self, read: Callable[[], Awaitable[Answer]]) -> tuple[Answer, bool]:
        """Read behind the index barrier."""
        return await self._barrier.read(read)

    async def expect_event(self) -> None:
        """Tell the indexer that an event is about to come."""
        await self._barrier.expect()

    async def objects_at(
        self, position: StreamPosition, stored: Mapping[str, str]
    ) -> tuple[Mapping[str, str], bool]:
        """Object keys of instances, once an event is applied."""

        async def read() -> tuple[Mapping[str, str], StreamPosition]:
            rows = await self._fetch(SQL["objects_at"], list(stored))
            found = {row["public_id"]: row["object_key"] for row in rows if row["public_id"]}
            return found, StreamPosition(rows[0]["stream_epoch"], rows[0]["applied_sequence"])

        # What is announced of the last event says nothing of others.
        if_new = stored if len(stored) <= 1 else None
        return await self._barrier.read_at(position, read, if_new=if_new)

    async def find_texts(
        self, query: FindQuery, keywords: tuple[str, ...], *, after: int = 0
    ) -> TextPage:
        """Attributes of what matches, page by page."""
        text, parameters, most = page_of_texts(query, keywords, after)
        rows = await self._fetch(text, *parameters)
        if not most or len(rows) <= most:
            return TextPage(rows, is_last=True)
        return TextPage(rows[:most], is_last=False)

    async def find(self, query: FindQuery) -> list[Resource]:
        """Resources that match."""
        statement = build(query)
        text = _select(query.level, statement) + window(statement, query)
        rows = await self._fetch(text, *statement.parameters)
        return [_resource(query.level, row) for row in rows]

    async def count(self, query: FindQuery) -> int:
        """How many match, the window ignored."""
        statement = build(query)
        text = f"SELECT count(*) FROM {statement.source()}{statement.where}"
        return int((await self._fetch(text, *statement.parameters))[0][0])

    async def resource(self, level: Level, public_id: str) -> Resource | None:
        """One resource, or None."""
        return next(iter(await self.resources(level, [public_id])), None)

    async def resources(self, level: Level, public_ids: Sequence[str]) -> list[Resource]:
        """Those of the resources that exist, in the order asked."""
        statement = build(FindQuery(level=level))
        bound = statement.bind(list(public_ids))
        statement.conditions.append(f"{level.lower()}.public_id = ANY({bound}::text[])")
        rows = await self._fetch(_select(level, statement), *statement.parameters)
        found = {row["public_id"]: _resource(level, row) for row in rows}
        return [found[public_id] for public_id in public_ids if public_id in found]

    async def level_of(self, public_id: str) -> Level | None:
        """At which level there is a resource of this id."""
        rows = await self._fetch(SQL["levels_of"], public_id)
        return LEVELS[rows[0]["depth"]] if rows else None

    async def ancestor(self, level: Level, public_id: str, ancestor: Level) -> str | None:
        """Id of the resource of level `ancestor` above this one."""
        statement = build(FindQuery(level=level, ancestors=[(level, public_id)]))
        column = f"{ancestor.lower()}.public_id"
        text = f"SELECT {column} FROM {statement.source(column)}{statement.where}"
        rows = await self._fetch(text, *statement.parameters)
        return rows[0]["public_id"] if rows else None

    async def lookup(self, text: str) -> list[tuple[Level, str]]:
        """Resources whose PatientID or UID this is."""
        rows = await self._fetch(SQL["lookup"], text.strip(" \0\r\n\t"))
        return [(LEVELS[row["depth"]], row["public_id"]) for row in rows]

    async def instances(self, level: Level, public_id: str) -> list[StoredInstance]:
        """Instances at or below a resource."""
        if level is Level.INSTANCE:  # the hot path of files and pictures: no joins
            rows = await self._fetch(SQL["stored_instance"], public_id)
        else:
            statement = SQL["stored_instances"].format(level=level.lower())
            rows = await self._fetch(statement, public_id)
        return [StoredInstance(**row) for row in rows]

    async def first_instances(
        self, level: Level, public_ids: Sequence[str]
    ) -> dict[str, StoredInstance]:
        """For each resource that exists the first of its instances."""
        statement = SQL["first_instances"].format(level=level.lower())
        rows = await self._fetch(statement, list(public_ids))
        return {row["resource_id"]: StoredInstance(*row[1:]) for row in rows}

    async def computed_tags(
        self, level: Level, public_ids: Sequence[str], keywords: Sequence[str]
    ) -> dict[str, dict[str, str]]:
        """Count and collect for resources, by id and keyword."""
        found: dict[str, dict[str, str]] = {public_id: {} for public_id in public_ids}
        for keyword in keywords:
            for row in await self._fetch(SQL[keyword], list(public_ids)):
                found[row["public_id"]][keyword] = row["value"] or ""
        return found

    async def progress(self) -> StreamPosition:
        """Tell up to where the stream's events are in the index."""
        return await self._barrier.progress()

    async def statistics(self) -> Statistics:
        """Tell the counts of the whole server."""
        (row,) = await self._fetch(SQL["statistics"])
        return Statistics(*row)

    async def resource_statistics(self, level: Level, public_id: str) -> Statistics | None:
        """Tell the counts below one resource."""
        rows = await self._fetch(SQL[f"{level.lower()}_statistics"], public_id)
        return Statistics(*rows[0]) if rows else None

    async def changes(
        self,
        *,
        since: int = 0,
        to: int | None = None,
        limit: int = 100,
        types: Sequence[str] = (),
    ) -> ChangesPage:
        """Window of the changes log; one row more is read to know whether that is all."""
        if to is not None and not since:
            rows = await self._fetch(SQL["changes_before"], to, list(types), limit + 1)
            done, rows = len(rows) <= limit, rows[:limit][::-1]
        else:
            rows = await self._fetch(SQL["changes_after"], since, to, list(types), limit + 1)
            done, rows = len(rows) <= limit, rows[:limit]
        return await self._page(rows, done=done)

    async def last_change(self) -> ChangesPage:
        """Return the newest entry of the changes log."""
        rows = await self._fetch(SQL["changes_before"], 2**62, [], 1)
        return await self._page(rows, done=True)

    async def _page(self, rows: Sequence[asyncpg.Record], *, done: bool) -> ChangesPage:
        changes = [
            Change(
                row["sequence"],
                row["change_type"],
                LEVELS[row["level"]],
                row["public_id"],
                row["recorded_at"],
            )
            for row in rows
        ]
        if changes:
            return ChangesPage(changes, done, changes[0].sequence, changes[-1].sequence)
        (row,) = await self._fetch(SQL["last_sequence"])
        return ChangesPage([], done, row["last_sequence"], row["last_sequence"])

    async def labels(self) -> list[str]:
        """All labels in use, sorted."""
        return [row["name"] for row in await self._fetch(SQL["labels_in_use"])]

    async def user_metadata(self, level: Level, public_id: str, name: str) -> Revision | None:
        """One user metadata with its revision."""
        statement = SQL["user_metadata"].format(level=level.lower())
        rows = await self._fetch(statement, level.depth, public_id, name)
        return Revision(rows[0]["value"], rows[0]["revision"]) if rows else None

    async def attachments(
        self, level: Level, public_ids: Sequence[str]
    ) -> dict[str, list[Attachment]]:
        """Return what users attached to resources, by id."""
        statement = SQL["attachments"].format(level=level.lower())
        attached: dict[str, list[Attachment]] = {}
        for public_id, *columns in await self._fetch(statement, level.depth, list(public_ids)):
            attached.setdefault(public_id, []).append(Attachment(*columns))
        return attached

    async def check(self) -> None:
        """Return when the database answers."""
        await self._fetch("SELECT 1")


def _select(level: Level, statement: Statement) -> str:
    table = level.lower()
    mine = f"level = {level.depth} AND resource_pk = {table}.{table}_pk"
    columns = (
        f"{SQL[f'select_{table}'].strip()}, "
        f"ARRAY(SELECT name FROM label WHERE {mine} ORDER BY name) AS labels, "
        f"(SELECT jsonb_object_agg(name, value) FROM user_metadata WHERE {mine}) AS user_metadata"
    )
    return f"{columns} FROM {statement.source(columns)}{statement.where}"


def _resource(level: Level, row: asyncpg.Record) -> Resource:
    values: dict[str, Any] = dict(row.items())
    metadata = values.pop("metadata") | (values.pop("user_metadata") or {})
    return Resource(level=level, metadata=metadata, **values)
