"""The way from pynetdicom's association threads to the service's event loop."""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

from lanthorn_core.errors import DeadlineExceeded

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class LoopBridge:
    """Lets association threads await work on the event loop.

    Attributes
    ----------
    loop : asyncio.AbstractEventLoop
        The service's loop, running in another thread.
    timeout_s : float
        How long an answer may take; the peer does not wait for ever either.
    """

    loop: asyncio.AbstractEventLoop
    timeout_s: float

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Run `work` on the loop and return its result.

        Raises
        ------
        DeadlineExceeded
            It took too long, or the service is shutting down; `work` is cancelled.
        """
        try:
            future = asyncio.run_coroutine_threadsafe(work, self.loop)
        except RuntimeError as error:
            work.close()
            raise DeadlineExceeded("the service is shutting down") from error
        try:
            return future.result(self.timeout_s)
        except concurrent.futures.TimeoutError as error:
            if future.done():
                raise
            future.cancel()
            raise DeadlineExceeded(f"no answer in {self.timeout_s:g} s") from error
        except concurrent.futures.CancelledError as error:
            raise DeadlineExceeded("the service is shutting down") from error
