"""Commands to the gateway that are answered now."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Protocol

from lanthorn_core.commands import (
    EchoRemote,
    FindAnswer,
    FindRemote,
    GatewayCommand,
    RequestCommitment,
    StoreStraight,
)


class GatewayCommands(Protocol):
    """Asking the gateway. Whichever gateway process is free serves a command.

    What the gateway raises is raised here as the same class of `LanthornError`. Raises
    `GatewayUnavailable` when no gateway runs or the one that served the command is gone.
    """

    async def echo(self, command: EchoRemote) -> None:
        """Verify that the remote AE answers."""
        ...

    def find(self, command: FindRemote) -> AsyncGenerator[FindAnswer, None]:
        """Yield the matches of a remote AE as they come; closing the generator cancels the query.

        A failure after some matches is raised after they were yielded.
        """
        ...

    async def store_straight(self, command: StoreStraight) -> None:
        """Send one object to the remote AE."""
        ...

    async def request_commitment(self, command: RequestCommitment) -> None:
        """Ask the remote AE to commit to instances; its report comes later."""
        ...


Answer = Callable[[FindAnswer], Awaitable[None]]
"""Sends one answer to who asked; waits while that one does not keep up."""


class CommandHandler(Protocol):
    """Serves one kind of command in the gateway.

    A `LanthornError` that it raises reaches who asked; it is cancelled when that one is gone.
    """

    async def __call__(self, command: GatewayCommand, answer: Answer) -> None:
        """Serve a command; on return it is done."""
        ...
