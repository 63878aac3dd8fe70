"""Errors as Orthanc answers them: the class of the error says everything (reference 1.9.4).

On our own routes they are problem documents instead.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match
from starlette.types import Scope

from lanthorn_core.errors import ORTHANC_ERRORS, InvalidParameter, LanthornError, UnknownResource
from lanthorn_rest_api.answers import encode_json
from lanthorn_rest_api.problems import is_own_route, problem_answer

log = structlog.get_logger()

METHODS = ("GET", "POST", "PUT", "DELETE")


def error_answer(error: Exception, scope: Scope, *, describe: bool) -> Response:
    """Answer an error.

    Parameters
    ----------
    error : Exception
        Anything but a `LanthornError` counts as an internal error, of which nothing is told.
    scope : dict
        The ASGI scope of the request.
    describe : bool
        Orthanc's `HttpDescribeErrors`: without it, the status is all there is.
    """
    kind = type(error) if isinstance(error, LanthornError) else LanthornError
    status = kind.http_status
    retry = {"Retry-After": "1"} if kind.retryable else {}
    headers = {"Content-Type": "text/plain", **retry}
    if not describe:
        return Response(status_code=status, headers=headers)
    if is_own_route(scope):
        return problem_answer(error, headers=retry)
    text = ORTHANC_ERRORS[kind.orthanc_code]
    body: dict[str, Any] = {
        "HttpError": HTTPStatus(status).phrase,
        "HttpStatus": status,
        "Message": text,
        "Method": scope["method"],
        "OrthancError": text,
        "OrthancStatus": kind.orthanc_code,
        "Uri": scope["path"],
    }
    details = error.details if isinstance(error, LanthornError) else ""
    if details:
        body["Details"] = details
    if isinstance(error, LanthornError) and error.payload is not None:
        body["ErrorPayload"] = error.payload
    return Response(encode_json(body), status_code=status, headers=headers)


def allowed_methods(app: FastAPI, scope: Scope) -> list[str]:
    """Methods under which some route takes this path, in Orthanc's order."""
    found: set[str] = set()
    for route in app.router.routes:
        if route.matches(scope)[0] is not Match.NONE:
            found |= getattr(route, "methods", None) or set()
    return [method for method in METHODS if method in found]


def children_of(app: FastAPI, path: str) -> list[str]:
    """Names below an inner node of the tree of routes, which Orthanc lists for people.

    The root is none: it leads to the explorer, or nowhere.
    """
    if path == "/":
        return []
    prefix = path.rstrip("/") + "/"
    names = set()
    for route in app.router.routes:
        template: str = getattr(route, "path_format", "")
        name = template.removeprefix(prefix).partition("/")[0]
        if template.startswith(prefix) and name and "{" not in name:
            names.add(name)
    return sorted(names)


def install_error_handlers(app: FastAPI, *, describe: bool) -> None:
    """Make an application answer errors as Orthanc does."""

    async def on_expected(request: Request, error: Exception) -> Response:
        if isinstance(error, LanthornError) and error.http_status >= HTTPStatus.BAD_REQUEST:
            log.warning("request_refused", error=error.slug, path=request.url.path)
        return error_answer(error, request.scope, describe=describe)

    async def on_no_route(request: Request, error: Exception) -> Response:
        scope = request.scope
        if isinstance(error, HTTPException) and error.status_code != HTTPStatus.NOT_FOUND:
            if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
                allow = ",".join(allowed_methods(app, scope))
                return Response(status_code=error.status_code, headers={"Allow": allow})
            return Response(status_code=error.status_code, headers=error.headers)
        names = children_of(app, scope["path"])
        if names:
            if scope["method"] != "GET":
                return Response(status_code=HTTPStatus.METHOD_NOT_ALLOWED, headers={"Allow": "GET"})
            return Response(encode_json(names), media_type="application/json; charset=utf-8")
        return error_answer(UnknownResource(), scope, describe=describe)

    async def on_invalid(request: Request, error: Exception) -> Response:
        text = str(error) if isinstance(error, RequestValidationError) else ""
        return error_answer(InvalidParameter(text), request.scope, describe=describe)

    app.add_exception_handler(LanthornError, on_expected)
    app.add_exception_handler(HTTPException, on_no_route)
    app.add_exception_handler(RequestValidationError, on_invalid)
