"""What a gateway does without being asked by a peer: commands of rest-api, and jobs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from lanthorn_core.commands import Command
from lanthorn_core.ports.commands import CommandHandler
from lanthorn_core.usecases.job_worker import JobWorker
from lanthorn_core.wiring import ServiceBus


@asynccontextmanager
async def requesting(
    bus: ServiceBus,
    handlers: Mapping[type[Command], CommandHandler],
    worker: JobWorker,
    stop: asyncio.Event,
) -> AsyncIterator[None]:
    """Serve commands and run jobs for the length of the block, or until `stop` is set.

    Both end what is in hand while peers are still served, so that the process ends in time.

    Parameters
    ----------
    bus : ServiceBus
        Brings the commands.
    handlers : mapping
        Who serves which kind of command.
    worker : JobWorker
        Runs the jobs.
    stop : asyncio.Event
        Set when the process shall end; set at the end of the block, too.
    """
    started = asyncio.Event()

    async def serve_commands() -> None:
        async with bus.serving_commands(handlers):
            started.set()
            await stop.wait()

    failure: Exception | None = None
    async with asyncio.TaskGroup() as group:
        group.create_task(serve_commands(), name="commands")
        group.create_task(worker.run(stop), name="job-worker")
        await started.wait()
        try:
            yield
        except Exception as error:
            # The group would wrap it.
            failure = error
        finally:
            stop.set()
    if failure is not None:
        raise failure
