"""Runs jobs: claims those it has runners for, keeps their leases, and gives back what it must."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Mapping
from typing import Final

import structlog

from lanthorn_core.errors import IndexUnavailable
from lanthorn_core.ports.jobs import Claim, JobSignals, JobState, JobStore
from lanthorn_core.telemetry.metrics import JOBS_RUNNING
from lanthorn_core.usecases.job_execution import Ending, JobExecution
from lanthorn_core.usecases.job_runner import JobGone, JobHandedOver, JobPaused, JobRunner

log = structlog.get_logger(__name__)

LEASE_S: Final = 15.0
"""Seconds after which the job of a worker that is gone is taken over by another."""

POLL_S: Final = 5.0
"""Seconds after which a worker looks for due jobs by itself, should a signal be lost."""

DRAIN_S: Final = 4.0
"""Seconds that runners have, when the process ends, to reach a checkpoint; it has 8 in all."""

_RENEWALS_A_LEASE: Final = 3
_LEAST_WAIT_S: Final = 0.05
_BACK_OFF_S: Final = (0.1, 0.5, 1.0, 2.0, 5.0)


class JobWorker:
    """Runs jobs of the types that it has runners for.

    Parameters
    ----------
    store : JobStore
        Where the jobs are.
    signals : JobSignals
        Tells when there is something to do.
    runners : mapping of str to JobRunner
        Who runs which type.
    concurrency : int
        How many jobs run here at once (Orthanc's `ConcurrentJobs`).
    lease_s : float
        Length of a lease; it is renewed three times as often.
    drain_s : float
        How long runners have to reach a checkpoint when the process ends.
    """

    def __init__(
        self,
        store: JobStore,
        signals: JobSignals,
        runners: Mapping[str, JobRunner],
        *,
        concurrency: int,
        lease_s: float = LEASE_S,
        drain_s: float = DRAIN_S,
    ) -> None:
        self._store = store
        self._signals = signals
        self._runners = dict(runners)
        self._concurrency = concurrency
        self._lease_s = lease_s
        self._drain_s = drain_s
        self._id = f"{socket.gethostname()}:{os.getpid()}"
        self._held: dict[Claim, JobExecution] = {}
        self._is_ending = False
        self._look_at_all_at = 0.0
        self._wake = asyncio.Event()
        self._look_at_held = asyncio.Event()

    async def run(self, stop: asyncio.Event) -> None:
        """Run jobs until `stop` is set; then give back what does not end in time."""
        await self._signals.on_due(self._on_due)
        await self._signals.on_change(self._on_change)
        for job_type in self._runners:
            await self._signals.offer(job_type)
        log.info("job_worker_started", types=sorted(self._runners), concurrency=self._concurrency)
        async with asyncio.TaskGroup() as group:
            renewing = group.create_task(self._keep_leases(), name="job-leases")
            group.create_task(self._wake_at(stop), name="job-worker-stop")
            await self._claim_jobs(group, stop)
            await self._hand_over()
            renewing.cancel()
        log.info("job_worker_stopped")

    async def _wake_at(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self._wake.set()

    async def _claim_jobs(self, group: asyncio.TaskGroup, stop: asyncio.Event) -> None:
        failures = 0
        while not stop.is_set():
            self._wake.clear()
            wait_s: float | None = None
            if len(self._held) < self._concurrency:
                try:
                    wait_s = await self._claim_one(group)
                    failures = 0
                except IndexUnavailable as error:
                    log.warning("job_claim_failed", error=error.slug)
                    await _wait(stop, _back_off_s(failures))
                    failures += 1
                    continue
            if wait_s != 0:
                await _wait(self._wake, wait_s)

    async def _claim_one(self, group: asyncio.TaskGroup) -> float:
        """Start one job; answers the seconds to wait for the next, 0 if one was started."""
        claimed = await self._store.claim(self._runners, worker_id=self._id, lease_s=self._lease_s)
        if claimed is not None:
            execution = JobExecution(claimed, self._store, lease_s=self._lease_s)
            self._held[execution.claim] = execution
            group.create_task(self._execute(execution), name=f"job-{execution.id}")
            return 0
        now_s = asyncio.get_running_loop().time()
        if now_s >= self._look_at_all_at:
            self._look_at_all_at = now_s + await self._look_at_all()
        return self._look_at_all_at - now_s

    async def _look_at_all(self) -> float:
        """See to jobs that nobody runs; answers the seconds until one becomes due by time alone."""
        for job_id in await self._store.fail_abandoned():
            log.error("job_abandoned", job_id=job_id)
            await self._signals.announce_change(job_id)
        due_in_s = await self._store.due_in_s(self._runners)
        return POLL_S if due_in_s is None else min(max(due_in_s, _LEAST_WAIT_S), POLL_S)

    async def _execute(self, execution: JobExecution) -> None:
        log.info("job_started", job_id=execution.id, type=execution.type)
        JOBS_RUNNING.labels(execution.type).inc()
        try:
            ending = await execution.run(self._runners[execution.type])
            is_recorded = await self._record(execution, ending)
        finally:
            JOBS_RUNNING.labels(execution.type).dec()
            del self._held[execution.claim]
            self._wake.set()
        if ending.how == "put_off":
            self._look_at_all_at = 0.0
        log.info("job_left", job_id=execution.id, how=ending.how, is_recorded=is_recorded)
        if ending.how == "given_back":
            await self._signals.announce_due(execution.type)
        await self._signals.announce_change(execution.id)

    async def _record(self, execution: JobExecution, ending: Ending) -> bool:
        """Record how a job was left, however long the database needs to come back."""
        failures = 0
        while True:
            try:
                return await ending.record()
            except IndexUnavailable as error:
                log.warning("job_end_not_recorded", job_id=execution.id, error=error.slug)
                if self._is_ending:
                    return False  # another worker begins again at the last checkpoint
                await asyncio.sleep(_back_off_s(failures))
                failures += 1
            except Exception:
                log.exception("job_end_unrecordable", job_id=execution.id)
                ending = execution.unrecordable()

    async def _keep_leases(self) -> None:
        """Renew all leases in time, and hear at once of what clients do with our jobs."""
        while True:
            await _wait(self._look_at_held, self._lease_s / _RENEWALS_A_LEASE)
            self._look_at_held.clear()
            held = list(self._held.values())
            if not held:
                continue
            try:
                states = await self._store.renew([job.claim for job in held], lease_s=self._lease_s)
            except IndexUnavailable as error:
                log.warning("job_lease_not_renewed", error=error.slug, jobs=len(held))
                for job in held:
                    if job.has_expired:
                        job.interrupt(JobGone, at_once=True)
                continue
            for job in held:
                match states.get(job.claim):
                    case None:
                        job.interrupt(JobGone, at_once=True)
                    case JobState.PAUSED:
                        job.interrupt(JobPaused)
                    case _:
                        job.renewed()

    async def _hand_over(self) -> None:
        """Let runners reach a checkpoint, and end those that do not in time."""
        self._is_ending = True
        for job in self._held.values():
            job.interrupt(JobHandedOver)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._drain_s):
                while self._held:
                    self._wake.clear()
                    await self._wake.wait()
        for job in self._held.values():
            job.interrupt(JobHandedOver, at_once=True)

    def _on_due(self, job_type: str) -> None:
        if job_type in self._runners:
            self._wake.set()

    def _on_change(self, job_id: str) -> None:
        if any(claim.job_id == job_id for claim in self._held):
            self._look_at_held.set()


async def _wait(event: asyncio.Event, at_most_s: float | None) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(at_most_s):
            await event.wait()


def _back_off_s(failures: int) -> float:
    return _BACK_OFF_S[min(failures, len(_BACK_OFF_S) - 1)]
