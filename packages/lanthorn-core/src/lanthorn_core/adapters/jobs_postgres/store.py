"""`JobStore` on PostgreSQL."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import asyncpg

from lanthorn_core.adapters.index_postgres.pool import Connection, PrimaryServer, translated
from lanthorn_core.adapters.sqlfile import load_statements
from lanthorn_core.errors import JobCanceled, LanthornError
from lanthorn_core.ports.jobs import (
    Checkpoint,
    Claim,
    ClaimedJob,
    Job,
    JobError,
    JobRequest,
    JobState,
)

_STATEMENTS: Final = load_statements(__package__, "jobs.sql")
SQL: Final = {
    name: text.format(runtime=_STATEMENTS["runtime"].strip()) for name, text in _STATEMENTS.items()
}

RETIRED_S: Final = 600.0
"""Seconds for which a job that left the history still tells its outcome to who waits."""

ABANDONED_AT_MOST: Final = 5
"""Workers that may be lost over a job, without progress between, until it counts as their end."""


class PostgresJobStore:
    """See `JobStore` for the contract.

    Parameters
    ----------
    pool : asyncpg.Pool
        Connections that may write.
    history_size : int
        How many finished jobs are kept (Orthanc's `JobsHistorySize`).
    """

    def __init__(self, pool: asyncpg.Pool, *, history_size: int) -> None:
        self._pool = pool
        self._history_size = history_size

    async def submit(self, job_id: str, request: JobRequest) -> None:
        """Make a job, Pending."""
        content = dict(request.content)
        if request.description:
            content["Description"] = request.description
        async with self._connection() as connection:
            await connection.execute(
                SQL["submit"],
                job_id,
                request.type,
                request.priority,
                dict(request.parameters),
                content,
                None if request.user_data is None else json.dumps(request.user_data),
                request.can_be_resubmitted,
            )

    async def get(self, job_id: str) -> Job | None:
        """Find a job."""
        return await self._find("of_id", job_id)

    async def outcome(self, job_id: str) -> Job | None:
        """Find a job, also one that has just left the history."""
        return await self._find("of_id_or_retired", job_id)

    async def _find(self, condition: str, job_id: str) -> Job | None:
        async with self._connection() as connection:
            row = await connection.fetchrow(SQL["select"] + SQL[condition], job_id)
        return None if row is None else _job(row)

    async def list(self) -> list[Job]:
        """List all jobs, the oldest first."""
        async with self._connection() as connection:
            return [_job(row) for row in await connection.fetch(SQL["select"] + SQL["of_all"])]

    async def ids(self) -> Sequence[str]:
        """List the ids of all jobs, the oldest first."""
        async with self._connection() as connection:
            return [row["job_id"] for row in await connection.fetch(SQL["ids"])]

    async def counts(self) -> Mapping[tuple[str, JobState], int]:
        """Count the jobs by type and state."""
        async with self._connection() as connection:
            rows = await connection.fetch(SQL["counts"])
        return {(row["type"], JobState(row["state"])): row["count"] for row in rows}

    async def pause(self, job_id: str) -> bool:
        """Pause an unfinished job."""
        async with self._locked(job_id) as (connection, row):
            if row is not None and not JobState(row["state"]).is_final:
                await connection.execute(SQL["pause"], job_id)
            return row is not None

    async def resume(self, job_id: str) -> bool:
        """Make a paused job Pending."""
        async with self._locked(job_id) as (connection, row):
            if row is None or row["state"] != JobState.PAUSED:
                return False
            await connection.execute(SQL["resume"], job_id)
            return True

    async def cancel(self, job_id: str) -> bool:
        """Make an unfinished job fail."""
        async with self._locked(job_id) as (connection, row):
            if row is not None and not JobState(row["state"]).is_final:
                await connection.execute(SQL["cancel"], job_id, JobCanceled.slug)
        await self._keep_history()
        return row is not None

    async def resubmit(self, job_id: str) -> bool:
        """Run a failed job from its beginning."""
        async with self._locked(job_id) as (connection, row):
            if row is None or row["state"] != JobState.FAILURE or not row["can_be_resubmitted"]:
                return False
            await connection.execute(SQL["resubmit"], job_id)
            return True

    async def delete(self, job_id: str) -> bool:
        """Forget a finished job."""
        async with self._locked(job_id) as (connection, row):
            if row is None or not JobState(row["state"]).is_final:
                return False
            await connection.execute(SQL["retire_one"], job_id)
            return True

    async def claim(
        self, types: Collection[str], *, worker_id: str, lease_s: float
    ) -> ClaimedJob | None:
        """Take the first job that is due."""
        async with self._connection() as connection:
            row = await connection.fetchrow(
                SQL["claim"], list(types), worker_id, lease_s, ABANDONED_AT_MOST
            )
        if row is None:
            return None
        return ClaimedJob(
            claim=Claim(row["job_id"], row["claim_number"]),
            type=row["type"],
            parameters=row["parameters"],
            state=row["checkpoint"],
            content=row["content"],
            progress=row["progress"],
            retries=row["retries"],
        )

    async def fail_abandoned(self) -> Sequence[str]:
        """End the jobs over which workers are lost again and again; answers their ids."""
        async with self._connection() as connection:
            rows = await connection.fetch(
                SQL["fail_abandoned"], ABANDONED_AT_MOST, LanthornError.slug
            )
        if rows:
            await self._keep_history()
        return [row["job_id"] for row in rows]

    async def due_in_s(self, types: Collection[str]) -> float | None:
        """Tell in how many seconds a job becomes due by time alone."""
        async with self._connection() as connection:
            due_in_s: float | None = await connection.fetchval(SQL["due_in_s"], list(types))
        return due_in_s

    async def renew(self, claims: Sequence[Claim], *, lease_s: float) -> Mapping[Claim, JobState]:
        """Prolong leases."""
        ids, numbers = [claim.job_id for claim in claims], [claim.number for claim in claims]
        async with self._connection() as connection:
            rows = await connection.fetch(SQL["renew"], ids, numbers, lease_s)
        return {Claim(row["job_id"], row["claim_number"]): JobState(row["state"]) for row in rows}

    async def checkpoint(
        self, claim: Claim, checkpoint: Checkpoint, *, lease_s: float
    ) -> JobState | None:
        """Record how far a job is and prolong its lease."""
        async with self._connection() as connection:
            state = await connection.fetchval(
                SQL["checkpoint"], *_values(claim, checkpoint), lease_s
            )
        return None if state is None else JobState(state)

    async def succeed(self, claim: Claim, checkpoint: Checkpoint) -> bool:
        """End a job well."""
        return await self._leave(claim, checkpoint, JobState.SUCCESS)

    async def fail(self, claim: Claim, checkpoint: Checkpoint, error: JobError) -> bool:
        """End a job with an error."""
        return await self._leave(claim, checkpoint, JobState.FAILURE, error=error)

    async def retry(self, claim: Claim, checkpoint: Checkpoint, *, delay_s: float) -> bool:
        """Put a job off."""
        return await self._leave(claim, checkpoint, JobState.RETRY, delay_s=delay_s)

    async def give_back(self, claim: Claim, checkpoint: Checkpoint) -> bool:
        """Make a running job Pending again."""
        return await self._leave(claim, checkpoint, JobState.PENDING)

    async def check(self) -> None:
        """Return when the database answers."""
        async with self._connection() as connection:
            await connection.execute("SELECT 1")

    async def _leave(
        self,
        claim: Claim,
        checkpoint: Checkpoint,
        state: JobState,
        *,
        delay_s: float = 0.0,
        error: JobError | None = None,
    ) -> bool:
        async with self._connection() as connection:
            left = await connection.fetchval(
                SQL["leave"],
                *_values(claim, checkpoint),
                str(state),
                delay_s,
                error.slug if error else None,
                error.details if error else "",
                error.payload if error else None,
            )
        if left is not None and state.is_final:
            await self._keep_history()
        return left is not None

    async def _keep_history(self) -> None:
        # In a transaction of its own: of two jobs that end together, the later one sees both.
        async with self._connection() as connection:
            await connection.execute(SQL["keep_history"], self._history_size, RETIRED_S)

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Connection]:
        async with translated(), self._pool.acquire() as connection:
            yield connection

    @asynccontextmanager
    async def _locked(self, job_id: str) -> AsyncIterator[tuple[Connection, Any]]:
        """Hold a job against changes by others; the row is None where there is no such job."""
        async with self._connection() as connection, connection.transaction():
            yield connection, await connection.fetchrow(SQL["lock"], job_id)


async def forget_jobs(database_url: str) -> None:
    """Delete all jobs, as `SaveJobs` false wants it when the whole system starts.

    Raises
    ------
    IndexUnavailable
        The database does not answer.
    """
    async with translated():
        connection = await PrimaryServer(database_url).connect()
        try:
            await connection.execute(SQL["forget_all"])
        finally:
            await connection.close()


def _values(claim: Claim, checkpoint: Checkpoint) -> tuple[Any, ...]:
    return (
        claim.job_id,
        claim.number,
        checkpoint.progress,
        dict(checkpoint.state),
        dict(checkpoint.content),
    )


def _job(row: asyncpg.Record) -> Job:
    slug = row["error_slug"]
    return Job(
        id=row["job_id"],
        type=row["type"],
        state=JobState(row["state"]),
        content=row["content"],
        priority=row["priority"],
        user_data=None if row["user_data"] is None else json.loads(row["user_data"]),
        progress=row["progress"],
        error=JobError(slug, row["error_details"], row["error_payload"]) if slug else None,
        runtime_s=float(row["runtime_s"]),
        created_at=row["created_at"],
        completed_at=row["completed_at"],
        seen_at=row["seen_at"],
    )
