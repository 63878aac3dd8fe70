"""Events that the indexer gave up on: what they are, and another try. Orthanc has no such routes.

Their objects are stored all the same; only the index lacks them.
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from lanthorn_core.errors import UnknownResource
from lanthorn_core.ports.bus import ParkedEvent
from lanthorn_core.usecases.parked_events import object_key_of
from lanthorn_rest_api.answers import action_answer, json_answer
from lanthorn_rest_api.services import ServicesDep

router = APIRouter()

RETRY_PATH = "/lanthorn/parked-events/{number:int}/retry"


@router.get("/lanthorn/parked-events")
async def list_parked(services: ServicesDep) -> Response:
    """List the parked events, the oldest first."""
    return json_answer([parked_json(event) for event in await services.retries.parked()])


@router.post(RETRY_PATH)
async def retry(number: int, services: ServicesDep) -> Response:
    """Have the indexer try a parked event again; if it fails, it is parked under a new number."""
    if not await services.retries.retry_parked(number):
        raise UnknownResource(f"There is no parked event {number}")
    return action_answer()


def parked_json(event: ParkedEvent) -> dict[str, Any]:
    """Describe a parked event; its payload stays inside."""
    return {
        "Error": event.error,
        "Number": event.number,
        "ObjectKey": object_key_of(event),
        "Sequence": event.original_sequence,
    }
