"""What is observed of every HTTP request: its metrics, its span, its line in the log, its id.

The id ties together what different services log about one request. Who asks may choose it
(``X-Request-ID``); it is told in every answer.
"""

from __future__ import annotations

import itertools
import logging
import os
import re
from collections.abc import MutableMapping
from time import perf_counter
from typing import Any, Final

import structlog
from prometheus_client import Counter, Histogram

from lanthorn_core.runtime.health import AsgiApp, Receive, Scope, Send
from lanthorn_core.telemetry.metrics import (
    HTTP_OPEN,
    HTTP_REQUESTS,
    HTTP_SECONDS,
    HTTP_SENT_BYTES,
)
from lanthorn_core.telemetry.requests import REQUEST_ID, REQUEST_ID_HEADER
from lanthorn_core.telemetry.tracing import TRACEPARENT, is_tracing, span

log = structlog.get_logger(__name__)

_ROOT: Final = logging.getLogger()
"""`configure_logging` gives it the level that structlog has as well."""

_UNOBSERVED: Final = frozenset({"/livez", "/readyz", "/metrics"})
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"})
_NO_ROUTE: Final = "none"
_ABORTED: Final = 499
"""Told of a request whose client left before it was answered, as nginx does."""
_SERVER_ERROR: Final = 500
_FIT_FOR_LOGS: Final = re.compile(rb"[A-Za-z0-9._:-]{1,64}")
_ID_NAME: Final = REQUEST_ID_HEADER.lower().encode("ascii")
_PARENT_NAME: Final = TRACEPARENT.encode("ascii")


class ObservedHttp:
    """ASGI middleware, outside of all others; the routes' templates are the metrics' labels.

    Parameters
    ----------
    app : ASGI application
        Starlette's, or around one: its router leaves the route in the scope.
    """

    def __init__(self, app: AsgiApp) -> None:
        self._app = app
        self._process = os.urandom(4).hex()
        self._numbers = itertools.count(1)
        self._templates: dict[object, str] = {}
        self._bound: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or scope["path"] in _UNOBSERVED:
            await self._app(scope, receive, send)
            return
        method = scope["method"] if scope["method"] in _METHODS else "other"
        request_id = self._request_id(scope)
        told = (_ID_NAME, request_id.encode("ascii"))
        answer = _Answer()

        async def send_observed(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                answer.status = message["status"]
                message["headers"] = [*message.get("headers", ()), told]
            else:
                answer.sent_bytes += len(message.get("body", b""))
            await send(message)

        bound = structlog.contextvars.bind_contextvars(**{REQUEST_ID: request_id})
        started = perf_counter()
        HTTP_OPEN.inc()
        with span(f"HTTP {method}", parent=_carrier(scope), request_id=request_id) as working:
            try:
                await self._app(scope, receive, send_observed)
            except Exception:
                if answer.status == _ABORTED:  # Starlette, around us, answers this one
                    answer.status = _SERVER_ERROR
                raise
            finally:
                took_s = perf_counter() - started
                route = self._route_of(scope)
                working.set("http.route", route)
                working.set("http.response.status_code", answer.status)
                _log(method, scope["path"], answer, took_s)
                HTTP_OPEN.dec()
                self._count(method, route, answer, took_s)
        # Not after an exception: who logs it, around us, does so under the same id.
        structlog.contextvars.reset_contextvars(**bound)

    def _request_id(self, scope: Scope) -> str:
        for name, value in scope["headers"]:
            if name == _ID_NAME and _FIT_FOR_LOGS.fullmatch(value):
                return str(value, "ascii")
        return f"{self._process}-{next(self._numbers):x}"

    def _route_of(self, scope: Scope) -> str:
        """Tell the template of the route that answered."""
        route = scope.get("route")
        if route is not None:
            return str(route.path)
        # FastAPI leaves only the endpoint of a plain route.
        endpoint = scope.get("endpoint")
        if endpoint is None:
            return _NO_ROUTE
        if endpoint not in self._templates:
            for each in scope["app"].router.routes:
                if hasattr(each, "endpoint"):
                    self._templates[each.endpoint] = each.path
        return self._templates.get(endpoint, _NO_ROUTE)

    def _count(self, method: str, route: str, answer: _Answer, took_s: float) -> None:
        key = (method, route, answer.status)
        bound = self._bound.get(key)
        if bound is None:
            bound = self._bound[key] = (
                HTTP_REQUESTS.labels(method, route, answer.status),
                HTTP_SECONDS.labels(method, route),
            )
        requests, seconds = bound
        requests.inc()
        seconds.observe(took_s)
        HTTP_SENT_BYTES.inc(answer.sent_bytes)


class _Answer:
    """What is known of the answer so far."""

    __slots__ = ("sent_bytes", "status")

    def __init__(self) -> None:
        self.status = _ABORTED
        self.sent_bytes = 0


def _carrier(scope: Scope) -> dict[str, str] | None:
    if is_tracing():
        for name, value in scope["headers"]:
            if name == _PARENT_NAME:
                return {TRACEPARENT: str(value, "latin-1")}
    return None


def _log(method: str, path: str, answer: _Answer, took_s: float) -> None:
    # Every day's requests only on demand: a line costs more than many an answer, and even finding
    # out by structlog that it is not wanted is a third of all that happens here.
    is_failure = answer.status >= _SERVER_ERROR
    if not is_failure and not _ROOT.isEnabledFor(logging.DEBUG):
        return
    tell = log.warning if is_failure else log.debug
    tell(  # never the query, which may name a patient
        "request_answered",
        method=method,
        path=path,
        status=answer.status,
        took_ms=round(took_s * 1000, 1),
        sent_bytes=answer.sent_bytes,
    )
