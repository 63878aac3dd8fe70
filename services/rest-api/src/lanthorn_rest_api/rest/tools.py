"""Small tools (reference 2.11)."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import Final

from fastapi import APIRouter, Depends, Request
from pydicom.uid import AllTransferSyntaxes
from starlette.responses import Response

from lanthorn_core.errors import UnknownResource
from lanthorn_rest_api.answers import json_answer, text_answer
from lanthorn_rest_api.barrier import current_index
from lanthorn_rest_api.services import ServicesDep

router = APIRouter()

_UID_LEVELS: Final = frozenset({"study", "series", "instance"})
_TIME: Final = "%Y%m%dT%H%M%S"


@router.get("/tools/labels", dependencies=[Depends(current_index)])
async def list_labels(services: ServicesDep) -> Response:
    """List all labels in use."""
    return json_answer(await services.reader.labels())


@router.get("/tools/now")
async def show_now() -> Response:
    """Tell the time in UTC."""
    return text_answer(datetime.now(UTC).strftime(_TIME))


@router.get("/tools/now-local")
async def show_local_now() -> Response:
    """Tell the time here."""
    return text_answer(datetime.now(UTC).astimezone().strftime(_TIME))


@router.get("/tools/generate-uid")
async def generate_uid(request: Request) -> Response:
    """Make an identifier: for a patient a UUID, else a UID derived from one (PS3.5 Section B.2)."""
    level = request.query_params.get("level")
    if level == "patient":
        return text_answer(str(uuid.uuid4()))
    if level in _UID_LEVELS:
        return text_answer(f"2.25.{uuid.uuid4().int}")
    raise UnknownResource


@router.get("/tools/default-encoding")
async def show_default_encoding(services: ServicesDep) -> Response:
    """Name the encoding of data sets that name none."""
    return text_answer(services.settings.default_encoding)


@router.get("/tools/accepted-transfer-syntaxes")
async def list_accepted_transfer_syntaxes(services: ServicesDep) -> Response:
    """List the transfer syntaxes that C-STORE takes."""
    patterns = services.settings.accepted_transfer_syntaxes
    return json_answer(
        sorted(
            str(uid)
            for uid in AllTransferSyntaxes
            if any(fnmatchcase(uid, pattern) for pattern in patterns)
        )
    )


@router.get("/tools/unknown-sop-class-accepted")
async def show_unknown_sop_class_accepted(services: ServicesDep) -> Response:
    """Tell whether C-STORE takes SOP classes that it does not know."""
    return text_answer("1" if services.settings.unknown_sop_class_accepted else "0")
