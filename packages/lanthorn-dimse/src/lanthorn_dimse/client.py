"""Requesting associations."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from lanthorn_dimse.association import Association
from lanthorn_dimse.errors import ConnectionFailed, DimseError, TimedOut
from lanthorn_dimse.handler import Ended, RequestHandler
from lanthorn_dimse.negotiation import AssociateRequest
from lanthorn_dimse.options import TLS_SHUTDOWN_S, Limits, Timers
from lanthorn_dimse.session import Owner

log = logging.getLogger(__name__)


async def associate(
    host: str,
    port: int,
    request: AssociateRequest,
    *,
    handler: RequestHandler | None = None,
    ended: Callable[[Association, Ended], None] | None = None,
    tls: ssl.SSLContext | None = None,
    server_hostname: str | None = None,
    timers: Timers | None = None,
    limits: Limits | None = None,
) -> Association:
    """Open an association; the caller releases or closes it.

    Parameters
    ----------
    host, port : str, int
        Where the peer listens.
    request : AssociateRequest
        What is proposed.
    handler : RequestHandler or None
        Serves what the peer asks on this association: sub-operations of C-GET, N-EVENT-REPORT.
        Without one such a request aborts the association.
    ended : callable or None
        Hears, once, that the association is over; not called if it was never established.
    tls : ssl.SSLContext or None
        For TLS; `server_hostname` is checked in the peer's certificate, `host` if None, if the
        context checks host names.

    Raises
    ------
    ConnectionFailed
        There is no connection.
    TimedOut
        The peer did not connect or answer in time.
    AssociationRejected, AssociationAborted, AssociationClosed, ProtocolError
        What the peer answered.
    """
    timers = timers or Timers()
    assoc = Association(
        is_acceptor=False,
        timers=timers,
        limits=limits or Limits(),
        owner=Owner() if ended is None else _Listener(ended),
        spawn=_spawn,
        handler=handler,
    )
    assoc.associate_request = request
    assoc.calling_ae_title = request.calling_ae_title
    assoc.called_ae_title = request.called_ae_title
    session = assoc._session
    session.layer.associate(request)
    try:
        await _open_connection(
            assoc,
            host,
            port,
            tls,
            server_hostname=server_hostname or host,
            timeout_s=timers.connect_s,
        )
        assoc.remote_ip, assoc.remote_port = session.layer.peer
        async with asyncio.timeout(timers.associate_s):
            await asyncio.shield(session.answered)
    except TimeoutError:
        await _give_up(assoc)
        raise TimedOut("the peer did not answer the request for an association") from None
    except BaseException:
        await _give_up(assoc)
        raise
    if not assoc.is_established:
        await _give_up(assoc)
        raise session.error
    return assoc


class _Listener(Owner):
    """Passes the end of an association on."""

    def __init__(self, ended: Callable[[Association, Ended], None]) -> None:
        self._ended = ended

    def association_over(self, assoc: Association) -> None:
        how = assoc._session.ended
        if how is not None:
            self._ended(assoc, how)


async def _open_connection(
    assoc: Association,
    host: str,
    port: int,
    tls: ssl.SSLContext | None,
    *,
    server_hostname: str,
    timeout_s: float,
) -> None:
    encrypted: dict[str, Any] = {}
    if tls is not None:
        encrypted = {
            "ssl": tls,
            "server_hostname": server_hostname,
            "ssl_handshake_timeout": timeout_s,
            "ssl_shutdown_timeout": TLS_SHUTDOWN_S,
        }
    layer = assoc._session.layer
    try:
        async with asyncio.timeout(timeout_s):
            await asyncio.get_running_loop().create_connection(
                lambda: layer, host, port, **encrypted
            )
    except TimeoutError:
        raise TimedOut("the peer does not accept the connection in time") from None
    except (OSError, ValueError) as error:  # ValueError: a host name that is none
        raise ConnectionFailed(f"no connection to the peer: {error}") from error


async def _give_up(assoc: Association) -> None:
    session = assoc._session
    if session.layer.is_connected:
        session.layer.abort()
        session.layer.cut_off()
        await asyncio.shield(session.closed)


def _spawn(work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
    # The association owns this task, and ends it; it outlives the call that opened it, so that no
    # group can be its owner.
    return asyncio.create_task(work, name=name)  # noqa: TID251


@asynccontextmanager
async def connect(
    host: str,
    port: int,
    request: AssociateRequest,
    *,
    handler: RequestHandler | None = None,
    tls: ssl.SSLContext | None = None,
    server_hostname: str | None = None,
    timers: Timers | None = None,
    limits: Limits | None = None,
) -> AsyncIterator[Association]:
    """Open an association for the length of the context; as `associate` otherwise.

    Released at the end, aborted if the body raised or the release fails.
    """
    assoc = await associate(
        host,
        port,
        request,
        handler=handler,
        tls=tls,
        server_hostname=server_hostname,
        timers=timers,
        limits=limits,
    )
    try:
        yield assoc
        try:
            await assoc.release()
        except DimseError as error:
            log.info("release_failed: association %s: %s", assoc.id, error)
    finally:
        await assoc.close()
