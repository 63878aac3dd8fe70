"""`IndexWriter` on PostgreSQL: one connection, which holds the lock of the active indexer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import groupby
from typing import Final

import asyncpg
import structlog

from lanthorn_core.adapters.index_postgres import arrivals
from lanthorn_core.adapters.index_postgres.plan import Departures, plan_batch
from lanthorn_core.adapters.index_postgres.pool import PrimaryServer, init_connection, translated
from lanthorn_core.adapters.sqlfile import load_statements
from lanthorn_core.dicom.identifiers import PublicIds
from lanthorn_core.events import DeleteResources
from lanthorn_core.model import LEVELS, Level
from lanthorn_core.ports.bus import StreamPosition
from lanthorn_core.ports.index_writer import InstanceEntry, Progress

log = structlog.get_logger(__name__)
SQL: Final = load_statements(__package__, "writes.sql")

LOCK_NUMBER: Final = 0x494E4458
"""Advisory lock ("INDX"): its holder is the active indexer."""

_TABLES: Final = {Level.PATIENT: "patients", Level.STUDY: "studies", Level.SERIES: "series"}
_PARENTS_FIRST: Final = (Level.PATIENT, Level.STUDY, Level.SERIES)


@asynccontextmanager
async def open_writer(
    database_url: str, *, overwrite: bool, poll_s: float = 0.5
) -> AsyncIterator[PostgresIndexWriter]:
    """Wait until no other indexer is active, then be it.

    Raises
    ------
    IndexUnavailable
        The database does not answer.
    """
    async with translated():
        connection = await PrimaryServer(database_url).connect(
            command_timeout=60,
            server_settings={
                "application_name": "lanthorn-indexer",
                "jit": "off",
                # Every statement finds its rows by key, so one plan does for all arrays: to plan
                # takes longer than to do. Nor may it read whole tables because they were empty
                # when it was made.
                "plan_cache_mode": "force_generic_plan",
                "enable_seqscan": "off",
                # A writer on a lost machine must not hold the lock for two hours.
                "tcp_keepalives_idle": "10",
                "tcp_keepalives_interval": "5",
                "tcp_keepalives_count": "3",
            },
        )
    try:
        async with translated():
            await init_connection(connection)
            while not await connection.fetchval(SQL["try_lock"], LOCK_NUMBER):  # noqa: ASYNC110
                await asyncio.sleep(poll_s)  # another process holds it
        yield PostgresIndexWriter(connection, overwrite=overwrite)
    finally:
        connection.terminate()


class PostgresIndexWriter:
    """The index, written by set-based statements; see `IndexWriter` for the contract."""

    def __init__(self, connection: asyncpg.Connection, *, overwrite: bool) -> None:
        self._connection = connection
        self._overwrite = overwrite
        self._turn = asyncio.Lock()

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[asyncpg.Connection]:
        async with self._turn, translated(), self._connection.transaction():
            yield self._connection

    async def apply(
        self,
        entries: Sequence[InstanceEntry | DeleteResources],
        position: StreamPosition | None = None,
    ) -> bool:
        """Apply a batch: at once if nothing in it is known, else one run after the other.

        Runs are stored instances, set by set, and the deletions in between, in order.
        """
        if position is not None and (fresh := _different_instances(entries)):
            async with self._turn, translated():
                if await arrivals.store(self._connection, fresh, position):
                    return True
        async with self._transaction() as connection:
            for kind, run in groupby(entries, key=type):
                if kind is DeleteResources:
                    for command in run:
                        await self._delete(command.resources)  # type: ignore[union-attr]
                else:
                    await self._store(list(run))  # type: ignore[arg-type]
            if position is not None:
                await connection.execute(SQL["advance"], position.epoch, position.sequence)
        return False

    async def _store(self, entries: Sequence[InstanceEntry]) -> None:
        run = self._connection
        ids = [entry.public_ids.instance for entry in entries]
        keys = [entry.event.object_key for entry in entries]
        rows = await run.fetch(SQL["known"], ids, keys)
        known = {row["public_id"]: row["object_key"] for row in rows if not row["discarded"]}
        discarded = {row["object_key"] for row in rows if row["discarded"]}
        plan = plan_batch(entries, known, discarded, overwrite=self._overwrite)
        if plan.replaced:
            gone = Departures()
            await self._remove_instances([[], [], [], plan.replaced], gone)
            await self._count_down(gone)
        if plan.discarded_keys:
            await run.execute(SQL["discard_objects"], plan.discarded_keys)
        if plan.fresh and not await arrivals.store(run, plan.fresh.values()):
            raise RuntimeError("The index changed under its only writer")
        if plan.reindexed:
            await arrivals.reindex(run, plan.reindexed)

    async def _log(self, changes: Sequence[tuple[str, Level, str]]) -> None:
        if changes:
            await self._connection.execute(
                SQL["log_changes"],
                [change_type for change_type, _, _ in changes],
                [level.depth for _, level, _ in changes],
                [public_id for _, _, public_id in changes],
            )

    async def _count_down(self, gone: Departures) -> None:
        await self._connection.execute(SQL["count_down"], *gone.columns())

    async def _delete(self, resources: Sequence[tuple[Level, str]]) -> None:
        by_level = [[id_ for at, id_ in resources if at is level] for level in LEVELS]
        gone = Departures()
        touched = await self._remove_instances(by_level, gone)
        if not touched:
            return
        # Counters first: a resource is empty when its counter says so.
        await self._count_down(gone)
        emptied = Departures()
        for level in reversed(_PARENTS_FIRST):
            above = {ids[level.depth]: ids for ids in touched}
            rows = await self._connection.fetch(SQL[f"delete_empty_{_TABLES[level]}"], list(above))
            await self._forget(level, rows)
            for row in rows:
                emptied.parent(level, above[row["public_id"]])
        await self._count_down(emptied)

    async def _remove_instances(
        self, by_level: Sequence[Sequence[str]], gone: Departures
    ) -> list[PublicIds]:
        rows = await self._connection.fetch(SQL["delete_instances"], *by_level)
        touched = []
        for row in rows:
            ids = PublicIds(row["patient_id"], row["study_id"], row["series_id"], row["public_id"])
            gone.instance(ids, row["size_bytes"])
            touched.append(ids)
        await self._connection.execute(SQL["discard_objects"], [row["object_key"] for row in rows])
        await self._forget(Level.INSTANCE, rows)
        return touched

    async def _forget(self, level: Level, rows: Sequence[asyncpg.Record]) -> None:
        """Remove what users and the changes log had to say of deleted resources."""
        if not rows:
            return
        keys = [row["pk"] for row in rows]
        await self._connection.execute(SQL["delete_user_metadata"], level.depth, keys)
        await self._connection.execute(SQL["delete_labels"], level.depth, keys)
        attached = await self._connection.fetch(SQL["delete_attachments"], level.depth, keys)
        await self._connection.execute(
            SQL["discard_objects"], [row["object_key"] for row in attached]
        )
        await self._connection.execute(SQL["forget_changes"], [row["public_id"] for row in rows])

    async def progress(self) -> Progress:
        """Tell how far the index has come."""
        async with self._transaction() as connection:
            (row,) = await connection.fetch(SQL["progress"])
        swept = row["swept_until"]
        position = StreamPosition(row["stream_epoch"], row["applied_sequence"])
        return Progress(position, swept.timestamp() if swept else None)

    async def restart_at(self, position: StreamPosition) -> None:
        """Set the progress by hand."""
        async with self._transaction() as connection:
            await connection.execute(SQL["advance"], position.epoch, position.sequence)

    async def stabilise(self, stable_age_s: float) -> int:
        """Mark as stable what received nothing for a while, patients first."""
        async with self._transaction() as connection:
            changes = [
                (f"Stable{level}", level, row["public_id"])
                for level in _PARENTS_FIRST
                for row in await connection.fetch(SQL[f"stabilise_{_TABLES[level]}"], stable_age_s)
            ]
            await self._log(changes)
        return len(changes)

    async def recycle(self, *, max_bytes: int, max_patients: int) -> int:
        """Delete the oldest unprotected patients until the limits hold, never the newest one."""
        deleted = 0
        while True:
            async with self._transaction() as connection:
                (size,) = await connection.fetch(SQL["server_size"])
                if not (0 < max_bytes < size["size_bytes"]) and not (
                    0 < max_patients < size["patient_count"]
                ):
                    return deleted
                oldest = await connection.fetchval(SQL["oldest_patient"])
                if oldest is None or size["patient_count"] == 1:
                    return deleted
                await self._delete([(Level.PATIENT, oldest)])
            deleted += 1
            log.info("patient_recycled", patient=oldest)

    async def garbage(self, *, at_most: int, older_than_s: float) -> list[str]:
        """Keys of objects that may be removed from the store, oldest first."""
        async with self._transaction() as connection:
            rows = await connection.fetch(SQL["garbage"], at_most, older_than_s)
            return [row["object_key"] for row in rows]

    async def postpone_garbage(self, keys: Sequence[str], *, by_s: float) -> None:
        """List objects as if they were discarded in `by_s`."""
        async with self._transaction() as connection:
            await connection.execute(SQL["postpone_garbage"], keys, by_s)

    async def forget_garbage(self, keys: Sequence[str]) -> None:
        """Strike objects that are gone from the list."""
        async with self._transaction() as connection:
            await connection.execute(SQL["forget_garbage"], keys)

    async def unknown_keys(self, keys: Sequence[str]) -> list[str]:
        """Those of the keys that neither an instance nor the garbage list knows."""
        async with self._transaction() as connection:
            return [row["key"] for row in await connection.fetch(SQL["unknown_keys"], keys)]

    async def swept(self, until_s: float) -> None:
        """Everything received before `until_s` was swept."""
        async with self._transaction() as connection:
            await connection.execute(SQL["swept"], until_s)


def _different_instances(
    entries: Sequence[InstanceEntry | DeleteResources],
) -> Sequence[InstanceEntry]:
    """Return the entries if they are stored instances, no two the same, that may be all new."""
    ids = set()
    fresh = []
    for entry in entries:
        if isinstance(entry, DeleteResources) or entry.event.reindex:
            return ()
        ids.add(entry.public_ids.instance)
        fresh.append(entry)
    return fresh if len(ids) == len(fresh) else ()
