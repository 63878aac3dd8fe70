"""Pulling from a real stream: when it is asked for, and all at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, StorageType

from lanthorn_core.adapters.bus_nats import pull_inbox
from lanthorn_core.adapters.bus_nats.connection import connect
from lanthorn_core.adapters.bus_nats.pull_inbox import PullInbox
from lanthorn_core.errors import BusUnavailable

BATCH = 5


@dataclass(frozen=True)
class Source:
    """A stream of its own, and an inbox that pulls from it."""

    client: Client
    js: JetStreamContext
    stream: str
    inbox: PullInbox

    async def publish(self, *payloads: bytes) -> None:
        for payload in payloads:
            await self.js.publish(self.stream, payload)

    async def undelivered(self) -> int:
        info = await self.js.consumer_info(self.stream, "consumer")
        return info.num_pending or 0

    async def nobody_asks(self) -> None:
        while (await self.js.consumer_info(self.stream, "consumer")).num_waiting:  # noqa: ASYNC110  # the server tells nobody
            await asyncio.sleep(0.01)

    async def take(self, *, at_most: int = 100, wait_s: float = 60.0) -> list[bytes]:
        messages = await self.inbox.take(at_most=at_most, wait_s=wait_s)
        return [message.data for message in messages]


@pytest.fixture
async def source(nats_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Source]:
    # Nothing that a test waits for is given up before it comes.
    monkeypatch.setattr(pull_inbox, "EXPIRES_S", 60.0)
    stream = f"PULL{uuid4().hex}"
    async with connect(nats_url, name="test") as client:
        js = client.jetstream()
        await js.add_stream(name=stream, subjects=[stream], storage=StorageType.MEMORY)
        config = ConsumerConfig(durable_name="consumer", ack_policy=AckPolicy.NONE)
        await js.add_consumer(stream, config)
        async with PullInbox(client, stream, "consumer", BATCH).open() as inbox:
            yield Source(client, js, stream, inbox)


async def test_all_that_is_there_comes_at_once(source: Source) -> None:
    await source.publish(b"1", b"2", b"3")
    assert await source.take() == [b"1", b"2", b"3"]


async def test_no_more_comes_than_a_batch(source: Source) -> None:
    numbers = [b"%d" % number for number in range(BATCH + 2)]
    await source.publish(*numbers)
    assert await source.take() == numbers[:BATCH]
    assert await source.take() == numbers[BATCH:]


async def test_what_was_not_wanted_yet_comes_first(source: Source) -> None:
    await source.publish(b"1", b"2", b"3")
    assert await source.take(at_most=2) == [b"1", b"2"]
    await source.publish(b"4")
    assert await source.take() == [b"3"]
    assert await source.take() == [b"4"]


async def test_the_next_one_is_waited_for(source: Source) -> None:
    taking = asyncio.ensure_future(source.take())
    await asyncio.sleep(0)  # it asks before there is anything
    await source.publish(b"1")
    assert await taking == [b"1"]


async def test_nothing_is_delivered_while_nobody_asks(source: Source) -> None:
    await source.publish(b"1")
    assert await source.take() == [b"1"]
    await source.nobody_asks()
    await source.publish(b"2", b"3")
    assert await source.undelivered() == 2
    assert await source.take() == [b"2", b"3"]


async def test_what_arrives_while_it_is_being_asked_for_is_not_overlooked(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    send = source.client.publish

    async def send_and_dally(*arguments: Any, **options: Any) -> None:
        await send(*arguments, **options)
        await asyncio.sleep(0.2)  # the answer is there before we know that we have asked

    await source.publish(b"1")
    monkeypatch.setattr(source.client, "publish", send_and_dally)
    monkeypatch.setattr(pull_inbox, "EXPIRES_S", 3600.0)
    async with asyncio.timeout(20):
        assert await source.take(wait_s=3600.0) == [b"1"]


async def test_waiting_ends_without_a_message_and_goes_on(source: Source) -> None:
    assert await source.take(wait_s=0.05) == []
    await source.publish(b"1")
    assert await source.take() == [b"1"]


async def test_a_consumer_that_goes_away_is_told_of(source: Source) -> None:
    taking = asyncio.ensure_future(source.take())
    await source.publish(b"1")
    await taking
    await source.js.delete_consumer(source.stream, "consumer")
    with pytest.raises(BusUnavailable):
        await source.take()
