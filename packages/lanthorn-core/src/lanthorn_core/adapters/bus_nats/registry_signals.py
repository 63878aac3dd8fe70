"""Signals between processes that know remote AEs, on a plain subject."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Final

from nats.aio.client import Client
from nats.aio.msg import Msg

from lanthorn_core.adapters.bus_nats.connection import FAILURES, flush_all, translated

CHANGED_SUBJECT: Final = "lanthorn.v1.remote-aes.changed"
_FLUSH_S: Final = 2


class NatsRegistrySignals:
    """`RegistrySignals` on NATS."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def announce_change(self) -> None:
        """Say that remote AEs were changed."""
        with suppress(*FAILURES):  # who does not hear it reads again a little later
            await self._client.publish(CHANGED_SUBJECT, b"")
            await flush_all(self._client, timeout_s=_FLUSH_S)

    async def on_change(self, callback: Callable[[], None]) -> None:
        """Call `callback` at every change from now on."""

        async def receive(_message: Msg) -> None:
            callback()

        with translated("NATS does not answer"):
            await self._client.subscribe(CHANGED_SUBJECT, cb=receive)
            await flush_all(self._client, timeout_s=_FLUSH_S)
