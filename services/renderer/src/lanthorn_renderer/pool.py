"""Decoding in processes of their own: codecs hold the GIL and crash on hostile images.

Each worker is an executor with a single process, so that an image that kills its process takes no
other one with it, and the culprit is known.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import resource
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeVar

import structlog

from lanthorn_core.errors import DecodeFailed
from lanthorn_renderer.metrics import DECODER_RESTARTS, DECODER_WAIT_SECONDS, DECODERS_BUSY

Job = TypeVar("Job")
Result = TypeVar("Result")

log = structlog.get_logger()

_CRASHED = DECODER_RESTARTS.labels("crashed")
_TOO_SLOW = DECODER_RESTARTS.labels("too_slow")
_CANCELED = DECODER_RESTARTS.labels("canceled")
_WORN = DECODER_RESTARTS.labels("worn")

_PRELOADED: Final = (
    "lanthorn_renderer.job",
    "lanthorn_renderer.recode",
    "lanthorn_core.dicom.reencode",
)
_PAGE_BYTES: Final = resource.getpagesize()


class DecoderPool:
    """A bounded number of worker processes.

    Parameters
    ----------
    workers : int
        How many, which is also how many frames are decoded at a time.
    max_tasks_per_child : int
        After so many frames a process is replaced: codecs leak.
    time_limit_s : float
        A frame that takes longer ends its process.
    memory_limit_bytes : int
        What a process may allocate beyond what it has at its start.
    """

    def __init__(
        self,
        *,
        workers: int = 2,
        max_tasks_per_child: int = 500,
        time_limit_s: float = 20.0,
        memory_limit_bytes: int = 4 << 30,
    ) -> None:
        self._workers = [
            _Worker(max_tasks_per_child, time_limit_s, memory_limit_bytes) for _ in range(workers)
        ]
        self._idle: asyncio.LifoQueue[_Worker] = asyncio.LifoQueue()
        self._stack = ExitStack()

    async def __aenter__(self) -> Self:
        for worker in self._workers:
            self._stack.callback(worker.kill)
            self._idle.put_nowait(worker)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.close()

    async def warm_up(self) -> None:
        """Start the processes before the first image does."""
        await asyncio.gather(*(worker.start() for worker in self._workers))

    async def run(self, function: Callable[[Job], Result], job: Job) -> Result:
        """Call a function in a worker, as soon as one is free.

        Parameters
        ----------
        function : callable
            A function of a module, which the worker imports.
        job : object
            Its argument, pickled on the way.

        Raises
        ------
        DecodeFailed
            The worker crashed, or exceeded its time or memory.
        LanthornError
            What the function raised.
        """
        with DECODER_WAIT_SECONDS.time():
            worker = await self._idle.get()
        try:
            with DECODERS_BUSY.track_inprogress():
                return await worker.run(function, job)
        finally:
            self._idle.put_nowait(worker)


class _Worker:
    """One process, started when first needed and replaced when worn or broken.

    `ProcessPoolExecutor.max_tasks_per_child` is not used: with it, an executor of Python 3.11 that
    is not busy all the time stops starting processes (CPython issue 115634).
    """

    def __init__(self, max_tasks: int, time_limit_s: float, memory_limit_bytes: int) -> None:
        self._max_tasks = max_tasks
        self._time_limit_s = time_limit_s
        self._memory_limit_bytes = memory_limit_bytes
        self._process: _Process | None = None

    async def run(self, function: Callable[[Job], Result], job: Job) -> Result:
        process = await self.start()
        process.tasks += 1
        started = time.monotonic()
        try:
            future = process.executor.submit(_guarded, function, job, self._time_limit_s)
            return await asyncio.wrap_future(future)
        except BrokenProcessPool:
            took_s = time.monotonic() - started
            self._let_go()
            too_slow = took_s >= self._time_limit_s
            (_TOO_SLOW if too_slow else _CRASHED).inc()
            log.warning("decoder_died", slug=DecodeFailed.slug, too_slow=too_slow, took_s=took_s)
            why = f"took longer than {self._time_limit_s:g} s" if too_slow else "broke the decoder"
            raise DecodeFailed(f"the image {why}") from None
        except asyncio.CancelledError:
            self.kill()  # it may be busy for long, and the next image is not to wait for it
            _CANCELED.inc()
            raise
        except MemoryError:
            raise DecodeFailed("the image needs more memory than a decoder may take") from None

    async def start(self) -> _Process:
        """Have a process that is ready, the present one or a new one."""
        if self._process is not None and self._process.tasks >= self._max_tasks:
            self._let_go()
            _WORN.inc()
        if self._process is None:
            executor = ProcessPoolExecutor(
                1,
                mp_context=_clean_processes(),
                initializer=_limit_process,
                initargs=(self._memory_limit_bytes,),
            )
            pid = await asyncio.wrap_future(executor.submit(os.getpid))
            self._process = _Process(executor, pid)
        return self._process

    def kill(self) -> None:
        """End the process at once, in whatever it is doing."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.kill(self._process.pid, signal.SIGKILL)
            self._let_go()

    def _let_go(self) -> None:
        if self._process is not None:
            self._process.executor.shutdown(wait=False, cancel_futures=True)
            self._process = None


@dataclass(slots=True)
class _Process:
    executor: ProcessPoolExecutor
    pid: int
    tasks: int = 0


def _clean_processes() -> multiprocessing.context.BaseContext:
    """Fork from a server without threads that has the codecs loaded: a start takes 20 ms."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(_PRELOADED))
    return context


def _limit_process(memory_limit_bytes: int) -> None:
    threading.Thread(target=_end_with_service, name="end-with-service", daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the service, which ends us
    in_use = int(Path("/proc/self/statm").read_text().split()[0]) * _PAGE_BYTES
    limit = in_use + memory_limit_bytes
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _end_with_service() -> None:
    """Exit when the service is gone, even killed: an idle process would wait for ever."""
    service = multiprocessing.parent_process()
    if service is not None:
        service.join()
        os._exit(1)


def _guarded(function: Callable[[Job], Result], job: Job, time_limit_s: float) -> Result:
    """Run a job under SIGALRM, which ends a process even while a codec holds the GIL."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, time_limit_s)
    try:
        return function(job)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
