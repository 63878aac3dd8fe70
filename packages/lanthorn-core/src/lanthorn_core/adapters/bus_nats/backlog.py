"""How much waits in the streams, for who watches the system."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime

from nats.aio.client import Client
from nats.js.errors import NotFoundError

from lanthorn_core.adapters.bus_nats.connection import (
    ASIDE,
    DEAD_SUBJECT,
    RETRY_SUBJECT,
    last_position,
    translated,
)
from lanthorn_core.events import STREAM
from lanthorn_core.ports.bus import Backlog, StreamPosition


class NatsBacklog:
    """`EventBacklog`, from what the streams' leaders say."""

    def __init__(self, client: Client) -> None:
        self._js = client.jetstream(timeout=2.0)

    async def measure(self, applied: StreamPosition) -> Backlog:
        """Ask the leaders of both streams."""
        with translated("The streams do not tell what they hold"):
            events = await self._js.stream_info(STREAM)
            aside = await self._js.stream_info(ASIDE, subjects_filter=">")
            last = last_position(events)
            # Of another stream nothing is applied; before its first event there is nothing.
            oldest = applied.sequence if applied.epoch == last.epoch else 0
            oldest = max(oldest, events.state.first_seq - 1)
            waiting = max(0, last.sequence - oldest)
            age_s = await self._age_s(oldest + 1) if waiting else 0.0
        counts = aside.state.subjects or {}
        return Backlog(
            waiting=waiting,
            oldest_age_s=age_s,
            retrying=counts.get(RETRY_SUBJECT, 0),
            parked=counts.get(DEAD_SUBJECT, 0),
        )

    async def _age_s(self, sequence: int) -> float:
        with suppress(NotFoundError):  # applied meanwhile, and forgotten
            published_at = (await self._js.get_msg(STREAM, sequence)).time
            if published_at is not None:
                return max(0.0, (datetime.now(UTC) - published_at).total_seconds())
        return 0.0
