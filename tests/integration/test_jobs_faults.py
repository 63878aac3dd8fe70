"""Jobs when things break: workers killed, the database away, signals lost."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from lanthorn_core import wiring
from lanthorn_core.ports.jobs import JobState
from lanthorn_core.runtime.settings import load_settings
from lanthorn_embedded.engines.postgres import PostgresEngine
from tests.fixtures.database_door import database_door
from tests.fixtures.jobs import LEASE_S, Jobs, Steps, request_for


@dataclass
class WorkerProcesses:
    """Processes with workers, and the steps that they made."""

    folder: Path
    environ: dict[str, str]
    running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self, *, lease_s: float = LEASE_S) -> subprocess.Popen[bytes]:
        """Start one more."""
        command = [sys.executable, "-m", "tests.fixtures.job_worker_process"]
        with (self.folder / "log").open("ab") as log:
            process = subprocess.Popen(
                [*command, str(self.folder), str(lease_s)],
                env=self.environ,
                stderr=log,
                stdout=log,
            )
        self.running.append(process)
        return process

    def allow(self, steps: int) -> None:
        """Let jobs come to this step."""
        fresh = self.folder / "fresh"
        fresh.write_text(str(steps))
        fresh.rename(self.folder / "allowed")

    def steps(self) -> list[tuple[int, int]]:
        """Return the steps made, each with the id of its process."""
        lines = (self.folder / "steps").read_text().splitlines()
        return [(int(step), int(pid)) for step, pid in map(str.split, lines)]


@pytest.fixture
def worker_processes(database_url: str, nats_url: str, tmp_path: Path) -> Iterator[WorkerProcesses]:
    """Let the test start workers; what is left of them is killed."""
    environ = {
        **os.environ,
        "DATABASE_URL": database_url,
        "NATS_URL": nats_url,
        "LANTHORN_DATA_DIR": str(tmp_path / "data"),
    }
    processes = WorkerProcesses(tmp_path, environ)
    processes.allow(0)
    yield processes
    for process in processes.running:
        process.kill()
        process.wait()


async def test_a_job_goes_on_elsewhere_when_its_worker_is_killed(
    jobs: Jobs, worker_processes: WorkerProcesses
) -> None:
    # Nobody but a stalled machine takes so long for a step; it is waited for once.
    first = worker_processes.start(lease_s=10.0)
    job_id = await jobs.registry.submit(request_for(parameters={"steps": 6}))
    worker_processes.allow(3)
    before = await jobs.until(job_id, lambda job: job.content.get("Step") == 3)
    first.send_signal(signal.SIGKILL)
    first.wait()
    second = worker_processes.start()
    worker_processes.allow(6)
    job = await jobs.registry.wait(job_id)
    assert job.state is JobState.SUCCESS
    assert worker_processes.steps() == [
        *((step, first.pid) for step in range(3)),
        *((step, second.pid) for step in range(3, 6)),
    ]
    assert job.runtime_s >= before.runtime_s > 0


async def test_a_worker_told_to_end_hands_its_job_over_at_once(
    jobs: Jobs, worker_processes: WorkerProcesses
) -> None:
    first = worker_processes.start()
    job_id = await jobs.registry.submit(request_for(parameters={"steps": 2}))
    worker_processes.allow(1)
    await jobs.until(job_id, lambda job: job.content.get("Step") == 1)
    # It waits for its next step, which never comes: it is stopped between two checkpoints.
    first.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(first.wait, 30) == 0
    assert (await jobs.until_state(job_id, JobState.PENDING)).content["Step"] == 1
    second = worker_processes.start()
    worker_processes.allow(2)
    assert (await jobs.registry.wait(job_id)).state is JobState.SUCCESS
    assert worker_processes.steps() == [(0, first.pid), (1, second.pid)]


async def test_jobs_outlive_an_absent_database(
    jobs: Jobs,
    postgres_engine: PostgresEngine,
    database_url: str,
    nats_url: str,
    tmp_path: Path,
    engines_folder: Path,
) -> None:
    steps = Steps()
    name = database_url.partition("?")[0].rpartition("/")[2]
    folder = engines_folder / name
    folder.mkdir()
    async with AsyncExitStack() as stack:
        door, url = await stack.enter_async_context(database_door(postgres_engine, name, folder))
        assert url != database_url
        settings = load_settings(
            {"DATABASE_URL": url, "NATS_URL": nats_url, "LANTHORN_DATA_DIR": str(tmp_path)}
        )
        bus = await stack.enter_async_context(wiring.open_bus(settings))
        engine = await stack.enter_async_context(wiring.open_jobs(settings, bus))
        await stack.enter_async_context(Jobs(engine).worker({"Steps": steps}, lease_s=60))
        job_id = await jobs.registry.submit(request_for(parameters={"steps": 2}))
        steps.allow(1)
        await jobs.until(job_id, lambda job: job.progress == 0.5)
        door.shut()
        steps.allow(1)
        # Cannot be claimed now; the signal of it is lost on the worker.
        other_id = await jobs.registry.submit(request_for(parameters={"steps": 0}))
        await steps.made[1].wait()
        door.open()
        for each in (job_id, other_id):
            assert (await jobs.registry.wait(each)).state is JobState.SUCCESS
    assert steps.done == [0, 1]


async def test_without_signals_jobs_only_take_longer(
    jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lanthorn_core.usecases.job_worker.POLL_S", 0.1)
    monkeypatch.setattr("lanthorn_core.usecases.job_registry.LOOK_AGAIN_S", 0.1)

    async def lose(*_: Any) -> None:
        """Lose a signal."""

    for name in ("announce_due", "announce_change"):
        monkeypatch.setattr(type(jobs.engine.signals), name, lose)
    steps = Steps()
    steps.allow(2)
    async with jobs.worker({"Steps": steps}):
        job = await jobs.registry.run(request_for(parameters={"steps": 2}))
    assert job.state is JobState.SUCCESS
