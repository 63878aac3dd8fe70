"""What is observed of HTTP requests, and how it goes on to the renderer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
import structlog
from prometheus_client import REGISTRY
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from lanthorn_core.adapters.renderer_http import HttpRenderer
from lanthorn_core.ports.renderer import RenderRequest
from lanthorn_core.runtime.http_observation import ObservedHttp
from lanthorn_core.telemetry.tracing import span
from tests.fixtures.traces import recorded_spans
from tests.unit.lanthorn_core.runtime.test_health import served

ROUTE = "/things/{name}"
log = structlog.get_logger()


async def answer(request: Request) -> Response:
    name = request.path_params["name"]
    if name == "broken":
        raise RuntimeError("a fault")
    log.info("inside")
    return PlainTextResponse("x" * 10, status_code=503 if name == "unwell" else 200)


@pytest.fixture
async def client() -> AsyncIterator[httpx2.AsyncClient]:
    app = Starlette(routes=[Route(ROUTE, answer)])
    app.add_middleware(ObservedHttp)
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://t") as made:
        yield made


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Any:
    caplog.set_level("DEBUG")
    merging = [structlog.contextvars.merge_contextvars]
    with structlog.testing.capture_logs(processors=merging) as captured:
        yield captured


def counted(route: str, status: int) -> float:
    labels = {"method": "GET", "route": route, "status": str(status)}
    return REGISTRY.get_sample_value("lanthorn_http_requests_total", labels) or 0.0


async def test_the_template_of_the_route_is_counted_not_the_path(
    client: httpx2.AsyncClient,
) -> None:
    before = [counted(ROUTE, 200), counted(ROUTE, 500), counted("none", 404)]
    for path in ("/things/one", "/things/two", "/things/broken", "/nothing", "/livez"):
        await client.get(path)
    after = [counted(ROUTE, 200), counted(ROUTE, 500), counted("none", 404)]
    assert [now - then for now, then in zip(after, before, strict=True)] == [2, 1, 1]


async def test_one_id_is_in_the_answer_and_in_every_line_about_the_request(
    client: httpx2.AsyncClient, lines: list[dict[str, Any]]
) -> None:
    first, second = [(await client.get("/things/one")).headers["x-request-id"] for _ in range(2)]
    assert first != second
    told = [(line["event"], line["request_id"]) for line in lines]
    assert told == [
        *(("inside", first), ("request_answered", first)),
        *(("inside", second), ("request_answered", second)),
    ]
    assert {"method": "GET", "path": "/things/one", "status": 200, "sent_bytes": 10}.items() <= (
        lines[1].items()
    )


@pytest.mark.parametrize(("given", "is_taken"), [("abc-1", True), ("a b", False), ("é" * 9, False)])
async def test_who_asks_may_choose_an_id_that_is_fit_for_logs(
    client: httpx2.AsyncClient, given: str, is_taken: bool
) -> None:
    headers = {"X-Request-ID": given.encode()}
    answered = await client.get("/things/one", headers=headers)  # type: ignore[arg-type]
    assert (answered.headers["x-request-id"] == given) is is_taken


async def test_what_the_service_is_to_blame_for_is_a_warning(
    client: httpx2.AsyncClient, lines: list[dict[str, Any]]
) -> None:
    await client.get("/things/unwell")
    await client.get("/nothing")
    levels = [line["log_level"] for line in lines if line["event"] == "request_answered"]
    assert levels == ["warning", "debug"]


async def test_a_picture_belongs_to_the_request_and_the_trace_that_asked_for_it() -> None:
    ids = []

    async def frame(_: Request) -> Response:
        ids.append(structlog.contextvars.get_contextvars()["request_id"])
        return Response(b"", media_type="image/png")

    app = Starlette(routes=[Route("/v1/frame", frame)])
    app.add_middleware(ObservedHttp)
    with recorded_spans() as recorder:
        async with served(app) as port, HttpRenderer(f"http://127.0.0.1:{port}") as renderer:
            with structlog.contextvars.bound_contextvars(request_id="r-1"), span("preview"):
                await renderer.render(RenderRequest(object_key="key"))
        rendering, preview = recorder.get_finished_spans()
    assert ids == ["r-1"]
    assert (rendering.name, preview.name) == ("HTTP GET", "preview")
    assert rendering.parent is not None
    assert rendering.parent.span_id == preview.context.span_id
    assert rendering.attributes is not None
    assert rendering.attributes["http.route"] == "/v1/frame"
