"""`RemoteQueryStore` on PostgreSQL: kept there because rest-api has many processes."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from typing import Final

import asyncpg
import msgspec

from lanthorn_core.adapters.index_postgres.pool import translated
from lanthorn_core.adapters.registry_postgres.statements import SQL
from lanthorn_core.commands import FindAnswer
from lanthorn_core.errors import IndexUnavailable, UnknownResource
from lanthorn_core.model import LEVELS, RemoteAE
from lanthorn_core.ports.remote_queries import RemoteQuery, RemoteQuestion

_BATCH_ANSWERS: Final = 500
_BATCH_BYTES: Final = 1 << 20


class PostgresRemoteQueryStore:
    """See `RemoteQueryStore` for the contract.

    Parameters
    ----------
    pool : asyncpg.Pool
        Connections that may write.
    size : int
        How many queries are kept (`QueryRetrieveSize`).
    """

    def __init__(self, pool: asyncpg.Pool, *, size: int) -> None:
        self._pool = pool
        self._size = size

    async def keep(self, question: RemoteQuestion, answers: AsyncIterator[FindAnswer]) -> str:
        """Keep a query with its answers as they come."""
        query_id = str(uuid.uuid4())
        async with translated():
            await self._pool.execute(
                SQL["add_query"],
                query_id,
                question.modality,
                msgspec.to_builtins(question.remote),
                question.level.depth,
                dict(question.keys),
            )
        try:
            count = await self._add_answers(query_id, answers)
            async with translated():
                await self._pool.execute(SQL["complete_query"], query_id, count)
                await self._pool.execute(SQL["forget_oldest_queries"], self._size)
        except BaseException:
            # Also when the client is gone; what a failure here leaves is forgotten a day later.
            with suppress(IndexUnavailable):
                await asyncio.shield(self.delete(query_id))
            raise
        return query_id

    async def _add_answers(self, query_id: str, answers: AsyncIterator[FindAnswer]) -> int:
        count = 0
        batch: list[FindAnswer] = []
        batch_bytes = 0
        async for answer in answers:
            batch.append(answer)
            batch_bytes += len(answer.data_set)
            if len(batch) >= _BATCH_ANSWERS or batch_bytes >= _BATCH_BYTES:
                count += await self._add_batch(query_id, count, batch)
                batch, batch_bytes = [], 0
        return count + await self._add_batch(query_id, count, batch)

    async def _add_batch(self, query_id: str, position: int, batch: Sequence[FindAnswer]) -> int:
        if batch:
            async with translated():
                await self._pool.execute(
                    SQL["add_answers"],
                    query_id,
                    position,
                    [answer.transfer_syntax_uid for answer in batch],
                    [answer.data_set for answer in batch],
                )
        return len(batch)

    async def ids(self) -> Sequence[str]:
        """Ids of all queries, the oldest first."""
        async with translated():
            return [row["query_id"] for row in await self._pool.fetch(SQL["query_ids"])]

    async def get(self, query_id: str) -> RemoteQuery:
        """Return a query."""
        row = None
        if _is_uuid(query_id):
            async with translated():
                row = await self._pool.fetchrow(SQL["query"], query_id)
        if row is None:
            raise UnknownResource
        return RemoteQuery(
            query_id=row["query_id"],
            modality=row["modality"],
            remote=msgspec.convert(row["remote_ae"], RemoteAE),
            level=LEVELS[row["level"]],
            keys=row["keys"],
            answer_count=row["answer_count"],
        )

    async def answers(self, query_id: str, *, since: int = 0, limit: int) -> Sequence[FindAnswer]:
        """Return answers of a query in their order."""
        if not _is_uuid(query_id):
            return []
        async with translated():
            rows = await self._pool.fetch(SQL["answers"], query_id, since, limit)
        return [FindAnswer(**row) for row in rows]

    async def delete(self, query_id: str) -> None:
        """Forget a query."""
        if _is_uuid(query_id):
            async with translated():
                await self._pool.execute(SQL["delete_query"], query_id)


def _is_uuid(text: str) -> bool:
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True
