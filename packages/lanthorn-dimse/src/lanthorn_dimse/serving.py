"""Requests of the peer: one task per association handles them in order."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Final, Protocol

from lanthorn_dimse.errors import DimseError
from lanthorn_dimse.handler import Ended, Request, RequestHandler

if TYPE_CHECKING:
    from lanthorn_dimse.association import Association

log = logging.getLogger(__name__)

READ_AHEAD: Final = 2
"""So many complete requests are kept at most, the one that is being handled included."""

Spawn = Callable[[Coroutine[Any, Any, None], str], asyncio.Task[None]]
"""Starts a named task that somebody owns."""


class ServingUser(Protocol):
    """Who is told how it goes."""

    def request_handled(self) -> None:
        """Take the end of a handler's work on one request."""

    def request_failed(self) -> None:
        """Take a handler's exception."""


class Serving:
    """The requests that wait for their handler, and the one that has it.

    Parameters
    ----------
    assoc : Association
        Where they come from.
    handler : RequestHandler
        Who serves them.
    spawn : callable
        Starts the task, with the first request.
    user : ServingUser
        Is told how it goes.
    """

    def __init__(
        self, assoc: Association, handler: RequestHandler, spawn: Spawn, user: ServingUser
    ) -> None:
        self.task: asyncio.Task[None] | None = None
        self._assoc = assoc
        self._handler = handler
        self._spawn = spawn
        self._user = user
        self._waiting: deque[Request] = deque()
        self._running: Request | None = None
        self._running_since = 0.0
        self._receiving: Request | None = None
        self._wake: asyncio.Future[None] | None = None
        self._over = False

    @property
    def count(self) -> int:
        """How many complete requests there are, the one that is being handled included."""
        return len(self._waiting) + (self._running is not None)

    def is_busy_since(self, moment: float) -> bool:
        """Whether the handler has a request, which it got after that moment."""
        return self._running is not None and self._running_since > moment

    def begin(self, request: Request) -> None:
        """Take a request whose data set follows."""
        self._receiving = request
        request.sink = self._handler.begin(self._assoc, request)

    def complete(self, request: Request) -> None:
        """Take a complete request."""
        self._receiving = None
        self._waiting.append(request)
        if self.task is None:
            self.task = self._spawn(self._serve(), f"association-{self._assoc.id}")
        elif self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    def cancel(self, message_id: int) -> None:
        """Take a C-CANCEL."""
        for request in (self._running, *self._waiting):
            if request is not None and request.command.message_id == message_id:
                request.cancelled.set()
                return

    def end(self, how: Ended) -> None:
        """Take the end of the association: what no handler has yet is forgotten."""
        self._over = True
        forgotten = [each for each in (self._receiving, *self._waiting) if each is not None]
        self._receiving = None
        self._waiting.clear()
        if self._running is not None:
            self._running.cancelled.set()
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)
        try:
            for request in forgotten:
                if request.sink is not None:
                    request.sink.discard()
            self._handler.ended(self._assoc, how)
        except Exception:
            log.exception("ending_failed: association %s", self._assoc.id)

    async def _serve(self) -> None:
        while not self._over:
            if not self._waiting:
                self._wake = asyncio.get_running_loop().create_future()
                await self._wake
                continue
            request = self._running = self._waiting.popleft()
            self._running_since = asyncio.get_running_loop().time()
            failed = False
            try:
                await self._handler.handle(self._assoc, request)
            except DimseError as error:
                # Of an association that is over it says nothing new.
                if not self._over:
                    log.warning("request_failed: association %s: %s", self._assoc.id, error)
                failed = True
            except Exception:
                log.exception("handler_failed: association %s", self._assoc.id)
                failed = True
            finally:
                self._running = None
            if failed:
                self._user.request_failed()
            else:
                self._user.request_handled()
