"""Blocking calls in threads: what a cancellation may interrupt, and reading one chunk ahead."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import Executor
from typing import Protocol, TypeVar

T = TypeVar("T")


async def in_thread(executor: Executor, work: Callable[..., T], *arguments: object) -> T:
    """Run in a thread; a cancellation leaves the thread to itself."""
    return await asyncio.get_running_loop().run_in_executor(executor, work, *arguments)


async def uninterrupted(executor: Executor, work: Callable[..., T], *arguments: object) -> T:
    """Run in a thread; a cancellation takes effect when the thread is done, not before."""
    return await completed(asyncio.get_running_loop().run_in_executor(executor, work, *arguments))


async def completed(future: asyncio.Future[T]) -> T:
    """Wait for a thread; a cancellation takes effect when the thread is done, not before."""
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        await settled(future)
        raise


async def settled(future: asyncio.Future[T]) -> None:
    """Wait for the end of a thread's work, whatever it is, through further cancellations."""
    while not future.done():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait([future])
    if not future.cancelled():
        future.exception()  # taken notice of: nobody else will


class ChunkReader(Protocol):
    """A blocking reader; `read` opens what is read when it is called first."""

    @property
    def at_end(self) -> bool:
        """Whether everything was read."""
        ...

    def read(self) -> bytes:
        """Read the next chunk; empty at the end."""
        ...

    def close(self) -> None:
        """Let go of the file or connection; harmless when there is none."""
        ...


async def read_ahead(reader: ChunkReader, executor: Executor) -> AsyncGenerator[bytes, None]:
    """Yield chunks; the next is read while the consumer has the present one.

    The reader is closed at the end, also when the consumer stops early, but never while a thread
    reads from it. What is short is read in one call of one thread.
    """
    loop = asyncio.get_running_loop()
    ahead: asyncio.Future[bytes] | None = loop.run_in_executor(executor, reader.read)
    try:
        while ahead is not None:
            chunk = await asyncio.shield(ahead)
            ahead = None if reader.at_end else loop.run_in_executor(executor, reader.read)
            if chunk:
                yield chunk
    finally:
        if ahead is not None:
            await settled(ahead)
        reader.close()
