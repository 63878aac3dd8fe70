"""Looking after the worklist items of this system, as long as a gateway runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from lanthorn_core.ports.index import IndexReader
from lanthorn_core.runtime.worklists_section import WorklistsSection
from lanthorn_core.usecases.retire_worklists import RetireWorklists
from lanthorn_core.usecases.worklists import Worklists


@asynccontextmanager
async def retiring_worklists(
    worklists: Worklists, reader: IndexReader, section: WorklistsSection
) -> AsyncIterator[None]:
    """Remove items whose time is over, every `HousekeepingInterval`, for the length of the block.

    Every gateway process does: each removes what the others have left.
    """
    retire = RetireWorklists(
        worklists,
        reader,
        on_stable_study=section.delete_worklists_on_stable_study,
        after_h=section.delete_worklists_delay,
    )
    failure: Exception | None = None
    async with asyncio.TaskGroup() as group:
        task = group.create_task(
            retire.forever(section.housekeeping_interval), name="retire-worklists"
        )
        try:
            yield
        except Exception as error:
            # The group would wrap it.
            failure = error
        finally:
            task.cancel()
    if failure is not None:
        raise failure
