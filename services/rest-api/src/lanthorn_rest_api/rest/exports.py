"""The log of what was sent to remote application entities (reference 2.2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from lanthorn_core.ports.exports import Export
from lanthorn_rest_api.answers import empty_answer, json_answer
from lanthorn_rest_api.levels import path_of
from lanthorn_rest_api.resources_json import orthanc_time
from lanthorn_rest_api.rest.changes import DEFAULT_LIMIT, number_or
from lanthorn_rest_api.services import ServicesDep

router = APIRouter()


@router.get("/exports")
async def list_exports(request: Request, services: ServicesDep) -> Response:
    """Show a window of the log."""
    parameters = request.query_params
    log = services.records.exports
    if "last" in parameters:
        last = await log.last()
        return json_answer(_page_json([] if last is None else [last], since=0, done=True))
    since = number_or(parameters.get("since"), 0)
    limit = number_or(parameters.get("limit"), DEFAULT_LIMIT)
    # One more is read to know whether that is all.
    page = await log.page(since=since, limit=limit + 1)
    return json_answer(_page_json(page[:limit], since=since, done=len(page) <= limit))


@router.delete("/exports")
async def clear_exports(services: ServicesDep) -> Response:
    """Empty the log; its counter goes on."""
    await services.records.exports.clear()
    return empty_answer()


def _page_json(exports: Sequence[Export], *, since: int, done: bool) -> dict[str, Any]:
    answer: dict[str, Any] = {"Done": done, "Exports": [_export_json(export) for export in exports]}
    if not exports:
        return answer | {"Last": since}
    return answer | {"First": exports[0].sequence, "Last": exports[-1].sequence}


def _export_json(export: Export) -> dict[str, Any]:
    uids = {
        "StudyInstanceUID": export.study_instance_uid,
        "SeriesInstanceUID": export.series_instance_uid,
        "SOPInstanceUID": export.sop_instance_uid,
    }
    return {
        "Date": orthanc_time(export.recorded_at),
        "ID": export.public_id,
        "Path": path_of(export.level, export.public_id),
        "PatientID": export.patient_id,
        "RemoteModality": export.modality,
        "ResourceType": export.level.value,
        "Seq": export.sequence,
        **{name: uid for name, uid in uids.items() if uid is not None},
    }
