"""What `lanthorn import` asks and tells beside Orthanc's routes; Orthanc has no such routes.

Whoever may ask here at all may delete everything: nobody gains a right by naming an origin.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Final

import msgspec
from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from lanthorn_core.errors import BadRequest
from lanthorn_core.model import LEVELS, Level
from lanthorn_core.ports.imported import HISTORY, ImportedResource
from lanthorn_rest_api.answers import json_answer
from lanthorn_rest_api.barrier import current_index
from lanthorn_rest_api.metadata_names import is_user_metadata
from lanthorn_rest_api.services import ServicesDep

router = APIRouter(dependencies=[Depends(current_index)])

IMPORTED_PATH: Final = "/lanthorn/imported-resources"
MOST_RESOURCES: Final = 1000
"""In one request: each is one transaction."""

_Text = Annotated[str, msgspec.Meta(pattern=r"^[^\x00]*$")]
_Label = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-]{1,64}$")]


class _Entry(msgspec.Struct, forbid_unknown_fields=True, rename="pascal"):
    """One resource as a request tells of it; `ChangedAt` as Orthanc writes times, in UTC."""

    level: Level
    id: str = msgspec.field(name="ID")
    history: dict[str, _Text] = {}
    changed_at: str = ""
    metadata: dict[str, _Text] = {}
    labels: list[_Label] = []
    is_protected: bool = False


class _Question(msgspec.Struct, forbid_unknown_fields=True, rename="pascal"):
    """Identifiers of resources that may be stored."""

    level: Level
    resources: Annotated[list[str], msgspec.Meta(max_length=MOST_RESOURCES)]


_question = msgspec.json.Decoder(_Question)
_entries = msgspec.json.Decoder(Annotated[list[_Entry], msgspec.Meta(max_length=MOST_RESOURCES)])


@router.post("/lanthorn/stored-resources")
async def stored_resources(request: Request, services: ServicesDep) -> Response:
    """Tell which of these resources are stored, with the size of each instance's file."""
    try:
        question = _question.decode(await request.body())
    except msgspec.DecodeError as error:
        raise BadRequest(f"Not a list of identifiers: {error}") from error
    found = await services.reader.resources(question.level, question.resources)
    return json_answer({resource.public_id: resource.size_bytes for resource in found})


@router.post(IMPORTED_PATH)
async def add_imported(request: Request, services: ServicesDep) -> Response:
    """Add what another server knew of stored resources; answers which are not stored."""
    try:
        entries = _entries.decode(await request.body())
    except msgspec.DecodeError as error:
        raise BadRequest(f"Not a list of resources: {error}") from error
    unknown = await services.editor.add_imported([_resource(entry) for entry in entries])
    return json_answer({str(level): [i for at, i in unknown if at is level] for level in LEVELS})


def _resource(entry: _Entry) -> ImportedResource:
    unknown = set(entry.history) - HISTORY
    unknown |= {name for name in entry.metadata if not _is_user_number(name)}
    if unknown:
        raise BadRequest(f"Such metadata cannot be imported: {', '.join(sorted(unknown))}")
    history = dict(entry.history)
    changed_at = _moment(entry.changed_at) if entry.changed_at else None
    if entry.level is Level.INSTANCE and changed_at is not None:
        history["ReceptionDate"] = entry.changed_at
    return ImportedResource(
        level=entry.level,
        public_id=entry.id,
        history=history,
        changed_at=changed_at,
        metadata=entry.metadata,
        labels=entry.labels,
        is_protected=entry.is_protected,
    )


def _is_user_number(name: str) -> bool:
    return name.isascii() and name.isdecimal() and len(name) <= 5 and is_user_metadata(int(name))


def _moment(text: str) -> datetime:
    try:
        return datetime.strptime(text, "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
    except ValueError as error:
        raise BadRequest(f"Not a time as in 20261231T235959: {text}") from error
