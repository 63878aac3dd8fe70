"""The job `StorageCommitmentScp`: check what a modality asked for, and report to it.

References
----------
DICOM PS3.4 Section J.3.3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import msgspec
import structlog

from lanthorn_core.dicom.commitment import (
    CommitmentFailure,
    CommitmentResult,
    SopReference,
)
from lanthorn_core.errors import RemoteAEFailed, TransientError, UnknownRemoteAE
from lanthorn_core.model import RemoteAE
from lanthorn_core.ports.jobs import JobRequest
from lanthorn_core.ports.remote_aes import RemoteAERegistry
from lanthorn_core.usecases.check_commitment import CheckCommitment
from lanthorn_core.usecases.job_runner import JobRetry, RunningJob
from lanthorn_dimse_gateway.commitment_associations import OpenAssociations
from lanthorn_dimse_gateway.scu.associations import AssociationPool
from lanthorn_dimse_gateway.scu.commitment_report import report_to

log = structlog.get_logger(__name__)

STORAGE_COMMITMENT_SCP: Final = "StorageCommitmentScp"

RETRY_DELAYS_S: Final = (5.0, 30.0, 120.0)
"""Between the attempts to reach a modality; after the last one the job fails."""

_CHECKING: Final = 0.9
"""The part of the progress that checking has; reporting is the rest."""


class CommitmentJob(msgspec.Struct, frozen=True, kw_only=True):
    """Parameters of a job; `references` are pairs of SOP Class and Instance UID.

    `gateway_id` names the process that has the association of the request, if a report over it
    is wanted (`commitment_associations`).
    """

    remote_ae_title: str
    called_ae_title: str
    remote_ip: str
    transaction_uid: str
    references: list[tuple[str, str]]
    gateway_id: str = ""

    def as_request(self) -> JobRequest:
        """Make the job, with the content that Orthanc shows."""
        parameters: dict[str, Any] = msgspec.to_builtins(self)
        return JobRequest(
            type=STORAGE_COMMITMENT_SCP,
            parameters=parameters,
            content={
                "CalledAet": self.called_ae_title,
                "Description": "",
                "RemoteAet": self.remote_ae_title,
                "RemoteIp": self.remote_ip,
                "TransactionUid": self.transaction_uid,
            },
            description="",
        )


@dataclass(frozen=True, slots=True)
class CommitmentJobRunner:
    """Runs `StorageCommitmentScp` jobs.

    Attributes
    ----------
    check : CheckCommitment
        Says what is safe here.
    remotes : RemoteAERegistry
        Says where a modality is.
    pool : AssociationPool
        Opens associations to report over.
    open_associations : OpenAssociations or None
        Those on which was asked; None if all reports go over new ones.
    """

    check: CheckCommitment
    remotes: RemoteAERegistry
    pool: AssociationPool
    open_associations: OpenAssociations | None = None

    async def __call__(self, job: RunningJob) -> None:
        """Check the instances, once, then report, again and again until it is taken.

        Raises
        ------
        UnknownRemoteAE
            The modality is not configured any more.
        RemoteAEFailed
            It was not reached by the last attempt, or refused the report.
        """
        parameters = msgspec.convert(dict(job.parameters), CommitmentJob)
        failed = job.state.get("failed")
        if failed is None:
            failed = await self._failed(job, parameters)
            await job.checkpoint(progress=_CHECKING, state={"failed": failed, "attempts": 0})
        await self._report(job, parameters, _result_of(parameters, failed))

    async def _failed(self, job: RunningJob, parameters: CommitmentJob) -> list[tuple[int, int]]:
        """Check; returns the positions of references that are not safe, with the reasons."""
        references = [SopReference(*one) for one in parameters.references]

        async def progress(part: float) -> None:
            await job.report(progress=part * _CHECKING)

        try:
            _, failures = await self.check(references, progress=progress)
        except TransientError as error:
            raise JobRetry(error, delay_s=RETRY_DELAYS_S[0]) from error
        reasons = {failure.reference: failure.reason for failure in failures}
        return [
            (position, reasons[reference])
            for position, reference in enumerate(references)
            if reference in reasons
        ]

    async def _report(
        self, job: RunningJob, parameters: CommitmentJob, result: CommitmentResult
    ) -> None:
        attempts: int = job.state["attempts"]
        try:
            status = await self._send(parameters, result)
        except RemoteAEFailed as error:
            if attempts >= len(RETRY_DELAYS_S):
                raise
            await job.checkpoint(state={**job.state, "attempts": attempts + 1})
            raise JobRetry(error, delay_s=RETRY_DELAYS_S[attempts]) from error
        if status:
            raise RemoteAEFailed(
                f'Storage commitment - AET "{parameters.remote_ae_title}" answered the report '
                f"with DIMSE status 0x{status:04X}",
                dimse_status=status,
            )
        log.info(
            "commitment_report_sent",
            transaction_uid=result.transaction_uid,
            committed=len(result.committed),
            failed=len(result.failures),
        )

    async def _send(self, parameters: CommitmentJob, result: CommitmentResult) -> int:
        if self.open_associations is not None and parameters.gateway_id:
            status = await self.open_associations.report(parameters.gateway_id, result)
            if status is not None:
                return status
        remote = await self._remote(parameters)
        return await report_to(self.pool, remote, result)

    async def _remote(self, parameters: CommitmentJob) -> RemoteAE:
        title = parameters.remote_ae_title
        for _, remote in await self.remotes.by_ae_title(title):
            # The modality waits for the AE title that it asked.
            return msgspec.structs.replace(remote, local_ae_title=parameters.called_ae_title)
        raise UnknownRemoteAE(f"No modality with AE title: {title}")


def _result_of(parameters: CommitmentJob, failed: list[tuple[int, int]]) -> CommitmentResult:
    reasons = {position: reason for position, reason in failed}
    references = [SopReference(*one) for one in parameters.references]
    return CommitmentResult(
        parameters.transaction_uid,
        tuple(one for position, one in enumerate(references) if position not in reasons),
        tuple(
            CommitmentFailure(references[position], reason) for position, reason in reasons.items()
        ),
    )
