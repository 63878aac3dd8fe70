"""The way from association threads to the event loop."""

from __future__ import annotations

import asyncio

import pytest

from lanthorn_core.errors import DeadlineExceeded, StorageFull
from lanthorn_dimse_gateway.bridge import LoopBridge


async def test_results_and_failures_come_back_to_the_thread() -> None:
    bridge = LoopBridge(asyncio.get_running_loop(), timeout_s=10)

    async def succeed() -> int:
        return 7

    async def fail() -> int:
        raise StorageFull("no room")

    assert await asyncio.to_thread(bridge.call, succeed()) == 7
    with pytest.raises(StorageFull):
        await asyncio.to_thread(bridge.call, fail())


async def test_work_that_takes_too_long_is_cancelled() -> None:
    cancelled = asyncio.Event()

    async def wait_for_ever() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    bridge = LoopBridge(asyncio.get_running_loop(), timeout_s=0.05)
    with pytest.raises(DeadlineExceeded):
        await asyncio.to_thread(bridge.call, wait_for_ever())
    await asyncio.wait_for(cancelled.wait(), 10)


async def test_a_time_out_of_the_work_itself_is_no_deadline_of_the_bridge() -> None:
    async def time_out() -> None:
        raise TimeoutError("mine")

    bridge = LoopBridge(asyncio.get_running_loop(), timeout_s=10)
    with pytest.raises(TimeoutError, match="mine"):
        await asyncio.to_thread(bridge.call, time_out())


def test_a_loop_that_is_gone_is_no_answer() -> None:
    loop = asyncio.new_event_loop()
    loop.close()

    async def work() -> None:
        raise AssertionError("never runs")

    with pytest.raises(DeadlineExceeded):
        LoopBridge(loop, timeout_s=10).call(work())
