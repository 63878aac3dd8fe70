"""Decoder processes: limits hold, and who dies takes nobody along."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator

import pytest

from lanthorn_core.errors import DecodeFailed, NotRenderable
from lanthorn_renderer.pool import DecoderPool


def pid_after(delay_s: float) -> int:
    time.sleep(delay_s)
    return os.getpid()


def crash(_: object) -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def allocate(size_bytes: int) -> int:
    return len(bytearray(size_bytes))


def refuse(text: str) -> None:
    raise NotRenderable(text)


@pytest.fixture
async def pool() -> AsyncIterator[DecoderPool]:
    async with DecoderPool(workers=2, max_tasks_per_child=3, memory_limit_bytes=256 << 20) as pool:
        await pool.warm_up()
        yield pool


async def test_a_crash_fails_that_image_only(pool: DecoderPool) -> None:
    answers = await asyncio.gather(
        pool.run(crash, None), *(pool.run(pid_after, 0.1) for _ in range(6)), return_exceptions=True
    )
    assert isinstance(answers[0], DecodeFailed)
    assert "broke the decoder" in answers[0].details
    assert all(isinstance(pid, int) for pid in answers[1:])


async def test_an_image_that_takes_too_long_is_given_up() -> None:
    async with DecoderPool(workers=1, time_limit_s=1.0) as pool:
        with pytest.raises(DecodeFailed, match="longer than 1 s"):
            await pool.run(pid_after, 60.0)
        assert await pool.run(pid_after, 0.0)


async def test_an_image_that_wants_too_much_memory_fails(pool: DecoderPool) -> None:
    assert await pool.run(allocate, 1 << 20) == 1 << 20
    with pytest.raises(DecodeFailed, match="memory"):
        await pool.run(allocate, 1 << 30)


async def test_our_errors_pass_through_with_their_text(pool: DecoderPool) -> None:
    with pytest.raises(NotRenderable, match="no such thing"):
        await pool.run(refuse, "no such thing")


async def test_a_worn_process_is_replaced() -> None:
    async with DecoderPool(workers=1, max_tasks_per_child=3) as pool:
        pids = [await pool.run(pid_after, 0.0) for _ in range(7)]
    assert pids[0] == pids[2] != pids[3] == pids[5] != pids[6]


async def test_no_process_outlives_the_pool() -> None:
    async with DecoderPool(workers=1) as pool:
        pid = await pool.run(pid_after, 0.0)
        busy = asyncio.ensure_future(pool.run(pid_after, 15.0))
        await asyncio.sleep(0.1)
        busy.cancel()
        await asyncio.wait({busy})
    async with asyncio.timeout(60):
        while is_running(pid):  # noqa: ASYNC110 - the end of a process sets no event
            await asyncio.sleep(0.02)


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
