"""The connection, and the streams that must be there."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

import nats.errors
import structlog
from nats.aio.client import Client
from nats.js.api import RetentionPolicy, StorageType, StreamConfig, StreamInfo
from nats.js.errors import Error as JetStreamError
from nats.js.errors import NotFoundError

from lanthorn_core.adapters.bus_nats.lean_client import LeanClient
from lanthorn_core.errors import BusRefused, BusUnavailable
from lanthorn_core.events import STREAM
from lanthorn_core.ports.bus import StreamPosition
from lanthorn_core.telemetry.metrics import BUS_RECONNECTS

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
async def connect(
    url: str,
    *,
    name: str,
    account: tuple[str, str] | None = None,
    ca_file: Path | None = None,
) -> AsyncIterator[LeanClient]:
    """Connect to NATS and stay connected: the client reconnects for as long as it is open.

    Parameters
    ----------
    url : str
        With user and password, unless `account` is given. ``tls://`` asks for TLS. Several servers
        of a cluster have commas between them; the first one's user and password hold for all.
    name : str
        Shown by the server.
    account : tuple of str, optional
        User and password, also for servers that the first one tells of.
    ca_file : Path, optional
        Certificates (PEM) that the server is trusted by, instead of the system's.

    Raises
    ------
    BusRefused
        A server refuses us, or we do not trust it.
    BusUnavailable
        None of the servers answers.
    """
    servers = url.split(",")
    has_connected = False
    untried = len(servers)
    told = ""

    async def on_error(error: Exception) -> None:
        nonlocal told, untried
        if not has_connected:
            # nats-py would try again for ever.
            if _is_refusal(error):
                raise BusRefused(f"NATS refuses us, or is not trusted: {error!r}") from error
            untried -= 1
            if untried <= 0:
                raise error
            return
        text = str(error) or type(error).__name__
        if text != told:  # it comes again with every attempt, ten times a second
            log.warning("bus_connection_failed", error=text)
            told = text

    async def on_reconnected() -> None:
        nonlocal told
        told = ""
        BUS_RECONNECTS.inc()
        log.info("bus_reconnected")

    user, password = account or account_in(servers[0])
    tls = None if ca_file is None else ssl.create_default_context(cafile=ca_file)
    client = LeanClient()
    try:
        with translated("NATS does not answer"):
            await client.connect(
                servers,
                user=user,
                password=password,
                tls=tls,
                name=name,
                connect_timeout=5,
                reconnect_time_wait=0.1,  # type: ignore[arg-type]  # less than a second does as well
                max_reconnect_attempts=-1,
                # A server that vanished without a word is left after ten seconds.
                ping_interval=5,
                max_outstanding_pings=2,
                error_cb=on_error,
                reconnected_cb=on_reconnected,
            )
    except BaseException:
        if client.is_connected:  # who waited was cancelled, and nats-py did not hear of it
            await client.close()
        client.abandon()
        raise
    has_connected = True
    try:
        yield client
    finally:
        await client.close()


def _is_refusal(error: Exception) -> bool:
    """Whether the server is there, and we are not to talk to each other."""
    return isinstance(error, ssl.SSLCertVerificationError) or "authorization" in str(error).lower()


def account_in(url: str) -> tuple[str | None, str | None]:
    """Read user and password of a URL.

    nats-py would use those of the URL alone for its server, none for servers it is told of.
    """
    parts = urlsplit(url)
    user, password = parts.username, parts.password
    return (None, None) if user is None or password is None else (unquote(user), unquote(password))


async def ensure_streams(client: Client, *, replicas: int = 1) -> None:
    """Create the streams where they are missing; those of fewer replicas get more."""
    js = client.jetstream()
    wanted = (
        StreamConfig(
            name=STREAM,
            subjects=FACTS_AND_COMMANDS,
            # The indexer says what may go, see `NatsConsumer.forget`.
            retention=RetentionPolicy.LIMITS,
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
                present = (await js.stream_info(str(config.name))).config
            except NotFoundError:
                await js.add_stream(config)
                continue
            if (present.num_replicas or 1) < replicas:
                await js.update_stream(present.evolve(num_replicas=replicas))
                log.info("stream_replicas_raised", stream=config.name, replicas=replicas)


def last_position(info: StreamInfo) -> StreamPosition:
    """Read the place of the newest event from what the stream's leader says of itself."""
    if info.created is None:
        raise BusUnavailable("The stream does not tell when it was created")
    return StreamPosition(info.created.isoformat(), info.state.last_seq)
