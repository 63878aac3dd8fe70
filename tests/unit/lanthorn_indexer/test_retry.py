"""Second tries of events: what counts against an event, and what does not."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from lanthorn_core.errors import IndexUnavailable
from lanthorn_core.events import DeleteResources, encode_event
from lanthorn_core.model import Level
from lanthorn_core.ports.bus import ParkedEvent, Retries
from lanthorn_core.ports.index_writer import IndexWriter
from lanthorn_core.ports.object_store import ObjectStore
from lanthorn_indexer.extract import ExtractionRules
from lanthorn_indexer.retry import retry_forever

DELETION = encode_event(DeleteResources(resources=[(Level.STUDY, "x")]))


class NoMoreEvents(Exception):
    """Ends a test that would wait for the next event."""


class OneEvent:
    """The retry subject with one event, which remembers what became of it."""

    def __init__(self, payload: bytes) -> None:
        self.payload = payload
        self.original_sequence = 1
        self.outcomes: list[str] = []
        self._given = False

    @asynccontextmanager
    async def attempts(self) -> AsyncIterator[OneEvent]:
        yield self

    async def next(self, *, wait_s: float) -> OneEvent:
        if self._given:
            raise NoMoreEvents
        self._given = True
        return self

    async def parked(self) -> list[ParkedEvent]:
        return []

    async def succeeded(self) -> None:
        self.outcomes.append("succeeded")

    async def failed(self, error: str) -> None:
        self.outcomes.append(error)


class Writer:
    """An index that answers every batch in one way."""

    def __init__(self, failure: Exception | None) -> None:
        self._failure = failure

    async def apply(self, entries: Sequence[Any]) -> None:
        if self._failure is not None:
            raise self._failure


async def outcomes(event: OneEvent, failure: Exception | None) -> list[str]:
    await retry_forever(
        cast("Retries", event),
        cast("IndexWriter", Writer(failure)),
        cast("ObjectStore", None),
        ExtractionRules(),
    )
    return event.outcomes


async def test_an_event_that_fails_again_is_told_so() -> None:
    event = OneEvent(DELETION)
    with pytest.raises(NoMoreEvents):
        await outcomes(event, ValueError("no"))
    assert event.outcomes == ["ValueError: no"]


async def test_an_event_that_succeeds_is_forgotten() -> None:
    event = OneEvent(DELETION)
    with pytest.raises(NoMoreEvents):
        await outcomes(event, None)
    assert event.outcomes == ["succeeded"]


async def test_an_absent_database_does_not_count_against_the_event() -> None:
    event = OneEvent(DELETION)
    with pytest.raises(IndexUnavailable):
        await outcomes(event, IndexUnavailable("away"))
    assert event.outcomes == []
