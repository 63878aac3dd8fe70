"""Guessing passwords is slow: wrong ones are answered one after the other for each address."""

from __future__ import annotations

import asyncio
import ipaddress
from dataclasses import dataclass, field
from typing import Final

from starlette.types import Scope

PAUSE_S: Final = 0.2
"""Between the answers to two wrong passwords from one address."""

MOST_WAITING: Final = 50
"""Of one address; what comes beyond is refused before its password is looked at."""

_SUBNET_BITS: Final = 64


@dataclass
class _Line:
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    waiting: int = 0


class FailedLogins:
    """The addresses that wrong passwords came from, as long as they wait for their answer.

    Nobody is locked out: a right password is answered at once, unless so many wrong ones from the
    same address wait that it looks like an attack.

    Parameters
    ----------
    pause_s : float
        Between two answers.
    most_waiting : int
        How many requests of one address may wait.
    """

    def __init__(self, *, pause_s: float = PAUSE_S, most_waiting: int = MOST_WAITING) -> None:
        self._pause_s = pause_s
        self._most_waiting = most_waiting
        self._lines: dict[str, _Line] = {}

    def is_attacked_from(self, address: str) -> bool:
        """Tell whether too many wrong passwords from there wait already."""
        line = self._lines.get(address)
        return line is not None and line.waiting >= self._most_waiting

    async def wait(self, address: str) -> None:
        """Return when a wrong password from there may be answered."""
        line = self._lines.setdefault(address, _Line())
        line.waiting += 1
        try:
            async with line.turn:
                await asyncio.sleep(self._pause_s)
        finally:
            line.waiting -= 1
            if not line.waiting:
                del self._lines[address]


def origin_of(scope: Scope) -> str:
    """Tell where a request comes from; of IPv6 the subnet, which its owner has all addresses of."""
    client = scope.get("client")
    host = client[0].partition("%")[0] if client else ""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv4Address):
        return host
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((address, _SUBNET_BITS), strict=False))
