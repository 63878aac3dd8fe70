"""Query/Retrieve Service Class, C-MOVE SCP (PS3.4 Section C.4.2)."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import msgspec
import structlog

from lanthorn_core.commands import StoreJob, to_parameters
from lanthorn_core.errors import LanthornError, UnknownRemoteAE
from lanthorn_core.model import RemoteAE
from lanthorn_core.ports.index import IndexReader
from lanthorn_core.ports.jobs import JobRequest
from lanthorn_core.ports.remote_aes import RemoteAERegistry
from lanthorn_core.usecases.job_registry import JobRegistry
from lanthorn_dimse import Association, CommandField, Request
from lanthorn_dimse_gateway.access import Service
from lanthorn_dimse_gateway.scp.answer import comment_of
from lanthorn_dimse_gateway.scp.retrieve_counts import SubOperationCounts
from lanthorn_dimse_gateway.scp.retrieve_responses import (
    offered,
    pending_response,
    question_of,
    send_final,
)
from lanthorn_dimse_gateway.scp.retrieve_selection import Selection, select_instances
from lanthorn_dimse_gateway.scu.store import StoreScu
from lanthorn_dimse_gateway.scu.store_operation import MoveOriginator

log = structlog.get_logger(__name__)

PATIENT_ROOT_MOVE: Final = "1.2.840.10008.5.1.4.1.2.1.2"
STUDY_ROOT_MOVE: Final = "1.2.840.10008.5.1.4.1.2.2.2"
PATIENT_STUDY_ONLY_MOVE: Final = "1.2.840.10008.5.1.4.1.2.3.2"
_OFFERED: Final = offered(PATIENT_ROOT_MOVE, STUDY_ROOT_MOVE, PATIENT_STUDY_ONLY_MOVE)

STORE_JOB: Final = "DicomModalityStore"
_DESCRIPTION: Final = "C-MOVE"
_PRIORITIES: Final = frozenset({0, 1, 2})


@dataclass(frozen=True, slots=True)
class MoveScp:
    """Answers C-MOVE: has instances sent to a third application entity.

    Attributes
    ----------
    reader : IndexReader
        Finds them.
    remotes : RemoteAERegistry
        Knows the move destinations by their AE titles.
    store : StoreScu
        Sends them.
    jobs : JobRegistry
        Takes the sending over, unless it is `synchronous`.
    synchronous : bool
        `SynchronousCMove`: send before the final response, else answer success at once and leave
        the sending to a job.
    default_encoding : str
        Of identifiers that name no character set.
    """

    command: ClassVar = CommandField.C_MOVE_RQ
    service: ClassVar = Service.MOVE
    abstract_syntaxes: ClassVar[Mapping[str, tuple[str, ...]]] = _OFFERED

    reader: IndexReader
    remotes: RemoteAERegistry
    store: StoreScu
    jobs: JobRegistry
    synchronous: bool
    default_encoding: str

    async def serve(self, assoc: Association, request: Request) -> None:
        """Have what the identifier names sent to the move destination.

        Raises
        ------
        UnknownRemoteAE
            The move destination is not configured (A801).
        """
        query = question_of(request, self.default_encoding, level_required=False)
        destination = await self._destination(request.command.move_destination)
        selected = await select_instances(self.reader, query)
        if self.synchronous:
            await self._send_now(assoc, request, destination, selected)
        else:
            await self._send_later(assoc, request, destination, selected)

    async def _destination(self, ae_title: str) -> RemoteAE:
        for _, remote in await self.remotes.by_ae_title(ae_title):
            return remote
        raise UnknownRemoteAE("The move destination is not known")

    async def _send_now(
        self, assoc: Association, request: Request, destination: RemoteAE, selected: Selection
    ) -> None:
        started = time.perf_counter()
        instances = selected.instances
        counts = SubOperationCounts(len(instances))
        failure: LanthornError | None = None
        priority = request.command.priority
        async with (
            self.store.session(
                destination,
                instances,
                originator=MoveOriginator(assoc.calling_ae_title, request.command.message_id),
                priority=priority if priority in _PRIORITIES else 0,
            ) as session,
            aclosing(self.store.outgoing.each(instances, session.send)) as outcomes,
        ):
            async for instance, outcome in outcomes:
                counts.record(instance.sop_instance_uid, outcome.status)
                failure = failure or outcome.failure(destination.ae_title)
                if session.is_unreachable:
                    for left in instances[len(instances) - counts.remaining :]:
                        counts.record(left.sop_instance_uid, None)
                if not assoc.is_established:
                    log.warning("c_move_interrupted", remaining=counts.remaining)
                    return
                if request.cancelled.is_set() or session.is_unreachable:
                    break
                pending = pending_response(request, counts)
                await assoc.send(request.context.context_id, pending)
        comment = comment_of(failure) if failure is not None else ""
        status = await send_final(assoc, request, counts, comment)
        log.info(
            "c_move_answered",
            status=f"{status:04X}",
            completed=counts.completed,
            failed=counts.failed,
            warning=counts.warning,
            took_ms=round((time.perf_counter() - started) * 1000, 1),
        )

    async def _send_later(
        self, assoc: Association, request: Request, destination: RemoteAE, selected: Selection
    ) -> None:
        if selected.instances:
            job_id = await self.jobs.submit(self._job(assoc, request, destination, selected))
            log.info("c_move_became_job", job_id=job_id, instances=len(selected.instances))
        await send_final(assoc, request, SubOperationCounts(0))

    def _job(
        self, assoc: Association, request: Request, destination: RemoteAE, selected: Selection
    ) -> JobRequest:
        pool = self.store.pool
        local_ae_title = pool.local_ae_title(destination)
        message_id = request.command.message_id
        content: dict[str, Any] = {
            "FailedInstancesCount": 0,
            "InstancesCount": len(selected.instances),
            "LocalAet": local_ae_title,
            "MoveOriginatorAET": assoc.calling_ae_title,
            "MoveOriginatorID": message_id,
            "ParentResources": selected.public_ids,
            "RemoteAet": destination.ae_title,
        }
        return JobRequest(
            type=STORE_JOB,
            parameters=to_parameters(
                StoreJob(
                    remote=msgspec.structs.replace(
                        destination,
                        local_ae_title=local_ae_title,
                        timeout_s=int(pool.timeout_s(destination) or 0),
                    ),
                    instances=[instance.public_id for instance in selected.instances],
                    move_originator_ae_title=assoc.calling_ae_title,
                    move_originator_message_id=message_id,
                    permissive=True,
                )
            ),
            content=content,
            description=_DESCRIPTION,
        )
