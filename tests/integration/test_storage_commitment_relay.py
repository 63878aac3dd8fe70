"""Reports that one gateway passes on to another, which has the association for them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from lanthorn_core.adapters.bus_nats.commitment_relay import NatsCommitmentRelay
from lanthorn_core.adapters.bus_nats.connection import connect
from lanthorn_core.ports.commitment import CommitmentRelay


@pytest.fixture
async def relays(nats_url: str) -> AsyncIterator[tuple[CommitmentRelay, CommitmentRelay]]:
    async with connect(nats_url, name="one") as one, connect(nats_url, name="other") as other:
        yield NatsCommitmentRelay(one), NatsCommitmentRelay(other)


async def test_a_report_is_sent_by_the_gateway_that_is_named(
    relays: tuple[CommitmentRelay, CommitmentRelay],
) -> None:
    one, other = relays
    taken: list[bytes] = []

    async def send(report: bytes) -> int | None:
        taken.append(report)
        return 0x0110

    async def refuse(report: bytes) -> int | None:
        return None

    async with other.taking("b", send), one.taking("a", refuse):
        assert await one.pass_on("b", b"report") == 0x0110
        assert await other.pass_on("a", b"report") is None
    assert taken == [b"report"]


async def test_nobody_waits_for_a_gateway_that_is_gone(
    relays: tuple[CommitmentRelay, CommitmentRelay],
) -> None:
    one, other = relays

    async def send(report: bytes) -> int | None:
        return 0

    async with asyncio.timeout(20):
        assert await one.pass_on("b", b"report") is None
        async with other.taking("b", send):
            assert await one.pass_on("b", b"report") == 0


async def test_a_report_that_is_too_large_for_a_message_is_not_passed_on(
    relays: tuple[CommitmentRelay, CommitmentRelay],
) -> None:
    one, other = relays

    async def send(report: bytes) -> int | None:
        return 0

    async with other.taking("b", send):
        assert await one.pass_on("b", bytes(16 << 20)) is None


async def test_a_peer_that_is_slow_holds_up_no_other_report(
    relays: tuple[CommitmentRelay, CommitmentRelay],
) -> None:
    one, other = relays
    released = asyncio.Event()

    async def send(report: bytes) -> int | None:
        if report == b"slow":
            await released.wait()
        return 0

    async with other.taking("b", send):
        slow = asyncio.ensure_future(one.pass_on("b", b"slow"))
        assert await one.pass_on("b", b"fast") == 0
        assert not slow.done()
        released.set()
        assert await slow == 0
