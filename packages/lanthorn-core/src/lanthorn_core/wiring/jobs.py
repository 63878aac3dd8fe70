"""The jobs of the system."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from lanthorn_core.ports.jobs import JobSignals, JobStore
from lanthorn_core.runtime.settings import Settings
from lanthorn_core.usecases.job_registry import JobRegistry
from lanthorn_core.wiring.stream import ServiceBus


@dataclass(frozen=True)
class JobsEngine:
    """The jobs of the system: the registry for those who make them, the rest for workers."""

    store: JobStore
    signals: JobSignals
    registry: JobRegistry


@asynccontextmanager
async def open_jobs(settings: Settings, bus: ServiceBus) -> AsyncIterator[JobsEngine]:
    """Open a small pool for jobs, and begin to hear of those that end."""
    from lanthorn_core.adapters.index_postgres.pool import open_pool
    from lanthorn_core.adapters.jobs_postgres.store import PostgresJobStore

    url = settings.runtime.database_url
    async with open_pool(
        url, application="lanthorn-jobs", read_only=False, size=3, lazy=True, stateless=True
    ) as pool:
        store = PostgresJobStore(pool, history_size=settings.jobs_history_size)
        registry = JobRegistry(store, bus.job_signals)
        await registry.listen()
        yield JobsEngine(store, bus.job_signals, registry)


async def forget_jobs(database_url: str) -> None:
    """Delete all jobs: what `SaveJobs` false means when the whole system starts."""
    from lanthorn_core.adapters.jobs_postgres.store import forget_jobs as forget

    await forget(database_url)
