"""One association, as who uses it sees it."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import uuid
from collections.abc import AsyncGenerator, AsyncIterable, Iterable, Mapping, Sequence

from lanthorn_dimse.command_set import Command, CommandField, encode_command
from lanthorn_dimse.errors import AssociationClosed, NoAcceptedContext, ProtocolError, TimedOut
from lanthorn_dimse.exchanges import Exchange, Response
from lanthorn_dimse.framing import (
    BytesLike,
    fragment_room,
    frame_command,
    frame_data,
    frame_small,
    frame_stream,
)
from lanthorn_dimse.handler import Ended, RequestHandler
from lanthorn_dimse.negotiation import AcceptedContext, AssociateAcceptance, AssociateRequest
from lanthorn_dimse.options import LAST_WORDS_S, Limits, Timers
from lanthorn_dimse.serving import Spawn
from lanthorn_dimse.session import Owner, Session

DataSet = BytesLike | Sequence[BytesLike] | AsyncIterable[BytesLike]
"""An encoded data set: whole, in pieces, or in pieces that come one after the other."""


class Association:
    """An association as acceptor or requestor, with both roles.

    Made by `serve`, `connect` and `associate`. All methods belong to the event loop it was made on.

    Attributes
    ----------
    id : str
        For logs; unique in practice.
    is_acceptor : bool
        Whether the peer opened it.
    calling_ae_title, called_ae_title : str
        As negotiated, without outer spaces.
    remote_ip, remote_port : str, int
        Where the peer is; IPv4 addresses are never shown as IPv6 ones.
    associate_request : AssociateRequest
        What was proposed.
    acceptance : AssociateAcceptance
        What was answered.
    contexts : mapping of presentation context ID to AcceptedContext
        What may be used.
    peer_maximum_length : int
        The longest P-DATA-TF that the peer takes, 0 for any.
    handler : RequestHandler or None
        Who serves the peer's requests.
    """

    def __init__(
        self,
        *,
        is_acceptor: bool,
        timers: Timers,
        limits: Limits,
        owner: Owner,
        spawn: Spawn,
        handler: RequestHandler | None = None,
    ) -> None:
        self.id = uuid.uuid4().hex[:12]
        self.is_acceptor = is_acceptor
        self.calling_ae_title = ""
        self.called_ae_title = ""
        self.remote_ip = ""
        self.remote_port = 0
        self.associate_request = AssociateRequest("", "", ())
        self.acceptance = AssociateAcceptance(())
        self.contexts: Mapping[int, AcceptedContext] = {}
        self.peer_maximum_length = 0
        self.handler = handler
        self._session = Session(
            self,
            is_acceptor=is_acceptor,
            timers=timers,
            limits=limits,
            owner=owner,
            spawn=spawn,
        )
        self._layer = self._session.layer
        self._sending = asyncio.Lock()
        self._message_id = 0
        self._before_next: list[tuple[int, Command]] = []

    @property
    def is_established(self) -> bool:
        """Whether it is neither over nor only being negotiated."""
        return self._session.is_established

    @property
    def bytes_received(self) -> int:
        """On this connection, headers included, without TLS's own."""
        return self._layer.bytes_received

    @property
    def bytes_sent(self) -> int:
        """On this connection, headers included, without TLS's own."""
        return self._layer.bytes_sent

    @property
    def tls(self) -> ssl.SSLObject | None:
        """What TLS negotiated, if the connection is encrypted and still there."""
        return self._layer.tls

    def context_for(
        self,
        abstract_syntax: str,
        transfer_syntaxes: Iterable[str] | None = None,
        *,
        as_scp: bool = False,
    ) -> AcceptedContext:
        """Return an accepted presentation context.

        Parameters
        ----------
        abstract_syntax : str
            A SOP class UID.
        transfer_syntaxes : iterable of str or None
            Those that will do, the preferred first; None: any, that of the lowest ID.
        as_scp : bool
            Whether this side is to be the SCP there; otherwise it is to be the SCU.

        Raises
        ------
        NoAcceptedContext
            There is none.
        """
        found = [
            context
            for _, context in sorted(self.contexts.items())
            if context.abstract_syntax == abstract_syntax
            and (context.as_scp if as_scp else context.as_scu)
        ]
        if transfer_syntaxes is None and found:
            return found[0]
        for transfer_syntax in transfer_syntaxes or ():
            for context in found:
                if context.transfer_syntax == transfer_syntax:
                    return context
        role = "SCP" if as_scp else "SCU"
        raise NoAcceptedContext(
            f"no presentation context was accepted for {abstract_syntax} as {role}"
            + (" in a transfer syntax that would do" if found else "")
        )

    def next_message_id(self) -> int:
        """Return a Message ID for a request: 1 to 65535, then again."""
        self._message_id = self._message_id % 0xFFFF + 1
        return self._message_id

    async def send(
        self, context_id: int, command: Command, data_set: DataSet | None = None
    ) -> None:
        """Send one message: a response, or a request to which no response is awaited.

        Waits while the peer does not read. Buffers are not copied: they must stay unchanged until
        the peer answered, or for a response until the association's next message or end.

        Parameters
        ----------
        context_id : int
            An accepted presentation context.
        command : Command
            `has_data_set` must tell whether `data_set` is there.
        data_set : DataSet or None
            Encoded in the context's transfer syntax. What an asynchronous iterable raises ends the
            association, since half of a message cannot be taken back.

        Raises
        ------
        DimseError
            The association is over, or ends because the peer does not read.
        ValueError
            The message contradicts itself, or the presentation context was not accepted.
        """
        if command.has_data_set is not (data_set is not None):
            raise ValueError("a command must say whether a data set follows")
        self._require_context(context_id)
        async with self._sending:
            await self._ready()
            room = self._room()
            head = frame_command(context_id, encode_command(command), room)
            if self._before_next:
                head = self._take_before_next(room) + head
            if data_set is None:
                self._layer.send_data((head,))
                return
            try:
                await self._send_with_data_set(context_id, head, data_set, room)
            except BaseException:
                self.abort()
                raise

    def send_with_next(self, context_id: int, command: Command) -> None:
        """Send a response without data set together with this side's next message, in one write.

        For what may wait a moment because more follows at once: the pending response of a C-GET
        before its next sub-operation. If the association ends first, it is never sent.
        """
        self._require_context(context_id)
        self._before_next.append((context_id, command))

    async def send_all(
        self, context_id: int, messages: Iterable[tuple[Command, BytesLike | None]]
    ) -> None:
        """Send several small messages in one write, as `send` would one after the other."""
        self._require_context(context_id)
        async with self._sending:
            await self._ready()
            room = self._room()
            buffers: list[BytesLike] = []
            framed, head = None, b""
            if self._before_next:
                buffers.append(self._take_before_next(room))
            for command, data_set in messages:
                if command.has_data_set is not (data_set is not None):
                    raise ValueError("a command must say whether a data set follows")
                if command is not framed:  # pending responses are mostly one and the same
                    framed = command
                    head = frame_command(context_id, encode_command(command), room)
                buffers.append(head)
                if data_set is not None:
                    buffers += frame_small(context_id, data_set, room)
            if buffers:
                self._layer.send_data((b"".join(buffers),))

    async def request(
        self,
        context_id: int,
        command: Command,
        data_set: DataSet | None = None,
        *,
        timeout_s: float | None = None,
    ) -> Response:
        """Send a request that has one response, and return that.

        Requests take turns: one at a time is open (PS3.7 Annex D.3.3.3, window of 1). Who is
        cancelled while waiting leaves the association usable; its response is dropped.

        Parameters
        ----------
        timeout_s : float or None
            Until the response; None: `Timers.dimse_s`. Whatever the peer sends meanwhile counts as
            life.

        Raises
        ------
        TimedOut
            No response came; the association is aborted.
        DimseError
            The association ended before the response.
        """
        exchange = await self._ask(context_id, command, data_set, timeout_s)
        try:
            while True:
                response = await exchange.next()
                if response.is_final:
                    return response
        finally:
            exchange.abandon()

    async def requests(
        self,
        context_id: int,
        command: Command,
        data_set: DataSet | None = None,
        *,
        timeout_s: float | None = None,
    ) -> AsyncGenerator[Response, None]:
        """Send a request with several responses (C-FIND, C-MOVE, C-GET), and yield these.

        The last one yielded is the final response. Who leaves early should `cancel` first: the
        responses that still come are read and dropped, and the next request waits for the last.
        Errors are those of `request`; `timeout_s` counts for each response.
        """
        exchange = await self._ask(context_id, command, data_set, timeout_s)
        try:
            while True:
                response = await exchange.next()
                yield response
                if response.is_final:
                    return
        finally:
            exchange.abandon()

    async def cancel(self, context_id: int, message_id: int) -> None:
        """Send C-CANCEL for an open request (PS3.7 Section 9.3.2.3)."""
        await self.send(context_id, Command(CommandField.C_CANCEL_RQ, message_id))

    def pause_reading(self) -> None:
        """Stop taking bytes from the peer, until as many `resume_reading` as `pause_reading`.

        Nothing that was read already is passed on meanwhile either.
        """
        self._layer.hold()

    def resume_reading(self) -> None:
        """Take back one `pause_reading`; nothing if the association is over."""
        self._layer.let_go()

    async def release(self, timeout_s: float | None = None) -> None:
        """Release the association; past `timeout_s` (`Timers.release_s`) it is aborted.

        Returns when the connection is closed; at once if it is over already.

        Raises
        ------
        TimedOut
            The peer did not answer.
        DimseError
            It ended otherwise meanwhile.
        """
        session = self._session
        if not session.is_established:
            return
        try:
            async with asyncio.timeout(
                session.timers.release_s if timeout_s is None else timeout_s
            ):
                async with self._sending:
                    session.error = AssociationClosed("the release was asked for")
                    self._layer.release()
                await asyncio.shield(session.closed)
        except TimeoutError:
            self.abort()
            self._layer.cut_off()
            raise TimedOut("the peer did not answer the request for release") from None
        if session.ended is not Ended.RELEASED:
            raise session.error

    def abort(self, source: int = 0, reason: int = 0) -> None:
        """Send A-ABORT (PS3.8 Table 9-26) and end the association; nothing if it is over."""
        if self._session.is_established:
            self._session.abort(source, reason)

    async def close(self) -> None:
        """End the association whatever it is doing, and return when it is gone.

        A-ABORT if it is not over yet; its handler is cancelled; a peer that does not close the
        connection soon is cut off.
        """
        self.abort()
        task = self._session.task
        if task is not None and task is not asyncio.current_task():
            task.cancel()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_WORDS_S):
                await asyncio.shield(self._session.closed)
        self._layer.cut_off()
        await self.wait_closed()

    async def wait_closed(self) -> None:
        """Return when there is no connection any more and the handler is done."""
        await asyncio.shield(self._session.closed)
        task = self._session.task
        if task is not None and task is not asyncio.current_task():
            await asyncio.wait([task])

    def _require_context(self, context_id: int) -> None:
        if context_id not in self.contexts:
            raise ValueError(f"presentation context {context_id} was not accepted")

    def _take_before_next(self, room: int) -> bytes:
        waiting, self._before_next = self._before_next, []
        return b"".join(
            frame_command(context_id, encode_command(command), room)
            for context_id, command in waiting
        )

    def _room(self) -> int:
        try:
            return fragment_room(self.peer_maximum_length)
        except ProtocolError:
            self.abort()
            raise

    async def _ready(self) -> None:
        if self._layer.write_stalled:
            await self._layer.drained()
        if not self._layer.sends_data:
            raise self._session.error

    async def _send_with_data_set(
        self, context_id: int, head: bytes, data_set: DataSet, room: int
    ) -> None:
        layer = self._layer
        if isinstance(data_set, AsyncIterable):
            layer.send_data((head,))
            # What the pieces come from, an open file perhaps, is let go now and not when garbage is
            # collected.
            async with contextlib.AsyncExitStack() as stack:
                if isinstance(data_set, AsyncGenerator):
                    stack.push_async_callback(data_set.aclose)
                framed = frame_stream(context_id, data_set, room)
                await stack.enter_async_context(contextlib.aclosing(framed))
                async for batch in framed:
                    await self._ready()
                    layer.send_data(batch)
            return
        pieces = (data_set,) if isinstance(data_set, BytesLike) else data_set
        batches = frame_data(context_id, pieces, room)
        layer.send_data([head, *next(batches)])
        for batch in batches:
            await self._ready()
            layer.send_data(batch)

    async def _ask(
        self, context_id: int, command: Command, data_set: DataSet | None, timeout_s: float | None
    ) -> Exchange:
        session = self._session
        if timeout_s is None:
            timeout_s = session.timers.dimse_s
        exchange = await session.exchanges.begin(command, timeout_s)
        session.watchdog.expect(timeout_s)
        try:
            await self.send(context_id, command, data_set)
        except BaseException:
            # Half a message has aborted the association, which ends the exchange: this one is for
            # requests of which nothing was sent.
            session.exchanges.withdraw(exchange)
            raise
        return exchange
