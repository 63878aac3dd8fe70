"""Accepting associations from a listening socket."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from lanthorn_dimse.association import Association
from lanthorn_dimse.handler import RequestHandler
from lanthorn_dimse.negotiation import (
    DECISION_FAILED,
    LOCAL_LIMIT_EXCEEDED,
    AssociateAcceptance,
    AssociateRejection,
    AssociateRequest,
    Decision,
)
from lanthorn_dimse.options import LAST_WORDS_S, TLS_SHUTDOWN_S, Limits, Timers
from lanthorn_dimse.session import Owner
from lanthorn_dimse.state_machine import State

log = logging.getLogger(__name__)

_ACCEPT_PAUSE_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class PeerAddress:
    """Where a requestor is; IPv4 addresses are never shown as IPv6 ones."""

    ip: str
    port: int


Negotiate = Callable[[AssociateRequest, PeerAddress, int], Decision | Awaitable[Decision]]
"""Answers an A-ASSOCIATE-RQ; the number is that of the associations established before."""

MakeHandler = Callable[[Association], RequestHandler]
"""Called for each accepted association, before its acceptance is on its way."""


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """How a server treats its peers.

    Attributes
    ----------
    timers, limits : Timers, Limits
        For each association.
    tls : ssl.SSLContext or None
        Every connection speaks TLS with it.
    associations : int or None
        At most so many in all, more are rejected (transient, local limit exceeded).
    associations_per_host : int or None
        At most so many from one address, likewise.
    unassociated : int
        Connections that have no association yet or any more; a newcomer beyond ends the oldest.
    rejected : callable or None
        Hears of each association that is rejected, whether by the limits or by who decides.
    """

    timers: Timers = field(default_factory=Timers)
    limits: Limits = field(default_factory=Limits)
    tls: ssl.SSLContext | None = None
    associations: int | None = None
    associations_per_host: int | None = None
    unassociated: int = 200
    rejected: Callable[[AssociateRejection], None] | None = None


class Server(Owner):
    """The associations of one listening socket; made by `serve`."""

    def __init__(
        self,
        listening_socket: socket.socket,
        negotiate: Negotiate,
        make_handler: MakeHandler,
        options: ServerOptions,
        group: asyncio.TaskGroup,
    ) -> None:
        self._listening = listening_socket
        self._negotiate = negotiate
        self._make_handler = make_handler
        self._options = options
        self._group = group
        self._loop = asyncio.get_running_loop()
        self._connecting: dict[asyncio.Task[None], None] = {}
        self._unassociated: dict[Association, None] = {}
        """Oldest first, as the dictionary above: without an association yet, or any more."""
        self._associations: dict[Association, None] = {}
        self._per_host: Counter[str] = Counter()
        self._handlers: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()
        listening_socket.setblocking(False)
        self._accepting = self._spawn(self._accept(), "dimse-accept")

    @property
    def established(self) -> int:
        """How many associations are established."""
        return len(self._associations)

    @property
    def associations(self) -> tuple[Association, ...]:
        """The established associations."""
        return tuple(self._associations)

    async def drain(
        self, deadline_s: float, *, patience_s: float = 0.0, idle_s: float = 1.0
    ) -> None:
        """Stop accepting, let requests in hand finish, abort what asks nothing.

        Returns when no association is left.

        Parameters
        ----------
        deadline_s : float
            What is not done by then, counted from the end of the patience, is cut off.
        patience_s : float
            So long associations may go on that send something at least every `idle_s`: most come
            to their own end.
        """
        await self._stop_accepting()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience_s):
                await self._drain_idle(idle_s)
        for assoc in list(self._associations):
            assoc._session.drain()
        await self._wait_until(lambda: not self._associations and not self._handlers, deadline_s)
        await self.close()

    async def close(self) -> None:
        """Abort all associations, cancel their handlers, and close all connections."""
        await self._stop_accepting()
        for assoc in list(self._associations):
            assoc.abort()
        for task in (*self._handlers, *self._connecting):
            task.cancel()
        for assoc in list(self._unassociated):
            if assoc._session.layer.state is not State.STA13:
                assoc._session.layer.cut_off()
        await self._wait_until(lambda: not self._unassociated, LAST_WORDS_S)
        for assoc in list(self._unassociated):
            assoc._session.layer.cut_off()
        # Handlers that clean up are waited for, by the group that owns them.
        await self._wait_until(lambda: not self._unassociated and not self._connecting, None)

    # What associations tell

    def associate_indicated(self, assoc: Association, request: AssociateRequest) -> None:
        """Decide on an A-ASSOCIATE-RQ."""
        options = self._options
        if (options.associations is not None and self.established >= options.associations) or (
            options.associations_per_host is not None
            and self._per_host[assoc.remote_ip] >= options.associations_per_host
        ):
            log.warning("association_rejected: local limit exceeded")
            self._reject(assoc, LOCAL_LIMIT_EXCEEDED)
            return
        peer = PeerAddress(assoc.remote_ip, assoc.remote_port)
        try:
            decision = self._negotiate(request, peer, self.established)
        except Exception as error:
            self._negotiation_failed(assoc, error)
            return
        if isinstance(decision, AssociateAcceptance | AssociateRejection):
            self._answer(assoc, decision)
        else:
            self._spawn(self._await_decision(assoc, decision), f"negotiation-{assoc.id}")

    def association_over(self, assoc: Association) -> None:
        """Take the end of an association; its connection may linger (Sta13)."""
        if self._associations.pop(assoc, 0) is None:
            self._per_host[assoc.remote_ip] -= 1
            if not self._per_host[assoc.remote_ip]:
                del self._per_host[assoc.remote_ip]
            self._unassociated[assoc] = None
            self._limit_unassociated()
        self._changed.set()

    def connection_ended(self, assoc: Association) -> None:
        """Forget a connection."""
        self._unassociated.pop(assoc, None)
        self._changed.set()

    # Its own work

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        return self._group.create_task(work, name=name)

    def _spawn_handler(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        task = self._spawn(work, name)
        self._handlers.add(task)
        task.add_done_callback(self._handler_done)
        return task

    def _handler_done(self, task: asyncio.Task[None]) -> None:
        self._handlers.discard(task)
        self._changed.set()

    async def _accept(self) -> None:
        while True:
            try:
                connection, address = await self._loop.sock_accept(self._listening)
            except OSError as error:
                # Out of descriptors: the connection stays in the backlog, and would be announced
                # again at once.
                log.warning("connection_delayed: %s", error.strerror)
                await asyncio.sleep(_ACCEPT_PAUSE_S)
                continue
            task = self._spawn(self._connect(connection, address), "dimse-connection")
            self._connecting[task] = None
            task.add_done_callback(self._connected)
            self._limit_unassociated()

    def _connected(self, task: asyncio.Task[None]) -> None:
        self._connecting.pop(task, None)
        self._changed.set()

    async def _connect(self, connection: socket.socket, address: Any) -> None:
        """Make an association of a connection, after the TLS handshake if there is one."""
        options = self._options
        assoc = Association(
            is_acceptor=True,
            timers=options.timers,
            limits=options.limits,
            owner=self,
            spawn=self._spawn_handler,
        )
        # A dual-stack socket shows IPv4 peers as IPv6 ones.
        assoc.remote_ip = str(address[0]).removeprefix("::ffff:")
        assoc.remote_port = int(address[1])
        layer = assoc._session.layer
        encrypted: dict[str, Any] = {}
        if options.tls is not None:
            encrypted = {
                "ssl": options.tls,
                "ssl_handshake_timeout": options.timers.artim_s,
                "ssl_shutdown_timeout": TLS_SHUTDOWN_S,
            }
        try:
            await self._loop.connect_accepted_socket(lambda: layer, connection, **encrypted)
        except (OSError, asyncio.CancelledError) as error:  # ssl.SSLError is an OSError
            connection.close()
            log.info("connection_failed: %s", type(error).__name__)
            if isinstance(error, asyncio.CancelledError):
                raise
            return
        if not assoc._session.closed.done() and not assoc.is_established:
            self._unassociated[assoc] = None

    async def _await_decision(self, assoc: Association, decision: Awaitable[Decision]) -> None:
        try:
            decided = await decision
        except Exception as error:
            self._negotiation_failed(assoc, error)
        else:
            self._answer(assoc, decided)

    def _answer(self, assoc: Association, decision: Decision) -> None:
        session = assoc._session
        if session.layer.state is not State.STA3:
            return  # the peer did not wait
        if isinstance(decision, AssociateRejection):
            self._reject(assoc, decision)
            return
        self._unassociated.pop(assoc, None)
        self._associations[assoc] = None
        self._per_host[assoc.remote_ip] += 1
        try:
            session.accept(decision, self._make_handler)
        except Exception as error:
            self.association_over(assoc)
            self._negotiation_failed(assoc, error)

    def _negotiation_failed(self, assoc: Association, error: Exception) -> None:
        log.error("negotiation_failed: association %s", assoc.id, exc_info=error)
        self._reject(assoc, DECISION_FAILED)

    def _reject(self, assoc: Association, rejection: AssociateRejection) -> None:
        assoc._session.layer.reject(rejection)
        if self._options.rejected is not None:
            self._options.rejected(rejection)

    def _limit_unassociated(self) -> None:
        """Make room for a newcomer: who waits longest is the least likely to be a real peer."""
        excess = len(self._connecting) + len(self._unassociated) - self._options.unassociated
        for task in list(self._connecting)[: max(excess, 0)]:
            if self._options.tls is not None:  # without TLS there is nothing to wait for
                task.cancel()
                excess -= 1
        for assoc in list(self._unassociated)[: max(excess, 0)]:
            log.warning("connection_cut_off: too many without an association")
            del self._unassociated[assoc]
            assoc._session.layer.cut_off()

    async def _stop_accepting(self) -> None:
        self._accepting.cancel()
        await asyncio.wait([self._accepting])
        self._listening.close()

    async def _drain_idle(self, idle_s: float) -> None:
        while self._associations:
            heard = {assoc: assoc.bytes_received for assoc in self._associations}
            await self._wait_until(lambda: not self._associations, idle_s)
            for assoc, before in heard.items():
                if assoc in self._associations and assoc.bytes_received == before:
                    assoc._session.drain()

    async def _wait_until(self, reached: Callable[[], bool], timeout_s: float | None) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while not reached():
                    self._changed.clear()
                    await self._changed.wait()


@asynccontextmanager
async def serve(
    listening_socket: socket.socket,
    negotiate: Negotiate,
    make_handler: MakeHandler,
    options: ServerOptions | None = None,
) -> AsyncIterator[Server]:
    """Accept associations while the context lasts; leaving it aborts those that are left.

    Parameters
    ----------
    listening_socket : socket
        Bound and listening; other processes may accept from it as well. Closed at the end (this
        process's descriptor only).
    negotiate : callable
        Decides on each A-ASSOCIATE-RQ. What it raises is logged, and the peer rejected.
    make_handler : callable
        Makes what serves an association.
    options : ServerOptions or None
        Timers, limits, TLS.
    """
    failure: Exception | None = None
    async with asyncio.TaskGroup() as group:
        server = Server(
            listening_socket, negotiate, make_handler, options or ServerOptions(), group
        )
        try:
            yield server
        except Exception as error:
            failure = error  # the group would wrap it, and it is none of the group's
        finally:
            await server.close()
    if failure is not None:
        raise failure
