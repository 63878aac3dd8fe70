"""`CommitmentReports` on PostgreSQL: who hears a report and who tells it share it."""

from __future__ import annotations

from collections.abc import Sequence

import asyncpg

from lanthorn_core.adapters.index_postgres.pool import translated
from lanthorn_core.adapters.sqlfile import load_statements
from lanthorn_core.dicom.commitment import CommitmentFailure, CommitmentRequest, SopReference
from lanthorn_core.errors import InexistentItem
from lanthorn_core.ports.commitment import CommitmentReport

SQL = load_statements(__package__, "reports.sql")


class PostgresCommitmentReports:
    """See `CommitmentReports` for the contract; each call is one short transaction.

    Parameters
    ----------
    pool : asyncpg.Pool
        May write.
    size : int
        How many transactions are kept (`StorageCommitmentReportsSize`); 0 is no limit.
    """

    def __init__(self, pool: asyncpg.Pool, size: int) -> None:
        self._pool = pool
        self._size = size

    async def expect(self, request: CommitmentRequest, remote_ae_title: str) -> None:
        """Begin a transaction, or begin it again."""
        references = [[one.sop_class_uid, one.sop_instance_uid] for one in request.references]
        async with translated(), self._pool.acquire() as connection, connection.transaction():
            await connection.execute(
                SQL["expect"], request.transaction_uid, remote_ae_title, references
            )
            if self._size:
                await connection.execute(SQL["prune"], self._size)

    async def requested(self, transaction_uid: str) -> CommitmentRequest:
        """Tell what was asked in a transaction."""
        async with translated():
            references = await self._pool.fetchval(SQL["requested"], transaction_uid)
        if references is None:
            raise InexistentItem(f"No storage commitment transaction with UID: {transaction_uid}")
        return CommitmentRequest(transaction_uid, tuple(SopReference(*one) for one in references))

    async def record(
        self,
        transaction_uid: str,
        remote_ae_title: str,
        committed: Sequence[SopReference],
        failures: Sequence[CommitmentFailure],
    ) -> bool:
        """Record what a remote AE reports."""
        async with translated():
            recorded = await self._pool.fetchval(
                SQL["record"],
                transaction_uid,
                remote_ae_title,
                [[one.sop_class_uid, one.sop_instance_uid] for one in committed],
                [
                    [one.reference.sop_class_uid, one.reference.sop_instance_uid, one.reason]
                    for one in failures
                ],
            )
        return recorded is not None

    async def get(self, transaction_uid: str) -> CommitmentReport | None:
        """Find a transaction."""
        async with translated():
            row = await self._pool.fetchrow(SQL["get"], transaction_uid)
        if row is None:
            return None
        return CommitmentReport(
            row["transaction_uid"],
            row["remote_ae_title"],
            row["reported_at"] is None,
            tuple(SopReference(*one) for one in row["committed"]),
            tuple(
                CommitmentFailure(SopReference(sop_class_uid, sop_instance_uid), reason)
                for sop_class_uid, sop_instance_uid, reason in row["failures"]
            ),
        )
