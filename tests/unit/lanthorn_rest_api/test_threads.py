"""Blocking work in threads."""

from __future__ import annotations

import asyncio
import threading

import pytest

from lanthorn_rest_api.threads import in_thread


async def test_results_and_errors_come_back() -> None:
    assert await in_thread(sorted, [2, 1], reverse=True) == [2, 1]
    with pytest.raises(ZeroDivisionError):
        await in_thread(divmod, 1, 0)


async def test_a_cancelled_caller_waits_for_the_work_to_end() -> None:
    started, may_end = threading.Event(), threading.Event()
    has_ended = False

    def work() -> None:
        nonlocal has_ended
        started.set()
        may_end.wait(30)
        has_ended = True

    async with asyncio.TaskGroup() as group:
        caller = group.create_task(in_thread(work))
        await asyncio.to_thread(started.wait, 30)
        caller.cancel()
        await asyncio.sleep(0.02)
        assert not caller.done()
        may_end.set()
    assert caller.cancelled()
    assert has_ended
