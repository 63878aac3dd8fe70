"""The explorer's files over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx2
import pytest
from starlette.applications import Starlette

from lanthorn_rest_api import explorer_files
from lanthorn_rest_api.explorer_files import CONTENT_SECURITY_POLICY


@pytest.fixture
async def client() -> AsyncIterator[httpx2.AsyncClient]:
    app = Starlette(routes=explorer_files.routes)
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://lanthorn") as client:
        yield client


@pytest.mark.parametrize(
    ("path", "target"),
    [("/", "app/explorer.html"), ("/favicon.ico", "app/images/favicon.ico")],
)
async def test_a_browser_is_led_to_the_explorer(
    client: httpx2.AsyncClient, path: str, target: str
) -> None:
    answer = await client.get(path)
    assert answer.status_code == 307
    assert answer.headers["location"] == target
    assert (await client.get(f"/{target}")).status_code == 200


async def test_a_page_allows_nothing_but_our_own_files(client: httpx2.AsyncClient) -> None:
    answer = await client.get("/app/explorer.html")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["content-security-policy"] == CONTENT_SECURITY_POLICY
    assert "unsafe" not in CONTENT_SECURITY_POLICY
    assert "script-src 'self'" in CONTENT_SECURITY_POLICY


async def test_an_unchanged_file_costs_no_bytes(client: httpx2.AsyncClient) -> None:
    first = await client.get("/app/style.css")
    assert first.headers["cache-control"] == "no-cache"
    again = await client.get("/app/style.css", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    other = await client.get("/app/style.css", headers={"If-None-Match": '"other"'})
    assert (other.status_code, other.content) == (200, first.content)


@pytest.mark.parametrize(
    ("path", "media_type"),
    [
        ("app.js", "text/javascript; charset=utf-8"),
        ("style.css", "text/css; charset=utf-8"),
        ("images/favicon.ico", "image/x-icon"),
        ("images/unsupported.png", "image/png"),
    ],
)
async def test_files_say_what_they_are(
    client: httpx2.AsyncClient, path: str, media_type: str
) -> None:
    answer = await client.get(f"/app/{path}")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == media_type


@pytest.mark.parametrize(
    "path",
    [
        "/app",
        "/app/",
        "/app/nothing.html",
        "/app/images",
        "/app/images/",
        "/app/../explorer_files.py",
        "/app/%2e%2e/explorer_files.py",
        "/app/..%2fexplorer_files.py",
        "/app/images/..%2f..%2fapp.py",
        "/app//etc/passwd",
        "/app/%00",
        "/app/explorer.html%00.png",
        "/app/C:/windows/win.ini",
    ],
)
async def test_nothing_but_the_explorers_files_is_served(
    client: httpx2.AsyncClient, path: str
) -> None:
    assert (await client.get(path)).status_code == 404
