"""Query/Retrieve Service Class, C-GET SCP (PS3.4 Section C.4.3)."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import ClassVar, Final

import structlog

from lanthorn_core.errors import LanthornError
from lanthorn_core.ports.index import IndexReader, StoredInstance
from lanthorn_core.ports.remote_aes import RemoteAERegistry
from lanthorn_dimse import Association, CommandField, DimseError, Request
from lanthorn_dimse_gateway.access import Service
from lanthorn_dimse_gateway.scp.retrieve_counts import SubOperationCounts
from lanthorn_dimse_gateway.scp.retrieve_responses import (
    offered,
    pending_response,
    question_of,
    send_final,
)
from lanthorn_dimse_gateway.scp.retrieve_selection import select_instances
from lanthorn_dimse_gateway.scu.store_operation import StoreOutcome, StoreRules, store_over
from lanthorn_dimse_gateway.scu.store_outgoing import OutgoingObject, OutgoingObjects

log = structlog.get_logger(__name__)

PATIENT_ROOT_GET: Final = "1.2.840.10008.5.1.4.1.2.1.3"
STUDY_ROOT_GET: Final = "1.2.840.10008.5.1.4.1.2.2.3"
PATIENT_STUDY_ONLY_GET: Final = "1.2.840.10008.5.1.4.1.2.3.3"
_OFFERED: Final = offered(PATIENT_ROOT_GET, STUDY_ROOT_GET, PATIENT_STUDY_ONLY_GET)


@dataclass(frozen=True, slots=True)
class GetScp:
    """Answers C-GET: sends instances over the association on which they were asked for.

    Attributes
    ----------
    reader : IndexReader
        Finds them.
    remotes : RemoteAERegistry
        Says for whom nothing is transcoded.
    outgoing : OutgoingObjects
        Where their bytes come from.
    rules : StoreRules
        How they are sent.
    default_encoding : str
        Of identifiers that name no character set.
    """

    command: ClassVar = CommandField.C_GET_RQ
    service: ClassVar = Service.GET
    abstract_syntaxes: ClassVar[Mapping[str, tuple[str, ...]]] = _OFFERED

    reader: IndexReader
    remotes: RemoteAERegistry
    outgoing: OutgoingObjects
    rules: StoreRules
    default_encoding: str

    async def serve(self, assoc: Association, request: Request) -> None:
        """Send what the identifier names, one sub-operation after the other.

        An instance whose SOP class the peer did not propose with the SCP role fails alone.
        """
        started = time.perf_counter()
        query = question_of(request, self.default_encoding, level_required=True)
        selected = await select_instances(self.reader, query)
        counts = SubOperationCounts(len(selected.instances))
        choice = (await self._rules(assoc.calling_ae_title)).choice(assoc)

        async def send(
            outgoing: OutgoingObject | LanthornError, instance: StoredInstance
        ) -> StoreOutcome:
            if isinstance(outgoing, LanthornError):
                return StoreOutcome(None, outgoing)
            try:
                return StoreOutcome(await store_over(assoc, outgoing, choice))
            except LanthornError as error:
                log.warning(
                    "sub_operation_failed",
                    sop_instance_uid=instance.sop_instance_uid,
                    error=error.slug,
                )
                return StoreOutcome(None, error)
            except DimseError:
                return StoreOutcome(None)

        async with aclosing(self.outgoing.each(selected.instances, send)) as outcomes:
            async for instance, outcome in outcomes:
                counts.record(instance.sop_instance_uid, outcome.status)
                if not assoc.is_established:
                    log.warning("c_get_interrupted", remaining=counts.remaining)
                    return
                if request.cancelled.is_set():
                    break
                pending = pending_response(request, counts)
                # The next sub-operation, or the final response, follows at once.
                assoc.send_with_next(request.context.context_id, pending)
        status = await send_final(assoc, request, counts)
        log.info(
            "c_get_answered",
            status=f"{status:04X}",
            completed=counts.completed,
            failed=counts.failed,
            warning=counts.warning,
            took_ms=round((time.perf_counter() - started) * 1000, 1),
        )

    async def _rules(self, calling_ae_title: str) -> StoreRules:
        """Apply `AllowTranscoding` of who asks, if that AE is known."""
        known = await self.remotes.by_ae_title(calling_ae_title)
        allowed = all(remote.allow_transcoding for _, remote in known)
        return self.rules.restricted(transcoding=allowed)
