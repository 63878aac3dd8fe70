"""Jobs by C-MOVE and C-GET: several identifiers, one after the other, and where they go on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from lanthorn_core.commands import RetrieveIdentifier
from lanthorn_core.errors import RemoteAEFailed
from lanthorn_core.model import Level
from lanthorn_core.usecases.job_runner import JobPaused, RunningJob
from lanthorn_dimse_gateway.jobs.retrieval import Part, retrieve_each


class RecordedJob(RunningJob):
    """A job whose checkpoints are kept here; it may be told to pause at one."""

    def __init__(self, *, pause_at: float = 2.0) -> None:
        self.id, self.type = "job", "DicomMoveScu"
        self.parameters: Mapping[str, Any] = {}
        self.state: dict[str, Any] = {}
        self.content: dict[str, Any] = {}
        self.progress, self.retries = 0.0, 0
        self.pause_at = pause_at
        self.reported: list[float] = []

    async def checkpoint(
        self,
        *,
        progress: float | None = None,
        state: Mapping[str, Any] | None = None,
        content: Mapping[str, Any] | None = None,
    ) -> None:
        if progress is not None:
            self.progress = progress
            self.reported.append(progress)
        if state is not None:
            self.state = dict(state)
        self.content.update(content or {})
        if self.progress >= self.pause_at:
            raise JobPaused

    report = checkpoint


def identifiers(*uids: str) -> list[RetrieveIdentifier]:
    return [
        RetrieveIdentifier(level=Level.STUDY, keys={}, query={"0020,000d": uid}) for uid in uids
    ]


async def run(
    job: RunningJob, wanted: Sequence[RetrieveIdentifier], *, failing: str = "", **options: Any
) -> list[str]:
    """Retrieve; gives the UIDs that were asked for."""
    asked: list[str] = []

    async def retrieve(identifier: RetrieveIdentifier, part: Part) -> None:
        uid = identifier.query["0020,000d"]
        asked.append(uid)
        await part.progress(0.5)
        part.received = [f"instance of {uid}"]
        if uid == failing:
            raise RemoteAEFailed("no", dimse_status=0xA801)

    await retrieve_each(job, wanted, retrieve, **{"permissive": False, **options})
    return asked


async def test_progress_counts_identifiers_and_their_parts() -> None:
    job = RecordedJob()
    assert await run(job, identifiers("1", "2")) == ["1", "2"]
    assert job.reported == [0.25, 0.5, 0.75, 1.0]
    assert job.content["Details"] == [
        {
            "DimseErrorStatus": 0,
            "Query": {"0020,000d": uid},
            "ReceivedInstancesIds": [f"instance of {uid}"],
        }
        for uid in ("1", "2")
    ]


async def test_a_job_that_is_taken_over_goes_on_with_the_next_identifier() -> None:
    job = RecordedJob(pause_at=0.5)
    with pytest.raises(JobPaused):
        await run(job, identifiers("1", "2"))
    job.pause_at = 2.0
    assert await run(job, identifiers("1", "2")) == ["2"]
    received = [detail["ReceivedInstancesIds"] for detail in job.content["Details"]]
    assert received == [["instance of 1"], ["instance of 2"]]


async def test_a_job_that_is_paused_amid_an_identifier_asks_for_it_again() -> None:
    job = RecordedJob(pause_at=0.75)
    with pytest.raises(JobPaused):
        await run(job, identifiers("1", "2"))
    assert job.state == {"next": 1}
    job.pause_at = 2.0
    assert await run(job, identifiers("1", "2")) == ["2"]


async def test_the_first_failure_ends_a_job_and_stands_in_its_details() -> None:
    job = RecordedJob()
    with pytest.raises(RemoteAEFailed):
        await run(job, identifiers("1", "2", "3"), failing="2")
    assert job.state == {"next": 1}
    statuses = [detail["DimseErrorStatus"] for detail in job.content["Details"]]
    assert statuses == [0, 0xA801, 0]


async def test_a_permissive_job_goes_on_after_a_failure() -> None:
    job = RecordedJob()
    assert await run(job, identifiers("1", "2"), failing="1", permissive=True) == ["1", "2"]
    statuses = [detail["DimseErrorStatus"] for detail in job.content["Details"]]
    assert statuses == [0xA801, 0]
