"""Where the indexer goes on in a stream that may have lost events, or be another one."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from nats.js.api import StreamConfig, StreamInfo, StreamState

from lanthorn_core.adapters.bus_nats.consumer import beginning
from lanthorn_core.ports.bus import StreamPosition

CREATED = datetime(2024, 1, 2, tzinfo=UTC)
EPOCH = CREATED.isoformat()


def stream(first: int, last: int) -> StreamInfo:
    state = StreamState(last - first + 1, 0, first, last, 0)
    return StreamInfo(StreamConfig(), state, created=CREATED)


@pytest.mark.parametrize(
    ("applied", "begins_after"),
    [
        (25, 25),
        (30, 30),  # nothing is new
        (19, 19),  # the oldest that is held is the next
        (7, 19),  # what follows is gone: the sweep finds it
        (99, 30),  # the stream lost its end, and nothing is applied a second time
    ],
)
def test_the_index_goes_on_where_it_has_come_to(applied: int, begins_after: int) -> None:
    info = stream(first=20, last=30)
    assert beginning(info, StreamPosition(EPOCH, applied)) == StreamPosition(EPOCH, begins_after)


def test_of_another_stream_all_is_taken() -> None:
    assert beginning(stream(1, 4), StreamPosition("2023", 25)) == StreamPosition(EPOCH, 0)


def test_an_empty_stream_has_nothing_before_its_first_event() -> None:
    assert beginning(stream(1, 0), StreamPosition("", 0)) == StreamPosition(EPOCH, 0)


def test_a_purged_stream_goes_on_after_its_last_event() -> None:
    assert beginning(stream(31, 30), StreamPosition(EPOCH, 30)) == StreamPosition(EPOCH, 30)
