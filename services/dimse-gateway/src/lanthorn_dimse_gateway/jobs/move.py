"""Runs `DicomMoveScu`: has a remote AE send resources to us, or to a third."""

from __future__ import annotations

from dataclasses import dataclass

from lanthorn_core.commands import MoveJob, RetrieveIdentifier, from_parameters
from lanthorn_core.errors import LanthornError
from lanthorn_core.ports.move_receipts import MoveReceipts
from lanthorn_core.usecases.job_runner import RunningJob
from lanthorn_dimse_gateway.jobs.retrieval import Part, retrieve_each
from lanthorn_dimse_gateway.scu.associations import AssociationPool
from lanthorn_dimse_gateway.scu.move import moving, new_message_id


@dataclass(frozen=True, slots=True)
class MoveRunner:
    """The runner of this process.

    Attributes
    ----------
    pool : AssociationPool
        Opens the associations.
    receipts : MoveReceipts
        Tells what came to us.
    ae_title : str
        Our own (`DicomAet`).
    default_encoding : str
        Orthanc's `DefaultEncoding`.
    """

    pool: AssociationPool
    receipts: MoveReceipts
    ae_title: str
    default_encoding: str

    async def __call__(self, job: RunningJob) -> None:
        """Run the job to its end, from `job.state`."""
        parameters = from_parameters(job.parameters, MoveJob)
        remote = parameters.remote
        originators = {self.pool.local_ae_title(remote), remote.ae_title}
        comes_to_us = parameters.target_ae_title.strip() == self.ae_title

        async with moving(self.pool, remote, self.default_encoding) as session:

            async def retrieve(identifier: RetrieveIdentifier, part: Part) -> None:
                message_id = new_message_id()
                async with self.receipts.arriving(message_id, originators) as arrived:
                    try:
                        count = await session.move(
                            level=identifier.level,
                            keys=identifier.keys,
                            destination=parameters.target_ae_title,
                            message_id=message_id,
                            progress=part.progress,
                        )
                    except LanthornError:
                        part.received = await arrived.wait_for(0)
                        raise
                    part.received = await arrived.wait_for(count if comes_to_us else 0)

            await retrieve_each(
                job, parameters.identifiers, retrieve, permissive=parameters.permissive
            )
