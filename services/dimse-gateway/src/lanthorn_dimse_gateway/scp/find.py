"""Query/Retrieve Service Class, C-FIND SCP (PS3.4 Section C.4.1)."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar, Final

from pynetdicom.sop_class import (
    PatientRootQueryRetrieveInformationModelFind,
    PatientStudyOnlyQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelFind,
)

from lanthorn_core.dicom.encodings import (
    EXPLICIT_VR_BIG_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
)
from lanthorn_core.dicom.matching import is_text_indexed
from lanthorn_core.model import Level
from lanthorn_core.ports.index import PUBLIC_ID, FindQuery
from lanthorn_core.usecases.find import FILES_AT_ONCE
from lanthorn_core.usecases.find_answers import FindAnswers
from lanthorn_dimse import Association, CommandField, Request
from lanthorn_dimse_gateway.access import Service
from lanthorn_dimse_gateway.metrics import FOUND, answered
from lanthorn_dimse_gateway.scp.answer import CANCELED, PENDING, SUCCESS
from lanthorn_dimse_gateway.scp.find_encoder import AnswerEncoder
from lanthorn_dimse_gateway.scp.find_identifier import (
    QUERY_RETRIEVE_LEVEL,
    RETRIEVE_AE_TITLE,
    FindIdentifier,
    FindRules,
    ReturnKey,
    parse_find_identifier,
)

_TRANSFER_SYNTAXES: Final = (
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    EXPLICIT_VR_BIG_ENDIAN,
)
_OFFERED: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        str(model): _TRANSFER_SYNTAXES
        for model in (
            PatientRootQueryRetrieveInformationModelFind,
            StudyRootQueryRetrieveInformationModelFind,
            PatientStudyOnlyQueryRetrieveInformationModelFind,
        )
    }
)
_NEGOTIABLE: Final = bytes(
    [
        1,  # relational queries
        1,  # combined date-time matching
        0,  # fuzzy semantic matching of names
        0,  # timezone query adjustment
        0,  # conversion of enhanced multi-frame images
        1,  # empty value matching
        1,  # multiple value matching
    ]
)
"""Service class application information (PS3.4 Section C.5.1.1): 1 is supported."""
_COMBINED_DATETIME: Final = 1

_ANSWERS_AT_ONCE: Final = 128
"""Answers between two looks for a C-CANCEL, written together."""
_REMEMBERED_QUERIES: Final = 128
_REMEMBERED_BYTES: Final = 4096


@dataclass(frozen=True, slots=True)
class _Plan:
    """What a query comes to, made once: what the index is asked, and how answers are written."""

    query: FindQuery
    keywords: tuple[str, ...]
    file_tags: tuple[int, ...]
    encoder: AnswerEncoder
    limit: int


class FindScp:
    """Answers C-FIND in the Patient Root, Study Root and Patient/Study Only models.

    Parameters
    ----------
    answers : FindAnswers
        The search.
    ae_title : str
        Where the answers may be retrieved from: our own AE title.
    rules : FindRules
        How identifiers are read.
    limit, instances_limit : int
        `LimitFindResults` and `LimitFindInstances`; 0 is no limit.
    """

    command: ClassVar = CommandField.C_FIND_RQ
    service: ClassVar = Service.FIND
    abstract_syntaxes: ClassVar[Mapping[str, tuple[str, ...]]] = _OFFERED

    def __init__(
        self,
        answers: FindAnswers,
        *,
        ae_title: str,
        rules: FindRules,
        limit: int = 0,
        instances_limit: int = 0,
    ) -> None:
        self._answers = answers
        self._ae_title = ae_title
        self._rules = rules
        self._limit = limit
        self._instances_limit = instances_limit
        self._plans: OrderedDict[tuple[bytes, str, str, bool], _Plan] = OrderedDict()

    def answer_extended(self, abstract_syntax: str, proposed: bytes) -> bytes | None:
        """Agree to what is proposed and supported; as many bytes as were proposed."""
        del abstract_syntax  # all models are alike
        return bytes(
            wanted & offered for wanted, offered in zip(proposed, _NEGOTIABLE, strict=False)
        )

    async def serve(self, assoc: Association, request: Request) -> None:
        """Answer one query: a pending response for each match, then the final one.

        Raises
        ------
        InvalidIdentifier, InvalidParameter
            The identifier breaks the rules of its model.
        IndexUnavailable, StorageUnavailable
            The search cannot be made now (A700).
        """
        context = request.context
        extended = assoc.acceptance.extended.get(context.abstract_syntax, b"")
        plan = self._plan(
            request.data_set or b"",
            context.transfer_syntax,
            context.abstract_syntax,
            combined_datetime=extended[_COMBINED_DATETIME : _COMBINED_DATETIME + 1] == b"\1",
        )
        pending = request.command.response(PENDING, has_data_set=True)
        found, status = 0, SUCCESS
        waiting: list[bytes] = []
        async with aclosing(self._encoded(plan)) as batches:
            async for batch in batches:
                if waiting:
                    await assoc.send_all(
                        context.context_id, [(pending, answer) for answer in waiting]
                    )
                    await asyncio.sleep(0)  # a C-CANCEL may have come
                if request.cancelled.is_set():
                    waiting, status = [], CANCELED
                    break
                waiting = batch[: plan.limit - found] if plan.limit else batch
                found += len(waiting)
                if len(waiting) < len(batch):
                    status = CANCELED
                    break
        # What remains goes out together with the final response.
        final = request.command.response(status)
        await assoc.send_all(
            context.context_id, [*((pending, answer) for answer in waiting), (final, None)]
        )
        FOUND.inc(found)
        answered(request.command.field, status).inc()

    async def _encoded(self, plan: _Plan) -> AsyncGenerator[list[bytes], None]:
        """Encode answers, some at a time."""
        async with aclosing(self._answers.pages(plan.query, plan.keywords)) as pages:
            async for rows in pages:
                if not rows:
                    yield []
                step = FILES_AT_ONCE if plan.file_tags else _ANSWERS_AT_ONCE
                for start in range(0, len(rows), step):
                    some = rows[start : start + step]
                    if plan.file_tags:
                        yield await self._encode_with_files(plan, some)
                    else:
                        yield [plan.encoder.encode(row) for row in some]

    async def _encode_with_files(self, plan: _Plan, rows: Sequence[Any]) -> list[bytes]:
        public_ids = [row[1] for row in rows]
        found = await self._answers.elements(plan.query.level, public_ids, plan.file_tags)
        return [
            plan.encoder.encode_with(row, elements)
            for row, elements in zip(rows, found, strict=True)
        ]

    def _plan(
        self,
        identifier: bytes,
        transfer_syntax_uid: str,
        sop_class_uid: str,
        *,
        combined_datetime: bool,
    ) -> _Plan:
        """Make the plan of a query, or take it from the last ones: worklists ask every minute."""
        key = (identifier, transfer_syntax_uid, sop_class_uid, combined_datetime)
        plan = self._plans.get(key)
        if plan is not None:
            self._plans.move_to_end(key)
            return plan
        parsed = parse_find_identifier(
            identifier,
            transfer_syntax_uid,
            sop_class_uid,
            self._rules,
            combined_datetime=combined_datetime,
        )
        plan = self._make_plan(parsed, transfer_syntax_uid)
        if len(identifier) <= _REMEMBERED_BYTES:
            self._plans[key] = plan
            if len(self._plans) > _REMEMBERED_QUERIES:
                self._plans.popitem(last=False)
        return plan

    def _make_plan(self, identifier: FindIdentifier, transfer_syntax_uid: str) -> _Plan:
        level = identifier.level
        fixed = {
            **identifier.private_creators,
            QUERY_RETRIEVE_LEVEL: identifier.level_name,
            RETRIEVE_AE_TITLE: self._ae_title,
        }
        keys = [key for key in identifier.return_keys if key.tag != RETRIEVE_AE_TITLE]
        keys.append(ReturnKey(RETRIEVE_AE_TITLE, "AE", "RetrieveAETitle"))
        keys.sort(key=lambda key: key.tag)
        indexed = [
            key.keyword
            for key in keys
            if key.tag not in fixed and is_text_indexed(key.keyword, level)
        ]
        file_tags = identifier.file_tags if self._answers.reads_files else ()
        keywords = ((PUBLIC_ID,) if file_tags else ()) + tuple(indexed)
        # A row begins with its position.
        columns = {keyword: place for place, keyword in enumerate(keywords, 1)}
        columns.pop(PUBLIC_ID, None)
        encoder = AnswerEncoder(
            keys, fixed, columns, transfer_syntax_uid, self._rules.default_encoding
        )
        limit = self._instances_limit if level is Level.INSTANCE else self._limit
        return _Plan(identifier.query, keywords, file_tags, encoder, limit)
