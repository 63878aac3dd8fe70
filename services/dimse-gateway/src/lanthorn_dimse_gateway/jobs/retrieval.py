"""What the jobs by C-MOVE and by C-GET have in common: several identifiers, one after the other."""

from __future__ import annotations

import copy
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import structlog

from lanthorn_core.commands import RetrieveIdentifier
from lanthorn_core.errors import LanthornError, RemoteAEFailed
from lanthorn_core.usecases.job_runner import RunningJob

log = structlog.get_logger(__name__)

_NEXT: Final = "next"
"""In the job's state: the place of the identifier that is next."""

Retrieve = Callable[[RetrieveIdentifier, "Part"], Awaitable[None]]


class Part:
    """One identifier of a job while it is retrieved.

    Parameters
    ----------
    job : RunningJob
        Whose part it is.
    place, count : int
        Which identifier, from 0, of how many.
    """

    def __init__(self, job: RunningJob, place: int, count: int) -> None:
        self._job = job
        self._place = place
        self._count = count
        self.received: list[str] = []
        """Orthanc identifiers of instances that came to us."""

    async def progress(self, part_done: float) -> None:
        """Report how much of this identifier is done, from 0 to 1.

        Raises
        ------
        JobInterrupted
            The job shall stop.
        """
        await self._job.report(progress=(self._place + part_done) / self._count)


async def retrieve_each(
    job: RunningJob,
    identifiers: Sequence[RetrieveIdentifier],
    retrieve: Retrieve,
    *,
    permissive: bool,
) -> None:
    """Retrieve by each identifier in turn, from where the job was left.

    The job's content gets one entry of `Details` for each identifier: what was asked, the status
    of a failure, and what came to us.

    Parameters
    ----------
    retrieve : callable
        Retrieves by one identifier.
    permissive : bool
        Whether the job goes on after a failure, and ends well.

    Raises
    ------
    LanthornError
        The first failure of a job that is not permissive: what follows it is not asked for.
    """
    details: list[dict[str, Any]] = [
        {"DimseErrorStatus": 0, "Query": dict(identifier.query), "ReceivedInstancesIds": []}
        for identifier in identifiers
    ]
    details[: len(job.content.get("Details", []))] = copy.deepcopy(job.content.get("Details", []))
    for place in range(job.state.get(_NEXT, 0), len(identifiers)):
        part = Part(job, place, len(identifiers))
        failure: LanthornError | None = None
        try:
            await retrieve(identifiers[place], part)
        except LanthornError as error:
            failure = error
        status = failure.dimse_status if isinstance(failure, RemoteAEFailed) else None
        details[place]["DimseErrorStatus"] = status or 0
        details[place]["ReceivedInstancesIds"] = part.received
        if failure is not None:
            log.warning("retrieval_failed", job_id=job.id, error=failure.slug)
            if not permissive:
                job.content["Details"] = details
                raise failure
        await job.checkpoint(
            progress=(place + 1) / len(identifiers),
            state={_NEXT: place + 1},
            content={"Details": details},
        )
