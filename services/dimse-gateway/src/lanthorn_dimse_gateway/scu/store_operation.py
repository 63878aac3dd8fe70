"""One C-STORE operation as SCU (PS3.4 Annex B): how it is done, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from lanthorn_core.errors import InvalidDataset, LanthornError
from lanthorn_core.runtime.settings import Settings
from lanthorn_dimse import Association, Command, CommandField
from lanthorn_dimse_gateway.metrics import SENT_BYTES, sent
from lanthorn_dimse_gateway.scu.remote_errors import status_failure
from lanthorn_dimse_gateway.scu.store_contexts import ContextChoice, encoded_as, is_uid
from lanthorn_dimse_gateway.scu.store_outgoing import OutgoingObject
from lanthorn_dimse_gateway.store_status import is_failure

C_STORE: Final = "C-STORE"


@dataclass(frozen=True, slots=True)
class MoveOriginator:
    """The C-MOVE request whose sub-operations are sent (PS3.7 Section 9.3.1.1)."""

    ae_title: str
    message_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreRules:
    """How instances are sent.

    Attributes
    ----------
    preferred_transfer_syntax : str
        `DicomScuPreferredTransferSyntax`: of the native ones, what is proposed and chosen first.
    transcoding : bool
        `TranscodeDicomProtocol`: whether what the peer cannot take as stored is transcoded.
    """

    preferred_transfer_syntax: str = "1.2.840.10008.1.2.1"
    transcoding: bool = True

    @classmethod
    def of(cls, settings: Settings) -> StoreRules:
        """Make them from Orthanc's options."""
        return cls(
            preferred_transfer_syntax=settings.dicom_scu_preferred_transfer_syntax,
            transcoding=settings.transcode_dicom_protocol,
        )

    def choice(self, assoc: Association) -> ContextChoice:
        """Prepare the choice of contexts on an association."""
        return ContextChoice(
            assoc.contexts.values(),
            preferred=self.preferred_transfer_syntax,
            transcoding=self.transcoding,
        )

    def restricted(self, *, transcoding: bool) -> StoreRules:
        """Apply what a remote AE allows besides (`AllowTranscoding`)."""
        return replace(self, transcoding=self.transcoding and transcoding)


async def store_over(
    assoc: Association,
    outgoing: OutgoingObject,
    choice: ContextChoice,
    *,
    priority: int = 0,
    originator: MoveOriginator | None = None,
    timeout_s: float | None = None,
) -> int:
    """Send one instance over an association on which we may be the SCU of its SOP class.

    Parameters
    ----------
    choice : ContextChoice
        Of the association's contexts.
    priority : int
        Priority (0000,0700).
    timeout_s : float, optional
        Until the response; else the association's own.

    Returns
    -------
    int
        Status (0000,0900) of the response.

    Raises
    ------
    UnsupportedTransferSyntax
        The peer takes it in no transfer syntax in which we may send it; nothing was sent.
    LanthornError
        It cannot be read or transcoded. If that came to light in the middle of the data set, the
        association is over.
    DimseError
        The association failed.
    """
    instance = outgoing.instance
    if not is_uid(instance.sop_instance_uid):
        raise InvalidDataset("The SOP Instance UID cannot be sent")
    context = choice(encoded_as(instance))
    if context.transfer_syntax == instance.transfer_syntax_uid:
        data_set = outgoing.stored_data_set()
    else:
        data_set = await outgoing.transcoded_data_set(context.transfer_syntax)
    command = Command(
        CommandField.C_STORE_RQ,
        assoc.next_message_id(),
        has_data_set=True,
        sop_class_uid=instance.sop_class_uid,
        sop_instance_uid=instance.sop_instance_uid,
        priority=priority,
        move_originator_ae_title=originator.ae_title if originator else "",
        move_originator_message_id=originator.message_id if originator else None,
    )
    response = await assoc.request(context.context_id, command, data_set, timeout_s=timeout_s)
    status = response.command.status
    if status is None:
        status = LanthornError.c_store
    sent(status).inc()
    SENT_BYTES.inc(instance.size_bytes)
    return status


@dataclass(frozen=True, slots=True)
class StoreOutcome:
    """What became of one instance: the status of the response, or why there is none."""

    status: int | None
    error: LanthornError | None = None

    def failure(self, ae_title: str) -> LanthornError | None:
        """Give the error of an instance that was not stored; None when it was.

        Parameters
        ----------
        ae_title : str
            Of the remote AE.
        """
        if self.status is None or not is_failure(self.status):
            return self.error
        return status_failure(ae_title, C_STORE, self.status)
