"""What clients can ask of jobs."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import structlog

from lanthorn_core.errors import InexistentItem, WorkersUnavailable, error_of
from lanthorn_core.ports.jobs import Job, JobRequest, JobSignals, JobState, JobStore
from lanthorn_core.telemetry.metrics import JOBS_SUBMITTED

log = structlog.get_logger(__name__)

LOOK_AGAIN_S: Final = 5.0
"""Seconds after which who waits for a job looks for himself, should the signal be lost."""


WITHOUT_WORKER_S: Final = 30.0
"""Seconds that who waits for a job waits for a worker; a restart of the only one is shorter."""


class JobRegistry:
    """All jobs of the system, for those who make them and ask about them.

    Parameters
    ----------
    store : JobStore
        Where the jobs are.
    signals : JobSignals
        Told of everything that a worker should know at once; `listen` hears of ends.
    without_worker_s : float
        How long `run` waits for a worker to appear, where nobody runs jobs of that type.
    """

    def __init__(
        self, store: JobStore, signals: JobSignals, *, without_worker_s: float = WITHOUT_WORKER_S
    ) -> None:
        self._store = store
        self._without_worker_s = without_worker_s
        self._signals = signals
        self._waiting: dict[str, set[asyncio.Event]] = defaultdict(set)

    async def listen(self) -> None:
        """Begin to hear of jobs that end; once, before anyone waits for one."""
        await self._signals.on_change(self._changed)

    async def submit(self, request: JobRequest) -> str:
        """Make a job; returns its id."""
        return await self._submit(str(uuid.uuid4()), request)

    async def run(self, request: JobRequest) -> Job:
        """Make a job and wait for its end; that the waiting is canceled does not end the job.

        Raises
        ------
        WorkersUnavailable
            Nobody runs jobs of this type, for a while already. The job is canceled: who asks again
            later shall not have it done twice.
        """
        job_id = str(uuid.uuid4())
        with self._listening(job_id) as changed:
            await self._submit(job_id, request)
            await self._until_begun(job_id, request.type, changed)
            return await self._end_of(job_id, changed)

    async def wait(self, job_id: str) -> Job:
        """Wait for the end of a job.

        Raises
        ------
        InexistentItem
            There is no such job, or it was forgotten meanwhile.
        """
        with self._listening(job_id) as changed:
            return await self._end_of(job_id, changed)

    async def get(self, job_id: str) -> Job | None:
        """Find a job."""
        return await self._store.get(job_id)

    async def list(self) -> list[Job]:
        """List all jobs, the oldest first."""
        return await self._store.list()

    async def ids(self) -> Sequence[str]:
        """List the ids of all jobs, the oldest first."""
        return await self._store.ids()

    async def counts(self) -> Mapping[JobState, int]:
        """Count the jobs by state."""
        counts: Counter[JobState] = Counter()
        for (_, state), count in (await self._store.counts()).items():
            counts[state] += count
        return counts

    async def counts_by_type(self) -> Mapping[tuple[str, JobState], int]:
        """Count the jobs by type and state."""
        return await self._store.counts()

    async def pause(self, job_id: str) -> bool:
        """Pause a job unless it has finished; False if there is none."""
        return await self._tell(job_id, await self._store.pause(job_id))

    async def cancel(self, job_id: str) -> bool:
        """Cancel a job unless it has finished; False if there is none."""
        return await self._tell(job_id, await self._store.cancel(job_id))

    async def delete(self, job_id: str) -> bool:
        """Forget a finished job; False if there is none, or it has not finished."""
        return await self._tell(job_id, await self._store.delete(job_id))

    async def resume(self, job_id: str) -> bool:
        """Let a paused job go on; False if there is none, or it is not paused."""
        return await self._wake(job_id, await self._store.resume(job_id))

    async def resubmit(self, job_id: str) -> bool:
        """Run a failed job again; False if there is none, or it cannot be run again."""
        return await self._wake(job_id, await self._store.resubmit(job_id))

    async def check(self) -> None:
        """Return when the database answers."""
        await self._store.check()

    async def _submit(self, job_id: str, request: JobRequest) -> str:
        await self._store.submit(job_id, request)
        JOBS_SUBMITTED.labels(request.type).inc()
        log.info("job_submitted", job_id=job_id, type=request.type)
        await self._signals.announce_due(request.type)
        return job_id

    async def _tell(self, job_id: str, has_happened: bool) -> bool:
        if has_happened:
            await self._signals.announce_change(job_id)
        return has_happened

    async def _wake(self, job_id: str, has_happened: bool) -> bool:
        if has_happened:
            job = await self._store.get(job_id)
            if job is not None:
                await self._signals.announce_due(job.type)
            # A worker may still be on its way to the checkpoint at which it would have paused.
            await self._signals.announce_change(job_id)
        return has_happened

    @contextlib.contextmanager
    def _listening(self, job_id: str) -> Iterator[asyncio.Event]:
        changed = asyncio.Event()
        self._waiting[job_id].add(changed)
        try:
            yield changed
        finally:
            self._waiting[job_id].discard(changed)
            if not self._waiting[job_id]:
                del self._waiting[job_id]

    def _changed(self, job_id: str) -> None:
        for waiting in self._waiting.get(job_id, ()):
            waiting.set()

    async def _until_begun(self, job_id: str, job_type: str, changed: asyncio.Event) -> None:
        """Return at the first signal, or when the job is not pending any more."""
        loop = asyncio.get_running_loop()
        has_worker_until = loop.time()
        look_again_s = min(LOOK_AGAIN_S, self._without_worker_s)
        while not await _signal(changed, look_again_s):
            job = await self._store.outcome(job_id)
            if job is None or job.state is not JobState.PENDING:
                return
            if await self._signals.is_offered(job_type):
                has_worker_until = loop.time()
            elif loop.time() - has_worker_until >= self._without_worker_s:
                await self.cancel(job_id)
                log.warning("job_without_worker", job_id=job_id, type=job_type)
                raise WorkersUnavailable(f"Nobody runs jobs of type {job_type}: nothing was done")

    async def _end_of(self, job_id: str, changed: asyncio.Event) -> Job:
        while True:
            changed.clear()
            job = await self._store.outcome(job_id)
            if job is None:
                raise InexistentItem(f"No job found with this id: {job_id}")
            if job.state.is_final:
                return job
            await _signal(changed)


async def _signal(changed: asyncio.Event, at_most_s: float = LOOK_AGAIN_S) -> bool:
    """Wait for a signal, or long enough to look without one; tell whether there was one."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(at_most_s):
            await changed.wait()
    return changed.is_set()


def raise_failure(job: Job) -> Mapping[str, Any]:
    """Return the content of a job that has ended, or raise its error.

    Raises
    ------
    LanthornError
        The error that the job failed with.
    """
    if job.error is not None:
        raise error_of(job.error.slug, job.error.details, job.error.payload)
    return job.content
