"""Jobs in the database: states, claims, leases, history (reference section 3)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from lanthorn_core.errors import (
    InexistentItem,
    JobCanceled,
    RemoteAEFailed,
    WorkersUnavailable,
)
from lanthorn_core.ports.jobs import Checkpoint, Claim, Job, JobState
from lanthorn_core.usecases.job_registry import JobRegistry
from lanthorn_core.usecases.job_runner import JobRetry, RunningJob
from tests.fixtures.jobs import Jobs, MakeJobs, Steps, request_for

STEPS = request_for(parameters={"steps": 2}, content={"InstancesCount": 7})


async def nothing(_job: RunningJob) -> None:
    """Run a job that is done at once."""


async def refused(job: RunningJob) -> None:
    """Run a job that a remote AE refuses."""
    job.content["FailedInstancesCount"] = 3
    raise RemoteAEFailed("C-STORE refused", dimse_status=0xC000)


async def until_offered(jobs: Jobs, job_type: str) -> None:
    """Wait until a worker says that it runs jobs of a type."""
    async with asyncio.timeout(30):
        while not await jobs.engine.signals.is_offered(job_type):  # noqa: ASYNC110
            await asyncio.sleep(0.01)  # the worker is starting


async def test_a_job_runs_to_its_end_and_tells_how(jobs: Jobs) -> None:
    steps = Steps()
    async with jobs.worker({"Steps": steps}):
        job_id = await jobs.registry.submit(STEPS)
        steps.allow(1)
        job = await jobs.until(job_id, lambda job: job.progress == 0.5)
        assert (job.state, job.completed_at) == (JobState.RUNNING, None)
        assert job.content == {"Description": "REST API", "InstancesCount": 7, "Step": 1}
        steps.allow(1)
        job = await jobs.registry.wait(job_id)
    assert (job.state, job.progress, job.error) == (JobState.SUCCESS, 1.0, None)
    assert job.content == {"Description": "REST API", "InstancesCount": 7, "Step": 2}
    assert job.completed_at is not None
    assert job.created_at <= job.completed_at <= job.seen_at


async def test_who_waits_gets_the_job_that_failed(jobs: Jobs) -> None:
    async with jobs.worker({"Steps": refused}):
        job = await jobs.registry.run(STEPS)
    assert job.state is JobState.FAILURE
    assert job.error is not None
    assert (job.error.slug, job.error.details) == ("remote-ae-failed", "C-STORE refused")
    assert job.error.payload == {"Type": "Dimse", "Content": {"DimseErrorStatus": 0xC000}}
    assert job.content["FailedInstancesCount"] == 3


async def test_who_waits_where_nobody_runs_such_jobs_is_told_so(jobs: Jobs) -> None:
    registry = JobRegistry(jobs.engine.store, jobs.engine.signals, without_worker_s=0.1)
    await registry.listen()
    async with jobs.worker({"Fine": nothing}):
        await until_offered(jobs, "Fine")
        with pytest.raises(WorkersUnavailable, match="type Other: nothing was done"):
            await registry.run(request_for("Other"))
        assert (await registry.run(request_for("Fine"))).state is JobState.SUCCESS
    (canceled,) = [job for job in await registry.list() if job.type == "Other"]
    assert canceled.error is not None
    assert canceled.error.slug == JobCanceled.slug


async def test_a_job_waits_for_a_worker_that_is_busy_however_long(jobs: Jobs) -> None:
    registry = JobRegistry(jobs.engine.store, jobs.engine.signals, without_worker_s=0.05)
    await registry.listen()
    steps = Steps()
    async with jobs.worker({"Steps": steps}, concurrency=1):
        await until_offered(jobs, "Steps")
        async with asyncio.TaskGroup() as group:
            first, second = (group.create_task(registry.run(STEPS)) for _ in range(2))
            await asyncio.sleep(0.5)
            assert not first.done()
            assert not second.done()
            steps.allow(4)
    assert (first.result().state, second.result().state) == (JobState.SUCCESS, JobState.SUCCESS)


async def test_a_bug_in_a_runner_fails_its_job_and_nothing_else(jobs: Jobs) -> None:
    async def broken(job: RunningJob) -> None:
        if job.parameters["how"] == "raises":
            raise ZeroDivisionError
        job.content["Set"] = {1, 2}  # no JSON

    async with jobs.worker({"Broken": broken, "Fine": nothing}):
        for how in ("raises", "leaves what is no JSON"):
            job = await jobs.registry.run(request_for("Broken", parameters={"how": how}))
            assert job.error is not None
            assert (job.state, job.error.slug) == (JobState.FAILURE, "internal-error")
        assert (await jobs.registry.run(request_for("Fine"))).state is JobState.SUCCESS


async def test_a_worker_takes_only_what_it_can_run(jobs: Jobs) -> None:
    other = await jobs.registry.submit(request_for("Other"))
    async with jobs.worker({"Fine": nothing}):
        await jobs.registry.run(request_for("Fine"))
        assert (await jobs.registry.get(other)).state is JobState.PENDING  # type: ignore[union-attr]


async def test_higher_priorities_run_earlier_and_equal_ones_in_order(jobs: Jobs) -> None:
    order: list[int] = []

    async def note(job: RunningJob) -> None:
        order.append(job.parameters["number"])

    ids = [
        await jobs.registry.submit(request_for(parameters={"number": number}, priority=priority))
        for number, priority in enumerate([0, -3, 5, 0, 5])
    ]
    async with jobs.worker({"Steps": note}, concurrency=1):
        await asyncio.gather(*map(jobs.registry.wait, ids))
    assert order == [2, 4, 0, 3, 1]


async def test_a_worker_runs_as_many_at_once_as_it_may(jobs: Jobs) -> None:
    steps = Steps()
    async with jobs.worker({"Steps": steps}, concurrency=2):
        ids = [await jobs.registry.submit(STEPS) for _ in range(3)]
        await jobs.until_state(ids[1], JobState.RUNNING)
        assert await jobs.registry.counts() == {JobState.RUNNING: 2, JobState.PENDING: 1}
        steps.allow(6)
        await asyncio.gather(*map(jobs.registry.wait, ids))


async def test_a_paused_job_goes_on_where_it_was(jobs: Jobs) -> None:
    steps = Steps()
    async with jobs.worker({"Steps": steps}):
        job_id = await jobs.registry.submit(STEPS)
        await steps.begun.wait()
        assert await jobs.registry.pause(job_id)
        assert await jobs.registry.pause(job_id)
        steps.allow(1)
        job = await jobs.until(job_id, lambda job: job.progress == 0.5)
        assert job.state is JobState.PAUSED
        runtime_s = job.runtime_s
        assert runtime_s > 0
        assert (await jobs.registry.get(job_id)).runtime_s == runtime_s  # type: ignore[union-attr]
        assert await jobs.registry.resume(job_id)
        assert not await jobs.registry.resume(job_id)
        steps.allow(1)
        job = await jobs.registry.wait(job_id)
    assert (job.state, steps.done) == (JobState.SUCCESS, [0, 1])
    assert job.runtime_s > runtime_s


async def test_a_job_that_ends_although_it_was_paused_has_ended(jobs: Jobs) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def without_checkpoints(_job: RunningJob) -> None:
        begun.set()
        await go_on.wait()

    async with jobs.worker({"Steps": without_checkpoints}):
        job_id = await jobs.registry.submit(STEPS)
        await begun.wait()
        await jobs.registry.pause(job_id)
        go_on.set()
        assert (await jobs.registry.wait(job_id)).state is JobState.SUCCESS


async def test_a_canceled_job_stops_at_once(jobs: Jobs) -> None:
    begun, stopped = asyncio.Event(), asyncio.Event()

    async def endless(_job: RunningJob) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    async with jobs.worker({"Steps": endless}, lease_s=600):
        job_id = await jobs.registry.submit(STEPS)
        await begun.wait()
        assert await jobs.registry.cancel(job_id)
        job = await jobs.registry.wait(job_id)
        await stopped.wait()
    assert job.state is JobState.FAILURE
    assert job.error is not None
    assert job.error.slug == JobCanceled.slug
    assert job.completed_at is not None


@pytest.mark.parametrize("paused", [False, True])
async def test_jobs_that_do_not_run_can_be_canceled(jobs: Jobs, paused: bool) -> None:
    job_id = await jobs.registry.submit(STEPS)
    if paused:
        await jobs.registry.pause(job_id)
    assert await jobs.registry.cancel(job_id)
    assert (await jobs.registry.wait(job_id)).state is JobState.FAILURE
    assert await jobs.registry.cancel(job_id)
    assert await jobs.registry.pause(job_id)
    assert (await jobs.registry.wait(job_id)).state is JobState.FAILURE


async def test_a_failed_job_can_be_run_again_from_its_beginning(jobs: Jobs) -> None:
    seen: list[tuple[Any, Any]] = []

    async def second_time_well(job: RunningJob) -> None:
        seen.append((dict(job.state), dict(job.content)))
        await job.checkpoint(progress=0.5, state={"half": True}, content={"Step": 1})
        if len(seen) == 1:
            raise RemoteAEFailed("no answer")

    async with jobs.worker({"Steps": second_time_well}):
        first = await jobs.registry.run(STEPS)
        assert (first.state, first.progress) == (JobState.FAILURE, 0.5)
        assert await jobs.registry.resubmit(first.id)
        second = await jobs.registry.wait(first.id)
        assert (second.state, second.error) == (JobState.SUCCESS, None)
        assert not await jobs.registry.resubmit(first.id)
    assert seen == [({}, {"Description": "REST API", "InstancesCount": 7})] * 2


async def test_some_jobs_cannot_be_run_again(jobs: Jobs) -> None:
    async with jobs.worker({"Steps": refused}):
        job = await jobs.registry.run(request_for(can_be_resubmitted=False))
        assert not await jobs.registry.resubmit(job.id)
        assert (await jobs.registry.wait(job.id)).state is JobState.FAILURE


async def test_what_may_succeed_later_is_tried_again(jobs: Jobs) -> None:
    seen: list[tuple[int, Any]] = []

    async def third_time_well(job: RunningJob) -> None:
        seen.append((job.retries, job.state.get("tries", 0)))
        job.state["tries"] = job.retries + 1
        if job.retries < 2:
            raise JobRetry(RemoteAEFailed("busy"), delay_s=0.05)

    async with jobs.worker({"Steps": third_time_well}):
        job = await jobs.registry.run(STEPS)
    assert (job.state, seen) == (JobState.SUCCESS, [(0, 0), (1, 1), (2, 2)])


async def test_a_job_put_off_can_be_paused_resumed_and_canceled(jobs: Jobs) -> None:
    async def never_well(_job: RunningJob) -> None:
        raise JobRetry(RemoteAEFailed("busy"), delay_s=600)

    async with jobs.worker({"Steps": never_well}):
        job_id = await jobs.registry.submit(STEPS)
        assert (await jobs.until_state(job_id, JobState.RETRY)).completed_at is None
        await jobs.registry.pause(job_id)
        assert (await jobs.registry.get(job_id)).state is JobState.PAUSED  # type: ignore[union-attr]
        await jobs.registry.resume(job_id)
        await jobs.until_state(job_id, JobState.RETRY)
        await jobs.registry.cancel(job_id)
        assert (await jobs.registry.wait(job_id)).state is JobState.FAILURE


async def test_only_the_newest_finished_jobs_are_kept(make_jobs: MakeJobs) -> None:
    jobs: Jobs = await make_jobs(JOBS_HISTORY_SIZE="2")
    waiting = await jobs.registry.submit(request_for("Other"))
    async with jobs.worker({"Steps": nothing}):
        done = [(await jobs.registry.run(STEPS)).id for _ in range(4)]
    assert await jobs.registry.ids() == [waiting, *done[-2:]]
    assert await jobs.registry.get(done[0]) is None
    await jobs.registry.cancel(waiting)
    assert [job.id for job in await jobs.registry.list()] == [waiting, done[-1]]


async def test_without_history_the_end_is_still_told_to_who_waits(make_jobs: MakeJobs) -> None:
    jobs: Jobs = await make_jobs(JOBS_HISTORY_SIZE="0")
    async with jobs.worker({"Steps": nothing}):
        job = await jobs.registry.run(STEPS)
        assert job.state is JobState.SUCCESS
        assert (await jobs.registry.wait(job.id)).state is JobState.SUCCESS
    assert await jobs.registry.ids() == []
    assert await jobs.registry.get(job.id) is None
    assert not await jobs.registry.resubmit(job.id)


async def test_finished_jobs_can_be_forgotten_and_others_not(jobs: Jobs) -> None:
    job_id = await jobs.registry.submit(STEPS)
    assert not await jobs.registry.delete(job_id)
    await jobs.registry.cancel(job_id)
    assert await jobs.registry.delete(job_id)
    assert not await jobs.registry.delete(job_id)
    assert await jobs.registry.list() == []


async def test_there_is_nothing_to_do_with_unknown_jobs(jobs: Jobs) -> None:
    registry = jobs.registry
    for act in (registry.pause, registry.resume, registry.cancel, registry.resubmit):
        assert not await act("nope")
    assert not await registry.delete("nope")
    assert await registry.get("nope") is None
    with pytest.raises(InexistentItem):
        await registry.wait("nope")


async def test_a_worker_that_ends_gives_back_what_it_runs(jobs: Jobs) -> None:
    first, second = Steps(), Steps()
    request = request_for(parameters={"steps": 3})
    async with jobs.worker({"Steps": first}) as stop:
        job_id = await jobs.registry.submit(request)
        first.allow(1)
        await jobs.until(job_id, lambda job: job.progress > 0.3)
        stop.set()
        first.allow(1)
        await jobs.until_state(job_id, JobState.PENDING)
    async with jobs.worker({"Steps": second}):
        second.allow(1)
        job = await jobs.registry.wait(job_id)
    assert (job.state, first.done, second.done) == (JobState.SUCCESS, [0, 1], [2])


async def test_one_job_is_claimed_once(jobs: Jobs) -> None:
    await jobs.registry.submit(STEPS)
    store = jobs.engine.store
    claims = await asyncio.gather(
        *(store.claim(["Steps"], worker_id=str(n), lease_s=60) for n in range(8))
    )
    assert len([claim for claim in claims if claim is not None]) == 1


async def test_a_claim_that_was_taken_over_counts_no_more(jobs: Jobs) -> None:
    store = jobs.engine.store
    job_id = await jobs.registry.submit(STEPS)
    old = await store.claim(["Steps"], worker_id="old", lease_s=0)
    new = await store.claim(["Steps"], worker_id="new", lease_s=60)
    assert old is not None
    assert new is not None
    assert (old.claim, new.claim) == (Claim(job_id, 1), Claim(job_id, 2))
    here = Checkpoint(0.5, {"step": 1}, {})
    assert await store.checkpoint(old.claim, here, lease_s=60) is None
    assert not await store.succeed(old.claim, here)
    assert not await store.give_back(old.claim, here)
    assert await store.renew([old.claim, new.claim], lease_s=60) == {new.claim: JobState.RUNNING}
    assert await store.checkpoint(new.claim, here, lease_s=60) is JobState.RUNNING
    assert await store.succeed(new.claim, here)


async def test_a_job_that_loses_every_worker_is_given_up(jobs: Jobs) -> None:
    store = jobs.engine.store
    job_id = await jobs.registry.submit(STEPS)
    claims = 0
    while await store.claim(["Steps"], worker_id="lost", lease_s=0) is not None:
        claims += 1
    assert claims == 6
    async with jobs.worker({"Steps": nothing}):
        job = await jobs.registry.wait(job_id)
    assert job.error is not None
    assert (job.state, job.error.slug) == (JobState.FAILURE, "internal-error")


async def test_progress_between_lost_workers_keeps_a_job_alive(jobs: Jobs) -> None:
    store = jobs.engine.store
    job_id = await jobs.registry.submit(STEPS)
    for step in range(10):
        claimed = await store.claim(["Steps"], worker_id="lost", lease_s=0)
        assert claimed is not None
        await store.checkpoint(claimed.claim, Checkpoint(step / 10, {}, {}), lease_s=0)
    async with jobs.worker({"Steps": nothing}):
        assert (await jobs.registry.wait(job_id)).state is JobState.SUCCESS


async def test_who_stops_waiting_does_not_end_the_job(jobs: Jobs) -> None:
    steps = Steps()
    async with jobs.worker({"Steps": steps}):
        waiting = asyncio.ensure_future(jobs.registry.run(STEPS))
        await steps.begun.wait()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        steps.allow(2)
        [job_id] = await jobs.registry.ids()
        job: Job = await jobs.registry.wait(job_id)
    assert job.state is JobState.SUCCESS
