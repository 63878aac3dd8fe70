"""What holds for every request, before any route: Orthanc's rules of HTTP (reference 1.9)."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final
from urllib.parse import parse_qsl

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lanthorn_core.errors import UnknownResource
from lanthorn_rest_api.authentication import CHALLENGE, USERNAME, AccessRules
from lanthorn_rest_api.barrier import WARNINGS
from lanthorn_rest_api.failed_logins import FailedLogins, origin_of
from lanthorn_rest_api.orthanc_errors import METHODS, error_answer

log = structlog.get_logger()

PROBES: Final = frozenset({"/livez", "/readyz"})
"""Open to everybody: they tell nothing, and the orchestrator has no password."""

METRICS: Final = "/metrics"


class OrthancHttp:
    """ASGI middleware: access, methods and method faking, paths, headers of every answer.

    Parameters
    ----------
    app : ASGI application
        The routes.
    access : AccessRules
        Who may ask.
    health : ASGI application
        Answers `/livez`, `/readyz` and `/metrics`.
    describe_errors : bool
        Orthanc's `HttpDescribeErrors`.
    keep_alive : bool
        Orthanc's `KeepAlive`: without it, every answer ends its connection.
    failed_logins : FailedLogins, optional
        What slows down the guessing of passwords.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        access: AccessRules,
        health: ASGIApp,
        describe_errors: bool,
        keep_alive: bool = True,
        failed_logins: FailedLogins | None = None,
    ) -> None:
        self._app = app
        self._access = access
        self._health = health
        self._describe_errors = describe_errors
        self._keep_alive = keep_alive
        self._failed_logins = failed_logins or FailedLogins()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope[WARNINGS] = []
        scope["path"] = normalized_path(scope["path"])
        has_started = False

        async def send_with_headers(message: Message) -> None:
            nonlocal has_started
            if message["type"] == "http.response.start":
                has_started = True
                headers = MutableHeaders(scope=message)
                headers["X-Content-Type-Options"] = "nosniff"
                if not self._keep_alive:
                    headers["Connection"] = "close"
                for text in scope[WARNINGS]:
                    headers.append("Warning", text)
            await send(message)

        try:
            await self._serve(scope, receive, send_with_headers)
        except Exception as error:
            log.exception("request_crashed", method=scope["method"], path=scope["path"])
            if has_started:
                raise
            answer = error_answer(error, scope, describe=self._describe_errors)
            await answer(scope, receive, send_with_headers)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] in PROBES:
            await self._health(scope, receive, send)
            return
        user = await self._user_of(scope)
        if isinstance(user, Response):
            await user(scope, receive, send)
            return
        scope[USERNAME] = user
        method = effective_method(scope)
        if method not in METHODS:
            # As observed: HEAD and OPTIONS are known and answered nowhere, others are refused.
            known = method in {"HEAD", "OPTIONS"}
            status = HTTPStatus.NOT_FOUND if known else HTTPStatus.BAD_REQUEST
            await Response(status_code=status)(scope, receive, send)
            return
        scope["method"] = method
        if "\0" in scope["path"]:  # in no name of ours; the database would not even look
            answer = error_answer(UnknownResource(), scope, describe=self._describe_errors)
            await answer(scope, receive, send)
            return
        await (self._health if scope["path"] == METRICS else self._app)(scope, receive, send)

    async def _user_of(self, scope: Scope) -> str | Response:
        """Name the user of a request, or make the answer to one that is refused."""
        gives_password = "authorization" in Headers(scope=scope)
        origin = origin_of(scope) if gives_password else ""
        if self._failed_logins.is_attacked_from(origin):
            return Response(status_code=HTTPStatus.TOO_MANY_REQUESTS, headers={"Retry-After": "10"})
        user = self._access.user_of(scope)
        if user is not None:
            return user
        if gives_password:
            log.warning("login_failed", remote_ip=origin)
            await self._failed_logins.wait(origin)
        return Response(status_code=HTTPStatus.UNAUTHORIZED, headers=CHALLENGE)


def normalized_path(path: str) -> str:
    """Drop doubled and final slashes, which Orthanc does not look at."""
    if "//" in path or path.endswith("/"):
        return "/" + "/".join(part for part in path.split("/") if part)
    return path


def effective_method(scope: Scope) -> str:
    """Return the method that is meant: the real one, or the one it stands in for.

    PUT and DELETE can hide in the header `X-HTTP-Method-Override` of any request, or in the
    parameter `_method` of a GET; anything else there makes the request a bad one (``""``).
    """
    method: str = scope["method"]
    faked = Headers(scope=scope).get("X-HTTP-Method-Override")
    if faked is None and method == "GET" and b"_method" in scope["query_string"]:
        query = scope["query_string"].decode("latin-1")
        faked = dict(parse_qsl(query, keep_blank_values=True)).get("_method")
    if faked is None:
        return method
    return faked.upper() if faked.upper() in {"PUT", "DELETE"} else ""
