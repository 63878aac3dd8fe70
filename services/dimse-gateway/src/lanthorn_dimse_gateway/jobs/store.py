"""The job `DicomModalityStore`: instances to a remote AE, one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final, Protocol

from lanthorn_core.commands import StoreJob, from_parameters
from lanthorn_core.dicom.commitment import CommitmentRequest, SopReference
from lanthorn_core.errors import LanthornError, UnknownResource
from lanthorn_core.model import Level, RemoteAE
from lanthorn_core.ports.index import IndexReader, StoredInstance
from lanthorn_core.usecases.job_runner import RunningJob
from lanthorn_dimse_gateway.scp.retrieve_selection import stored_instance_of
from lanthorn_dimse_gateway.scu.store import StoreScu
from lanthorn_dimse_gateway.scu.store_operation import MoveOriginator

BATCH: Final = 100
"""Instances that are looked up, and for which contexts are proposed, at a time."""


class CommitmentRequestor(Protocol):
    """Asks a remote AE to commit to what it was sent (PS3.4 Annex J)."""

    async def __call__(self, remote: RemoteAE, request: CommitmentRequest) -> None:
        """Send the request and have it accepted. Raises `RemoteAEFailed`."""
        ...


@dataclass(slots=True)
class _Progress:
    """How far a job is: what its checkpoints hold."""

    total: int
    done: int
    failed: int

    @property
    def fraction(self) -> float:
        return self.done / self.total if self.total else 1.0

    def as_state(self) -> dict[str, int]:
        return {"done": self.done, "failed": self.failed}

    def as_content(self) -> dict[str, int]:
        return {"InstancesCount": self.total, "FailedInstancesCount": self.failed}


@dataclass(frozen=True, slots=True)
class StoreJobRunner:
    """Runs `DicomModalityStore` jobs.

    Attributes
    ----------
    reader : IndexReader
        Knows where the instances lie.
    store : StoreScu
        Sends them.
    request_commitment : CommitmentRequestor
        Asks for storage commitment when all is sent, if the job shall.
    """

    reader: IndexReader
    store: StoreScu
    request_commitment: CommitmentRequestor

    async def __call__(self, job: RunningJob) -> None:
        """Send what has not been sent yet.

        Raises
        ------
        RemoteAEFailed, UnknownResource, …
            The first failure of an instance. If the job is permissive failures are counted only.
        """
        parameters = from_parameters(dict(job.parameters), StoreJob)
        progress = _Progress(
            len(parameters.instances), job.state.get("done", 0), job.state.get("failed", 0)
        )
        while progress.done < progress.total:
            batch = parameters.instances[progress.done : progress.done + BATCH]
            await self._send_batch(job, parameters, batch, progress)
            await job.checkpoint(
                progress=progress.fraction, state=progress.as_state(), content=progress.as_content()
            )
        if parameters.storage_commitment_transaction_uid:
            await self.request_commitment(
                parameters.remote,
                CommitmentRequest(
                    parameters.storage_commitment_transaction_uid,
                    await self._references(parameters.instances),
                ),
            )

    async def _send_batch(
        self, job: RunningJob, parameters: StoreJob, batch: Sequence[str], progress: _Progress
    ) -> None:
        remote, stored = parameters.remote, await self._stored(batch)
        by_id = {instance.public_id: instance for instance in stored}
        failure: LanthornError | None = None
        async with (
            self.store.session(remote, stored, originator=_originator(parameters)) as session,
            aclosing(self.store.outgoing.each(stored, session.send)) as outcomes,
        ):
            for public_id in batch:
                if public_id not in by_id:
                    failure = UnknownResource("An instance is no longer stored")
                elif not session.is_unreachable:  # once unreachable, not tried again in this batch
                    _, outcome = await anext(outcomes)
                    failure = outcome.failure(remote.ae_title)
                if failure is not None:
                    if not parameters.permissive:
                        raise failure
                    progress.failed += 1
                progress.done += 1
                await job.report(
                    progress=progress.fraction,
                    state=progress.as_state(),
                    content=progress.as_content(),
                )

    async def _stored(self, public_ids: Sequence[str]) -> list[StoredInstance]:
        await self.reader.wait_until_current()
        resources = await self.reader.resources(Level.INSTANCE, public_ids)
        return [stored_instance_of(resource) for resource in resources]

    async def _references(self, public_ids: Sequence[str]) -> tuple[SopReference, ...]:
        references: list[SopReference] = []
        for start in range(0, len(public_ids), BATCH):
            references += [
                SopReference(stored.sop_class_uid, stored.sop_instance_uid)
                for stored in await self._stored(public_ids[start : start + BATCH])
            ]
        return tuple(references)


def _originator(parameters: StoreJob) -> MoveOriginator | None:
    if not parameters.move_originator_ae_title:
        return None
    return MoveOriginator(
        parameters.move_originator_ae_title, parameters.move_originator_message_id
    )
