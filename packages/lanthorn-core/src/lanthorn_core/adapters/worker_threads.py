"""Threads for short blocking calls of one event loop.

What `run_in_executor` does costs as much as writing a small file: two futures, locks, and a wake-up
of the loop for each call. Here a call is one future, and calls that end together wake the loop
once.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, Final, TypeVar

from lanthorn_core.adapters.blocking_calls import settled

T = TypeVar("T")

_Job = tuple[asyncio.Future[Any], Callable[..., Any], tuple[object, ...]]


class WorkerThreads:
    """At most `count` threads, started as they are needed.

    Made on the loop that it serves. Every call runs to its end; cancelling its future before that
    only means that nobody hears of it.
    """

    def __init__(self, count: int, name: str) -> None:
        self._count: Final = count
        self._name: Final = name
        self._loop = asyncio.get_running_loop()
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._unfinished: dict[asyncio.Future[Any], asyncio.Future[None] | None] = {}
        """With what is told of the end of a call that was cancelled and is waited for."""
        self._done: deque[tuple[asyncio.Future[Any], Any, BaseException | None]] = deque()
        self._told = False

    def run(self, work: Callable[..., T], *arguments: object) -> asyncio.Future[T]:
        """Have a thread call `work`; the future has its outcome."""
        future: asyncio.Future[T] = self._loop.create_future()
        self._unfinished[future] = None
        if len(self._unfinished) > len(self._threads) < self._count:
            thread = threading.Thread(
                target=self._work, name=f"{self._name}-{len(self._threads)}", daemon=True
            )
            thread.start()
            self._threads.append(thread)
        self._jobs.put((future, work, arguments))
        return future

    async def outcome(self, future: asyncio.Future[T]) -> T:
        """Wait for a call; a cancellation takes effect when the call has ended, not before."""
        try:
            return await future
        except asyncio.CancelledError:
            if future in self._unfinished:
                ended = self._unfinished[future] = self._loop.create_future()
                await settled(ended)
            raise

    def shut_down(self) -> None:
        """Return when everything that was begun has ended; blocks, so never on the loop."""
        for _ in self._threads:
            self._jobs.put(None)
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            future, work, arguments = job
            try:
                self._done.append((future, work(*arguments), None))
            except BaseException as error:
                self._done.append((future, None, error))
            # Kept until the next call, they would keep buffers alive.
            del job, future, work, arguments
            if not self._told:
                self._told = True
                try:
                    self._loop.call_soon_threadsafe(self._deliver)
                except RuntimeError:
                    return  # the loop is closed: nobody waits any more

    def _deliver(self) -> None:
        self._told = False
        while self._done:
            future, result, error = self._done.popleft()
            waiter = self._unfinished.pop(future)
            if future.done():  # cancelled
                if waiter is not None:
                    waiter.set_result(None)
            elif error is None:
                future.set_result(result)
            else:
                future.set_exception(error)
