"""Jobs as JSON: times, progress and the estimated end (reference 3.2)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from lanthorn_core.ports.jobs import Job, JobError, JobState
from lanthorn_rest_api.job_requests import JobOptions, job_options
from lanthorn_rest_api.jobs_json import job_json, job_time

NOON = datetime(2026, 11, 20, 12, 0, 0, 7, UTC)


def job(state: JobState, *, progress: float = 0.0, error: JobError | None = None) -> Job:
    return Job(
        id="j",
        type="Test",
        state=state,
        content={},
        priority=0,
        user_data=None,
        progress=progress,
        error=error,
        runtime_s=12.34567,
        created_at=NOON,
        completed_at=NOON if state.is_final else None,
        seen_at=NOON + timedelta(minutes=1),
    )


def test_times_are_utc_with_microseconds() -> None:
    local = NOON.astimezone(timezone(timedelta(hours=5, minutes=45)))
    assert job_time(local) == job_time(NOON) == "20261120T120000.000007"


def test_the_end_of_a_running_job_is_estimated_from_its_progress() -> None:
    shown = job_json(job(JobState.RUNNING, progress=0.25))
    assert (shown["Progress"], shown["EffectiveRuntime"]) == (25, 12.346)
    assert shown["EstimatedTimeOfArrival"] == "20261120T120137.037017"


@pytest.mark.parametrize(
    ("state", "progress"),
    [(JobState.RUNNING, 0.0), (JobState.PAUSED, 0.5), (JobState.RETRY, 0.5)],
)
def test_without_progress_or_running_no_end_can_be_told(state: JobState, progress: float) -> None:
    assert "EstimatedTimeOfArrival" not in job_json(job(state, progress=progress))


def test_only_a_job_that_is_done_is_at_a_hundred() -> None:
    assert job_json(job(JobState.RUNNING, progress=0.9999))["Progress"] == 99
    assert job_json(job(JobState.SUCCESS, progress=1.0))["Progress"] == 100


def test_an_error_that_this_version_does_not_know_is_an_internal_one() -> None:
    shown = job_json(job(JobState.FAILURE, error=JobError("from-the-future", "why")))
    assert (shown["ErrorCode"], shown["ErrorDetails"]) == (-1, "why")
    assert shown["CompletionTime"] == "20261120T120000.000007"


@pytest.mark.parametrize("body", ["an id", ["ids"], None, {}])
def test_a_body_that_says_nothing_has_the_defaults(body: object) -> None:
    assert job_options(body) == JobOptions()
    assert not job_options(body, synchronous=False).is_synchronous
