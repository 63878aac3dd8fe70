"""`lanthorn migrate` and `lanthorn reindex`, with or without a running system."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any

from lanthorn_embedded.console import Console
from lanthorn_embedded.datafolder import DataFolder
from lanthorn_embedded.engines.running import Engines
from lanthorn_embedded.environment import read_settings
from lanthorn_embedded.errors import EmbeddedError
from lanthorn_embedded.ownlog import route_structlog
from lanthorn_embedded.services import indexer_spec
from lanthorn_embedded.session import run_supervised

if TYPE_CHECKING:
    from lanthorn_embedded.supervisor import Supervisor


async def migrate_database(database_url: str, console: Console) -> None:
    """Bring the database's schema to this version's.

    Parameters
    ----------
    console : Console
        Receives what is logged meanwhile in this process.

    Raises
    ------
    EmbeddedError
        The database refuses.
    """
    # Imported here: the database driver is needed by few commands, and while the engines start.
    from lanthorn_core.errors import LanthornError  # noqa: PLC0415
    from lanthorn_core.wiring import migrate  # noqa: PLC0415

    route_structlog(console.write)
    try:
        await migrate(database_url)
    except (LanthornError, OSError) as exc:
        raise EmbeddedError(f"the database cannot be migrated: {exc}") from exc


async def forget_jobs_of_last_time(database_url: str) -> None:
    """Delete all jobs, as `SaveJobs` false wants it.

    Raises
    ------
    EmbeddedError
        The database refuses.
    """
    from lanthorn_core.errors import LanthornError  # noqa: PLC0415
    from lanthorn_core.wiring import forget_jobs  # noqa: PLC0415

    try:
        await forget_jobs(database_url)
    except (LanthornError, OSError) as exc:
        raise EmbeddedError(f"the jobs cannot be forgotten: {exc}") from exc


def migrate_command(folder: DataFolder, environment: Mapping[str, str], console: Console) -> None:
    """Migrate the database that the environment names, or else the data folder's.

    Raises
    ------
    EmbeddedError
        It cannot be reached, or refuses.
    """
    running = folder.read_state()
    url = environment.get("DATABASE_URL") or (running.database_url if running else "")
    if url:
        asyncio.run(migrate_database(url, console))
    else:

        async def work(_: Supervisor, urls: Mapping[str, str]) -> None:
            await migrate_database(urls["DATABASE_URL"], console)

        with_engines(folder, environment, console, work, needs_bus=False)
    console.show("The database has this version's schema.", "database_migrated")
    console.flush()


def reindex_command(
    folder: DataFolder, environment: Mapping[str, str], console: Console, *, fresh: bool
) -> None:
    """Build the index anew from the object store.

    When no system runs in the data folder, the engines and an indexer do for as long as this
    takes. An indexer that runs elsewhere on the same database is not disturbed: one writes, the
    other waits.

    Parameters
    ----------
    fresh : bool
        Empty the index first, rather than only add what it lacks.

    Raises
    ------
    EmbeddedError
        An engine cannot be reached, or the work failed.
    """
    summary: dict[str, Any] = {}

    async def rebuild(urls: Mapping[str, str]) -> None:
        summary.update(await _reindex({**environment, **urls}, console, fresh=fresh))

    running = folder.read_state()
    if running is not None and running.ready:
        urls = {"DATABASE_URL": running.database_url, "NATS_URL": running.nats_url}
        asyncio.run(rebuild(urls))
    else:

        async def work(supervisor: Supervisor, urls: Mapping[str, str]) -> None:
            await migrate_database(urls["DATABASE_URL"], console)
            await supervisor.start([indexer_spec({**environment, **urls})])
            await rebuild(urls)

        with_engines(folder, environment, console, work, needs_bus=True)
    text = ", ".join(f"{value} {name}" for name, value in summary.items())
    console.show(f"The index is built: {text}.", "index_rebuilt", **summary)
    console.flush()


async def _reindex(
    environment: Mapping[str, str], console: Console, *, fresh: bool
) -> dict[str, Any]:
    from lanthorn_core.errors import LanthornError  # noqa: PLC0415
    from lanthorn_core.wiring import reindex  # noqa: PLC0415

    route_structlog(console.write)
    try:
        return dataclasses.asdict(await reindex(read_settings(environment), fresh=fresh))
    except (LanthornError, OSError) as exc:
        raise EmbeddedError(f"the index cannot be built: {exc}") from exc


def with_engines(
    folder: DataFolder,
    environment: Mapping[str, str],
    console: Console,
    work: Callable[[Supervisor, Mapping[str, str]], Coroutine[Any, Any, None]],
    *,
    needs_bus: bool,
) -> None:
    """Do work while the engines of a data folder run, where others do not replace them."""
    folder.make()
    with folder.exclusive() as lock:
        engines = Engines(folder, environment, needs_bus=needs_bus)

        async def supervised(supervisor: Supervisor) -> None:
            await supervisor.start(engines.specs())
            await work(supervisor, {**environment, **engines.urls()})

        try:
            completed = run_supervised(supervised, console, lock)
        finally:
            engines.clear()
    if not completed:
        raise EmbeddedError("stopped before the end")
