"""What runs a job: the contract between the jobs engine and those who do the work."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Protocol

from lanthorn_core.errors import LanthornError


class JobInterrupted(Exception):  # an order, not an error
    """The runner shall stop now; it lets this pass, after closing what it has open."""


class JobPaused(JobInterrupted):
    """A client paused the job; it goes on later from the checkpoint just recorded."""


class JobGone(JobInterrupted):
    """A client canceled the job, or another worker has it: nothing of it can be recorded."""


class JobHandedOver(JobInterrupted):
    """The process ends; another worker goes on from the checkpoint just recorded."""


class JobRetry(Exception):  # an order, not an error
    """What failed may succeed later: run the job again, from its state as it is now.

    Parameters
    ----------
    cause : LanthornError
        What went wrong, for the log.
    delay_s : float
        Seconds to wait before.
    """

    def __init__(self, cause: LanthornError, *, delay_s: float) -> None:
        super().__init__(str(cause))
        self.cause = cause
        self.delay_s = delay_s


class RunningJob(ABC):
    """A job in the hands of its runner.

    Attributes
    ----------
    id, type : str
        Which job, and what it does.
    parameters : mapping
        As given when it was submitted.
    state : dict
        Where to go on: empty at the beginning, else as in the last checkpoint. JSON.
    content : dict
        What clients see as `Content`. JSON. What stands here when the runner returns or raises
        is recorded with the job's end.
    progress : float
        From 0 to 1.
    retries : int
        How often `JobRetry` put the job off until now.
    """

    id: str
    type: str
    parameters: Mapping[str, Any]
    state: dict[str, Any]
    content: dict[str, Any]
    progress: float
    retries: int

    @abstractmethod
    async def checkpoint(
        self,
        *,
        progress: float | None = None,
        state: Mapping[str, Any] | None = None,
        content: Mapping[str, Any] | None = None,
    ) -> None:
        """Record how far the job is; a worker that takes it over goes on from here.

        Give new lists and dicts rather than change those that an earlier call was given.

        Parameters
        ----------
        progress : float, optional
            From 0 to 1.
        state : mapping, optional
            Takes the place of `state`.
        content : mapping, optional
            Fields to add to `content`, or to replace there.

        Raises
        ------
        JobInterrupted
            The runner shall stop: let it pass.
        """

    @abstractmethod
    async def report(
        self,
        *,
        progress: float | None = None,
        state: Mapping[str, Any] | None = None,
        content: Mapping[str, Any] | None = None,
    ) -> None:
        """Like `checkpoint`, but recorded at most once a second: for every small step.

        After a crash some of the steps reported last are done again.
        """


class JobRunner(Protocol):
    """Does the work of one type of jobs.

    Returning is success. A `LanthornError` is the job's failure: its class, details and payload
    are what clients see. `JobRetry` puts the job off. Anything else is a bug: it is logged, and
    the job fails with an internal error. A runner is canceled (`asyncio.CancelledError`) when a
    client cancels the job, or when it does not reach a checkpoint in time while the process ends.
    """

    async def __call__(self, job: RunningJob, /) -> None:
        """Run the job to its end, from `job.state`."""
        ...
