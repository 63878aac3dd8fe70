"""Basic Worklist Management Service Class SCP: C-FIND of modality worklists (PS3.4 Annex K)."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar, Final

import structlog
from pydicom import Dataset

from lanthorn_core.dicom.dataset_writing import encode_dataset
from lanthorn_core.dicom.encodings import (
    EXPLICIT_VR_BIG_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
)
from lanthorn_core.dicom.reading import dataset_of_header
from lanthorn_core.dicom.scan import scan_dataset
from lanthorn_core.errors import InvalidDataset, InvalidIdentifier
from lanthorn_core.usecases.worklists import Worklists
from lanthorn_dimse import Association, CommandField, Request
from lanthorn_dimse_gateway.access import Service
from lanthorn_dimse_gateway.scp.answer import CANCELED, PENDING, SUCCESS, answer

log = structlog.get_logger(__name__)

MODALITY_WORKLIST: Final = "1.2.840.10008.5.1.4.31"
"""Modality Worklist Information Model - FIND."""

_OFFERED: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        MODALITY_WORKLIST: (
            EXPLICIT_VR_LITTLE_ENDIAN,
            IMPLICIT_VR_LITTLE_ENDIAN,
            EXPLICIT_VR_BIG_ENDIAN,
        )
    }
)


@dataclass(frozen=True, slots=True)
class WorklistScp:
    """Answers C-FIND requests for worklists.

    Attributes
    ----------
    worklists : Worklists
        What is scheduled.
    limit_answers : int
        `LimitAnswers`; what is beyond ends the answers with FE00, as in Orthanc. 0 is no limit.
    """

    command: ClassVar = CommandField.C_FIND_RQ
    service: ClassVar = Service.FIND_WORKLIST
    abstract_syntaxes: ClassVar[Mapping[str, tuple[str, ...]]] = _OFFERED

    worklists: Worklists
    limit_answers: int = 0

    async def serve(self, assoc: Association, request: Request) -> None:
        """Send one pending response for each worklist item that matches."""
        started = time.perf_counter()
        transfer_syntax_uid = request.context.transfer_syntax
        identifier = _identifier_of(request.data_set, transfer_syntax_uid)
        pending = request.command.response(PENDING, has_data_set=True)
        status, sent = SUCCESS, 0
        found = self.worklists.find(
            identifier, assoc.calling_ae_title, is_cancelled=request.cancelled.is_set
        )
        async with aclosing(found) as answers:
            async for dataset, character_sets in answers:
                if self.limit_answers and sent == self.limit_answers:
                    status = CANCELED
                    break
                try:
                    encoded = encode_dataset(dataset, transfer_syntax_uid, character_sets)
                except InvalidDataset as error:
                    log.warning("worklist_skipped", error=str(error))
                    continue
                await assoc.send(request.context.context_id, pending, encoded)
                sent += 1
        if request.cancelled.is_set():
            status = CANCELED
        await answer(assoc, request, status)
        log.info(
            "worklist_find_answered",
            status=f"{status:04X}",
            matches=sent,
            took_ms=round((time.perf_counter() - started) * 1000, 1),
        )


def _identifier_of(data_set: bytes | None, transfer_syntax_uid: str) -> Dataset:
    if data_set is None:
        raise InvalidIdentifier("The request has no identifier")
    try:
        return dataset_of_header(scan_dataset(data_set, transfer_syntax_uid))
    except InvalidDataset as error:
        raise InvalidIdentifier(f"The identifier is broken: {error}") from error
