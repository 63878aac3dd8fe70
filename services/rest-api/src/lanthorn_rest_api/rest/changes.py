"""The log of changes (reference 2.2)."""

from __future__ import annotations

from typing import Any, Final

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from lanthorn_core.errors import InvalidParameter
from lanthorn_core.ports.index import Change, ChangesPage
from lanthorn_rest_api.answers import empty_answer, json_answer
from lanthorn_rest_api.barrier import current_index
from lanthorn_rest_api.levels import path_of
from lanthorn_rest_api.parameters import LARGEST, bounded
from lanthorn_rest_api.resources_json import orthanc_time
from lanthorn_rest_api.services import ServicesDep

router = APIRouter()

CHANGE_TYPES: Final = frozenset(
    {
        "NewPatient",
        "NewStudy",
        "NewSeries",
        "NewInstance",
        "NewChildInstance",
        "StablePatient",
        "StableStudy",
        "StableSeries",
        "CompletedSeries",
        "AnonymizedPatient",
        "AnonymizedStudy",
        "AnonymizedSeries",
        "ModifiedPatient",
        "ModifiedStudy",
        "ModifiedSeries",
        "UpdatedAttachment",
        "UpdatedMetadata",
        "Deleted",
    }
)

DEFAULT_LIMIT: Final = 100


@router.get("/changes", dependencies=[Depends(current_index)])
async def list_changes(request: Request, services: ServicesDep) -> Response:
    """Show a window of the log."""
    parameters = request.query_params
    types = [name for name in parameters.get("type", "").split(";") if name]
    for name in types:
        if name not in CHANGE_TYPES:
            raise InvalidParameter(f"Invalid value for a change: {name}")
    if "last" in parameters:
        return json_answer(_page_json(await services.reader.last_change()))
    to = parameters.get("to")
    page = await services.reader.changes(
        since=number_or(parameters.get("since"), 0),
        to=None if to is None else number_or(to, LARGEST),
        limit=number_or(parameters.get("limit"), DEFAULT_LIMIT),
        types=types,
    )
    return json_answer(_page_json(page))


@router.delete("/changes", dependencies=[Depends(current_index)])
async def clear_changes(services: ServicesDep) -> Response:
    """Empty the log; its counter goes on."""
    await services.editor.clear_changes()
    return empty_answer()


def number_or(text: str | None, default: int) -> int:
    """Read a number; Orthanc takes the default where there is none, and so do its clients."""
    if text is None or not (text.isascii() and text.isdigit()):
        return default
    return bounded(text)


def _page_json(page: ChangesPage) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "Changes": [_change_json(change) for change in page.changes],
        "Done": page.done,
        "Last": page.last,
    }
    if page.changes:
        answer["First"] = page.first
    return answer


def _change_json(change: Change) -> dict[str, Any]:
    return {
        "ChangeType": change.change_type,
        "Date": orthanc_time(change.recorded_at),
        "ID": change.public_id,
        "Path": path_of(change.level, change.public_id),
        "ResourceType": str(change.level),
        "Seq": change.sequence,
    }
