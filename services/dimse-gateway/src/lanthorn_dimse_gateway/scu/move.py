"""Retrieve Service Class SCU by C-MOVE (PS3.4 Section C.4.2)."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Final

from lanthorn_core.errors import RemoteAEFailed
from lanthorn_core.model import Level, RemoteAE
from lanthorn_dimse import (
    AcceptedContext,
    Association,
    Command,
    CommandField,
    DimseError,
    NoAcceptedContext,
    Response,
)
from lanthorn_dimse_gateway.scu.associations import AssociationPool
from lanthorn_dimse_gateway.scu.conversation import each_response, release
from lanthorn_dimse_gateway.scu.identifiers import TRANSFER_SYNTAXES, identifier_of
from lanthorn_dimse_gateway.scu.remote_errors import remote_failure, status_failure

C_MOVE: Final = "C-MOVE"
_PATIENT_ROOT: Final = "1.2.840.10008.5.1.4.1.2.1.2"
_STUDY_ROOT: Final = "1.2.840.10008.5.1.4.1.2.2.2"

_SUCCESS: Final = 0x0000
_UNABLE_TO_PROCESS: Final = 0xC000
"""PS3.4 Table C.4-2; what Orthanc answers when it has no such resource."""

Progress = Callable[[float], Awaitable[None]]
"""Hears which part of the sub-operations is done, from 0 to 1."""


def new_message_id() -> int:
    """Choose a Message ID: the receiver of the sub-operations tells requests apart by it."""
    return 1 + secrets.randbelow(0xFFFF)


class MoveSession:
    """C-MOVE requests to one remote AE, over one association as long as that lasts.

    Parameters
    ----------
    pool : AssociationPool
        Opens associations.
    remote : RemoteAE
        Who sends.
    default_encoding : str
        Orthanc's `DefaultEncoding`.
    """

    def __init__(self, pool: AssociationPool, remote: RemoteAE, default_encoding: str) -> None:
        self._pool = pool
        self._remote = remote
        self._default_encoding = default_encoding
        self._assoc: Association | None = None

    async def move(
        self,
        *,
        level: Level,
        keys: Mapping[str, str],
        destination: str,
        message_id: int,
        progress: Progress,
    ) -> int:
        """Have the remote AE send what matches to a third AE, or to us.

        Who is cancelled, or whose `progress` raises, has the retrieval canceled at the remote AE.

        Parameters
        ----------
        level : Level
            At patient level the Patient Root model is preferred, else the Study Root model.
        keys : mapping
            The identifier, as `identifier_of` takes it.
        destination : str
            AE title that the remote AE shall send to.
        message_id : int
            Message ID (0000,0110): what the sub-operations name as their originator's.

        Returns
        -------
        int
            How many instances were sent, as far as the remote AE tells.

        Raises
        ------
        RemoteAEFailed
            The remote AE is not reached, or not everything was sent.
        InvalidIdentifier
            The keys make none.
        """

        async def pending(response: Response) -> None:
            await progress(part_done(response.command))

        try:
            assoc = await self._association()
            context = first_accepted(assoc, by_preference(level, _PATIENT_ROOT, _STUDY_ROOT))
            command = Command(
                CommandField.C_MOVE_RQ,
                message_id,
                has_data_set=True,
                sop_class_uid=context.abstract_syntax,
                move_destination=destination,
            )
            final = await each_response(
                assoc,
                context.context_id,
                command,
                identifier_of(keys, context.transfer_syntax, self._default_encoding),
                pending,
                timeout_s=self._pool.timeout_s(self._remote),
            )
        except DimseError as error:
            raise remote_failure(error, self._remote.ae_title, C_MOVE) from error
        self._check(final.status or _SUCCESS)
        return (final.completed or 0) + (final.warning or 0)

    async def close(self) -> None:
        """Release the association."""
        if self._assoc is not None:
            await release(self._assoc)

    async def _association(self) -> Association:
        if self._assoc is None or not self._assoc.is_established:
            contexts = [(model, TRANSFER_SYNTAXES) for model in (_PATIENT_ROOT, _STUDY_ROOT)]
            self._assoc = await self._pool.connect(self._remote, contexts)
        return self._assoc

    def _check(self, status: int) -> None:
        if status == _UNABLE_TO_PROCESS:
            raise RemoteAEFailed(
                f'C-MOVE SCU to AET "{self._remote.ae_title}" has failed with DIMSE status '
                f"0x{status:04X} (unable to process - resource not found ?)",
                dimse_status=status,
            )
        if status != _SUCCESS:
            raise status_failure(self._remote.ae_title, C_MOVE, status)


@asynccontextmanager
async def moving(
    pool: AssociationPool, remote: RemoteAE, default_encoding: str
) -> AsyncIterator[MoveSession]:
    """Make C-MOVE requests for the length of the block."""
    session = MoveSession(pool, remote, default_encoding)
    try:
        yield session
    finally:
        await session.close()


def by_preference(level: Level, patient_root: str, study_root: str) -> tuple[str, str]:
    """Put the information model first that has the level at its root."""
    return (patient_root, study_root) if level is Level.PATIENT else (study_root, patient_root)


def first_accepted(assoc: Association, models: tuple[str, ...]) -> AcceptedContext:
    """Give the context of the first information model that the peer accepted.

    Raises
    ------
    NoAcceptedContext
        It accepted none of them.
    """
    for model in models:
        for context in assoc.contexts.values():
            if context.abstract_syntax == model and context.as_scu:
                return context
    raise NoAcceptedContext("none of the information models was accepted")


def part_done(command: Command) -> float:
    """Tell which part of the sub-operations a response counts as done, from 0 to 1."""
    done = (command.completed or 0) + (command.failed or 0) + (command.warning or 0)
    total = done + (command.remaining or 0)
    return done / total if total else 0.0
