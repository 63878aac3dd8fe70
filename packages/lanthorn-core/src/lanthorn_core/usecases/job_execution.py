"""One job in the hands of a worker: its checkpoints, how it is interrupted, how it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import structlog

from lanthorn_core.errors import IndexUnavailable, LanthornError
from lanthorn_core.ports.jobs import Checkpoint, Claim, ClaimedJob, JobError, JobState, JobStore
from lanthorn_core.telemetry.metrics import JOB_RUNS
from lanthorn_core.usecases.job_runner import (
    JobGone,
    JobHandedOver,
    JobInterrupted,
    JobPaused,
    JobRetry,
    JobRunner,
    RunningJob,
)

log = structlog.get_logger(__name__)

How = Literal["succeeded", "failed", "put_off", "paused", "gone", "given_back"]

REPORT_EVERY_S: Final = 1.0
_AGAIN_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class Ending:
    """How a worker came to leave a job; `record` writes it down, and tells if that still counted.

    Its failures are those of `JobStore`.
    """

    how: How
    record: Callable[[], Awaitable[bool]]


class JobExecution(RunningJob):
    """See `RunningJob` for what a runner sees.

    Parameters
    ----------
    claimed : ClaimedJob
        The job as the claim gave it.
    store : JobStore
        Where checkpoints go.
    lease_s : float
        Length of the lease from each checkpoint on.

    Attributes
    ----------
    claim : Claim
        The right to run the job.
    interruption : type of JobInterrupted or None
        What the next checkpoint raises.
    has_ended : bool
        The runner has returned; its end is being recorded.
    """

    def __init__(self, claimed: ClaimedJob, store: JobStore, *, lease_s: float) -> None:
        self.id = claimed.claim.job_id
        self.type = claimed.type
        self.parameters = claimed.parameters
        self.state = dict(claimed.state)
        self.content = dict(claimed.content)
        self.progress = claimed.progress
        self.retries = claimed.retries
        self.claim: Claim = claimed.claim
        self.interruption: type[JobInterrupted] | None = None
        self.has_ended = False
        self._store = store
        self._lease_s = lease_s
        self._now = asyncio.get_running_loop().time
        self._expires_at = self._now() + lease_s
        self._recorded_at = self._now()
        self._claimed = claimed
        self._last = self._here()
        self._task: asyncio.Task[Any] | None = None
        self._is_canceled = False

    @property
    def has_expired(self) -> bool:
        """Whether another worker may have the job by now."""
        return self._now() >= self._expires_at

    def renewed(self) -> None:
        """Note that the lease was prolonged."""
        self._expires_at = self._now() + self._lease_s

    def interrupt(self, why: type[JobInterrupted], *, at_once: bool = False) -> None:
        """Have the runner stop at its next checkpoint, or `at_once`."""
        if self.interruption is not JobGone:  # what is lost stays lost, whatever comes after
            self.interruption = why
        # Once: what the runner does to close what it has open is not interrupted.
        if at_once and self._task and not self._is_canceled and not self.has_ended:
            self._is_canceled = True
            self._task.cancel()

    async def checkpoint(
        self,
        *,
        progress: float | None = None,
        state: Mapping[str, Any] | None = None,
        content: Mapping[str, Any] | None = None,
    ) -> None:
        """Record how far the job is."""
        self._take(progress, state, content)
        found = await self._record()
        self._recorded_at = self._now()
        if found is None:
            self.interrupt(JobGone)
        elif found is JobState.PAUSED:
            self.interrupt(JobPaused)
        else:
            self.renewed()
        if self.interruption is not None:
            raise self.interruption

    async def report(
        self,
        *,
        progress: float | None = None,
        state: Mapping[str, Any] | None = None,
        content: Mapping[str, Any] | None = None,
    ) -> None:
        """Record how far the job is, at most once a second."""
        self._take(progress, state, content)
        if self.interruption is not None or self._now() - self._recorded_at >= REPORT_EVERY_S:
            await self.checkpoint()

    async def run(self, runner: JobRunner) -> Ending:
        """Run the runner; the task this runs in is canceled by `interrupt`, and stays alive."""
        self._task = asyncio.current_task()
        try:
            await runner(self)
            ending = self._succeeded()
        except JobInterrupted as order:
            ending = self._interrupted(type(order))
        except asyncio.CancelledError:
            if self.interruption is None or not self._is_canceled or self._task is None:
                raise
            self._task.uncancel()
            ending = self._interrupted(self.interruption)
        except Exception as error:
            ending = self._failed(error)
        finally:
            self.has_ended = True
        JOB_RUNS.labels(self.type, ending.how).inc()
        return ending

    def _take(
        self,
        progress: float | None,
        state: Mapping[str, Any] | None,
        content: Mapping[str, Any] | None,
    ) -> None:
        if progress is not None:
            self.progress = min(max(progress, 0.0), 1.0)
        if state is not None:
            self.state = dict(state)
        if content is not None:
            self.content.update(content)
        self._last = self._here()

    def _here(self) -> Checkpoint:
        return Checkpoint(self.progress, dict(self.state), dict(self.content))

    async def _record(self) -> JobState | None:
        """Record the last checkpoint, as soon as the database lets us and while we may."""
        while True:
            try:
                return await self._store.checkpoint(self.claim, self._last, lease_s=self._lease_s)
            except IndexUnavailable as error:
                log.warning("job_checkpoint_failed", job_id=self.id, error=error.slug)
                if self.has_expired:
                    raise JobGone from error
                if self.interruption is not None:
                    raise self.interruption from error
                await asyncio.sleep(_AGAIN_S)

    def _succeeded(self) -> Ending:
        self.progress = 1.0
        end = self._here()
        return Ending("succeeded", lambda: self._store.succeed(self.claim, end))

    def _interrupted(self, order: type[JobInterrupted]) -> Ending:
        if order is JobHandedOver:
            # Not where the runner was stopped, which may be in the middle of a step.
            last = self._last
            return Ending("given_back", lambda: self._store.give_back(self.claim, last))
        return Ending("paused" if order is JobPaused else "gone", _nothing)

    def _failed(self, error: Exception) -> Ending:
        if self._is_canceled and self.interruption is not None:
            return self._interrupted(self.interruption)  # the error is only how it came to stop
        end = self._here()
        if isinstance(error, JobRetry):
            delay_s = error.delay_s
            log.info("job_put_off", job_id=self.id, error=error.cause.slug, delay_s=delay_s)
            return Ending("put_off", lambda: self._store.retry(self.claim, end, delay_s=delay_s))
        if not isinstance(error, LanthornError):
            log.error("job_crashed", job_id=self.id, type=self.type, exc_info=error)
            error = LanthornError()
        told = JobError(error.slug, error.details, error.payload)
        log.warning("job_failed", job_id=self.id, type=self.type, error=told.slug)
        return Ending("failed", lambda: self._store.fail(self.claim, end, told))

    def unrecordable(self) -> Ending:
        """End as a bug does, without what the runner left, which the database does not take."""
        start = Checkpoint(0.0, {}, self._claimed.content)
        error = JobError(LanthornError.slug)
        return Ending("failed", lambda: self._store.fail(self.claim, start, error))


async def _nothing() -> bool:
    """Record nothing: it is recorded already, or not ours to record."""
    return True
