"""Back-pressure by bytes."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from lanthorn_core.usecases.byte_budget import ByteBudget


async def turn() -> None:
    """Let every task that can run do so."""
    for _ in range(5):
        await asyncio.sleep(0)


class Receiver:
    """A task that holds its share until it is told to go."""

    def __init__(self, budget: ByteBudget, size_bytes: int, group: asyncio.TaskGroup) -> None:
        self.holds = False
        self.go = asyncio.Event()
        self.task = group.create_task(self._receive(budget, size_bytes))

    async def _receive(self, budget: ByteBudget, size_bytes: int) -> None:
        async with budget.reserve(size_bytes):
            self.holds = True
            await self.go.wait()
        self.holds = False


async def test_shares_within_the_limit_are_held_at_once() -> None:
    budget = ByteBudget(10)
    async with budget.reserve(4), budget.reserve(6):
        assert budget.in_flight_bytes == 10
    assert budget.in_flight_bytes == 0


async def test_what_does_not_fit_waits_until_it_does() -> None:
    budget = ByteBudget(10)
    async with asyncio.TaskGroup() as group:
        first = Receiver(budget, 6, group)
        second = Receiver(budget, 5, group)
        await turn()
        assert (first.holds, second.holds) == (True, False)
        first.go.set()
        await turn()
        assert (first.holds, second.holds) == (False, True)
        second.go.set()


async def test_a_small_one_does_not_pass_a_large_one_that_waits() -> None:
    budget = ByteBudget(10)
    async with asyncio.TaskGroup() as group:
        first = Receiver(budget, 6, group)
        large = Receiver(budget, 9, group)
        small = Receiver(budget, 1, group)
        await turn()
        assert (large.holds, small.holds) == (False, False)
        first.go.set()
        await turn()
        assert (large.holds, small.holds) == (True, True)
        large.go.set()
        small.go.set()


async def test_what_is_larger_than_the_limit_goes_alone() -> None:
    budget = ByteBudget(10)
    async with asyncio.TaskGroup() as group:
        small = Receiver(budget, 1, group)
        huge = Receiver(budget, 1000, group)
        await turn()
        assert not huge.holds
        small.go.set()
        await turn()
        assert huge.holds
        after = Receiver(budget, 1, group)
        await turn()
        assert not after.holds
        huge.go.set()
        await turn()
        assert after.holds
        after.go.set()
    assert budget.in_flight_bytes == 0


async def test_who_gives_up_waiting_lets_the_next_through() -> None:
    budget = ByteBudget(10)
    async with asyncio.TaskGroup() as group:
        first = Receiver(budget, 6, group)
        large = Receiver(budget, 9, group)
        small = Receiver(budget, 1, group)
        await turn()
        large.task.cancel()
        await turn()
        assert small.holds
        first.go.set()
        small.go.set()
    assert budget.in_flight_bytes == 0


async def test_a_share_granted_in_the_moment_of_giving_up_is_not_lost() -> None:
    budget = ByteBudget(10)
    async with asyncio.TaskGroup() as group:
        first = Receiver(budget, 10, group)
        second = Receiver(budget, 10, group)
        await turn()
        first.go.set()
        while budget.in_flight_bytes and not second.holds and not second.task.cancelling():
            await asyncio.sleep(0)
            if first.task.done():
                second.task.cancel()
        await turn()
        assert budget.in_flight_bytes == 0
        third = Receiver(budget, 10, group)
        await turn()
        assert third.holds
        third.go.set()


async def test_a_failure_gives_the_share_back() -> None:
    budget = ByteBudget(10)
    with pytest.raises(RuntimeError, match="broken"):
        async with budget.reserve(10):
            raise RuntimeError("broken")
    assert budget.in_flight_bytes == 0


async def test_the_gauge_shows_the_bytes_of_all_budgets() -> None:
    def shown() -> float:
        return REGISTRY.get_sample_value("lanthorn_in_flight_bytes") or 0.0

    before = shown()
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(ByteBudget(10).reserve(3))
        await stack.enter_async_context(ByteBudget(10).reserve(4))
        assert shown() == before + 7
    assert shown() == before


@pytest.mark.parametrize("limit_bytes", [0, -1])
def test_a_budget_of_nothing_is_refused(limit_bytes: int) -> None:
    with pytest.raises(ValueError, match="at least one byte"):
        ByteBudget(limit_bytes)


async def test_a_negative_share_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot reserve"):
        async with ByteBudget(10).reserve(-1):
            pass


@settings(max_examples=60, deadline=None)
@given(work=st.lists(st.tuples(st.integers(0, 15), st.integers(0, 3), st.booleans()), max_size=25))
def test_whatever_happens_the_limit_holds_and_everything_is_given_back(
    work: list[tuple[int, int, bool]],
) -> None:
    async def scenario() -> None:
        budget = ByteBudget(10)
        held: list[int] = []

        async def receive(size_bytes: int, turns: int) -> None:
            async with budget.reserve(size_bytes):
                held.append(size_bytes)
                try:
                    assert sum(held) <= 10 or [size for size in held if size] == [max(held)]
                    for _ in range(turns):
                        await asyncio.sleep(0)
                finally:
                    held.remove(size_bytes)

        tasks = []
        for size_bytes, turns, gives_up in work:
            task = asyncio.ensure_future(receive(size_bytes, turns))
            tasks.append(task)
            await asyncio.sleep(0)
            if gives_up and not task.done():
                task.cancel()
                await asyncio.sleep(0)
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(
            result is None or isinstance(result, asyncio.CancelledError) for result in results
        )
        assert budget.in_flight_bytes == 0

    asyncio.run(scenario())
