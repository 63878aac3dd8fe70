"""Jobs: long operations that outlive the request, and the process, that began them.

A job's `type` names who runs it: workers claim the types that they have runners for. Everything
of a job is in the database; signals only save its readers from polling.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, Protocol


class JobState(StrEnum):
    """Where a job stands, in Orthanc's words (reference 3.4)."""

    PENDING = "Pending"
    RUNNING = "Running"
    SUCCESS = "Success"
    FAILURE = "Failure"
    PAUSED = "Paused"
    RETRY = "Retry"

    @property
    def is_final(self) -> bool:
        """Whether the job has ended."""
        return self in (JobState.SUCCESS, JobState.FAILURE)


REST_API: Final = "REST API"
"""Description of every job that HTTP started."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRequest:
    """A job to be made.

    Attributes
    ----------
    type : str
        Orthanc's name of the operation, such as ``DicomModalityStore``; says who runs it.
    parameters : mapping
        What the runner needs; JSON, never changed later, not shown to clients.
    content : mapping
        The first `Content` that clients see, without `Description`; the runner adds to it.
    priority : int
        Higher runs earlier; may be negative.
    user_data : Any
        JSON of the client, shown as it came; None is none.
    description : str
        Shown in `Content`; empty is left as it is.
    can_be_resubmitted : bool
        Whether a failed job may be run again from its beginning.
    """

    type: str
    parameters: Mapping[str, Any]
    content: Mapping[str, Any] = field(default_factory=dict)
    priority: int = 0
    user_data: Any = None
    description: str = REST_API
    can_be_resubmitted: bool = True


@dataclass(frozen=True, slots=True)
class JobError:
    """Why a job failed: the slug of a class of `lanthorn_core.errors`, its details and payload."""

    slug: str
    details: str = ""
    payload: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A job as clients see it at the moment `seen_at` (all times are the database's, UTC).

    `content` has the description in it, `progress` is a fraction from 0 to 1, `runtime_s` adds up
    all times in which the job ran.
    """

    id: str
    type: str
    state: JobState
    content: Mapping[str, Any]
    priority: int
    user_data: Any
    progress: float
    error: JobError | None
    runtime_s: float
    created_at: datetime
    completed_at: datetime | None
    seen_at: datetime


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to run a job until its lease ends; `number` counts the claims of the job."""

    job_id: str
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimedJob:
    """What a worker gets with a claim: the job as it was submitted, and its last checkpoint.

    `state` is empty when the job begins; `retries` counts how often it was put off.
    """

    claim: Claim
    type: str
    parameters: Mapping[str, Any]
    state: Mapping[str, Any]
    content: Mapping[str, Any]
    progress: float
    retries: int


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """How far a job has come: `progress` from 0 to 1, and JSON to go on from and to show."""

    progress: float
    state: Mapping[str, Any]
    content: Mapping[str, Any]


class JobStore(Protocol):
    """All jobs of the system. Raises `IndexUnavailable` throughout.

    Each call is one short transaction. Finished jobs beyond the history's size are gone for all
    but `outcome`, which still tells it for some minutes to who waits.
    """

    async def submit(self, job_id: str, request: JobRequest) -> None:
        """Make a job of this id (a UUID), Pending."""
        ...

    async def get(self, job_id: str) -> Job | None:
        """Find a job."""
        ...

    async def outcome(self, job_id: str) -> Job | None:
        """Find a job, also one that has just left the history."""
        ...

    async def list(self) -> list[Job]:
        """List all jobs, the oldest first."""
        ...

    async def ids(self) -> Sequence[str]:
        """List the ids of all jobs, the oldest first."""
        ...

    async def counts(self) -> Mapping[tuple[str, JobState], int]:
        """Count the jobs by type and state; pairs without any are left out."""
        ...

    async def pause(self, job_id: str) -> bool:
        """Pause an unfinished job; False if there is no such job.

        The worker that runs it may still record its next checkpoint, or its end.
        """
        ...

    async def resume(self, job_id: str) -> bool:
        """Make a paused job Pending; False if there is no such job, or it is not paused."""
        ...

    async def cancel(self, job_id: str) -> bool:
        """Make an unfinished job fail with `JobCanceled`; False if there is no such job."""
        ...

    async def resubmit(self, job_id: str) -> bool:
        """Run a failed job from its beginning; False if there is none, or it cannot be."""
        ...

    async def delete(self, job_id: str) -> bool:
        """Forget a finished job; False if there is none, or it has not finished."""
        ...

    async def claim(
        self, types: Collection[str], *, worker_id: str, lease_s: float
    ) -> ClaimedJob | None:
        """Take the first job that is due and whose type is one of these; None if there is none.

        Due are Pending ones, Retry ones after their delay, and Running ones whose lease ended.
        """
        ...

    async def fail_abandoned(self) -> Sequence[str]:
        """End the jobs over which workers are lost again and again; answers their ids."""
        ...

    async def due_in_s(self, types: Collection[str]) -> float | None:
        """Tell in how many seconds a job becomes due by time alone: a delay or a lease ends."""
        ...

    async def renew(self, claims: Sequence[Claim], *, lease_s: float) -> Mapping[Claim, JobState]:
        """Prolong leases; answers the claims that still count, and whether Running or Paused."""
        ...

    async def checkpoint(
        self, claim: Claim, checkpoint: Checkpoint, *, lease_s: float
    ) -> JobState | None:
        """Record how far a job is and prolong its lease.

        Answers Running or Paused; None, with nothing recorded, if the claim counts no more.
        """
        ...

    async def succeed(self, claim: Claim, checkpoint: Checkpoint) -> bool:
        """End a job well; False if the claim counts no more."""
        ...

    async def fail(self, claim: Claim, checkpoint: Checkpoint, error: JobError) -> bool:
        """End a job with an error; False if the claim counts no more."""
        ...

    async def retry(self, claim: Claim, checkpoint: Checkpoint, *, delay_s: float) -> bool:
        """Put a job off; False if the claim counts no more. A paused one stays so."""
        ...

    async def give_back(self, claim: Claim, checkpoint: Checkpoint) -> bool:
        """Make a running job Pending again; False if the claim counts no more."""
        ...

    async def check(self) -> None:
        """Return when the database answers."""
        ...


class JobSignals(Protocol):
    """What saves polling: a lost signal costs a little time, nothing else."""

    async def announce_due(self, job_type: str) -> None:
        """Say that a job of this type may be claimed."""
        ...

    async def on_due(self, callback: Callable[[str], None]) -> None:
        """Call `callback` with the type of every job that may be claimed from now on."""
        ...

    async def offer(self, job_type: str) -> None:
        """Be one of those who run jobs of this type, as long as the process lives."""
        ...

    async def is_offered(self, job_type: str) -> bool:
        """Tell whether anybody runs jobs of this type; True where that cannot be told."""
        ...

    async def announce_change(self, job_id: str) -> None:
        """Say that a client paused, canceled or deleted a job, or that it finished."""
        ...

    async def on_change(self, callback: Callable[[str], None]) -> None:
        """Call `callback` with the id of every job that such a thing happens to from now on."""
        ...
