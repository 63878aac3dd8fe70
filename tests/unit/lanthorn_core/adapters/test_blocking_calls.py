"""Reading one chunk ahead in a thread."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from lanthorn_core.adapters.blocking_calls import read_ahead


class GatedReader:
    """Gives numbered chunks, each when the test lets it."""

    def __init__(self, chunks: int) -> None:
        self.gate = threading.Semaphore(0)
        self.waits = threading.Semaphore(0)
        self.chunks = chunks
        self.begun = 0
        self.reading = False
        self.closed_while_reading: bool | None = None

    @property
    def at_end(self) -> bool:
        return self.begun >= self.chunks

    def read(self) -> bytes:
        self.begun += 1
        self.reading = True
        self.waits.release()
        assert self.gate.acquire(timeout=60)
        self.reading = False
        return b"%d" % self.begun

    def close(self) -> None:
        self.closed_while_reading = self.reading


async def test_one_chunk_is_read_ahead_and_not_two() -> None:
    reader = GatedReader(4)
    with ThreadPoolExecutor(4) as threads:
        chunks = read_ahead(reader, threads)
        reader.gate.release(4)
        assert await anext(chunks) == b"1"
        for _ in range(2):
            assert await asyncio.to_thread(reader.waits.acquire, timeout=60)
        await asyncio.sleep(0.02)
        assert reader.begun == 2
        assert [chunk async for chunk in chunks] == [b"2", b"3", b"4"]
    assert reader.closed_while_reading is False


async def test_a_reader_is_not_closed_while_a_thread_reads_from_it() -> None:
    reader = GatedReader(4)
    with ThreadPoolExecutor(1) as threads:
        chunks = read_ahead(reader, threads)
        reader.gate.release()
        assert await anext(chunks) == b"1"
        closing = asyncio.ensure_future(chunks.aclose())
        await asyncio.sleep(0.02)
        assert (closing.done(), reader.closed_while_reading) == (False, None)
        reader.gate.release()
        await closing
    assert reader.closed_while_reading is False


async def test_a_consumer_cancelled_while_it_waits_lets_go_of_the_reader() -> None:
    reader = GatedReader(4)

    async def consume() -> None:
        async for _ in read_ahead(reader, threads):
            pass

    with ThreadPoolExecutor(1) as threads:
        consumer = asyncio.ensure_future(consume())
        assert await asyncio.to_thread(reader.waits.acquire, timeout=60)
        consumer.cancel()
        await asyncio.sleep(0.02)
        assert not consumer.done()
        reader.gate.release()
        with pytest.raises(asyncio.CancelledError):
            await consumer
    assert reader.closed_while_reading is False
