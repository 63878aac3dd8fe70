"""Query Service Class SCU, worklists included (PS3.4 Sections C.4.1 and K.4.1)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from lanthorn_core.errors import InvalidRemoteQuery
from lanthorn_core.model import RemoteAE
from lanthorn_dimse import Command, CommandField, Response
from lanthorn_dimse_gateway.scu.associations import AssociationPool
from lanthorn_dimse_gateway.scu.conversation import associated, each_response
from lanthorn_dimse_gateway.scu.identifiers import TRANSFER_SYNTAXES, reencoded
from lanthorn_dimse_gateway.scu.remote_errors import status_failure

C_FIND: Final = "C-FIND"
FIND_STUDY_ROOT: Final = "1.2.840.10008.5.1.4.1.2.2.1"

_SUCCESS: Final = 0x0000
_UNABLE_TO_PROCESS: Final = 0xC000
"""PS3.4 Table C.4-1; what Orthanc answers to a query that it does not understand."""


async def find_remote(
    pool: AssociationPool,
    remote: RemoteAE,
    sop_class_uid: str,
    identifier: bytes,
    take: Callable[[bytes, str], Awaitable[None]],
) -> None:
    """Query a remote AE.

    Who is cancelled, or whose `take` raises, has the query canceled at the remote AE.

    Parameters
    ----------
    sop_class_uid : str
        The information model.
    identifier : bytes
        In `lanthorn_core.commands.QUERY_TRANSFER_SYNTAX`.
    take : callable
        Gets the identifier of each match as it arrived, and its transfer syntax.

    Raises
    ------
    RemoteAEFailed
        The remote AE is not reached, or answers with a failure.
    InvalidIdentifier
        `identifier` is none.
    """
    contexts = [(sop_class_uid, TRANSFER_SYNTAXES)]
    async with associated(pool, remote, contexts, C_FIND) as assoc:
        context = assoc.context_for(sop_class_uid)
        command = Command(
            CommandField.C_FIND_RQ,
            assoc.next_message_id(),
            has_data_set=True,
            sop_class_uid=sop_class_uid,
        )

        async def pending(response: Response) -> None:
            await take(response.data_set or b"", context.transfer_syntax)

        final = await each_response(
            assoc,
            context.context_id,
            command,
            reencoded(identifier, context.transfer_syntax),
            pending,
            timeout_s=pool.timeout_s(remote),
        )
    status = final.status or _SUCCESS
    if status == _UNABLE_TO_PROCESS:
        raise InvalidRemoteQuery(
            f'C-FIND SCU to AET "{remote.ae_title}" has failed with DIMSE status 0x{status:04X} '
            "(unable to process - invalid query ?)",
            dimse_status=status,
        )
    if status != _SUCCESS:
        raise status_failure(remote.ae_title, C_FIND, status)
