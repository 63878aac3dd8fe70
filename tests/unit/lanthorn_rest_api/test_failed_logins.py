"""What becomes of wrong passwords."""

from __future__ import annotations

import asyncio

import pytest

from lanthorn_rest_api.failed_logins import FailedLogins, origin_of


async def test_wrong_passwords_from_one_address_are_answered_one_after_the_other() -> None:
    failed = FailedLogins(pause_s=0.02, most_waiting=3)
    answered: list[int] = []

    async def guess(number: int) -> None:
        await failed.wait("192.0.2.7")
        answered.append(number)
        assert len(answered) == number + 1  # never two of them at once

    async with asyncio.TaskGroup() as group:
        for number in range(3):
            group.create_task(guess(number))
        await asyncio.sleep(0)
        assert failed.is_attacked_from("192.0.2.7")
        assert not failed.is_attacked_from("192.0.2.8")
    assert answered == [0, 1, 2]
    assert not failed.is_attacked_from("192.0.2.7")


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
    ],
)
def test_one_owner_of_addresses_is_one_origin(host: str, origin: str) -> None:
    assert origin_of({"client": (host, 50000)}) == origin
