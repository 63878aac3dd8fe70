"""Reports of storage commitment, passed from gateway to gateway by requests on plain subjects."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final

from nats.aio.client import Client
from nats.aio.msg import Msg

from lanthorn_core.adapters.bus_nats.connection import (
    FAILURES,
    flush_all,
    honouring_cancellation,
    translated,
)

SUBJECT: Final = "lanthorn.v1.commitment.report"
_PATIENCE_S: Final = 120.0
"""For the peer of the other gateway; a gateway that is gone is known at once."""
_NOT_SENT: Final = b""


class NatsCommitmentRelay:
    """See `CommitmentRelay` for the contract."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def pass_on(self, gateway_id: str, report: bytes) -> int | None:
        """Have another gateway send a report; one that is too large for a message is not sent."""
        if len(report) > self._client.max_payload:
            return None
        with honouring_cancellation(), suppress(*FAILURES):
            answer = await self._client.request(
                f"{SUBJECT}.{gateway_id}", report, timeout=_PATIENCE_S
            )
            if answer.data != _NOT_SENT:
                return int(answer.data)
        return None

    @asynccontextmanager
    async def taking(
        self, gateway_id: str, send: Callable[[bytes], Awaitable[int | None]]
    ) -> AsyncIterator[None]:
        """Send what other gateways pass on to this one, each on its own."""
        sending: set[asyncio.Task[None]] = set()
        failure: Exception | None = None
        async with asyncio.TaskGroup() as group:

            async def receive(message: Msg) -> None:
                task = group.create_task(_answer(message, send), name="commitment-report")
                sending.add(task)
                task.add_done_callback(sending.discard)

            with translated("NATS does not answer"):
                subscription = await self._client.subscribe(f"{SUBJECT}.{gateway_id}", cb=receive)
                # Jobs may name this gateway from here on: the server must know of it.
                await flush_all(self._client)
            try:
                yield
            except Exception as error:
                # The group would wrap it.
                failure = error
            finally:
                with suppress(*FAILURES):
                    await subscription.unsubscribe()
                for task in sending:
                    task.cancel()
        if failure is not None:
            raise failure


async def _answer(message: Msg, send: Callable[[bytes], Awaitable[int | None]]) -> None:
    status = await send(message.data)
    with suppress(*FAILURES):  # who asked reports over an association of its own
        await message.respond(_NOT_SENT if status is None else str(status).encode())
