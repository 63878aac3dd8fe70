"""Modality worklists: the routes of Orthanc's worklist plugin.

They are there when the worklist is (`Worklists.Enable`).
"""

from __future__ import annotations

import uuid
from typing import Any, Final

from fastapi import APIRouter, Request
from pydicom import Dataset
from starlette.responses import Response

from lanthorn_core.dicom.orthancjson import Style, to_orthanc_json
from lanthorn_core.dicom.query_identifier import dataset_of_json
from lanthorn_core.errors import BadRequest, InvalidParameter, UnknownResource
from lanthorn_core.usecases.worklists import Worklist, Worklists
from lanthorn_rest_api.answers import action_answer, json_answer
from lanthorn_rest_api.bodies import Body, formatted_boolean
from lanthorn_rest_api.parameters import BadFormat, Parameters, read_json
from lanthorn_rest_api.services import Services, ServicesDep

router = APIRouter()

CREATE_PATH: Final = "/worklists/create"

_STYLES: Final[dict[str, Style]] = {"Simplify": "simplify", "Short": "short", "Full": "full"}
_TIME: Final = "%Y%m%dT%H%M%S"
_SCHEDULED_PROCEDURE_STEP_SEQUENCE: Final = 0x0040_0100
_REQUIRED_IN_STEP: Final = ("Modality", "ScheduledProcedureStepStartDate")
_BYPASS: Final = 'with "Force": true it is kept all the same'


@router.get("/worklists")
async def list_worklists(request: Request, services: ServicesDep) -> Response:
    """List all worklist items with their tags."""
    worklists, style = _worklists(services), _style(request.query_params)
    encoding = services.settings.default_encoding
    shown = []
    async for worklist in worklists.all():
        document = _json(worklist, style, encoding)
        if worklist.entry.created_at is not None:
            document["CreationDate"] = worklist.entry.created_at.strftime(_TIME)
        shown.append(document)
    return json_answer(shown)


@router.post(CREATE_PATH)
async def create_worklist(request: Request, services: ServicesDep) -> Response:
    """Make a worklist item from its tags; `Force` allows one without what modalities look for."""
    worklists = _worklists(services)
    dataset = await _dataset(request, services, force=False)
    return _made(await worklists.create(dataset))


@router.get("/worklists/{worklist_id}")
async def show_worklist(worklist_id: str, request: Request, services: ServicesDep) -> Response:
    """Show a worklist item."""
    worklists, style = _worklists(services), _style(request.query_params)
    worklist = await worklists.get(worklist_id)
    return json_answer(_json(worklist, style, services.settings.default_encoding))


@router.put("/worklists/{worklist_id}")
async def put_worklist(worklist_id: str, request: Request, services: ServicesDep) -> Response:
    """Replace a worklist item by other tags."""
    worklists = _worklists(services)
    await worklists.put(worklist_id, await _dataset(request, services, force=True))
    return _made(worklist_id)


@router.delete("/worklists/{worklist_id}")
async def delete_worklist(worklist_id: str, services: ServicesDep) -> Response:
    """Remove a worklist item."""
    await _worklists(services).delete(worklist_id)
    return action_answer()


def _worklists(services: Services) -> Worklists:
    if services.worklists is None:
        raise UnknownResource
    return services.worklists


def _made(worklist_id: str) -> Response:
    return json_answer({"ID": worklist_id, "Path": f"/worklists/{worklist_id}"})


def _style(parameters: Parameters) -> Style:
    name = parameters.get("format", "Simplify")
    if name not in _STYLES:
        raise InvalidParameter(f"Unknown format: {name}")
    return _STYLES[name]


def _json(worklist: Worklist, style: Style, default_encoding: str) -> dict[str, Any]:
    tags = to_orthanc_json(worklist.dataset, style=style, default_encoding=default_encoding)
    return {"ID": worklist.entry.worklist_id, "Tags": tags}


async def _dataset(request: Request, services: Services, *, force: bool) -> Dataset:
    try:
        body = await read_json(request)
    except BadRequest as error:
        raise BadFormat("the body is no JSON document") from error
    tags = body.get("Tags") if isinstance(body, dict) else None
    if not isinstance(tags, dict):
        raise BadFormat("Tags must be an object of DICOM tags")
    dataset = dataset_of_json(tags)
    if not _forced(body, default=force):
        _check(dataset)
    if services.settings.worklists.set_study_instance_uid_if_missing and not dataset.get(
        "StudyInstanceUID"
    ):
        dataset.StudyInstanceUID = f"2.25.{uuid.uuid4().int}"  # PS3.5 Section B.2
    return dataset


def _forced(body: Body, *, default: bool) -> bool:
    return formatted_boolean(body, "Force", default=default)


def _check(dataset: Dataset) -> None:
    """Refuse an item that no modality would find."""
    if _SCHEDULED_PROCEDURE_STEP_SEQUENCE not in dataset:
        raise BadFormat(f"an item needs a ScheduledProcedureStepSequence; {_BYPASS}")
    steps = dataset[_SCHEDULED_PROCEDURE_STEP_SEQUENCE].value
    for keyword in _REQUIRED_IN_STEP:
        if not steps or keyword not in steps[0]:
            raise BadFormat(f"a scheduled procedure step needs a {keyword}; {_BYPASS}")
