"""Errors on the routes that are ours and not Orthanc's: RFC 9457 problem documents."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from starlette.responses import Response
from starlette.types import Scope

from lanthorn_core.errors import LanthornError
from lanthorn_rest_api.answers import encode_json

OWN_ROUTES: Final = "/lanthorn/"
"""Orthanc has nothing below this path."""


def is_own_route(scope: Scope) -> bool:
    """Tell whether a request is for a route that Orthanc does not have."""
    path: str = scope["path"]
    return path.startswith(OWN_ROUTES)


def problem_answer(error: Exception, *, headers: Mapping[str, str]) -> Response:
    """Answer an error with its problem document; of one that nobody foresaw, nothing is told."""
    kind = type(error) if isinstance(error, LanthornError) else LanthornError
    problem: dict[str, Any] = {
        "type": f"/problems/{kind.slug}",
        "title": kind.slug.replace("-", " ").capitalize(),
        "status": kind.http_status,
    }
    if isinstance(error, LanthornError) and error.details:
        problem["detail"] = error.details
    return Response(
        encode_json(problem),
        status_code=kind.http_status,
        headers=headers,
        media_type="application/problem+json",
    )
