"""Health over HTTP, and ASGI applications served inside the running loop."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest

from lanthorn_core.errors import IndexUnavailable
from lanthorn_core.runtime import health
from lanthorn_core.runtime.health import (
    AsgiApp,
    Check,
    HealthApp,
    Receive,
    Scope,
    Send,
    listening_socket,
    serve_asgi,
)


async def well() -> None:
    pass


async def unwell() -> None:
    raise IndexUnavailable("the password of the database is sesame")


def serving(
    checks: Mapping[str, Check] | None = None, ending: asyncio.Event | None = None
) -> HealthApp:
    """Make the health of a process that serves already."""
    app = HealthApp(ending=ending)
    app.begin(checks or {})
    return app


@asynccontextmanager
async def served(app: AsgiApp) -> AsyncIterator[int]:
    stop = asyncio.Event()
    sock = listening_socket("127.0.0.1", 0)
    port: int = sock.getsockname()[1]
    async with asyncio.TaskGroup() as group:
        group.create_task(serve_asgi(app, stop=stop, sock=sock))
        yield port
        stop.set()


async def answer(port: int, path: str, method: str = "GET") -> tuple[int, dict[str, str], bytes]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"{method} {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n".encode())
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    await writer.wait_closed()
    status, *lines = head.decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    return int(status.split()[1]), headers, body


async def readiness(checks: Mapping[str, Check]) -> tuple[int, Any]:
    async with served(serving(checks)) as port:
        status, _, body = await answer(port, "/readyz")
        return status, json.loads(body)


async def test_a_process_is_alive_whatever_its_dependencies_do() -> None:
    async with served(serving({"index": unwell})) as port:
        assert (await answer(port, "/livez"))[0] == 200


async def test_a_process_that_starts_is_alive_and_says_what_it_awaits() -> None:
    app = HealthApp()
    app.awaits = "BusUnavailable"
    async with served(app) as port:
        assert (await answer(port, "/livez"))[0] == 200
        assert (await answer(port, "/metrics"))[0] == 200
        status, _, body = await answer(port, "/readyz")
        assert (status, json.loads(body)) == (
            503,
            {"status": "starting", "awaits": "BusUnavailable"},
        )
        app.begin({"bus": well})
        assert (await answer(port, "/readyz"))[0] == 200


async def test_a_process_is_ready_when_everything_answers() -> None:
    assert await readiness({"index": well, "objects": well}) == (
        200,
        {"status": "ready", "checks": {"index": "ok", "objects": "ok"}},
    )


async def test_what_is_not_ready_is_named_without_the_words_of_the_failure() -> None:
    assert await readiness({"index": unwell, "objects": well}) == (
        503,
        {"status": "not ready", "checks": {"index": "IndexUnavailable", "objects": "ok"}},
    )


async def test_a_dependency_that_never_answers_is_not_ready(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(health, "CHECK_TIMEOUT_S", 0.02)

    async def silent() -> None:
        await asyncio.Event().wait()

    status, document = await readiness({"bus": silent})
    assert (status, document["checks"]) == (503, {"bus": "no answer"})


async def test_metrics_are_prometheus_text_and_hold_the_process_s_own() -> None:
    async with served(serving()) as port:
        status, headers, body = await answer(port, "/metrics")
    assert status == 200
    assert headers["content-type"].startswith("text/plain")
    assert b"process_resident_memory_bytes" in body
    assert b"python_gc_" in body


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/", 404), ("GET", "/readyz/", 404), ("POST", "/livez", 405), ("HEAD", "/livez", 200)],
)
async def test_nothing_else_is_answered(method: str, path: str, status: int) -> None:
    async with served(serving()) as port:
        answered, headers, body = await answer(port, path, method)
    assert answered == status
    assert headers.get("allow") == ("get, head" if status == 405 else None)
    assert (body == b"") == (method == "HEAD")


async def test_a_stop_lets_open_requests_finish() -> None:
    stop, begun, finish = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise NotImplementedError
        begun.set()
        await finish.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"done"})

    sock = listening_socket("127.0.0.1", 0)
    port = sock.getsockname()[1]
    async with asyncio.TaskGroup() as group:
        serving = group.create_task(serve_asgi(slow, stop=stop, sock=sock))
        request = group.create_task(answer(port, "/"))
        await begun.wait()
        stop.set()
        await asyncio.sleep(0.2)
        assert not serving.done()
        finish.set()
        status, _, body = await request
    assert status == 200
    assert b"done" in body
    assert sock.fileno() == -1


async def test_a_process_that_will_end_is_alive_but_not_ready() -> None:
    ending = asyncio.Event()
    async with served(serving({"index": well}, ending)) as port:
        assert (await answer(port, "/readyz"))[0] == 200
        ending.set()
        assert (await answer(port, "/readyz"))[0] == 503
        assert (await answer(port, "/livez"))[0] == 200


async def test_answers_end_their_connections_once_a_stop_is_announced() -> None:
    stop, ending = asyncio.Event(), asyncio.Event()
    sock = listening_socket("127.0.0.1", 0)
    async with asyncio.TaskGroup() as group:
        group.create_task(serve_asgi(serving(), stop=stop, ending=ending, sock=sock))
        reader, writer = await asyncio.open_connection(*sock.getsockname())
        request = b"GET /livez HTTP/1.1\r\nHost: h\r\n\r\n"
        writer.write(request)
        assert b"connection: close" not in await reader.readuntil(b"}")
        ending.set()
        writer.write(request)
        assert b"connection: close" in await reader.read()  # all of it: the connection ends
        writer.close()
        stop.set()


async def test_an_address_in_use_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=f"cannot listen on 127.0.0.1:{port}"):
            await serve_asgi(serving(), host="127.0.0.1", port=port, stop=asyncio.Event())


async def test_an_application_that_fails_to_start_ends_the_server() -> None:
    async def broken(scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "lifespan"
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no database"})

    with pytest.raises(RuntimeError, match="did not start"):
        await serve_asgi(broken, stop=asyncio.Event())


async def test_the_lifespan_of_an_application_surrounds_its_requests() -> None:
    seen: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            for _ in range(2):
                message = await receive()
                seen.append(message["type"])
                await send({"type": f"{message['type']}.complete"})
            return
        seen.append(scope["path"])
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    async with served(app) as port:
        assert (await answer(port, "/x"))[0] == 204
    assert seen == ["lifespan.startup", "/x", "lifespan.shutdown"]
