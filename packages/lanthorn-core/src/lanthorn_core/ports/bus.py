"""The event stream: durable, ordered, acknowledged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from lanthorn_core.events import Event


@dataclass(frozen=True, slots=True, order=True)
class StreamPosition:
    """A place in one incarnation of the stream.

    `epoch` names the incarnation (a stream that was lost and made anew counts from 1 again), so
    that positions compare only within one epoch.
    """

    epoch: str
    sequence: int


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event as it came out of the stream; `payload` is not yet decoded.

    `traceparent` names the span in which it was published, if there was one.
    """

    position: StreamPosition
    payload: bytes
    traceparent: str = ""


class EventPublisher(Protocol):
    """The side of the stream that services write to. Raises `BusUnavailable` throughout."""

    async def publish(self, event: Event, *, message_id: str) -> StreamPosition:
        """Publish an event; on return the stream has acknowledged it.

        A second event of the same `message_id` within the stream's duplicate window is dropped.
        """
        ...

    async def last_position(self) -> StreamPosition:
        """Ask the stream's leader for the position of its newest event."""
        ...

    async def check(self) -> None:
        """Return when the stream answers."""
        ...


class EventConsumer(Protocol):
    """The indexer's side: everything after a place, in the stream's order.

    `begins_after` is the place that the index has come to or, where the stream does not go on from
    there (it is another one, or lost events), the nearest from which it does.
    """

    @property
    def begins_after(self) -> StreamPosition:
        """Place of the last event that will not be delivered."""
        ...

    async def fetch(self, *, at_most: int, wait_s: float) -> Sequence[Delivery]:
        """Wait up to `wait_s` for events; an empty answer means none came."""
        ...

    async def forget(self, position: StreamPosition) -> None:
        """Let the stream forget everything up to here; none will ask for it again."""
        ...


@dataclass(frozen=True, slots=True)
class ParkedEvent:
    """An event that the indexer gave up on, with the last error; `number` names it."""

    number: int
    payload: bytes
    error: str
    original_sequence: int


class Retries(Protocol):
    """Where events go that failed in the indexer: tried again with back-off, then parked."""

    async def set_aside(self, delivery: Delivery, error: str) -> None:
        """Move a failed event to the retry subject; on return it is durable there."""
        ...

    def attempts(self) -> AbstractAsyncContextManager[RetryAttempts]:
        """Take events whose time has come for the length of the block."""
        ...

    async def parked(self) -> list[ParkedEvent]:
        """List what was given up on."""
        ...

    async def retry_parked(self, number: int) -> bool:
        """Put a parked event back on the retry subject; False when there is none."""
        ...


class RetryAttempts(Protocol):
    """The indexer's end of the retry subject."""

    async def next(self, *, wait_s: float) -> RetryAttempt | None:
        """Wait up to `wait_s` (or less) for an event whose time has come."""
        ...


class RetryAttempt(Protocol):
    """One event on the retry subject, in hand."""

    payload: bytes
    original_sequence: int

    async def succeeded(self) -> None:
        """Forget the event."""
        ...

    async def failed(self, error: str) -> None:
        """Try it again later or, after the last attempt, park it."""
        ...


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits at the indexer.

    Attributes
    ----------
    waiting : int
        Events not yet applied.
    oldest_age_s : float
        Since the oldest of them was published; 0 without any.
    retrying, parked : int
        Events that failed: to be tried again, and given up on.
    """

    waiting: int
    oldest_age_s: float
    retrying: int
    parked: int


class EventBacklog(Protocol):
    """Tells how much waits at the indexer, without it. Raises `BusUnavailable`."""

    async def measure(self, applied: StreamPosition) -> Backlog:
        """Ask the streams' leaders; `applied` is how far the index has come."""
        ...


@dataclass(frozen=True, slots=True)
class Applied:
    """What the indexer says of a commit: the index has come to `position`.

    `new_after` is the number after which every event, up to `position`, stored an instance that
    the index did not know before; without any it is that of `position`.
    """

    position: StreamPosition
    new_after: int

    def is_new(self, event: StreamPosition) -> bool:
        """Tell whether it says of this event that it stored such an instance."""
        is_in_it = self.new_after < event.sequence <= self.position.sequence
        return is_in_it and event.epoch == self.position.epoch


class IndexSignals(Protocol):
    """Between readers at the barrier and the indexer; a lost signal only costs a little time."""

    async def announce(self, applied: Applied) -> None:
        """Tell of a commit."""
        ...

    async def on_announce(self, callback: Callable[[Applied], None]) -> None:
        """Call `callback` with everything announced from now on."""
        ...

    async def ask(self, position: StreamPosition) -> None:
        """Say that a reader waits for `position`: the indexer shall not gather more first."""
        ...

    async def on_ask(self, callback: Callable[[StreamPosition], None]) -> None:
        """Call `callback` with every position that a reader waits for."""
        ...
