"""The index barrier: a question asked after an acknowledgement sees what was acknowledged.

References
----------
Lanthorn's architecture, section 1.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

import asyncpg
import structlog

from lanthorn_core.adapters.index_postgres.pool import ConnectionCount, translated
from lanthorn_core.errors import BusUnavailable, IndexUnavailable
from lanthorn_core.ports.bus import Applied, EventPublisher, IndexSignals, StreamPosition
from lanthorn_core.ports.index import Answer
from lanthorn_core.telemetry.metrics import BARRIER_MISSES, BARRIER_SECONDS
from lanthorn_core.telemetry.tracing import span

log = structlog.get_logger(__name__)

_NOTHING: Final = StreamPosition("", 0)
_APPLIED: Final = "SELECT stream_epoch, applied_sequence FROM index_progress"


class IndexBarrier:
    """Waits until the database that will answer holds all that the stream held.

    Parameters
    ----------
    pool : asyncpg.Pool
        The connections that will answer.
    publisher : EventPublisher
        Knows the stream's leader.
    signals : IndexSignals
        Tells the indexer that somebody waits; whoever opens the barrier connects `announce`.
    timeout_s : float
        Orthanc-style option `IndexBarrierTimeout`.
    connections : ConnectionCount
        Those of the pool. What was applied is known of servers that we were connected to: a
        standby that was promoted may lack the last commits.
    """

    POLL_S: Final = 0.05
    """How often the database is asked when no broadcast comes."""

    def __init__(
        self,
        pool: asyncpg.Pool,
        publisher: EventPublisher,
        signals: IndexSignals,
        timeout_s: float,
        connections: ConnectionCount,
    ) -> None:
        self._pool = pool
        self._publisher = publisher
        self._signals = signals
        self._timeout_s = timeout_s
        self._connections = connections
        self._connections_known = 0
        self._applied = _NOTHING
        self._was_behind = False
        self._announced = asyncio.Event()
        self._heard = Applied(_NOTHING, 0)
        self._asked = _NOTHING
        self._inquiry: asyncio.Future[StreamPosition] | None = None
        self._queue = asyncio.Lock()

    def announce(self, applied: Applied) -> None:
        """Wake those who wait: the indexer has committed something."""
        self._heard = applied
        self._announced.set()
        self._announced = asyncio.Event()

    async def read(self, read: Callable[[], Awaitable[Answer]]) -> tuple[Answer, bool]:
        """Read behind the barrier; where little arrives, without waiting for it first.

        The stream's leader is asked while `read` runs. If what it then names was known to be
        applied before `read` began, the answer has it all; if not, it is read once more when it
        is. After such a disappointment the next call waits first, until the index keeps up again.

        Returns
        -------
        answer
            What `read` returned.
        bool
            False as in `wait`.

        Raises
        ------
        IndexUnavailable
            The database does not answer, nor did it when asked again until the time limit.
        """
        if not self._was_behind:
            known, made = self._known(), self._connections.made
            started = time.perf_counter()
            inquiry = asyncio.gather(self._ask_in_time())  # it runs beside the read
            try:
                answer: Answer | IndexUnavailable = await read()
            except IndexUnavailable as error:  # perhaps starting again: the barrier waits for it
                answer = error
            except BaseException:
                inquiry.cancel()
                raise
            (target,) = await inquiry
            is_same_server = made == self._connections.made
            if target is None or (is_same_server and _reaches(known, target)):
                BARRIER_SECONDS.observe(time.perf_counter() - started)
                if isinstance(answer, IndexUnavailable):
                    raise answer
                return answer, target is not None
        give_up_at = time.monotonic() + self._timeout_s
        while True:
            is_current = await self.wait()
            made = self._connections.made
            try:
                answer = await read()
            except IndexUnavailable:
                # What was known to be applied let `wait` through without asking the database: a
                # connection that it has ended meanwhile is noticed here first.
                if not is_current or time.monotonic() >= give_up_at:
                    raise
                await asyncio.sleep(self.POLL_S)
                continue
            if made == self._connections.made or not is_current:
                return answer, is_current

    async def expect(self) -> None:
        """Have the indexer wait for the next event, which is about to come, and not gather."""
        last = self._heard.position
        if last != _NOTHING:  # else there is no telling which one is next
            await self._ask(StreamPosition(last.epoch, last.sequence + 1))

    async def _ask(self, position: StreamPosition) -> None:
        self._asked = position
        await self._signals.ask(position)

    async def read_at(
        self,
        target: StreamPosition,
        read: Callable[[], Awaitable[tuple[Answer, StreamPosition]]],
        *,
        if_new: Answer | None,
    ) -> tuple[Answer, bool]:
        """Read what became of an event of one's own: who knows its place asks no leader for one.

        `read` tells, with its answer, how far the index had come then. It is called once the
        indexer has announced enough, and not at all where `if_new` is the answer for an event that
        stored an instance that nobody knew, and the announcement says that it did.

        Returns
        -------
        answer
            What `read` returned first, or `if_new`.
        bool
            False as in `wait`.

        Raises
        ------
        IndexUnavailable
            The database does not answer, also after the time limit.
        """
        with BARRIER_SECONDS.time(), span("index barrier"):
            try:
                async with asyncio.timeout(self._timeout_s):
                    return await self._read_once_applied(target, read, if_new), True
            except TimeoutError:
                self._miss()
        answer, _ = await read()
        return answer, False

    async def _read_once_applied(
        self,
        target: StreamPosition,
        read: Callable[[], Awaitable[tuple[Answer, StreamPosition]]],
        if_new: Answer | None,
    ) -> Answer:
        while True:
            if not _reaches(self._asked, target):
                await self._ask(target)
            with suppress(TimeoutError):
                async with asyncio.timeout(self.POLL_S):
                    while not _reaches(self._heard.position, target):
                        await self._announced.wait()
            if if_new is not None and self._heard.is_new(target):
                return if_new
            with suppress(IndexUnavailable):  # perhaps starting again
                answer, applied = await read()
                if _reaches(applied, target):
                    return answer
                if applied.epoch != target.epoch:  # one of the two names a stream that is gone
                    target = await self._last_position()
            # What was asked and announced is not enough, or was lost.
            self._asked, self._heard = _NOTHING, Applied(_NOTHING, 0)

    def _known(self) -> StreamPosition:
        """Tell what every server that we are connected to has applied."""
        if self._connections_known != self._connections.made:
            self._connections_known = self._connections.made
            self._applied = _NOTHING
        return self._applied

    async def _ask_in_time(self) -> StreamPosition | None:
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._last_position()
        except TimeoutError:
            self._miss()
            return None

    def _miss(self) -> None:
        BARRIER_MISSES.inc()
        log.warning("index_barrier_timed_out", timeout_s=self._timeout_s)

    async def progress(self) -> StreamPosition:
        """Ask the database up to where the stream's events are in it."""
        async with translated():
            (row,) = await self._pool.fetch(_APPLIED)
        return StreamPosition(row["stream_epoch"], row["applied_sequence"])

    async def wait(self) -> bool:
        """Wait until everything acknowledged before this call is in the index.

        Returns
        -------
        bool
            False when the time limit passed: the index may lack the newest instances.
        """
        with BARRIER_SECONDS.time(), span("index barrier"):
            try:
                async with asyncio.timeout(self._timeout_s):
                    await self._wait()
            except TimeoutError:
                self._miss()
                return False
        return True

    async def _wait(self) -> None:
        target = await self._last_position()
        self._was_behind = not _reaches(self._known(), target)
        while not _reaches(self._known(), target):
            announced, made = self._announced, self._connections.made
            # A database or stream that does not answer may be starting again: the time limit
            # of `wait` ends this, and the query that follows says what is wrong.
            with suppress(IndexUnavailable):
                applied = await self.progress()
                if made != self._connections.made:
                    continue
                self._applied = applied
            if not _reaches(self._applied, target):
                await self._signals.ask(target)
                with suppress(TimeoutError):
                    async with asyncio.timeout(self.POLL_S):
                        await announced.wait()

    async def _last_position(self) -> StreamPosition:
        """Ask the leader, once for all who arrived before the asking began.

        Who comes while an inquiry runs waits for the next: the running one may have looked before
        the acknowledgement that the newcomer knows of.
        """
        while True:
            with suppress(BusUnavailable):
                return await self._shared_inquiry()
            await asyncio.sleep(self.POLL_S)

    async def _shared_inquiry(self) -> StreamPosition:
        if self._inquiry is None:
            self._inquiry = asyncio.get_running_loop().create_future()
        mine = self._inquiry
        async with self._queue:
            if mine.done():
                return mine.result()
            if self._inquiry is mine:
                self._inquiry = None  # from here on, newcomers form the next group
            try:
                position = await self._publisher.last_position()
            except BusUnavailable as error:
                if not mine.done():
                    mine.set_exception(error)
                    mine.exception()  # retrieved, also when nobody else waits
                raise
            mine.set_result(position)
            return position


def _reaches(applied: StreamPosition, target: StreamPosition) -> bool:
    if target.sequence == 0:  # a stream that never held anything
        return True
    return applied.epoch == target.epoch and applied.sequence >= target.sequence
