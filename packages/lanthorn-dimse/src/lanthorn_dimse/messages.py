"""Messages out of fragments: command sets are collected, data sets are passed on.

References
----------
DICOM PS3.7 Section 6.3; PS3.8 Annex E.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from lanthorn_dimse.command_set import Command, decode_command
from lanthorn_dimse.errors import ProtocolError
from lanthorn_dimse.framing import COMMAND, LAST
from lanthorn_dimse.negotiation import AcceptedContext
from lanthorn_dimse.pdus import AbortReason

Write = Callable[[memoryview], object]


@dataclass(frozen=True, slots=True)
class Destination:
    """Where the data set of a message goes, and how long it may be (None: any length)."""

    write: Write
    limit_bytes: int | None


class MessageUser(Protocol):
    """Who gets the messages."""

    def data_set_follows(self, command: Command, context: AcceptedContext) -> Destination:
        """Say where the data set of this message shall go."""

    def message_complete(self, command: Command, context: AcceptedContext) -> None:
        """Take a message; its data set, if it has one, has gone where it should."""


class MessageAssembler:
    """Puts the messages of one association together.

    Parameters
    ----------
    user : MessageUser
        Gets what comes.
    command_bytes : int
        The longest command set.
    """

    def __init__(self, user: MessageUser, command_bytes: int) -> None:
        self._user = user
        self._command_bytes = command_bytes
        self._contexts: Mapping[int, AcceptedContext] = {}
        self._encoded = bytearray()
        self._command: Command | None = None
        """Set while a data set is expected."""
        self._context: AcceptedContext | None = None
        self._destination: Destination | None = None
        self._received = 0
        self._is_command = False
        self._is_last = False
        self.write: Write = self._encoded.extend

    @property
    def in_message(self) -> bool:
        """Whether a message has begun and is not complete."""
        return self._command is not None or self._context is not None

    def open(self, contexts: Mapping[int, AcceptedContext]) -> None:
        """Take what was negotiated."""
        self._contexts = contexts

    def begin_fragment(self, context_id: int, control: int, size: int) -> None:
        """Take the header of a PDV; its bytes go to `write`, then `end_fragment` is called.

        Raises
        ------
        ProtocolError
            It has no place here, or makes its message too long.
        """
        context = self._contexts.get(context_id)
        if context is None:
            raise ProtocolError(
                "a presentation context that was not accepted", AbortReason.INVALID_PDU_PARAMETER
            )
        self._is_last = bool(control & LAST)
        self._is_command = bool(control & COMMAND)
        if self._context is not None and context is not self._context:
            raise ProtocolError(
                "a message in two presentation contexts", AbortReason.INVALID_PDU_PARAMETER
            )
        if self._is_command:
            if self._command is not None:
                raise ProtocolError("a command within a data set")
            if len(self._encoded) + size > self._command_bytes:
                raise ProtocolError("a command set without end")
            self._context = context
            self.write = self._encoded.extend
            return
        if self._command is None or self._destination is None:
            raise ProtocolError("a data set that no command announced")
        self._received += size
        limit = self._destination.limit_bytes
        if limit is not None and self._received > limit:
            raise ProtocolError("a data set that is longer than such a one may be")
        self.write = self._destination.write

    def end_fragment(self) -> None:
        """Take the end of a PDV.

        Raises
        ------
        ProtocolError
            The command set that is complete now is none.
        """
        if not self._is_last:
            return
        context = self._context
        if context is None:  # begin_fragment has set it
            return
        if self._is_command:
            encoded, self._encoded = self._encoded, bytearray()
            command = decode_command(encoded)
            if command.has_data_set:
                self._destination = self._user.data_set_follows(command, context)
                self._command = command
                self._received = 0
                return
        elif self._command is not None:
            command = self._command
        else:
            return
        self._command = self._context = self._destination = None
        self._user.message_complete(command, context)

    def close(self) -> None:
        """Forget the message that has begun."""
        self._command = self._context = self._destination = None
        self._encoded = bytearray()
        self.write = self._encoded.extend
