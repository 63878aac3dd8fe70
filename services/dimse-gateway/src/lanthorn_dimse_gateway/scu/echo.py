"""Verification Service Class SCU (PS3.4 Annex A)."""

from __future__ import annotations

import uuid
from typing import Final

from lanthorn_core.model import RemoteAE
from lanthorn_dimse import Command, CommandField
from lanthorn_dimse_gateway.contexts import VERIFICATION
from lanthorn_dimse_gateway.scu.associations import AssociationPool
from lanthorn_dimse_gateway.scu.conversation import associated
from lanthorn_dimse_gateway.scu.find import FIND_STUDY_ROOT, find_remote
from lanthorn_dimse_gateway.scu.identifiers import TRANSFER_SYNTAXES, identifier_of
from lanthorn_dimse_gateway.scu.remote_errors import status_failure

C_ECHO: Final = "C-ECHO"
_SUCCESS: Final = 0x0000


async def echo_remote(pool: AssociationPool, remote: RemoteAE) -> None:
    """Verify that a remote AE answers.

    Raises
    ------
    RemoteAEFailed
        It does not, or with a failure.
    """
    async with associated(pool, remote, [(VERIFICATION, TRANSFER_SYNTAXES)], C_ECHO) as assoc:
        context = assoc.context_for(VERIFICATION)
        command = Command(
            CommandField.C_ECHO_RQ, assoc.next_message_id(), sop_class_uid=VERIFICATION
        )
        response = await assoc.request(context.context_id, command)
    status = response.command.status or _SUCCESS
    if status != _SUCCESS:
        raise status_failure(remote.ae_title, C_ECHO, status)


async def check_find(pool: AssociationPool, remote: RemoteAE, default_encoding: str) -> None:
    """Verify that a remote AE answers queries, by one for a study that does not exist.

    Raises
    ------
    RemoteAEFailed
        It does not, or with a failure.
    """
    keys = {
        "0008,0050": "",  # Accession Number
        "0008,0052": "STUDY",  # Query/Retrieve Level
        "0010,0020": "",  # Patient ID
        "0020,000d": f"2.25.{uuid.uuid4().int}",  # Study Instance UID
    }
    identifier = identifier_of(keys, TRANSFER_SYNTAXES[0], default_encoding)

    async def forget(data_set: bytes, transfer_syntax_uid: str) -> None:
        """Whatever it found, it answers."""

    await find_remote(pool, remote, FIND_STUDY_ROOT, identifier, forget)
