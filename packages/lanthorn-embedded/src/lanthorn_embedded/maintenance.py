"""`lanthorn migrate` and `lanthorn reindex`, with or without a running system."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any

from lanthorn_embedded.console import Console
from lanthorn_embedded.datafolder import DataFolder, SystemState
from lanthorn_embedded.engines.running import Engines
from lanthorn_embedded.environment import read_settings
from lanthorn_embedded.errors import EmbeddedError
from lanthorn_embedded.ownlog import route_structlog
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
    # Imported here: the database driver is needed by two commands only.
    from lanthorn_core.errors import LanthornError  # noqa: PLC0415
    from lanthorn_core.wiring import migrate  # noqa: PLC0415

    route_structlog(console.write)
    try:
        await migrate(database_url)
    except (LanthornError, OSError) as exc:
        raise EmbeddedError(f"the database cannot be migrated: {exc}") from exc


def migrate_command(folder: DataFolder, environment: Mapping[str, str], console: Console) -> None:
    """Migrate the database that the environment or the data folder names.

    Raises
    ------
    EmbeddedError
        It cannot be reached, or refuses.
    """

    async def work(environment: Mapping[str, str]) -> None:
        await migrate_database(environment["DATABASE_URL"], console)

    _with_engines(folder, environment, console, work, needs_bus=False)
    console.show("The database has this version's schema.", "database_migrated")
    console.flush()


def reindex_command(
    folder: DataFolder, environment: Mapping[str, str], console: Console, *, fresh: bool
) -> None:
    """Build the index anew from the object store.

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

    async def work(environment: Mapping[str, str]) -> None:
        from lanthorn_core.errors import LanthornError  # noqa: PLC0415
        from lanthorn_core.wiring import reindex  # noqa: PLC0415

        await migrate_database(environment["DATABASE_URL"], console)
        try:
            counts = await reindex(read_settings(environment), fresh=fresh)
        except (LanthornError, OSError) as exc:
            raise EmbeddedError(f"the index cannot be built: {exc}") from exc
        summary.update(dataclasses.asdict(counts))

    _with_engines(folder, environment, console, work, needs_bus=True)
    text = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in summary.items())
    console.show(f"The index is built: {text}.", "index_rebuilt", **summary)
    console.flush()


def _with_engines(
    folder: DataFolder,
    environment: Mapping[str, str],
    console: Console,
    work: Callable[[Mapping[str, str]], Coroutine[Any, Any, None]],
    *,
    needs_bus: bool,
) -> None:
    """Do work with the engines: external ones, those of a running `up`, or our own for now."""
    running = folder.read_state()
    if running is not None and running.database_url and running.nats_url:
        environment = {**_urls_of(running), **environment}
    needed = {"DATABASE_URL", "NATS_URL"} if needs_bus else {"DATABASE_URL"}
    if needed <= environment.keys():
        asyncio.run(work(environment))
        return
    folder.make()
    with folder.exclusive() as lock:
        engines = Engines(folder, environment, needs_bus=needs_bus)

        async def supervised(supervisor: Supervisor) -> None:
            await supervisor.start(engines.specs())
            await work({**environment, **engines.urls()})

        try:
            completed = run_supervised(supervised, console, lock)
        finally:
            engines.clear()
    if not completed:
        raise EmbeddedError("stopped before the end")


def _urls_of(state: SystemState) -> dict[str, str]:
    return {"DATABASE_URL": state.database_url, "NATS_URL": state.nats_url}
