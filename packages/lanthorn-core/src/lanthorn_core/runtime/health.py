"""Health of a process over HTTP, and serving any ASGI application inside the running loop."""

from __future__ import annotations

import asyncio
import contextlib
import math
import socket
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Iterator,
    Mapping,
    MutableMapping,
    Sequence,
)
from typing import Any, Final

import msgspec
import structlog
import uvicorn

from lanthorn_core.runtime.environment import ListenAddress
from lanthorn_core.runtime.metrics import Refresh, exposition, refresh_all

log = structlog.get_logger()

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]
Check = Callable[[], Awaitable[None]]

CHECK_TIMEOUT_S: Final = 3.0
DRAIN_S: Final = 5.0
"""Seconds that open requests have, unless told otherwise, to finish once the server stops."""

_BACKLOG: Final = 2048
_JSON: Final = "application/json"


class HealthApp:
    """An ASGI application for ``/livez``, ``/readyz`` and ``/metrics``.

    It may be served alone, or be an endpoint of a larger application's three routes. Until `begin`
    the process is alive and not ready.

    Parameters
    ----------
    ending : asyncio.Event, optional
        Once it is set, the process is not ready any more, whatever answers.

    Attributes
    ----------
    awaits : str
        What the start waits for, for who asks; empty for nothing in particular.
    """

    def __init__(self, *, ending: asyncio.Event | None = None) -> None:
        self.awaits = ""
        self._ending = ending
        self._checks: dict[str, Check] | None = None
        self._refreshes: tuple[Refresh, ...] = ()

    def begin(self, checks: Mapping[str, Check], refreshes: Sequence[Refresh] = ()) -> None:
        """Say that the process serves, and is ready as long as what it leans on answers.

        Parameters
        ----------
        checks : mapping
            Name of a dependency (``database``, ``objects``, …) to a call that raises when the
            dependency does not answer. Their names, not their texts, are shown to who asks.
        refreshes : sequence of callables
            Called before metrics are written: they bring gauges up to date.
        """
        self._checks = dict(checks)
        self._refreshes = tuple(refreshes)

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
            await refresh_all(self._refreshes)
            accept = dict(scope["headers"]).get(b"accept", b"").decode("latin-1")
            return 200, *exposition(accept)
        if self._ending is not None and self._ending.is_set():
            return 503, b'{"status":"ending"}', _JSON
        if self._checks is None:
            starting = {"status": "starting", "awaits": self.awaits}
            return 503, msgspec.json.encode(starting), _JSON
        failures = await _failures(self._checks)
        document = {
            "status": "not ready" if failures else "ready",
            "checks": {name: failures.get(name, "ok") for name in self._checks},
        }
        return 503 if failures else 200, msgspec.json.encode(document), _JSON


async def _failures(checks: Mapping[str, Check]) -> dict[str, str]:
    """Ask all dependencies at once; name of each that does not answer, and kind of failure."""
    outcomes = await asyncio.gather(*(_failure(check) for check in checks.values()))
    named = zip(checks, outcomes, strict=True)
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


class _LastAnswers:
    """ASGI middleware: once `ending` is set, every answer is its connection's last."""

    def __init__(self, app: AsgiApp, ending: asyncio.Event) -> None:
        self._app = app
        self._ending = ending

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not self._ending.is_set():
            await self._app(scope, receive, send)
            return

        async def send_last(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                headers = [*message.get("headers", ()), (b"connection", b"close")]
                message = {**message, "headers": headers}
            await send(message)

        await self._app(scope, receive, send_last)


class _Server(uvicorn.Server):
    """uvicorn that leaves signals to the process (`lifecycle`)."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextlib.asynccontextmanager
async def serving_health(health: HealthApp, listen: ListenAddress | None) -> AsyncIterator[None]:
    """Tell the health for the length of the block, and so also while the process drains.

    Without an address nothing is told.
    """
    if listen is None:
        yield
        return
    over = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(
            serve_asgi(health, host=listen.host, port=listen.port, stop=over), name="health"
        )
        try:
            yield
        finally:
            over.set()


async def serve_asgi(
    app: AsgiApp,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    stop: asyncio.Event,
    ending: asyncio.Event | None = None,
    sock: socket.socket | None = None,
    keep_alive_s: int = 5,
    drain_s: float = DRAIN_S,
) -> None:
    """Serve an ASGI application in the running loop until `stop` is set, then drain.

    Parameters
    ----------
    app : ASGI application
        Its lifespan, if it has one, is run.
    host, port : str, int
        Where to listen.
    stop : asyncio.Event
        Set by whoever ends the process; open requests then have `drain_s`.
    ending : asyncio.Event, optional
        Set some time before `stop`: answers then end their connections, so that clients look for
        another server while this one still answers.
    sock : socket, optional
        A socket that is bound and listens already, instead of `host` and `port`. It is closed at
        the end.
    keep_alive_s : int
        Seconds that an idle connection is kept.
    drain_s : float
        Seconds that open requests have to finish.

    Raises
    ------
    OSError
        The address cannot be listened on.
    RuntimeError
        The application's start-up failed (its own exception is in the log).
    """
    listener = listening_socket(host, port) if sock is None else sock
    config = uvicorn.Config(
        app if ending is None else _LastAnswers(app, ending),
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=keep_alive_s,
        timeout_graceful_shutdown=math.ceil(drain_s),
    )
    server = _Server(config)

    async def end_on_stop() -> None:
        await stop.wait()
        server.should_exit = True

    started = True
    with listener:
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(end_on_stop(), name="http-stop")
            try:
                await server.serve(sockets=[listener])
            except SystemExit:  # uvicorn's word for a start-up that failed
                started = False
            finally:
                watching.cancel()
    if not started:
        raise RuntimeError("the application did not start")
