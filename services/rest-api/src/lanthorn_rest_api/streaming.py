"""Long answers: sent as fast as the client takes them, stopped when it goes away."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from starlette.types import Receive


async def until_disconnect(work: Coroutine[Any, Any, None], receive: Receive) -> bool:
    """Run what sends an answer, and cancel it if the client disconnects.

    The server swallows what is sent to a client that is gone, so that somebody has to look.

    Returns
    -------
    bool
        Whether the work was done; False when the client left.
    """
    try:
        async with asyncio.TaskGroup() as group:
            sending = group.create_task(work, name="send-answer")
            watching = group.create_task(_disconnect(receive), name="watch-client")
            await asyncio.wait({sending, watching}, return_when=asyncio.FIRST_COMPLETED)
            is_done = sending.done()
            sending.cancel()
            watching.cancel()
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from failures
    return is_done


async def _disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
