"""Jobs as Orthanc shows them (reference 3.2)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from lanthorn_core.errors import ORTHANC_ERRORS, error_of
from lanthorn_core.ports.jobs import Job, JobState

_SUCCESS: Final = "Success"
_ESTIMABLE: Final = 0.01
"""From this part on, the rest of a job can be estimated."""


def job_json(job: Job) -> dict[str, Any]:
    """Describe a job."""
    description: dict[str, Any] = {
        "Content": job.content,
        "CreationTime": job_time(job.created_at),
        "EffectiveRuntime": round(job.runtime_s, 3),
        "ErrorCode": 0,
        "ErrorDescription": _SUCCESS,
        "ErrorDetails": "",
        "ID": job.id,
        "Priority": job.priority,
        "Progress": int(job.progress * 100),
        "State": str(job.state),
        "Timestamp": job_time(job.seen_at),
        "Type": job.type,
    }
    if job.error is not None:
        error = error_of(job.error.slug, job.error.details, job.error.payload)
        description["ErrorCode"] = error.orthanc_code
        description["ErrorDescription"] = ORTHANC_ERRORS[error.orthanc_code]
        description["ErrorDetails"] = error.details
        if error.payload is not None:
            description["ErrorPayload"] = error.payload
    if job.user_data is not None:
        description["UserData"] = job.user_data
    if job.completed_at is not None:
        description["CompletionTime"] = job_time(job.completed_at)
    elif job.state is JobState.RUNNING and job.progress >= _ESTIMABLE:
        left = timedelta(seconds=job.runtime_s * (1 - job.progress) / job.progress)
        description["EstimatedTimeOfArrival"] = job_time(job.seen_at + left)
    return description


def job_time(moment: datetime) -> str:
    """Write a moment in UTC with microseconds, as Orthanc writes those of jobs."""
    return moment.astimezone(UTC).strftime("%Y%m%dT%H%M%S.%f")
