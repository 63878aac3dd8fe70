"""Instances that arrive by C-MOVE, told on a plain subject for each Message ID."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager, suppress
from typing import Final

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from lanthorn_core.adapters.bus_nats.connection import (
    FAILURES,
    flush_all,
    honouring_cancellation,
)
from lanthorn_core.ports.move_receipts import MoveOrigin

SUBJECT: Final = "lanthorn.v1.instance.moved"
_FLUSH_S: Final = 2
PATIENCE_S: Final = 5.0
"""For what was stored before the C-MOVE ended, and is still on its way here."""


class NatsMoveReceipts:
    """`MoveReceipts` on plain subjects."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def announce(self, origin: MoveOrigin, instance: str) -> None:
        """Say that an instance of this C-MOVE is stored."""
        with suppress(*FAILURES):  # it is stored all the same
            # No AE title has a backslash (PS3.5 Section 6.2).
            payload = f"{origin.ae_title}\\{instance}".encode()
            await self._client.publish(f"{SUBJECT}.{origin.message_id}", payload)

    @asynccontextmanager
    async def arriving(
        self, message_id: int, ae_titles: Collection[str]
    ) -> AsyncIterator[NatsArrivedInstances]:
        """Collect what is announced of a C-MOVE for the length of the block."""
        arrived = NatsArrivedInstances(ae_titles)
        subscription: Subscription | None = None
        try:
            with suppress(*FAILURES), honouring_cancellation():
                subscription = await self._client.subscribe(
                    f"{SUBJECT}.{message_id}", cb=arrived.receive
                )
                # What is subscribed to must be known to the server before the first one comes.
                await flush_all(self._client, timeout_s=_FLUSH_S)
            yield arrived
        finally:
            if subscription is not None:
                with suppress(*FAILURES):
                    await subscription.unsubscribe()


class NatsArrivedInstances:
    """What was announced so far."""

    def __init__(self, ae_titles: Collection[str]) -> None:
        self._ae_titles = ae_titles
        self._instances: dict[str, None] = {}
        self._count = 0
        self._more = asyncio.Event()

    async def receive(self, message: Msg) -> None:
        """Take one announcement."""
        ae_title, _, instance = message.data.decode(errors="replace").partition("\\")
        if ae_title in self._ae_titles:
            self._instances[instance] = None
            self._count += 1
            self._more.set()

    async def wait_for(self, count: int) -> list[str]:
        """Give what came so far, each once; wait a moment if it is less than `count`."""
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE_S):
                while self._count < count:
                    self._more.clear()
                    await self._more.wait()
        return list(self._instances)
