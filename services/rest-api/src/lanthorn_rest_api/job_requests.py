"""Requests that become jobs: now or later, and what is answered (reference 3.1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson
from starlette.responses import Response

from lanthorn_core.errors import BadRequest, error_of
from lanthorn_core.ports.jobs import JobRequest
from lanthorn_core.usecases.job_registry import JobRegistry
from lanthorn_rest_api.answers import json_answer
from lanthorn_rest_api.bodies import formatted_boolean
from lanthorn_rest_api.parameters import BadFormat

RETRIEVALS: Final = frozenset({"DicomMoveScu", "DicomGetScu"})
"""Jobs whose synchronous failure is told with what became of each query (`Details`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobOptions:
    """What every body that makes a job may say besides its own fields.

    `is_synchronous`: the answer waits for the job. `is_permissive`: errors of single instances
    do not end it. `user_data`: JSON to be shown with the job; None is none.
    """

    is_synchronous: bool = True
    priority: int = 0
    is_permissive: bool = False
    user_data: Any = None


def job_options(body: Any, *, synchronous: bool = True) -> JobOptions:
    """Read the options of a body.

    Parameters
    ----------
    body : Any
        A decoded JSON body. One that is no object (an id, an array) has the defaults.
    synchronous : bool
        What counts when the body does not say.

    Raises
    ------
    BadFormat
        A field is of the wrong type.
    BadRequest
        `UserData` is none that JSON could hold.
    """
    if not isinstance(body, Mapping):
        return JobOptions(is_synchronous=synchronous)
    if "Synchronous" in body:
        synchronous = formatted_boolean(body, "Synchronous", default=synchronous)
    else:
        synchronous = not formatted_boolean(body, "Asynchronous", default=not synchronous)
    priority = body.get("Priority", 0)
    if isinstance(priority, bool) or not isinstance(priority, int) or not _fits(priority):
        raise BadFormat("Integer value expected in field: Priority")
    return JobOptions(
        is_synchronous=synchronous,
        priority=priority,
        is_permissive=formatted_boolean(body, "Permissive", default=False),
        user_data=_plain_json(body.get("UserData")),
    )


async def answer_job(jobs: JobRegistry, request: JobRequest, *, synchronous: bool) -> Response:
    """Submit a job and answer for it.

    Parameters
    ----------
    jobs : JobRegistry
        ``services.jobs``.
    request : JobRequest
        The job, with `priority` and `user_data` of its `JobOptions`.
    synchronous : bool
        Wait for the job's end and answer its `Content`, else answer its id at once. A client that
        goes away meanwhile does not end the job.

    Raises
    ------
    LanthornError
        The job's own error, if it failed while we waited.
    """
    if not synchronous:
        job_id = await jobs.submit(request)
        return json_answer({"ID": job_id, "Path": f"/jobs/{job_id}"})
    job = await jobs.run(request)
    if job.error is None:
        return json_answer(job.content)
    payload = job.error.payload
    if job.type in RETRIEVALS and "Details" in job.content:
        payload = {"Type": "RetrieveJob", "Content": job.content["Details"]}
    raise error_of(job.error.slug, job.error.details, payload)


def _fits(number: int) -> bool:
    return -(2**31) <= number < 2**31


def _plain_json(value: Any) -> Any:
    """Return a value as strict JSON has it: what came may be JSON5, with NaN and large numbers."""
    try:
        return orjson.loads(orjson.dumps(value))
    except orjson.JSONEncodeError as error:
        raise BadRequest("UserData must be JSON") from error
