"""Jobs: seen, paused, resumed, canceled, run again, forgotten (reference 2.15)."""

from __future__ import annotations

from http import HTTPStatus

from fastapi import APIRouter, Request
from starlette.responses import Response

from lanthorn_core.errors import InexistentItem
from lanthorn_rest_api.answers import action_answer, empty_answer, json_answer
from lanthorn_rest_api.jobs_json import job_json
from lanthorn_rest_api.parameters import flag
from lanthorn_rest_api.services import ServicesDep

router = APIRouter()


@router.get("/jobs")
async def list_jobs(request: Request, services: ServicesDep) -> Response:
    """List the jobs by identifier, expanded for who asks."""
    if flag(request.query_params, "expand"):
        jobs = sorted(await services.jobs.list(), key=lambda job: job.id)
        return json_answer([job_json(job) for job in jobs])
    return json_answer(sorted(await services.jobs.ids()))


@router.get("/jobs/{job_id}")
async def show_job(job_id: str, services: ServicesDep) -> Response:
    """Describe a job."""
    job = await services.jobs.get(job_id)
    if job is None:
        return Response(status_code=HTTPStatus.NOT_FOUND)
    return json_answer(job_json(job))


@router.delete("/jobs/{job_id}")
async def forget_job(job_id: str, services: ServicesDep) -> Response:
    """Forget a finished job; one that has not finished counts as none, as in Orthanc."""
    if not await services.jobs.delete(job_id):
        raise InexistentItem(f"No job found with this id: {job_id}")
    return empty_answer()


@router.post("/jobs/{job_id}/pause")
async def pause_job(job_id: str, services: ServicesDep) -> Response:
    """Pause a job; one that has finished stays as it is."""
    return _action(await services.jobs.pause(job_id))


@router.post("/jobs/{job_id}/resume")
async def resume_job(job_id: str, services: ServicesDep) -> Response:
    """Let a paused job go on."""
    return _action(await services.jobs.resume(job_id))


@router.post("/jobs/{job_id}/cancel")
async def cancel_job(job_id: str, services: ServicesDep) -> Response:
    """Cancel a job; one that has finished stays as it is."""
    return _action(await services.jobs.cancel(job_id))


@router.post("/jobs/{job_id}/resubmit")
async def resubmit_job(job_id: str, services: ServicesDep) -> Response:
    """Run a failed job again."""
    return _action(await services.jobs.resubmit(job_id))


@router.get("/jobs/{job_id}/{key}")
async def show_output(job_id: str, key: str) -> Response:
    """Send an output of a job; no type of jobs leaves any yet."""
    raise InexistentItem(f"Job has no such output: {key}")


@router.delete("/jobs/{job_id}/{key}")
async def remove_output(job_id: str, key: str) -> Response:
    """Delete an output of a job; no type of jobs leaves any yet."""
    raise InexistentItem(f"Job has no such output: {key}")


def _action(has_happened: bool) -> Response:
    # Orthanc's handlers give no answer then, which makes an empty 400.
    return action_answer() if has_happened else Response(status_code=HTTPStatus.BAD_REQUEST)
