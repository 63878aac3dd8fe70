"""The connection, and the streams that must be there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final

import nats
import nats.errors
import structlog
from nats.aio.client import Client
from nats.js.api import RetentionPolicy, StorageType, StreamConfig, StreamInfo
from nats.js.errors import Error as JetStreamError
from nats.js.errors import NotFoundError

from lanthorn_core.errors import BusUnavailable
from lanthorn_core.events import STREAM
from lanthorn_core.ports.bus import StreamPosition

log = structlog.get_logger(__name__)

FACTS_AND_COMMANDS: Final = ["dicom.v1.instance.>", "dicom.v1.resource.>"]
ASIDE: Final = "DICOM_ASIDE"
RETRY_SUBJECT: Final = "dicom.v1.retry.indexer"
DEAD_SUBJECT: Final = "dicom.v1.dead.indexer"
DUPLICATE_WINDOW_S: Final = 120.0

FAILURES: Final = (JetStreamError, nats.errors.Error, TimeoutError, OSError)
"""What nats-py raises when the server or the network does not do as asked."""


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Turn failures of NATS into `BusUnavailable`; `what` begins its text."""
    with honouring_cancellation():
        try:
            yield
        except FAILURES as error:
            raise BusUnavailable(f"{what}: {error!r}") from error


@contextmanager
def honouring_cancellation() -> Iterator[None]:
    """Raise at the end a cancellation of the running task that nats-py has swallowed.

    Its client does so while it flushes (nats-py 2.16, `Client._flush_pending`); without this, a
    task that is told to end at that moment would never hear of it.
    """
    task = asyncio.current_task()
    before = task.cancelling() if task else 0
    try:
        yield
    finally:
        if task and task.cancelling() > before:
            raise asyncio.CancelledError


async def flush_all(client: Client, *, timeout_s: int = 5) -> None:
    """Return when the server has taken all that was sent and subscribed to.

    Raises
    ------
    nats.errors.FlushTimeoutError
        It did not in time.
    """
    # A PING of nats-py 2.16 overtakes what its flusher has not yet written; the second does not.
    for _ in range(2):
        await client.flush(timeout_s)


@asynccontextmanager
async def connect(url: str, *, name: str) -> AsyncIterator[Client]:
    """Connect to NATS and stay connected: the client reconnects for as long as it is open.

    Raises
    ------
    BusUnavailable
        The server did not answer at the first try.
    """

    async def on_error(error: Exception) -> None:
        log.warning("bus_connection_failed", error=str(error) or type(error).__name__)

    async def on_reconnected() -> None:
        log.info("bus_reconnected")

    with translated("NATS does not answer"):
        client = await nats.connect(
            url,
            name=name,
            connect_timeout=5,
            reconnect_time_wait=0.1,
            max_reconnect_attempts=-1,
            error_cb=on_error,
            reconnected_cb=on_reconnected,
        )
    try:
        yield client
    finally:
        await client.close()


async def ensure_streams(client: Client, *, replicas: int = 1) -> None:
    """Create the streams where they are missing."""
    js = client.jetstream()
    wanted = (
        StreamConfig(
            name=STREAM,
            subjects=FACTS_AND_COMMANDS,
            retention=RetentionPolicy.WORK_QUEUE,
            storage=StorageType.FILE,
            num_replicas=replicas,
            duplicate_window=DUPLICATE_WINDOW_S,
        ),
        StreamConfig(
            name=ASIDE,
            subjects=[RETRY_SUBJECT, DEAD_SUBJECT],
            storage=StorageType.FILE,
            num_replicas=replicas,
        ),
    )
    with translated("The event stream cannot be made"):
        for config in wanted:
            try:
                await js.stream_info(str(config.name))
            except NotFoundError:
                await js.add_stream(config)


def last_position(info: StreamInfo) -> StreamPosition:
    """Read the place of the newest event from what the stream's leader says of itself."""
    if info.created is None:
        raise BusUnavailable("The stream does not tell when it was created")
    return StreamPosition(info.created.isoformat(), info.state.last_seq)
