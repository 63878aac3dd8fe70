"""Storage Service Class SCP (PS3.4 Annex B), from the command to the status."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar, Final

import structlog

from lanthorn_core.dicom.part10 import encode_file_meta
from lanthorn_core.errors import (
    DeadlineExceeded,
    InvalidDataset,
    LanthornError,
    NotAuthorized,
    UnsupportedSopClass,
)
from lanthorn_core.model import Origin
from lanthorn_core.usecases.store_instance import (
    KnownMeta,
    ReceivedInstance,
    StoreInstance,
    StoreReceipt,
)
from lanthorn_dimse import Association, CommandField, DataSetSink, Request
from lanthorn_dimse_gateway.access import Requestor, Service, requestor_of
from lanthorn_dimse_gateway.metrics import answered
from lanthorn_dimse_gateway.receive_buffers import ReceiveBuffers
from lanthorn_dimse_gateway.scp.answer import SUCCESS, answer, comment_of
from lanthorn_dimse_gateway.spool import SpooledFile

log = structlog.get_logger(__name__)

STORE_TIMEOUT_S: Final = 120.0
"""For one object to become durable; past it the sender is told to try again."""

_UID_LENGTH: Final = 64
"""PS3.5 Section 9.1."""

_STORED: Final = answered(CommandField.C_STORE_RQ, SUCCESS)


@dataclass(frozen=True, slots=True)
class StoreScp:
    """Answers C-STORE requests (PS3.7 Section 9.1.1).

    Attributes
    ----------
    store : StoreInstance
        The verb.
    spool_folder : Path
        Where objects grow that are too large for memory.
    buffers : ReceiveBuffers
        What all associations receive into; back-pressure by bytes is inside.
    stored : callable, optional
        Hears of each instance that was stored, before the sender does.
    tells_each : bool
        Whether each instance has a line in the log, at level debug. Not for every day: a line
        costs as much as the scan of a header, here and in who collects the log, and asking the
        log whether it wants one costs a tenth of that. What an association brought is told at its
        end.
    """

    command: ClassVar = CommandField.C_STORE_RQ
    service: ClassVar = Service.STORE
    abstract_syntaxes: ClassVar[Mapping[str, tuple[str, ...]]] = MappingProxyType({})

    store: StoreInstance
    spool_folder: Path
    buffers: ReceiveBuffers
    stored: Callable[[Request, StoreReceipt], Awaitable[None]] | None = None
    tells_each: bool = False

    def begin(self, assoc: Association, request: Request, *, permitted: bool) -> DataSetSink:
        """Begin to receive an instance; a refusal is told by `serve`, not here."""
        try:
            _check(request, permitted=permitted)
        except LanthornError as error:
            return IncomingInstance(self, assoc, request, error)
        return IncomingInstance(self, assoc, request, None)

    async def serve(self, assoc: Association, request: Request) -> None:
        """Store the instance and say how it went (PS3.4 Section B.2.3, Table B.2-1).

        Answers with the status of the error's class (`lanthorn_core.errors`); C001 for a bug.
        """
        started = time.perf_counter()
        incoming = request.sink
        if not isinstance(incoming, IncomingInstance):
            incoming = IncomingInstance(self, assoc, request, InvalidDataset("no data set"))
        try:
            receipt = await incoming.store()
            if self.stored is not None:
                await self.stored(request, receipt)
        except LanthornError as error:
            status = error.c_store
            await answer(assoc, request, status, comment_of(error))
            log.warning(
                "c_store_refused",
                error=error.slug,
                status=f"{status:04X}",
                sop_class_uid=request.command.sop_class_uid,
                sop_instance_uid=request.command.sop_instance_uid,
            )
        except Exception:
            log.exception("c_store_crashed", sop_instance_uid=request.command.sop_instance_uid)
            await answer(assoc, request, LanthornError.c_store, LanthornError.slug)
        else:
            await assoc.send(request.context.context_id, request.command.response(SUCCESS))
            if self.tells_each:
                log.debug(
                    "c_store_answered",
                    sop_instance_uid=request.command.sop_instance_uid,
                    size_bytes=receipt.size_bytes,
                    took_ms=round((time.perf_counter() - started) * 1000, 1),
                )
            _STORED.inc()
        finally:
            incoming.discard()


def _check(request: Request, *, permitted: bool) -> None:
    if not permitted:
        raise NotAuthorized("C-STORE is not allowed")
    if not request.context.as_scp:
        raise UnsupportedSopClass("storing was not negotiated for this SOP class")
    if not 0 < len(request.command.sop_instance_uid) <= _UID_LENGTH:
        raise InvalidDataset("the command has no valid Affected SOP Instance UID")
    if request.command.sop_class_uid != request.context.abstract_syntax:
        raise UnsupportedSopClass("the presentation context is for another SOP class")


class IncomingInstance:
    """One instance on its way in: takes its data set, then stores it."""

    def __init__(
        self, scp: StoreScp, assoc: Association, request: Request, refusal: LanthornError | None
    ) -> None:
        self._scp = scp
        self._request = request
        self._sender = _sender_of(assoc)
        self._refusal = refusal
        self._spooled: SpooledFile | None = None
        self._meta_bytes = 0
        self.dataset_bytes = 0
        if refusal is None:
            meta = encode_file_meta(
                sop_class_uid=request.command.sop_class_uid,
                sop_instance_uid=request.command.sop_instance_uid,
                transfer_syntax_uid=request.context.transfer_syntax,
                source_ae_title=self._sender.calling_ae_title,
                receiving_ae_title=self._sender.called_ae_title,
            )
            self._meta_bytes = len(meta)
            self._spooled = SpooledFile(
                scp.spool_folder,
                scp.buffers,
                meta,
                pause=assoc.pause_reading,
                resume=assoc.resume_reading,
            )

    def write(self, fragment: memoryview) -> None:
        """Take the next fragment of the data set. Never raises."""
        self.dataset_bytes += len(fragment)
        if self._spooled is not None:
            self._spooled.write(fragment)

    def discard(self) -> None:
        """Forget what is in hand; harmless when nothing is."""
        if self._spooled is not None:
            self._spooled.discard()
            self._spooled = None

    async def store(self) -> StoreReceipt:
        """Make the instance durable and announce it.

        Raises
        ------
        LanthornError
            It was refused from the beginning, or cannot be kept.
        """
        if self._refusal is not None:
            raise self._refusal
        if self._spooled is None or not self.dataset_bytes:
            raise InvalidDataset("the request has no data set")
        command = self._request.command
        try:
            async with asyncio.timeout(STORE_TIMEOUT_S):
                source = await self._spooled.finish()
                return await self._scp.store(
                    ReceivedInstance(
                        source,
                        sop_class_uid=command.sop_class_uid,
                        sop_instance_uid=command.sop_instance_uid,
                        known=KnownMeta(self._request.context.transfer_syntax, self._meta_bytes),
                        sha256=self._spooled.sha256,
                    ),
                    Origin(
                        kind="DicomProtocol",
                        calling_ae_title=self._sender.calling_ae_title,
                        called_ae_title=self._sender.called_ae_title,
                        remote_ip=self._sender.remote_ip,
                    ),
                )
        except TimeoutError as error:
            raise DeadlineExceeded(f"not durable within {STORE_TIMEOUT_S:g} s") from error


def _sender_of(assoc: Association) -> Requestor:
    """Tell who sends: who opened the association, or whom we opened it to for a C-GET."""
    if assoc.is_acceptor:
        return requestor_of(assoc)
    return Requestor(assoc.called_ae_title, assoc.calling_ae_title, assoc.remote_ip)
