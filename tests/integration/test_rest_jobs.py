"""Jobs over HTTP: what Orthanc 1.13.0 answers (reference 2.15, 3)."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
from fastapi import Request
from starlette.responses import Response
from starlette.routing import Route

from lanthorn_core import wiring
from lanthorn_core.errors import RemoteAEFailed
from lanthorn_core.ports.jobs import JobRequest
from lanthorn_core.usecases.job_runner import RunningJob
from lanthorn_core.usecases.job_worker import JobWorker
from lanthorn_rest_api import app
from lanthorn_rest_api.job_requests import answer_job, job_options
from lanthorn_rest_api.parameters import read_json
from lanthorn_rest_api.services import services_of
from tests.fixtures.jobs import Jobs
from tests.fixtures.rest_api import RestApi

TIME = re.compile(r"\d{8}T\d{6}\.\d{6}")


async def make_job(request: Request) -> Response:
    """Make a job as every route does that makes one."""
    body = await read_json(request)
    options = job_options(body)
    return await answer_job(
        services_of(request).jobs,
        JobRequest(
            type=body.get("Type", "Test"),
            parameters={"fail": body.get("Fail", "")},
            content={"IsPermissive": options.is_permissive},
            priority=options.priority,
            user_data=options.user_data,
        ),
        synchronous=options.is_synchronous,
    )


async def run_as_told(job: RunningJob) -> None:
    """End at once: well, or refused by a remote AE."""
    if job.parameters["fail"]:
        job.content["Details"] = [{"DimseErrorStatus": 0xA701}]
        raise RemoteAEFailed(job.parameters["fail"], dimse_status=0xA701)


@asynccontextmanager
async def working(rest_api: RestApi) -> AsyncIterator[None]:
    """Run the jobs that the REST API makes."""
    system = rest_api.system
    async with wiring.open_jobs(system.settings, system.bus) as engine:
        runners = {"Test": run_as_told, "DicomMoveScu": run_as_told}
        worker = JobWorker(engine.store, engine.signals, runners, concurrency=2)
        async with Jobs(engine).running(worker):
            yield


@pytest.fixture
async def api(monkeypatch: pytest.MonkeyPatch, make_rest_api: Any) -> RestApi:
    """Give the test a REST API with one more route, which makes jobs."""
    route = Route("/tools/make-job", make_job, methods=["POST"])
    monkeypatch.setattr(app, "ROUTES", (*app.ROUTES, route))
    made: RestApi = await make_rest_api(indexing=False)
    return made


async def submit(api: RestApi, **fields: Any) -> str:
    answer = await api.post("/tools/make-job", {"Asynchronous": True, **fields})
    assert answer == {"ID": answer["ID"], "Path": f"/jobs/{answer['ID']}"}
    job_id: str = answer["ID"]
    return job_id


async def test_a_job_that_waits_is_described_as_orthanc_does(api: RestApi) -> None:
    job_id = await submit(api, Priority=-3, UserData={"a": [1]})
    job = await api.get(f"/jobs/{job_id}")
    times = [job.pop("CreationTime"), job.pop("Timestamp")]
    assert all(map(TIME.fullmatch, times))
    assert times == sorted(times)
    assert job == {
        "Content": {"Description": "REST API", "IsPermissive": False},
        "EffectiveRuntime": 0.0,
        "ErrorCode": 0,
        "ErrorDescription": "Success",
        "ErrorDetails": "",
        "ID": job_id,
        "Priority": -3,
        "Progress": 0,
        "State": "Pending",
        "Type": "Test",
        "UserData": {"a": [1]},
    }


async def test_a_job_that_failed_tells_why(api: RestApi) -> None:
    async with working(api):
        refusal = await api.refusal("POST", "/tools/make-job", {"Fail": "no route"})
    assert refusal == (500, 9, "no route")
    [job] = await api.get("/jobs?expand")
    assert TIME.fullmatch(job["CompletionTime"])
    assert (job["State"], job["ErrorCode"]) == ("Failure", 9)
    assert job["ErrorDescription"] == "Error in the network protocol"
    assert job["ErrorDetails"] == "no route"
    assert job["ErrorPayload"] == {"Type": "Dimse", "Content": {"DimseErrorStatus": 0xA701}}
    assert "UserData" not in job
    assert "EstimatedTimeOfArrival" not in job


@pytest.mark.parametrize(
    ("job_type", "payload"),
    [
        ("Test", {"Type": "Dimse", "Content": {"DimseErrorStatus": 0xA701}}),
        ("DicomMoveScu", {"Type": "RetrieveJob", "Content": [{"DimseErrorStatus": 0xA701}]}),
    ],
)
async def test_who_waits_for_a_failure_is_told_in_a_payload_too(
    api: RestApi, job_type: str, payload: Any
) -> None:
    body = {"Type": job_type, "Fail": "no route"}
    async with working(api):
        answer = await api.client.post("/tools/make-job", json=body)
    assert answer.json()["ErrorPayload"] == payload


async def test_who_waits_is_answered_the_content(api: RestApi) -> None:
    async with working(api):
        answer = await api.post("/tools/make-job", {"Permissive": True})
        assert answer == {"Description": "REST API", "IsPermissive": True}
        both = {"Synchronous": True, "Asynchronous": True}
        assert "ID" not in await api.post("/tools/make-job", both)
        assert "ID" in await api.post("/tools/make-job", {"Synchronous": False})


@pytest.mark.parametrize(
    ("field", "value", "details"),
    [
        ("Asynchronous", 1, "Boolean value expected in field: Asynchronous"),
        ("Synchronous", "yes", "Boolean value expected in field: Synchronous"),
        ("Permissive", None, "Boolean value expected in field: Permissive"),
        ("Priority", "x", "Integer value expected in field: Priority"),
        ("Priority", 1.5, "Integer value expected in field: Priority"),
        ("Priority", True, "Integer value expected in field: Priority"),
        ("Priority", 2**31, "Integer value expected in field: Priority"),
    ],
)
async def test_options_of_the_wrong_type_are_refused(
    api: RestApi, field: str, value: Any, details: str
) -> None:
    refusal = await api.refusal("POST", "/tools/make-job", {"Asynchronous": True, field: value})
    assert refusal == (400, 15, details)
    assert await api.get("/jobs") == []


@pytest.mark.parametrize("user_data", ["", 0, False, [], {"ä": "\u20ac"}, 1e300, 2**63])
async def test_user_data_come_back_as_they_were(api: RestApi, user_data: Any) -> None:
    job_id = await submit(api, UserData=user_data)
    assert (await api.get(f"/jobs/{job_id}"))["UserData"] == user_data


async def test_user_data_that_only_json5_knows_do_no_harm(api: RestApi) -> None:
    body = '{"Asynchronous": true, "UserData": [NaN, 0x10,],}'
    answer = await api.client.post("/tools/make-job", content=body)
    job_id = answer.json()["ID"]
    assert (await api.get(f"/jobs/{job_id}"))["UserData"] == [None, 16]


async def test_jobs_are_listed_by_identifier(api: RestApi) -> None:
    ids = [await submit(api) for _ in range(5)]
    assert await api.get("/jobs") == sorted(ids)
    assert [job["ID"] for job in await api.get("/jobs?expand")] == sorted(ids)
    assert await api.get("/jobs?expand=false") == sorted(ids)


async def test_unknown_jobs_are_answered_as_orthanc_does(api: RestApi) -> None:
    assert_empty(await api.client.get("/jobs/nope"), 404)
    for action in ("cancel", "pause", "resume", "resubmit"):
        assert_empty(await api.client.post(f"/jobs/nope/{action}"), 400)
    refusal = await api.refusal("DELETE", "/jobs/nope")
    assert refusal == (404, 7, "No job found with this id: nope")


async def test_no_job_has_outputs(api: RestApi) -> None:
    job_id = await submit(api)
    for method in ("GET", "DELETE"):
        refusal = await api.refusal(method, f"/jobs/{job_id}/archive")
        assert refusal == (404, 7, "Job has no such output: archive")
    assert (await api.client.put(f"/jobs/{job_id}/cancel")).status_code == 405


async def test_actions_answer_as_orthanc_does(api: RestApi) -> None:
    job_id = await submit(api)

    async def act(action: str) -> int:
        answer = await api.client.post(f"/jobs/{job_id}/{action}")
        if answer.status_code == 200:
            assert (answer.text, answer.headers["content-type"]) == ("{}", "application/json")
        else:
            assert_empty(answer, 400)
        return answer.status_code

    async def state() -> str:
        text: str = (await api.get(f"/jobs/{job_id}"))["State"]
        return text

    assert await act("resume") == 400
    assert await act("resubmit") == 400
    assert (await act("pause"), await act("pause"), await state()) == (200, 200, "Paused")
    assert (await act("resume"), await state()) == (200, "Pending")
    assert (await api.refusal("DELETE", f"/jobs/{job_id}"))[:2] == (404, 7)
    assert (await act("cancel"), await state()) == (200, "Failure")
    job = await api.get(f"/jobs/{job_id}")
    assert (job["ErrorCode"], job["ErrorDescription"]) == (37, "This job was canceled")
    assert (await act("cancel"), await act("pause"), await state()) == (200, 200, "Failure")
    assert (await act("resubmit"), await state()) == (200, "Pending")
    await act("cancel")
    deleted = await api.client.delete(f"/jobs/{job_id}")
    assert (deleted.status_code, deleted.text) == (200, "")
    assert_empty(await api.client.get(f"/jobs/{job_id}"), 404)


async def test_who_waits_for_a_job_that_is_canceled_is_told_so(api: RestApi) -> None:
    waiting = asyncio.ensure_future(api.refusal("POST", "/tools/make-job", {}))
    while not (ids := await api.get("/jobs")):  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    await api.client.post(f"/jobs/{ids[0]}/cancel")
    assert await waiting == (500, 37, "")


async def test_figures_tell_how_many_jobs_wait(api: RestApi) -> None:
    await submit(api)
    text = (await api.client.get("/tools/metrics-prometheus")).text
    assert re.search(r"^orthanc_jobs_pending 1 \d+$", text, re.MULTILINE)
    assert re.search(r"^orthanc_jobs_running 0 \d+$", text, re.MULTILINE)


def assert_empty(answer: httpx2.Response, status: int) -> None:
    assert (answer.status_code, answer.content) == (status, b"")
    assert "content-type" not in answer.headers
