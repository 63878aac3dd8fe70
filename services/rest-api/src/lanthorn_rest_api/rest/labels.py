"""Labels of resources (reference 2.8)."""

from __future__ import annotations

import re
from typing import Final

from fastapi import APIRouter, Depends
from starlette.responses import Response

from lanthorn_core.errors import InvalidParameter, UnknownResource
from lanthorn_core.model import Level
from lanthorn_rest_api.answers import empty_answer, json_answer
from lanthorn_rest_api.barrier import current_index
from lanthorn_rest_api.presentation import existing
from lanthorn_rest_api.services import ServicesDep

router = APIRouter(dependencies=[Depends(current_index)])

_LABEL: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")


@router.get("/{level:level}/{public_id}/labels")
async def list_labels(level: Level, public_id: str, services: ServicesDep) -> Response:
    """List the labels of a resource."""
    return json_answer(sorted((await existing(services, level, public_id)).labels))


@router.get("/{level:level}/{public_id}/labels/{label}")
async def has_label(level: Level, public_id: str, label: str, services: ServicesDep) -> Response:
    """Answer 200 if the label is set."""
    if label not in (await existing(services, level, public_id)).labels:
        raise UnknownResource
    return empty_answer()


@router.put("/{level:level}/{public_id}/labels/{label}")
async def set_label(level: Level, public_id: str, label: str, services: ServicesDep) -> Response:
    """Set a label."""
    await services.editor.set_label(level, public_id, _checked(label))
    return empty_answer()


@router.delete("/{level:level}/{public_id}/labels/{label}")
async def remove_label(level: Level, public_id: str, label: str, services: ServicesDep) -> Response:
    """Remove a label."""
    await services.editor.remove_label(level, public_id, _checked(label))
    return empty_answer()


def _checked(label: str) -> str:
    if not _LABEL.fullmatch(label):
        raise InvalidParameter(
            "A label must be a non-empty, alphanumeric string, possibly with '_' or '-' "
            f"characters, with maximum 64 characters, but got: {label}"
        )
    return label
