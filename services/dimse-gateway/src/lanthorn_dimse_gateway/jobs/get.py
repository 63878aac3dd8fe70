"""Runs `DicomGetScu`: has a remote AE send us resources over the association that we opened."""

from __future__ import annotations

from dataclasses import dataclass, replace

from lanthorn_core.commands import GetJob, RetrieveIdentifier, from_parameters
from lanthorn_core.usecases.job_runner import RunningJob
from lanthorn_core.usecases.store_instance import StoreReceipt
from lanthorn_dimse import Request
from lanthorn_dimse_gateway.contexts import ContextPolicy
from lanthorn_dimse_gateway.dispatcher import AssociationHandler
from lanthorn_dimse_gateway.jobs.retrieval import Part, retrieve_each
from lanthorn_dimse_gateway.scp.provider import ServiceDirectory
from lanthorn_dimse_gateway.scp.store import StoreScp
from lanthorn_dimse_gateway.scu.associations import AssociationPool
from lanthorn_dimse_gateway.scu.get import (
    common_storage_classes,
    get_remote,
    propose_to_receive,
)


@dataclass(frozen=True, slots=True)
class GetRunner:
    """The runner of this process.

    Attributes
    ----------
    pool : AssociationPool
        Opens the associations.
    store : StoreScp
        What receives C-STORE requests everywhere else.
    contexts : ContextPolicy
        What we store.
    default_encoding : str
        Orthanc's `DefaultEncoding`.
    """

    pool: AssociationPool
    store: StoreScp
    contexts: ContextPolicy
    default_encoding: str

    async def __call__(self, job: RunningJob) -> None:
        """Run the job to its end, from `job.state`."""
        parameters = from_parameters(job.parameters, GetJob)

        async def retrieve(identifier: RetrieveIdentifier, part: Part) -> None:
            async def stored(request: Request, receipt: StoreReceipt) -> None:
                part.received.append(receipt.public_ids.instance)

            receiver = replace(self.store, stored=stored)
            await get_remote(
                self.pool,
                parameters.remote,
                level=identifier.level,
                keys=identifier.keys,
                storage=propose_to_receive(
                    self._sop_classes(identifier), self.contexts.transfer_syntaxes
                ),
                handler=AssociationHandler(ServiceDirectory([receiver]), None),
                default_encoding=self.default_encoding,
                progress=part.progress,
            )

        await retrieve_each(job, parameters.identifiers, retrieve, permissive=parameters.permissive)

    def _sop_classes(self, identifier: RetrieveIdentifier) -> tuple[str, ...]:
        wanted = tuple(
            uid for uid in identifier.sop_class_uids if self.contexts.accepts_storage_of(uid)
        )
        return wanted or common_storage_classes(self.contexts.sop_classes)
