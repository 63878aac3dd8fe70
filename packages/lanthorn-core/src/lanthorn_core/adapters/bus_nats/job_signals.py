"""Signals about jobs, on plain subjects."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Final

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import NoRespondersError

from lanthorn_core.adapters.bus_nats.connection import FAILURES

DUE_SUBJECT: Final = "lanthorn.v1.job.due"
CHANGED_SUBJECT: Final = "lanthorn.v1.job.changed"
WORKER_SUBJECT: Final = "lanthorn.v1.job.worker"

_ANSWER_S: Final = 1.0


class NatsJobSignals:
    """`JobSignals` on plain subjects: what is lost is made up for by a slow poll."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def announce_due(self, job_type: str) -> None:
        """Say that a job of this type may be claimed."""
        await self._send(DUE_SUBJECT, job_type)

    async def on_due(self, callback: Callable[[str], None]) -> None:
        """Call `callback` with the type of every job that may be claimed from now on."""
        await self._receive(DUE_SUBJECT, callback)

    async def offer(self, job_type: str) -> None:
        """Be one of those who run jobs of this type, as long as the process lives."""

        async def answer(message: Msg) -> None:
            with suppress(*FAILURES):
                await message.respond(b"")

        await self._client.subscribe(f"{WORKER_SUBJECT}.{job_type}", cb=answer)

    async def is_offered(self, job_type: str) -> bool:
        """Tell whether anybody runs jobs of this type; True where that cannot be told."""
        try:
            await self._client.request(f"{WORKER_SUBJECT}.{job_type}", timeout=_ANSWER_S)
        except NoRespondersError:
            return False
        except FAILURES:
            return True
        return True

    async def announce_change(self, job_id: str) -> None:
        """Say that a client paused, canceled or deleted a job, or that it finished."""
        await self._send(CHANGED_SUBJECT, job_id)

    async def on_change(self, callback: Callable[[str], None]) -> None:
        """Call `callback` with the id of every job that such a thing happens to from now on."""
        await self._receive(CHANGED_SUBJECT, callback)

    async def _send(self, subject: str, text: str) -> None:
        with suppress(*FAILURES):  # who waits looks for himself a little later
            await self._client.publish(subject, text.encode())

    async def _receive(self, subject: str, callback: Callable[[str], None]) -> None:
        async def receive(message: Msg) -> None:
            callback(message.data.decode(errors="replace"))

        await self._client.subscribe(subject, cb=receive)
