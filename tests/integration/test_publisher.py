"""Publishing beside what nats-py itself does: the short way of `lean_client`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from lanthorn_core.adapters.bus_nats.connection import connect, ensure_streams, flush_all
from lanthorn_core.adapters.bus_nats.lean_client import LeanClient
from lanthorn_core.adapters.bus_nats.publisher import NatsPublisher
from lanthorn_core.errors import BusUnavailable
from lanthorn_core.events import STREAM, DeleteResources, decode_event
from lanthorn_core.model import Level

EVENT = DeleteResources(resources=[(Level.PATIENT, "p")])


@pytest.fixture
async def client(nats_url: str) -> AsyncIterator[LeanClient]:
    async with connect(nats_url, name="test") as client:
        yield client


async def test_each_of_many_in_flight_gets_its_own_place_and_a_repetition_the_same(
    client: LeanClient,
) -> None:
    await ensure_streams(client)
    publisher = NatsPublisher(client)
    events = [DeleteResources(resources=[(Level.PATIENT, str(n))]) for n in range(50)]
    positions = await asyncio.gather(
        *(publisher.publish(event, message_id=f"m{n}") for n, event in enumerate(events))
    )
    assert sorted(position.sequence for position in positions) == list(range(1, 51))
    stream = client.jetstream()
    for event, position in zip(events, positions, strict=True):
        message = await stream.get_msg(STREAM, position.sequence)
        assert decode_event(message.data or b"") == event
    assert await publisher.publish(events[7], message_id="m7") == positions[7]


async def test_without_a_stream_nothing_is_acknowledged(client: LeanClient) -> None:
    publisher = NatsPublisher(client, timeout_s=0.2)
    with pytest.raises(BusUnavailable, match="NoStreamResponseError"):
        await publisher.publish(EVENT, message_id="m")


async def test_what_the_server_keeps_silent_about_is_given_up_in_time(
    client: LeanClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(NatsPublisher, "ATTEMPT_S", 0.1)
    # Somebody hears the event, so that the server does not say that nobody does.
    await client.subscribe("dicom.v1.resource.delete")
    publisher = NatsPublisher(client, timeout_s=0.25)
    for _ in range(2):
        with pytest.raises(BusUnavailable, match="TimeoutError"):
            await publisher.publish(EVENT, message_id="m")


async def test_without_a_connection_nothing_is_kept_for_later(client: LeanClient) -> None:
    publisher = NatsPublisher(client, timeout_s=0.2)
    await client.close()
    with pytest.raises(BusUnavailable):
        await publisher.publish(EVENT, message_id="m")


async def test_an_event_too_long_for_the_server_costs_nobody_the_connection(
    client: LeanClient,
) -> None:
    await ensure_streams(client)
    publisher = NatsPublisher(client, timeout_s=1.0)
    far_too_long = DeleteResources(resources=[(Level.PATIENT, "p" * client.max_payload)])
    with pytest.raises(BusUnavailable, match="MaxPayloadError"):
        await publisher.publish(far_too_long, message_id="long")
    assert (await publisher.publish(EVENT, message_id="short")).sequence == 1


async def test_a_listener_that_fails_hears_the_next_message(client: LeanClient) -> None:
    heard: list[bytes] = []

    def hear(_subject: bytes, payload: bytes, _headers: bytes | None) -> None:
        heard.append(payload)
        raise ValueError("a bug")

    await client.listen("test.subject", hear)
    for payload in (b"1", b"2"):
        await client.publish("test.subject", payload)
        await flush_all(client)
    assert heard == [b"1", b"2"]


async def test_numbers_of_a_stream_that_was_made_anew_are_of_another_epoch(
    client: LeanClient,
) -> None:
    await ensure_streams(client)
    publisher = NatsPublisher(client)
    before = [await publisher.publish(EVENT, message_id=f"b{n}") for n in range(3)]
    await client.jetstream().delete_stream(STREAM)
    await ensure_streams(client)
    after = await publisher.publish(EVENT, message_id="a")
    assert after == await publisher.last_position()
    assert (after.sequence, len({each.epoch for each in before})) == (1, 1)
    assert after.epoch != before[0].epoch
