"""The commands of rest-api that a gateway serves: who does what is asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lanthorn_core.commands import (
    Command,
    EchoRemote,
    FindAnswer,
    FindRemote,
    GatewayCommand,
    StoreStraight,
)
from lanthorn_core.ports.commands import Answer, CommandHandler
from lanthorn_dimse_gateway.scu.associations import AssociationPool
from lanthorn_dimse_gateway.scu.echo import check_find, echo_remote
from lanthorn_dimse_gateway.scu.find import find_remote
from lanthorn_dimse_gateway.scu.store import StoreScu
from lanthorn_dimse_gateway.scu.store_straight import StoreStraightHandler


@dataclass(frozen=True, slots=True)
class EchoHandler:
    """Serves `EchoRemote` commands.

    Attributes
    ----------
    pool : AssociationPool
        Opens the associations.
    default_encoding : str
        Orthanc's `DefaultEncoding`.
    """

    pool: AssociationPool
    default_encoding: str

    async def __call__(self, command: GatewayCommand, answer: Answer) -> None:
        """Verify that the remote AE answers; `answer` is not needed.

        Raises
        ------
        RemoteAEFailed
            It does not, or with a failure.
        """
        if not isinstance(command, EchoRemote):
            raise TypeError(f"no EchoRemote: {type(command).__name__}")
        await echo_remote(self.pool, command.remote)
        if command.check_find:
            await check_find(self.pool, command.remote, self.default_encoding)


@dataclass(frozen=True, slots=True)
class FindHandler:
    """Serves `FindRemote` commands over the associations of a pool."""

    pool: AssociationPool

    async def __call__(self, command: GatewayCommand, answer: Answer) -> None:
        """Query the remote AE, and answer each match as it comes.

        Raises
        ------
        RemoteAEFailed
            The remote AE was not reached, or answered with a failure.
        InvalidIdentifier
            The identifier is none.
        """
        if not isinstance(command, FindRemote):
            raise TypeError(f"no FindRemote: {type(command).__name__}")

        async def take(data_set: bytes, transfer_syntax_uid: str) -> None:
            await answer(FindAnswer(data_set=data_set, transfer_syntax_uid=transfer_syntax_uid))

        await find_remote(
            self.pool, command.remote, command.sop_class_uid, command.identifier, take
        )


def command_handlers(
    pool: AssociationPool, store: StoreScu, default_encoding: str
) -> Mapping[type[Command], CommandHandler]:
    """Give who serves each kind of command.

    Parameters
    ----------
    pool : AssociationPool
        Opens the associations.
    store : StoreScu
        Sends what is to be stored.
    default_encoding : str
        Orthanc's `DefaultEncoding`.
    """
    return {
        EchoRemote: EchoHandler(pool, default_encoding),
        FindRemote: FindHandler(pool),
        StoreStraight: StoreStraightHandler(store),
    }
