"""Failures as RFC 9457 problem documents; the class of the error says everything."""

from __future__ import annotations

import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse

from lanthorn_core.errors import InvalidParameter, LanthornError

log = structlog.get_logger()


def problem(error: LanthornError) -> JSONResponse:
    """Answer an error of ours."""
    body = {
        "type": f"/problems/{error.slug}",
        "title": type(error).__name__,
        "status": error.http_status,
        "detail": error.details,
    }
    return JSONResponse(
        body,
        status_code=error.http_status,
        media_type="application/problem+json",
        headers={"Retry-After": "1"} if error.retryable else None,
    )


def answer_with_problems(app: FastAPI) -> None:
    """Make an application answer every failure this way."""

    @app.exception_handler(LanthornError)
    async def on_ours(_: Request, error: LanthornError) -> JSONResponse:
        log.warning("frame_refused", slug=error.slug)
        return problem(error)

    @app.exception_handler(RequestValidationError)
    async def on_validation(_: Request, error: RequestValidationError) -> JSONResponse:
        wrong = "; ".join(
            f"{'.'.join(map(str, one['loc'][1:]))}: {one['msg']}" for one in error.errors()
        )
        return problem(InvalidParameter(wrong))

    @app.exception_handler(Exception)
    async def on_anything(_: Request, error: Exception) -> JSONResponse:
        log.error("renderer_crashed", exc_info=error)
        return problem(LanthornError("an unforeseen failure, see the renderer's log"))
