"""Storage Commitment Push Model as SCU: ask a remote AE to commit to instances.

References
----------
DICOM PS3.4 Section J.3.2.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

import structlog

from lanthorn_core.commands import GatewayCommand, RequestCommitment
from lanthorn_core.dicom.commitment import (
    PUSH_MODEL,
    PUSH_MODEL_INSTANCE,
    REQUEST_STORAGE_COMMITMENT,
    CommitmentRequest,
    encode_request,
)
from lanthorn_core.errors import InvalidParameter, RemoteAEFailed
from lanthorn_core.model import RemoteAE
from lanthorn_core.ports.commands import Answer
from lanthorn_core.ports.commitment import CommitmentReports
from lanthorn_dimse import Association, Command, CommandField, DimseError
from lanthorn_dimse_gateway.dispatcher import AssociationHandler
from lanthorn_dimse_gateway.scp.commitment import CommitmentReportReceiver
from lanthorn_dimse_gateway.scp.provider import ServiceDirectory
from lanthorn_dimse_gateway.scu.associations import AssociationPool
from lanthorn_dimse_gateway.scu.commitment_report import PROPOSED
from lanthorn_dimse_gateway.scu.remote_errors import remote_failure

log = structlog.get_logger(__name__)

LINGER_S: Final = 3.0
"""How long an association is kept on which a remote AE was asked, for a report over it."""


class CommitmentScu:
    """Asks remote AEs for storage commitment; made by `open_commitment_scu`.

    A remote AE may report over the association of the request while that is open, and over one of
    its own at any time later.

    Parameters
    ----------
    pool : AssociationPool
        Opens associations; they are not shared with others.
    reports : CommitmentReports
        Where transactions are expected, and reports recorded.
    group : asyncio.TaskGroup
        Owns the associations that wait for a report.
    linger_s : float
        How long they wait.
    """

    def __init__(
        self,
        pool: AssociationPool,
        reports: CommitmentReports,
        group: asyncio.TaskGroup,
        *,
        linger_s: float = LINGER_S,
    ) -> None:
        self._pool = pool
        self._reports = reports
        self._group = group
        self._linger_s = linger_s
        self._services = ServiceDirectory([CommitmentReportReceiver(reports)])
        self._lingering: set[asyncio.Task[None]] = set()

    async def __call__(self, remote: RemoteAE, request: CommitmentRequest) -> None:
        """Begin a transaction: expect its report and send the N-ACTION request.

        Raises
        ------
        RemoteAEFailed
            The remote AE was not reached, or refused; the transaction stays pending.
        """
        await self._reports.expect(request, remote.ae_title)
        await self._send(remote, request)

    async def serve_command(self, command: GatewayCommand, answer: Answer) -> None:
        """Serve a `RequestCommitment`, whose transaction is expected already."""
        if not isinstance(command, RequestCommitment):
            raise InvalidParameter("not a request for storage commitment")
        request = await self._reports.requested(command.transaction_uid)
        await self._send(command.remote, request)

    async def close(self) -> None:
        """Wait no longer for reports over open associations."""
        for task in self._lingering:
            task.cancel()

    async def _send(self, remote: RemoteAE, request: CommitmentRequest) -> None:
        assoc = await self._pool.connect(
            remote, PROPOSED, handler=AssociationHandler(self._services, None)
        )
        try:
            status = await _act(assoc, request)
        except DimseError as error:
            assoc.abort()
            raise remote_failure(error, remote.ae_title, "N-ACTION") from error
        except BaseException:
            assoc.abort()
            raise
        is_refused = status != 0
        task = self._group.create_task(
            self._linger(assoc, 0.0 if is_refused else self._linger_s),
            name="commitment-association",
        )
        self._lingering.add(task)
        task.add_done_callback(self._lingering.discard)
        if is_refused:
            raise RemoteAEFailed(
                "Storage commitment - The request cannot be handled by remote AET: "
                f"{remote.ae_title}",
                dimse_status=status,
            )
        log.info(
            "commitment_asked",
            transaction_uid=request.transaction_uid,
            instances=len(request.references),
        )

    async def _linger(self, assoc: Association, seconds: float) -> None:
        """Keep an association for a report over it, then release it."""
        with suppress(DimseError):
            try:
                with suppress(TimeoutError):
                    async with asyncio.timeout(seconds):
                        await assoc.wait_closed()
            finally:
                await assoc.release()


@asynccontextmanager
async def open_commitment_scu(
    pool: AssociationPool, reports: CommitmentReports, *, linger_s: float = LINGER_S
) -> AsyncIterator[CommitmentScu]:
    """Ask for storage commitment for the length of the block."""
    failure: Exception | None = None
    async with asyncio.TaskGroup() as group:
        scu = CommitmentScu(pool, reports, group, linger_s=linger_s)
        try:
            yield scu
        except Exception as error:
            # The group would wrap it.
            failure = error
        finally:
            await scu.close()
    if failure is not None:
        raise failure


async def _act(assoc: Association, request: CommitmentRequest) -> int:
    context = assoc.context_for(PUSH_MODEL)
    command = Command(
        CommandField.N_ACTION_RQ,
        assoc.next_message_id(),
        has_data_set=True,
        requested_sop_class_uid=PUSH_MODEL,
        requested_sop_instance_uid=PUSH_MODEL_INSTANCE,
        action_type_id=REQUEST_STORAGE_COMMITMENT,
    )
    encoded = encode_request(request, context.transfer_syntax)
    response = await assoc.request(context.context_id, command, encoded)
    return response.command.status or 0
