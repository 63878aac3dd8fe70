"""Health of a process over HTTP, and serving any ASGI application inside the running loop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable, Iterator, Mapping, MutableMapping
from typing import Any, Final

import msgspec
import structlog
import uvicorn

from lanthorn_core.runtime.metrics import exposition

log = structlog.get_logger()

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]
Check = Callable[[], Awaitable[None]]

CHECK_TIMEOUT_S: Final = 3.0
DRAIN_S: Final = 5
"""Seconds that open requests have to finish once the server stops."""

_BACKLOG: Final = 2048
_JSON: Final = "application/json"


class HealthApp:
    """An ASGI application for ``/livez``, ``/readyz`` and ``/metrics``.

    It may be served alone, or be an endpoint of a larger application's three routes.

    Parameters
    ----------
    checks : mapping
        Name of a dependency (``database``, ``objects``, …) to a call that raises when the
        dependency does not answer. Their names, not their texts, are shown to who asks.
    """

    def __init__(self, checks: Mapping[str, Check]) -> None:
        self._checks = dict(checks)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await _pass_lifespan(receive, send)
            return
        if scope["type"] != "http":
            return
        status, body, content_type = await self._answer(scope)
        headers = [
            (b"content-type", content_type.encode("latin-1")),
            (b"content-length", str(len(body)).encode("ascii")),
            (b"cache-control", b"no-store"),
        ]
        if status == 405:
            headers.append((b"allow", b"GET, HEAD"))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        sent = b"" if scope["method"] == "HEAD" else body
        await send({"type": "http.response.body", "body": sent})

    async def _answer(self, scope: Scope) -> tuple[int, bytes, str]:
        if scope["path"] not in {"/livez", "/readyz", "/metrics"}:
            return 404, b"not found\n", "text/plain"
        if scope["method"] not in {"GET", "HEAD"}:
            return 405, b"method not allowed\n", "text/plain"
        if scope["path"] == "/livez":
            return 200, b'{"status":"alive"}', _JSON
        if scope["path"] == "/metrics":
            accept = dict(scope["headers"]).get(b"accept", b"").decode("latin-1")
            return 200, *exposition(accept)
        failures = await self.failures()
        document = {
            "status": "not ready" if failures else "ready",
            "checks": {name: failures.get(name, "ok") for name in self._checks},
        }
        return 503 if failures else 200, msgspec.json.encode(document), _JSON

    async def failures(self) -> dict[str, str]:
        """Ask all dependencies at once; name of each that does not answer, and kind of failure."""
        outcomes = await asyncio.gather(*(_failure(check) for check in self._checks.values()))
        named = zip(self._checks, outcomes, strict=True)
        return {name: kind for name, kind in named if kind is not None}


async def _failure(check: Check) -> str | None:
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_S):
            await check()
    except TimeoutError:
        return "no answer"
    except Exception as error:  # readiness must answer, whatever a dependency does
        log.warning("readiness_check_failed", error=type(error).__name__)
        return type(error).__name__
    return None


async def _pass_lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


def listening_socket(host: str, port: int) -> socket.socket:
    """Bind a TCP socket and listen on it; port 0 takes a free one.

    Raises
    ------
    OSError
        The address is in use, or is none of this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
        sock.listen(_BACKLOG)
        sock.setblocking(False)
    except OSError as error:
        sock.close()
        raise OSError(error.errno, f"cannot listen on {host}:{port}: {error.strerror}") from error
    return sock


class _Server(uvicorn.Server):
    """uvicorn that leaves signals to the process (`lifecycle`)."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve_asgi(
    app: AsgiApp,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    stop: asyncio.Event,
    sock: socket.socket | None = None,
    keep_alive_s: int = 5,
) -> None:
    """Serve an ASGI application in the running loop until `stop` is set, then drain.

    Parameters
    ----------
    app : ASGI application
        Its lifespan, if it has one, is run.
    host, port : str, int
        Where to listen.
    stop : asyncio.Event
        Set by whoever ends the process; open requests then have `DRAIN_S`.
    sock : socket, optional
        A socket that is bound and listens already, instead of `host` and `port`. It is closed at
        the end.
    keep_alive_s : int
        Seconds that an idle connection is kept.

    Raises
    ------
    OSError
        The address cannot be listened on.
    RuntimeError
        The application's start-up failed (its own exception is in the log).
    """
    listener = listening_socket(host, port) if sock is None else sock
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=keep_alive_s,
        timeout_graceful_shutdown=DRAIN_S,
    )
    server = _Server(config)

    async def end_on_stop() -> None:
        await stop.wait()
        server.should_exit = True

    started = True
    with listener:
        async with asyncio.TaskGroup() as group:
            ending = group.create_task(end_on_stop(), name="http-stop")
            try:
                await server.serve(sockets=[listener])
            except SystemExit:  # uvicorn's word for a start-up that failed
                started = False
            finally:
                ending.cancel()
    if not started:
        raise RuntimeError("the application did not start")
