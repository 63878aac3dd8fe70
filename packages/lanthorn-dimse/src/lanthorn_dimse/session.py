"""What comes in on an association: its beginning, requests, responses, its end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from lanthorn_dimse.command_set import Command, CommandField
from lanthorn_dimse.errors import (
    AssociationAborted,
    AssociationClosed,
    AssociationRejected,
    DimseError,
    ProtocolError,
    TimedOut,
)
from lanthorn_dimse.exchanges import Exchange, Exchanges, Response
from lanthorn_dimse.handler import Ended, Request, RequestHandler
from lanthorn_dimse.messages import Destination, MessageAssembler
from lanthorn_dimse.negotiation import (
    APPLICATION_CONTEXT_NAME,
    APPLICATION_CONTEXT_NOT_SUPPORTED,
    AcceptedContext,
    AssociateAcceptance,
    AssociateRejection,
    AssociateRequest,
    agreed_contexts,
)
from lanthorn_dimse.options import Limits, Timers
from lanthorn_dimse.serving import READ_AHEAD, Serving, Spawn
from lanthorn_dimse.state_machine import State
from lanthorn_dimse.upper_layer import UpperLayer
from lanthorn_dimse.watchdog import Watchdog

if TYPE_CHECKING:
    from lanthorn_dimse.association import Association

log = logging.getLogger(__name__)

_OUTSIDE_THE_WINDOW: Final = 16
"""So many requests of the peer may wait while this side awaits a response; the window is 1."""


class Owner:
    """Who made an association, and is told of its life; by default nothing is done about it."""

    def associate_indicated(self, assoc: Association, request: AssociateRequest) -> None:
        """Decide on an A-ASSOCIATE-RQ, now or later."""

    def association_over(self, assoc: Association) -> None:
        """Learn that an established association is over; its connection may still stand."""

    def connection_ended(self, assoc: Association) -> None:
        """Learn that the connection is closed."""


class Session:
    """The incoming side of one association.

    Parameters
    ----------
    assoc : Association
        Its public face.
    is_acceptor : bool
        Whether the peer opens it.
    timers, limits : Timers, Limits
        For this association.
    owner : Owner
        Who made it.
    spawn : callable
        Starts the task of the handler.
    """

    def __init__(
        self,
        assoc: Association,
        *,
        is_acceptor: bool,
        timers: Timers,
        limits: Limits,
        owner: Owner,
        spawn: Spawn,
    ) -> None:
        self.timers = timers
        self.owner = owner
        self.messages = MessageAssembler(self, limits.command_bytes)
        self.layer = UpperLayer(
            self,
            self.messages,
            is_acceptor=is_acceptor,
            artim_s=timers.artim_s,
            associate_pdu_bytes=limits.associate_pdu_bytes,
        )
        self.exchanges = Exchanges(self._regulate)
        self.watchdog = Watchdog(self, timers, self._time_out)
        self.is_established = False
        self.is_draining = False
        self.ended: Ended | None = None
        self.error: DimseError = AssociationClosed("the association is not established")
        self.idle_since = 0.0
        loop = asyncio.get_running_loop()
        self._loop = loop
        self.answered: asyncio.Future[None] = loop.create_future()
        """Of a requestor: set by the peer's answer."""
        self.closed: asyncio.Future[None] = loop.create_future()
        """Set when there is no connection any more."""
        self._assoc = assoc
        self._limits = limits
        self._spawn = spawn
        self._serving: Serving | None = None
        self._incoming: Request | None = None
        self._collected: bytearray | None = None
        self._responses_to: Exchange | None = None
        self._held = False
        self._release_wanted = False

    # Its beginning

    def associate_indicated(self, request: AssociateRequest) -> None:
        """Take an A-ASSOCIATE indication."""
        assoc = self._assoc
        assoc.associate_request = request
        assoc.calling_ae_title = request.calling_ae_title
        assoc.called_ae_title = request.called_ae_title
        if request.application_context_name != APPLICATION_CONTEXT_NAME:
            self.layer.reject(APPLICATION_CONTEXT_NOT_SUPPORTED)
            return
        self.owner.associate_indicated(assoc, request)

    def accept(
        self, acceptance: AssociateAcceptance, make_handler: Callable[[Association], RequestHandler]
    ) -> None:
        """Answer the indication; the association is established from here on."""
        self._agree(acceptance)
        handler = make_handler(self._assoc)
        self._assoc.handler = handler
        self.layer.accept(acceptance)
        self._establish(handler)

    def associate_accepted(self, acceptance: AssociateAcceptance) -> None:
        """Take the confirmation that a requestor waits for."""
        self._agree(acceptance)
        self._establish(self._assoc.handler)
        if not self.answered.done():
            self.answered.set_result(None)

    def associate_rejected(self, rejection: AssociateRejection) -> None:
        """Take the refusal that a requestor did not wait for."""
        self._end(
            Ended.ABORTED,
            AssociationRejected(rejection.result, rejection.source, rejection.reason),
        )

    def _agree(self, acceptance: AssociateAcceptance) -> None:
        assoc = self._assoc
        assoc.acceptance = acceptance
        is_acceptor = self.layer.is_acceptor
        asked = assoc.associate_request
        assoc.contexts = agreed_contexts(asked, acceptance, is_acceptor=is_acceptor)
        assoc.peer_maximum_length = (asked if is_acceptor else acceptance).maximum_length

    def _establish(self, handler: RequestHandler | None) -> None:
        self.messages.open(self._assoc.contexts)
        if handler is not None:
            self._serving = Serving(self._assoc, handler, self._spawn, self)
        self.idle_since = self._loop.time()
        self.is_established = True
        self.watchdog.start()

    # Messages

    def data_set_follows(self, command: Command, context: AcceptedContext) -> Destination:
        """Choose where a data set goes."""
        if command.is_response:
            self._responses_to = self.exchanges.awaiting(command)
            return self._collect()
        serving = self._serving
        if serving is None or command.field is CommandField.C_CANCEL_RQ:
            raise ProtocolError("a request that nobody here serves")
        request = self._incoming = Request(command, context)
        serving.begin(request)
        if request.sink is not None:
            return Destination(request.sink.write, None)
        return self._collect()

    def message_complete(self, command: Command, context: AcceptedContext) -> None:
        """Take a message."""
        collected, self._collected = self._collected, None
        data_set = None if collected is None else bytes(collected)
        if command.is_response:
            exchange, self._responses_to = self._responses_to, None
            if exchange is None or exchange is not self.exchanges.current:
                exchange = self.exchanges.awaiting(command)
            exchange.add(Response(command, data_set))
        elif command.field is CommandField.C_CANCEL_RQ:
            if self._serving is not None:
                self._serving.cancel(command.message_id)
        else:
            request, self._incoming = self._incoming, None
            self._take_request(request or Request(command, context), data_set)
        self._regulate()

    def _collect(self) -> Destination:
        self._collected = bytearray()
        return Destination(self._collected.extend, self._limits.identifier_bytes)

    def _take_request(self, request: Request, data_set: bytes | None) -> None:
        if self._serving is None:
            raise ProtocolError("a request that nobody here serves")
        request.data_set = data_set
        self._serving.complete(request)
        if self._serving.count > _OUTSIDE_THE_WINDOW:
            raise ProtocolError("more requests than were negotiated")

    def _regulate(self) -> None:
        """Read, or do not: at most two requests, and some responses, are kept.

        While this side awaits a response it has to read on, whatever comes before it.
        """
        exchange = self.exchanges.current
        if exchange is not None:
            hold = exchange.is_full
        else:
            hold = self._serving is not None and self._serving.count >= READ_AHEAD
        if hold is self._held:
            return
        self._held = hold
        if hold:
            self.layer.hold()
        else:
            self.layer.let_go()

    # Requests of the peer, as `Serving` tells

    def request_handled(self) -> None:
        """Take the end of a handler's work on one request."""
        self.idle_since = self._loop.time()
        self._regulate()
        if not self.is_serving:
            self._act_on_idleness()

    def request_failed(self) -> None:
        """Take a handler's exception; nothing is lost where nothing could be answered any more."""
        if self.layer.sends_data:
            self.abort()
        else:
            self.request_handled()

    # What the watchdog asks

    @property
    def exchange(self) -> Exchange | None:
        """The request that awaits a response."""
        return self.exchanges.current

    @property
    def in_message(self) -> bool:
        """Whether the peer is in the middle of a message."""
        return self.messages.in_message or self.layer.in_pdu

    @property
    def is_serving(self) -> bool:
        """Whether requests of the peer are in hand."""
        return self._serving is not None and self._serving.count > 0

    def is_serving_since(self, moment: float) -> bool:
        """Whether the request in hand was taken up after that moment of the event loop's clock."""
        return self._serving is not None and self._serving.is_busy_since(moment)

    # Its end

    def release_indicated(self) -> None:
        """Take an A-RELEASE indication: it is answered when the requests in hand are."""
        self._release_wanted = True
        if not self.is_serving:
            self._act_on_idleness()

    def release_confirmed(self) -> None:
        """Take the confirmation; in a collision the acceptor answers only now."""
        if self.layer.state is State.STA12:
            self.layer.respond_to_release()
        self._end(Ended.RELEASED, AssociationClosed("the association was released"))

    def abort_indicated(self, source: int, reason: int) -> None:
        """Take an A-ABORT of the peer."""
        self._end(Ended.ABORTED, AssociationAborted(source, reason))

    def peer_failed(self, error: ProtocolError) -> None:
        """Take what the peer did wrong; it got its A-ABORT."""
        log.warning("protocol_violated: association %s: %s", self._assoc.id, error)
        self._end(Ended.ABORTED, error)

    def user_failed(self, error: Exception) -> None:
        """Take the exception of a sink, of `RequestHandler.begin` or of who decides."""
        log.error("receiving_failed: association %s", self._assoc.id, exc_info=error)
        self.abort()

    def connection_ended(self, error: Exception | None) -> None:
        """Take the end of the connection."""
        self._end(Ended.CLOSED, AssociationClosed("the connection was lost"))
        if not self.closed.done():
            self.closed.set_result(None)
        self.owner.connection_ended(self._assoc)

    def abort(self, source: int = 0, reason: int = 0) -> None:
        """Abort the association from this side."""
        self.layer.abort(source, reason)
        self._end(Ended.ABORTED, AssociationClosed("the association was aborted by this side"))

    def drain(self) -> None:
        """Abort the association as soon as no request is in hand."""
        self.is_draining = True
        if not self.is_serving:
            self._act_on_idleness()

    @property
    def task(self) -> asyncio.Task[None] | None:
        """The task of the handler, once there was a request."""
        return None if self._serving is None else self._serving.task

    def _act_on_idleness(self) -> None:
        if self._release_wanted:
            if self.layer.state in _RELEASE_MAY_BE_ANSWERED:
                is_over = self.layer.state is State.STA8
                self.layer.respond_to_release()
                if is_over:
                    self._end(Ended.RELEASED, AssociationClosed("the association was released"))
        elif self.is_draining and self.is_established and not self.in_message:
            self.abort()

    def _time_out(self, text: str) -> None:
        log.warning("association_timed_out: association %s: %s", self._assoc.id, text)
        stalled = self.layer.write_stalled
        self.layer.abort()
        self._end(Ended.TIMED_OUT, TimedOut(text))
        if stalled:
            # It would not see the A-ABORT behind all that it does not read.
            self.layer.cut_off()

    def _end(self, how: Ended, error: DimseError) -> None:
        if self.ended is not None:
            return
        self.ended = how
        self.error = error
        self.watchdog.stop()
        if not self.answered.done():
            self.answered.set_result(None)
        if not self.is_established:
            return
        self.is_established = False
        self.exchanges.fail(error)
        if self._serving is not None:
            self._serving.end(how)
        self.owner.association_over(self._assoc)


_RELEASE_MAY_BE_ANSWERED: Final = frozenset({State.STA8, State.STA9})
"""In Sta10 the acceptor waits for A-RELEASE-RP first."""
