"""What ends the indexer's gathering, and what does not."""

from __future__ import annotations

import asyncio

from lanthorn_core.ports.bus import StreamPosition
from lanthorn_indexer.demand import Demand


def at(sequence: int, epoch: str = "now") -> StreamPosition:
    return StreamPosition(epoch, sequence)


async def is_wanted(demand: Demand, applied: StreamPosition) -> bool:
    waiting = asyncio.ensure_future(demand.beyond(applied))
    for _ in range(3):
        await asyncio.sleep(0)
    ended = waiting.done()
    waiting.cancel()
    return ended


async def test_what_is_not_yet_applied_is_wanted_until_it_is() -> None:
    demand = Demand()
    assert not await is_wanted(demand, at(5))
    demand.ask(at(7))
    assert await is_wanted(demand, at(5))
    assert await is_wanted(demand, at(6))
    assert not await is_wanted(demand, at(7))


async def test_of_several_readers_the_one_that_wants_most_counts() -> None:
    demand = Demand()
    demand.ask(at(9))
    demand.ask(at(7))
    assert await is_wanted(demand, at(8))


async def test_who_waits_hears_of_it() -> None:
    demand = Demand()
    waiting = asyncio.ensure_future(demand.beyond(at(5)))
    await asyncio.sleep(0)
    demand.ask(at(5))
    await asyncio.sleep(0)
    assert not waiting.done()
    demand.ask(at(6))
    await waiting


async def test_a_place_in_another_stream_is_not_wanted_and_hides_none_that_is() -> None:
    demand = Demand()
    demand.ask(at(900, "before"))
    assert not await is_wanted(demand, at(5))
    demand.ask(at(6))
    assert await is_wanted(demand, at(5))
