"""Storage Service Class SCP (PS3.4 Annex B), from the command to the status.

The transport creates an `IncomingStore` when a C-STORE request's command set is complete, writes
the data set's fragments to it, and sends the answer.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

from lanthorn_core.dicom.part10 import encode_file_meta
from lanthorn_core.errors import (
    InvalidDataset,
    LanthornError,
    NotAuthorized,
    UnsupportedSopClass,
)
from lanthorn_core.model import Origin
from lanthorn_core.ports.object_store import Buffer
from lanthorn_core.usecases.store_instance import ReceivedInstance, StoreInstance
from lanthorn_dimse_gateway.access import AccessPolicy, Requestor, Service
from lanthorn_dimse_gateway.metrics import RECEIVED_BYTES, STORE_SECONDS, STORES
from lanthorn_dimse_gateway.scp.answer import SUCCESS, Answer, refuse
from lanthorn_dimse_gateway.spool import SpooledFile

log = structlog.get_logger(__name__)

_UID_LENGTH: Final = 64
"""PS3.5 Section 9.1."""


@dataclass(frozen=True, slots=True)
class StoreCommand:
    """A C-STORE request with the presentation context that carries it (PS3.7 Section 9.3.1.1)."""

    sop_class_uid: str
    sop_instance_uid: str
    abstract_syntax: str
    transfer_syntax_uid: str


@dataclass(frozen=True, slots=True)
class StoreScp:
    """What every C-STORE request of the process shares.

    Attributes
    ----------
    store : StoreInstance
        The verb; back-pressure by bytes is inside.
    spool_folder : Path
        Where objects grow that are too large for memory.
    access : AccessPolicy
        Who may store.
    """

    store: StoreInstance
    spool_folder: Path
    access: AccessPolicy

    def begin(self, command: StoreCommand, requestor: Requestor) -> IncomingStore:
        """Begin to receive an instance; a refusal is told by the answer, not here."""
        try:
            self._check(command, requestor)
        except LanthornError as error:
            return IncomingStore(self, command, requestor, error)
        return IncomingStore(self, command, requestor, None)

    def _check(self, command: StoreCommand, requestor: Requestor) -> None:
        if not self.access.allows(requestor, Service.STORE):
            raise NotAuthorized("C-STORE is not allowed")
        if not 0 < len(command.sop_instance_uid) <= _UID_LENGTH:
            raise InvalidDataset("the command has no valid Affected SOP Instance UID")
        if command.sop_class_uid != command.abstract_syntax:
            raise UnsupportedSopClass("the presentation context is for another SOP class")


class IncomingStore:
    """One instance on its way in. Not thread-safe: one association has one at a time."""

    def __init__(
        self,
        scp: StoreScp,
        command: StoreCommand,
        requestor: Requestor,
        refusal: LanthornError | None,
    ) -> None:
        self._scp = scp
        self._command = command
        self._requestor = requestor
        self._refusal = refusal
        self._dataset_bytes = 0
        self._spooled: SpooledFile | None = None
        if refusal is None:
            self._spooled = SpooledFile(
                scp.spool_folder,
                encode_file_meta(
                    sop_class_uid=command.sop_class_uid,
                    sop_instance_uid=command.sop_instance_uid,
                    transfer_syntax_uid=command.transfer_syntax_uid,
                    source_ae_title=requestor.calling_ae_title,
                    receiving_ae_title=requestor.called_ae_title,
                ),
            )

    def write(self, fragment: Buffer) -> None:
        """Take the next fragment of the data set; it is kept, not copied. Never raises."""
        self._dataset_bytes += len(fragment)
        if self._spooled is not None:
            self._spooled.write(fragment)

    def discard(self) -> None:
        """Forget an instance whose association ended before its data set did."""
        if self._spooled is not None:
            self._spooled.discard()

    async def answer(self) -> Answer:
        """Store the instance and say how it went (PS3.4 Section B.2.3, Table B.2-1).

        Returns
        -------
        Answer
            The status of the error's class (`lanthorn_core.errors`); C001 for a bug of ours.
        """
        started = time.perf_counter()
        try:
            size_bytes = await self._store()
        except LanthornError as error:
            answer = refuse(error, error.c_store)
            log.warning(
                "c_store_refused",
                error=error.slug,
                status=f"{answer.status:04X}",
                sop_class_uid=self._command.sop_class_uid,
                sop_instance_uid=self._command.sop_instance_uid,
            )
        except Exception:
            answer = Answer(LanthornError.c_store, LanthornError.slug)
            log.exception("c_store_crashed", sop_instance_uid=self._command.sop_instance_uid)
        else:
            answer = SUCCESS
            log.info(
                "c_store_answered",
                sop_instance_uid=self._command.sop_instance_uid,
                size_bytes=size_bytes,
                took_ms=round((time.perf_counter() - started) * 1000, 1),
            )
        finally:
            self.discard()
        STORES.labels(f"{answer.status:04X}").inc()
        RECEIVED_BYTES.inc(self._dataset_bytes)
        STORE_SECONDS.observe(time.perf_counter() - started)
        return answer

    async def _store(self) -> int:
        if self._refusal is not None:
            raise self._refusal
        if self._spooled is None or not self._dataset_bytes:
            raise InvalidDataset("the request has no data set")
        receipt = await self._scp.store(
            ReceivedInstance(
                self._spooled.finish(),
                sop_class_uid=self._command.sop_class_uid,
                sop_instance_uid=self._command.sop_instance_uid,
            ),
            Origin(
                kind="DicomProtocol",
                calling_ae_title=self._requestor.calling_ae_title,
                called_ae_title=self._requestor.called_ae_title,
                remote_ip=self._requestor.remote_ip,
            ),
        )
        return receipt.size_bytes
