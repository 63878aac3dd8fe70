"""Reports of storage commitment to those who asked us for it.

References
----------
DICOM PS3.4 Section J.3.3; PS3.7 Section D.3.3.4 (role selection).
"""

from __future__ import annotations

from contextlib import suppress
from typing import Final

from lanthorn_core.dicom.commitment import (
    PUSH_MODEL,
    PUSH_MODEL_INSTANCE,
    CommitmentResult,
    encode_result,
)
from lanthorn_core.dicom.encodings import EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN
from lanthorn_core.model import RemoteAE
from lanthorn_dimse import Association, Command, CommandField, DimseError, Roles
from lanthorn_dimse_gateway.scu.associations import AssociationPool
from lanthorn_dimse_gateway.scu.remote_errors import remote_failure

TRANSFER_SYNTAXES: Final = (EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN)
PROPOSED: Final = ((PUSH_MODEL, TRANSFER_SYNTAXES),)
_AS_SCP: Final = {PUSH_MODEL: Roles(scu=False, scp=True)}


async def report_over(assoc: Association, context_id: int, result: CommitmentResult) -> int:
    """Send a report over an association on which we are the SCP; returns the peer's status.

    Raises
    ------
    DimseError
        The association ended before the answer.
    """
    command = Command(
        CommandField.N_EVENT_REPORT_RQ,
        assoc.next_message_id(),
        has_data_set=True,
        sop_class_uid=PUSH_MODEL,
        sop_instance_uid=PUSH_MODEL_INSTANCE,
        event_type_id=result.event_type_id,
    )
    encoded = encode_result(result, assoc.contexts[context_id].transfer_syntax)
    response = await assoc.request(context_id, command, encoded)
    return response.command.status or 0


async def report_to(pool: AssociationPool, remote: RemoteAE, result: CommitmentResult) -> int:
    """Send a report over a new association, in the role of SCP; returns the peer's status.

    Raises
    ------
    RemoteAEFailed
        The remote AE was not reached, or accepts no reports.
    """
    assoc = await pool.connect(remote, PROPOSED, roles=_AS_SCP)
    try:
        # A peer that answers no role selection still means us to report: it accepted the context.
        context = assoc.context_for(PUSH_MODEL, as_scp=bool(assoc.acceptance.roles))
        status = await report_over(assoc, context.context_id, result)
        with suppress(DimseError):
            await assoc.release()
    except DimseError as error:
        raise remote_failure(error, remote.ae_title, "N-EVENT-REPORT") from error
    finally:
        assoc.abort()
    return status
