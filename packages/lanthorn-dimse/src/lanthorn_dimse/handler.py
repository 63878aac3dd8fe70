"""What a service is to this library: the ways in for requests of the peer."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Protocol

from lanthorn_dimse.command_set import Command
from lanthorn_dimse.negotiation import AcceptedContext

if TYPE_CHECKING:
    from lanthorn_dimse.association import Association


class DataSetSink(Protocol):
    """Takes the data set of one request as it arrives.

    To hold the peer back, call `Association.pause_reading`: no `write` follows before
    `Association.resume_reading`.
    """

    def write(self, fragment: memoryview) -> None:
        """Take the next bytes.

        Called on the event loop: quick, never blocking. `fragment` is valid during the call only,
        and of any length above 0. An exception aborts the association.
        """

    def discard(self) -> None:
        """Forget what came: the association ended before `RequestHandler.handle` got the request.

        Once `handle` was called the sink belongs to the handler, and this is not called any more.
        """


@dataclass(slots=True, eq=False)
class Request:
    """A request of the peer.

    Attributes
    ----------
    command : Command
        What it says; `command.response(status)` makes the answer.
    context : AcceptedContext
        Where it came, with the roles that were agreed on; whether they fit is the handler's to
        check (PS3.7 Annex C: status 0122, 0211).
    data_set : bytes or None
        The data set, if the library collected it.
    sink : DataSetSink or None
        What `RequestHandler.begin` returned, if a data set followed.
    cancelled : asyncio.Event
        Set by C-CANCEL, and when the association ends while the request is handled.
    """

    command: Command
    context: AcceptedContext
    data_set: bytes | None = None
    sink: DataSetSink | None = None
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)


class Ended(Enum):
    """How an association ended."""

    RELEASED = "released"
    ABORTED = "aborted"
    """By A-ABORT of either side."""
    CLOSED = "closed"
    """The connection broke without a word."""
    TIMED_OUT = "timed-out"
    """This side aborted it: the peer was silent, slow, or did not read."""


class RequestHandler(Protocol):
    """Serves the requests of one association; the library makes its calls on the event loop."""

    def begin(self, assoc: Association, request: Request) -> DataSetSink | None:
        """Choose where the data set that follows shall go; not called if none follows.

        Called when the request's command set is complete, possibly while the request before is
        still being handled. None: the library collects the data set, up to
        `Limits.identifier_bytes`, in `request.data_set`. Must not block.
        """

    async def handle(self, assoc: Association, request: Request) -> None:
        """Answer a complete request by `assoc.send`, final response included.

        One at a time for each association, in the order of arrival. An exception aborts the
        association; `DimseError` of an association that is over is no fault. When the association
        ends meanwhile, `request.cancelled` is set and `assoc.send` raises; the call itself is
        cancelled only when the server or the client is closed.
        """

    def ended(self, assoc: Association, how: Ended) -> None:
        """Learn that the association is over; called once, for established associations only.

        A `handle` that is running may still be on its way to its end.
        """
