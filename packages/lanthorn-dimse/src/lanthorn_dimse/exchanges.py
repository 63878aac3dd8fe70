"""Requests of this side that wait for their responses.

References
----------
DICOM PS3.7 Sections 9.1 and 10.1; Annex D.3.3.3 for the window, which is 1 here.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from lanthorn_dimse.command_set import RESPONSE, Command, CommandField
from lanthorn_dimse.errors import DimseError, ProtocolError

_PENDING: Final = frozenset({0xFF00, 0xFF01})
"""Statuses of responses that others follow (PS3.7 Annex C.4; PS3.4 Table C.4-1)."""

_READ_AHEAD: Final = 64
"""So many responses are read ahead of who takes them."""


@dataclass(frozen=True, slots=True)
class Response:
    """A response of the peer; `data_set` is None where none followed."""

    command: Command
    data_set: bytes | None

    @property
    def is_final(self) -> bool:
        """Whether no other response to the same request follows."""
        return self.command.status not in _PENDING


class Exchange:
    """One request, from its turn to its final response.

    Parameters
    ----------
    field : CommandField
        Of the request.
    began : float
        Time of the event loop.
    timeout_s : float or None
        Until the next response.
    on_final : callable
        Called once: with the final response, or at the end of the association.
    on_room : callable
        Called when responses were taken.
    """

    def __init__(
        self,
        field: CommandField,
        began: float,
        timeout_s: float | None,
        on_final: Callable[[], None],
        on_room: Callable[[], None],
    ) -> None:
        self.response_field = CommandField(field | RESPONSE)
        self.began = began
        self.timeout_s = timeout_s
        self._on_final = on_final
        self._on_room = on_room
        self._final = False
        self._abandoned = False
        self._responses: deque[Response] = deque()
        self._error: DimseError | None = None
        self._wake: asyncio.Future[None] | None = None

    @property
    def is_full(self) -> bool:
        """Whether so many responses wait that no more should be read."""
        return len(self._responses) >= _READ_AHEAD

    def add(self, response: Response) -> None:
        """Take a response from the peer."""
        if not self._abandoned:
            self._responses.append(response)
            self._notify()
        if response.is_final:
            self._end()

    def fail(self, error: DimseError) -> None:
        """Take the end of the association."""
        self._error = error
        self._notify()
        self._end()

    def abandon(self) -> None:
        """Drop what is there and what still comes."""
        self._abandoned = True
        self._responses.clear()
        self._on_room()

    async def next(self) -> Response:
        """Return the next response.

        Raises
        ------
        DimseError
            The association ended before it came.
        """
        while not self._responses:
            if self._error is not None:
                raise self._error
            self._wake = asyncio.get_running_loop().create_future()
            await self._wake
        response = self._responses.popleft()
        self._on_room()
        return response

    def _end(self) -> None:
        if not self._final:
            self._final = True
            self._on_final()

    def _notify(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)


class Exchanges:
    """The requests of this side on one association: one at a time is open.

    Parameters
    ----------
    changed : callable
        Called when one begins or ends, and when responses were taken.
    """

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._turn = asyncio.Lock()
        self._message_id = 0
        self.current: Exchange | None = None

    async def begin(self, command: Command, timeout_s: float | None) -> Exchange:
        """Wait for the turn of this request, and open its exchange."""
        await self._turn.acquire()
        self._message_id = command.message_id
        began = asyncio.get_running_loop().time()
        self.current = Exchange(command.field, began, timeout_s, self._ended, self._changed)
        self._changed()
        return self.current

    def withdraw(self, exchange: Exchange) -> None:
        """Close an exchange whose request was not sent."""
        if self.current is exchange:
            self._ended()

    def awaiting(self, command: Command) -> Exchange:
        """Return whom a response is for.

        Raises
        ------
        ProtocolError
            Nobody asked.
        """
        exchange = self.current
        if (
            exchange is None
            or command.message_id != self._message_id
            or command.field is not exchange.response_field
        ):
            raise ProtocolError("a response to a request that is not open")
        return exchange

    def fail(self, error: DimseError) -> None:
        """End the open exchange with the association."""
        if self.current is not None:
            self.current.fail(error)

    def _ended(self) -> None:
        self.current = None
        self._turn.release()
        self._changed()
