"""`lanthorn parked`: events that the indexer gave up on, and another try for one of them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING

from lanthorn_embedded.console import Console
from lanthorn_embedded.datafolder import DataFolder
from lanthorn_embedded.environment import read_settings
from lanthorn_embedded.errors import EmbeddedError
from lanthorn_embedded.maintenance import with_engines
from lanthorn_embedded.ownlog import route_structlog

if TYPE_CHECKING:
    from lanthorn_core.ports.bus import ParkedEvent
    from lanthorn_embedded.supervisor import Supervisor


def parked_command(
    folder: DataFolder, environment: Mapping[str, str], console: Console, *, retry: int | None
) -> None:
    """List the parked events, or have one tried again by the indexer, now or when it next runs.

    Parameters
    ----------
    retry : int, optional
        Number of the event to try again.

    Raises
    ------
    EmbeddedError
        The stream cannot be reached, or there is no such event.
    """

    async def ask(urls: Mapping[str, str]) -> None:
        await _ask({**environment, **urls}, console, retry)

    running = folder.read_state()
    if running is not None and running.ready:
        asyncio.run(ask({"NATS_URL": running.nats_url}))
    else:

        async def work(_: Supervisor, urls: Mapping[str, str]) -> None:
            await ask(urls)

        with_engines(folder, environment, console, work, needs_bus=True)
    console.flush()


async def _ask(environment: Mapping[str, str], console: Console, retry: int | None) -> None:
    # Imported here: `lanthorn --help` needs none of it.
    from lanthorn_core.errors import LanthornError  # noqa: PLC0415
    from lanthorn_core.wiring import open_bus  # noqa: PLC0415

    route_structlog(console.write)
    settings = read_settings(environment)
    try:
        async with open_bus(settings) as bus:
            if retry is None:
                _show(await bus.retries.parked(), console)
                return
            was_there = await bus.retries.retry_parked(retry)
    except (LanthornError, OSError) as exc:
        raise EmbeddedError(f"parked events cannot be reached: {exc}") from exc
    if not was_there:
        raise EmbeddedError(f"there is no parked event {retry}")
    console.show(f"Event {retry} will be tried again.", "parked_event_retried", number=retry)


def _show(events: list[ParkedEvent], console: Console) -> None:
    from lanthorn_core.usecases.parked_events import object_key_of  # noqa: PLC0415

    if not events:
        console.show("No event is parked.", "no_event_parked")
    for event in events:
        key = object_key_of(event)
        # Part of the text may come from a file, and must not steer somebody's terminal.
        error = "".join(letter if letter.isprintable() else "?" for letter in event.error)
        console.show(
            f"{event.number}  {key or 'no object'}\n    {error}",
            "event_parked",
            number=event.number,
            sequence=event.original_sequence,
            object_key=key,
            error=error,
        )
