"""Storage Commitment Push Model: what peers ask us, and what they report to us.

References
----------
DICOM PS3.4 Annex J; PS3.7 Sections 10.1.1 (N-EVENT-REPORT), 10.1.4 (N-ACTION) and Annex C.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar, Final

import structlog

from lanthorn_core.dicom.commitment import (
    ALL_COMMITTED,
    FAILURES_EXIST,
    PUSH_MODEL,
    PUSH_MODEL_INSTANCE,
    REQUEST_STORAGE_COMMITMENT,
    CommitmentRequest,
    CommitmentResult,
    decode_request,
    decode_result,
)
from lanthorn_core.errors import InvalidDataset, NotAuthorized, UnsupportedSopClass
from lanthorn_core.ports.commitment import CommitmentReports
from lanthorn_core.usecases.job_registry import JobRegistry
from lanthorn_dimse import Association, CommandField, Request
from lanthorn_dimse_gateway.access import Service
from lanthorn_dimse_gateway.commitment_associations import OpenAssociations
from lanthorn_dimse_gateway.jobs.commitment import CommitmentJob
from lanthorn_dimse_gateway.scp.answer import SUCCESS, answer
from lanthorn_dimse_gateway.scu.commitment_report import TRANSFER_SYNTAXES

log = structlog.get_logger(__name__)

OFFERED: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType({PUSH_MODEL: TRANSFER_SYNTAXES})

MAX_INFORMATION_BYTES: Final = 4 << 20
"""Of one request or report: some 40,000 instances, more than any identifier has keys."""

NO_SUCH_OBJECT_INSTANCE: Final = 0x0112
NO_SUCH_EVENT_TYPE: Final = 0x0113
INVALID_ARGUMENT_VALUE: Final = 0x0115
NO_SUCH_ACTION: Final = 0x0123
RESOURCE_LIMITATION: Final = 0x0213
"""PS3.7 Annex C."""


class _Refused(Exception):
    def __init__(self, status: int, comment: str) -> None:
        super().__init__(comment)
        self.status = status


class _BoundedDataSet:
    """Collects a data set, or finds that it is too large or not wanted."""

    def __init__(self, limit_bytes: int, *, permitted: bool) -> None:
        self.permitted = permitted
        self.is_too_large = False
        self.data = bytearray()
        self._limit_bytes = limit_bytes

    def write(self, fragment: memoryview) -> None:
        """Take the next bytes."""
        if not self.permitted or self.is_too_large:
            return
        if len(self.data) + len(fragment) > self._limit_bytes:
            self.is_too_large = True
            self.data.clear()
            return
        self.data += fragment

    def discard(self) -> None:
        """Forget what came."""
        self.data.clear()


@dataclass(frozen=True, slots=True)
class CommitmentScp:
    """Takes requests for storage commitment: each becomes a `StorageCommitmentScp` job.

    Attributes
    ----------
    jobs : JobRegistry
        Where the jobs go; the request is answered once its job is durable.
    open_associations : OpenAssociations or None
        Where associations are kept over which jobs may report; None if all report over new ones.
    """

    command: ClassVar = CommandField.N_ACTION_RQ
    service: ClassVar = Service.N_ACTION
    abstract_syntaxes: ClassVar[Mapping[str, tuple[str, ...]]] = OFFERED

    jobs: JobRegistry
    open_associations: OpenAssociations | None = None

    def begin(self, assoc: Association, request: Request, *, permitted: bool) -> _BoundedDataSet:
        """Collect the action information, which may be larger than any identifier."""
        return _BoundedDataSet(MAX_INFORMATION_BYTES, permitted=permitted)

    async def serve(self, assoc: Association, request: Request) -> None:
        """Make a job of the request, then answer 0000."""
        try:
            wanted = _wanted(request)
        except _Refused as refusal:
            log.warning("commitment_refused", status=f"{refusal.status:04X}")
            await answer(assoc, request, refusal.status, str(refusal))
            return
        job = CommitmentJob(
            remote_ae_title=assoc.calling_ae_title,
            called_ae_title=assoc.called_ae_title,
            remote_ip=assoc.remote_ip,
            transaction_uid=wanted.transaction_uid,
            references=[(one.sop_class_uid, one.sop_instance_uid) for one in wanted.references],
            gateway_id="" if self.open_associations is None else self.open_associations.gateway_id,
        )
        if self.open_associations is None:
            await self._accept(assoc, request, job)
        else:
            # A report must not overtake the answer: the job gets the association after it.
            with self.open_associations.offered(
                wanted.transaction_uid, assoc, request.context.context_id
            ):
                await self._accept(assoc, request, job)
        log.info(
            "commitment_requested",
            transaction_uid=wanted.transaction_uid,
            instances=len(wanted.references),
        )

    async def _accept(self, assoc: Association, request: Request, job: CommitmentJob) -> None:
        await self.jobs.submit(job.as_request())
        await answer(assoc, request, SUCCESS)


def _wanted(request: Request) -> CommitmentRequest:
    """Read what is asked, or find why it cannot be done."""
    command = request.command
    encoded = _information(request, Service.N_ACTION, command.requested_sop_class_uid)
    if not request.context.as_scp:
        raise UnsupportedSopClass("this role was not negotiated for the SOP class")
    if command.requested_sop_instance_uid != PUSH_MODEL_INSTANCE:
        raise _Refused(NO_SUCH_OBJECT_INSTANCE, "no such SOP instance")
    if command.action_type_id != REQUEST_STORAGE_COMMITMENT:
        raise _Refused(NO_SUCH_ACTION, "no such action type")
    try:
        return decode_request(encoded, request.context.transfer_syntax)
    except InvalidDataset as error:
        raise _Refused(INVALID_ARGUMENT_VALUE, str(error)) from error


def _reported(request: Request) -> CommitmentResult:
    """Read what is reported, or find why it is no report."""
    # The roles do not matter: some SCPs that open an association for reports negotiate none.
    command = request.command
    encoded = _information(request, Service.EVENT_REPORT, command.sop_class_uid)
    if command.sop_instance_uid != PUSH_MODEL_INSTANCE:
        raise _Refused(NO_SUCH_OBJECT_INSTANCE, "no such SOP instance")
    if command.event_type_id not in (ALL_COMMITTED, FAILURES_EXIST):
        raise _Refused(NO_SUCH_EVENT_TYPE, "no such event type")
    try:
        return decode_result(encoded, request.context.transfer_syntax)
    except InvalidDataset as error:
        raise _Refused(INVALID_ARGUMENT_VALUE, str(error)) from error


def _information(request: Request, service: Service, sop_class_uid: str) -> bytes:
    """Return the data set of a request whose peer may send it."""
    collected = request.sink
    if not isinstance(collected, _BoundedDataSet):
        raise _Refused(INVALID_ARGUMENT_VALUE, "the request has no data set")
    if not collected.permitted:
        raise NotAuthorized(f"{service.value} is not allowed")
    if sop_class_uid != PUSH_MODEL:
        raise UnsupportedSopClass("the presentation context is for another SOP class")
    if collected.is_too_large:
        raise _Refused(RESOURCE_LIMITATION, "there are too many instances")
    return bytes(collected.data)


@dataclass(frozen=True, slots=True)
class CommitmentReportReceiver:
    """Takes the reports of remote AEs that we asked, over their associations or ours.

    Attributes
    ----------
    reports : CommitmentReports
        Where they are kept.
    """

    command: ClassVar = CommandField.N_EVENT_REPORT_RQ
    service: ClassVar = Service.EVENT_REPORT
    abstract_syntaxes: ClassVar[Mapping[str, tuple[str, ...]]] = OFFERED

    reports: CommitmentReports

    def begin(self, assoc: Association, request: Request, *, permitted: bool) -> _BoundedDataSet:
        """Collect the event information, which may be larger than any identifier."""
        return _BoundedDataSet(MAX_INFORMATION_BYTES, permitted=permitted)

    async def serve(self, assoc: Association, request: Request) -> None:
        """Record the report, then answer 0000, also if nobody waits for it."""
        try:
            result = _reported(request)
        except _Refused as refusal:
            log.warning("commitment_report_refused", status=f"{refusal.status:04X}")
            await answer(assoc, request, refusal.status, str(refusal))
            return
        remote = assoc.calling_ae_title if assoc.is_acceptor else assoc.called_ae_title
        recorded = await self.reports.record(
            result.transaction_uid, remote, result.committed, result.failures
        )
        # Orthanc answers so as well: the peer could do nothing about another status.
        await answer(assoc, request, SUCCESS)
        log.info(
            "commitment_reported",
            transaction_uid=result.transaction_uid,
            committed=len(result.committed),
            failed=len(result.failures),
            expected=recorded,
        )
