"""What holds for every request: access, methods, paths, errors."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from lanthorn_core.errors import DeadlineExceeded, InexistentItem, RevisionMismatch
from lanthorn_core.runtime.health import HealthApp
from lanthorn_core.runtime.settings import Settings, load_settings
from lanthorn_rest_api.app import create_app
from lanthorn_rest_api.authentication import AccessRules
from lanthorn_rest_api.failed_logins import FailedLogins
from lanthorn_rest_api.http_rules import OrthancHttp, normalized_path
from lanthorn_rest_api.services import Services


@asynccontextmanager
async def no_services(settings: Settings) -> AsyncIterator[Services]:
    """Open nothing: the routes asked here need no port."""
    yield None  # type: ignore[misc]


def environ_of(options: dict[str, str]) -> dict[str, str]:
    return {f"LANTHORN__{name}": value for name, value in options.items()}


def app_with(**options: str) -> FastAPI:
    return create_app(load_settings(environ_of(options)), no_services, HealthApp())


async def ask(
    app: ASGIApp,
    method: str,
    path: str,
    *,
    headers: dict[str, str] | None = None,
    client: str = "127.0.0.1",
) -> httpx2.Response:
    transport = httpx2.ASGITransport(app=app, client=(client, 50000))
    async with httpx2.AsyncClient(transport=transport, base_url="http://lanthorn") as http:
        return await http.request(method, path, headers=headers)


def failing(error: Exception) -> Route:
    async def fail(request: Request) -> Any:
        raise error

    return Route("/fail", fail, methods=["GET"])


@pytest.mark.parametrize("credentials", ["", ":", "lanthorn:", "orthanc:orthanc"])
async def test_where_no_user_exists_nobody_is_let_in(credentials: str) -> None:
    app = app_with(REMOTE_ACCESS_ALLOWED="true")
    assert (await ask(app, "GET", "/nothing", headers=basic(credentials))).status_code == 401
    assert (await ask(app, "GET", "/metrics")).status_code == 401
    assert (await ask(app, "GET", "/livez")).status_code == 200


async def test_who_tries_many_wrong_passwords_at_once_is_not_listened_to() -> None:
    app = OrthancHttp(
        Response("welcome"),
        access=AccessRules({"alice": "hers"}, remote_access_allowed=True),
        health=HealthApp(),
        describe_errors=True,
        failed_logins=FailedLogins(pause_s=3600, most_waiting=2),
    )
    async with asyncio.TaskGroup() as group:
        guesses = [
            group.create_task(ask(app, "GET", "/", headers=basic(f"alice:{guess}")))
            for guess in ("his", "theirs")
        ]
        assert (await ask(app, "GET", "/")).status_code == 401
        for _ in range(100):
            await asyncio.sleep(0)  # the guesses are on their way
        assert (await ask(app, "GET", "/", headers=basic("alice:hers"))).status_code == 429
        other = await ask(app, "GET", "/", headers=basic("alice:hers"), client="192.0.2.8")
        assert other.text == "welcome"
        for guess in guesses:
            guess.cancel()
    assert (await ask(app, "GET", "/", headers=basic("alice:hers"))).text == "welcome"


async def test_an_unknown_path_is_answered_in_orthancs_form() -> None:
    answer = await ask(app_with(), "GET", "/nothing")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "text/plain"
    assert answer.json() == {
        "HttpError": "Not Found",
        "HttpStatus": 404,
        "Message": "Unknown resource",
        "Method": "GET",
        "OrthancError": "Unknown resource",
        "OrthancStatus": 17,
        "Uri": "/nothing",
    }


@pytest.mark.parametrize("path", ["/docs", "/openapi.json", "/redoc"])
async def test_the_documents_of_the_framework_are_not_served(path: str) -> None:
    assert (await ask(app_with(), "GET", path)).status_code == 404


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", "/patients", "GET"),
        ("PUT", "/changes", "GET,DELETE"),
        ("POST", "/series/a/metadata/b", "GET,PUT,DELETE"),
        ("GET", "/tools/find", "POST"),
        ("PUT", "/instances", "GET,POST"),
    ],
)
async def test_a_wrong_method_is_told_the_right_ones(method: str, path: str, allowed: str) -> None:
    answer = await ask(app_with(), method, path)
    assert (answer.status_code, answer.content) == (405, b"")
    assert answer.headers["allow"] == allowed


@pytest.mark.parametrize(
    ("method", "status"), [("HEAD", 404), ("OPTIONS", 404), ("PATCH", 400), ("BREW", 400)]
)
async def test_methods_that_orthanc_does_not_serve(method: str, status: int) -> None:
    answer = await ask(app_with(), method, "/jobs")
    assert (answer.status_code, answer.content) == (status, b"")


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", "/jobs?_method=put", {}, 405),
        ("GET", "/deletable?_method=DELETE", {}, 200),
        ("GET", "/deletable?_method=post", {}, 400),
        ("POST", "/deletable?_method=delete", {}, 405),
        ("POST", "/deletable", {"X-HTTP-Method-Override": "delete"}, 200),
        ("GET", "/deletable", {"X-HTTP-Method-Override": "GET"}, 400),
    ],
)
async def test_put_and_delete_can_hide_in_other_methods(
    method: str, path: str, headers: dict[str, str], status: int
) -> None:
    async def delete(request: Request) -> Response:
        return Response()

    app = app_with()
    app.router.routes.append(Route("/deletable", delete, methods=["DELETE"]))
    assert (await ask(app, method, path, headers=headers)).status_code == status


@pytest.mark.parametrize("path", ["/jobs/", "//jobs", "/jobs//"])
def test_needless_slashes_are_dropped(path: str) -> None:
    assert normalized_path(path) == "/jobs"


def test_the_root_stays_the_root() -> None:
    assert normalized_path("/") == normalized_path("//") == "/"


async def test_an_inner_node_of_the_tree_lists_its_children() -> None:
    answer = await ask(app_with(), "GET", "/tools/")
    assert answer.status_code == 200
    assert {"find", "lookup", "now"} <= set(answer.json())
    assert (await ask(app_with(), "POST", "/tools")).headers["allow"] == "GET"


async def test_browsers_are_told_not_to_guess_types() -> None:
    for path in ("/tools/now", "/nothing"):
        answer = await ask(app_with(), "GET", path)
        assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("error", "status", "code", "details"),
    [
        (InexistentItem(), 404, 7, None),
        (RevisionMismatch("why"), 409, 43, "why"),
        (DeadlineExceeded("late"), 504, 16, "late"),
        (RuntimeError("a secret"), 500, -1, None),
    ],
)
async def test_the_class_of_an_error_decides_its_answer(
    error: Exception, status: int, code: int, details: str | None
) -> None:
    app = app_with()
    app.router.routes.append(failing(error))
    answer = await ask(app, "GET", "/fail")
    assert answer.status_code == status
    assert answer.json()["OrthancStatus"] == code
    assert answer.json().get("Details") == details
    assert ("retry-after" in answer.headers) == (status == 504)


async def test_errors_need_not_be_described() -> None:
    answer = await ask(app_with(HTTP_DESCRIBE_ERRORS="false"), "GET", "/nothing")
    assert (answer.status_code, answer.content) == (404, b"")


WITH_USERS = {
    "REMOTE_ACCESS_ALLOWED": "true",
    "REGISTERED_USERS": '{"alice": "wonder:land", "bob": ""}',
}


def basic(credentials: str) -> dict[str, str]:
    return {"Authorization": f"Basic {base64.b64encode(credentials.encode()).decode()}"}


@pytest.mark.parametrize("credentials", ["alice:wonder:land", "bob:"])
async def test_a_registered_user_is_let_in_from_anywhere(credentials: str) -> None:
    headers = basic(credentials)
    app = app_with(**WITH_USERS)
    answer = await ask(app, "GET", "/tools/now", headers=headers, client="10.0.0.1")
    assert answer.status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        basic("alice:wonder"),
        basic("alice"),
        basic("ALICE:wonder:land"),
        basic(":"),
        {"Authorization": "Bearer alice:wonder:land"},
        {"Authorization": "Basic %%%"},
    ],
)
async def test_everybody_else_is_asked_for_a_password(headers: dict[str, str]) -> None:
    for path in ("/jobs", "/app/explorer.html", "/metrics", "/nothing"):
        answer = await ask(app_with(**WITH_USERS), "GET", path, headers=headers)
        assert (answer.status_code, answer.content) == (401, b"")
        assert answer.headers["www-authenticate"] == 'Basic realm="Orthanc Secure Area"'


@pytest.mark.parametrize(
    ("client", "status"),
    [
        ("127.0.0.1", 200),
        ("127.8.8.8", 200),
        ("::1", 200),
        ("::ffff:127.0.0.1", 200),
        ("10.0.0.1", 401),
        ("::ffff:10.0.0.1", 401),
        ("fe80::1%eth0", 401),
        ("localhost", 401),
    ],
)
async def test_only_this_machine_is_served_without_remote_access(client: str, status: int) -> None:
    assert (await ask(app_with(), "GET", "/tools/now", client=client)).status_code == status


async def test_the_orchestrator_needs_no_password() -> None:
    answer = await ask(app_with(**WITH_USERS), "GET", "/livez", client="10.0.0.1")
    assert answer.status_code == 200


async def test_a_read_only_server_does_not_know_how_to_write() -> None:
    app = app_with(READ_ONLY="true")
    assert (await ask(app, "DELETE", "/studies/a")).headers["allow"] == "GET"
    assert (await ask(app, "POST", "/instances")).headers["allow"] == "GET"
    assert (await ask(app, "POST", "/tools/bulk-delete")).status_code == 404
    assert (await ask(app, "GET", "/tools/find")).headers["allow"] == "POST"


@pytest.mark.parametrize(
    ("accepted", "compressed"),
    [("gzip", True), ("deflate, gzip;q=0.5", True), ("deflate", False), ("gzip;q=0", False)],
)
async def test_long_texts_are_compressed_for_who_takes_it(accepted: str, compressed: bool) -> None:
    peers = {f"peer{number}": ["http://127.0.0.1/"] for number in range(40)}
    options = {"HTTP_COMPRESSION_ENABLED": "true", "ORTHANC_PEERS": json.dumps(peers)}
    app, headers = app_with(**options), {"Accept-Encoding": accepted}
    app.state.services = SimpleNamespace(settings=load_settings(environ_of(options)))
    answer = await ask(app, "GET", "/peers?expand", headers=headers)
    assert answer.json().keys() == peers.keys()
    assert (answer.headers.get("content-encoding") == "gzip") is compressed
    short = await ask(app, "GET", "/tools/now", headers=headers)
    assert "content-encoding" not in short.headers


async def test_nothing_is_compressed_by_default() -> None:
    answer = await ask(app_with(), "GET", "/app/explorer.html", headers={"Accept-Encoding": "gzip"})
    assert answer.status_code == 200
    assert "content-encoding" not in answer.headers
