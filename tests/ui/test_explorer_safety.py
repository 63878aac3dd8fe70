"""Data never become markup, nothing is loaded from elsewhere, any prefix will do."""

import hashlib
import re
import threading
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, expect

from tests.ui.conftest import Explorer
from tests.ui.orthanc_rest import OrthancRest
from tests.ui.phantoms import PhantomStudy

pytestmark = pytest.mark.ui

SOURCES = Path(__file__).parents[2] / "services/rest-api/src/lanthorn_rest_api/explorer"
OURS = [
    path
    for path in SOURCES.rglob("*")
    if path.suffix in (".js", ".css", ".html", ".svg") and "vendor" not in path.parts
]


def test_markup_in_names_is_shown_as_text(
    explorer: Explorer, rest: OrthancRest, new_study: Callable[..., PhantomStudy]
) -> None:
    evil = "<img src=x onerror=alert(1)>"
    phantom = new_study(StudyDate="20991229", StudyDescription=evil, InstitutionName=evil)
    stored = rest.upload(phantom.ct(1, size=16, description=evil))[0]
    page = explorer.page
    page.on("dialog", lambda dialog: explorer.problems.append(f"dialog: {dialog.message}"))
    for route in (
        f"#/patients/{stored['ParentPatient']}",
        f"#/studies/{stored['ParentStudy']}",
        f"#/series/{stored['ParentSeries']}",
        f"#/instances/{stored['ID']}",
    ):
        explorer.open(route)
        expect(page.get_by_text(evil).first).to_be_attached()
        assert page.locator("img[onerror]").count() == 0


def test_the_page_forbids_itself_inline_code_and_foreign_sources(explorer: Explorer) -> None:
    explorer.tolerate("Content Security Policy")
    page = explorer.open()
    policy = page.locator("meta[http-equiv=Content-Security-Policy]").get_attribute("content")
    assert policy is not None
    assert "unsafe" not in policy
    page.evaluate(
        """() => {
          const script = document.createElement('script');
          script.textContent = 'window.injected = true';
          document.body.append(script);
        }"""
    )
    assert page.evaluate("window.injected") is None


@pytest.mark.parametrize("path", OURS, ids=lambda path: str(path.relative_to(SOURCES)))
def test_a_source_file_has_no_inline_code_and_names_no_other_host(path: Path) -> None:
    text = path.read_text()
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(", text)
    assert not re.search(r"<style|<script(?![^>]*\ssrc=)|\sstyle=|\son[a-z]+=\"", text)
    hosts = re.findall(r"https?://[^\s\"'<>)]+", text)
    assert [host for host in hosts if host != "http://www.w3.org/2000/svg"] == []


def test_vendored_files_are_those_that_the_readme_names() -> None:
    readme = (SOURCES / "vendor/README.md").read_text()
    named = dict(re.findall(r"^\| `(\w+\.js)` .*`([0-9a-f]{64})` \|$", readme, re.MULTILINE))
    present = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in (SOURCES / "vendor").glob("*.js")
    }
    assert named == present


def test_every_module_is_preloaded_and_none_that_is_gone() -> None:
    page = (SOURCES / "explorer.html").read_text()
    preloaded = set(re.findall(r'rel="modulepreload" href="([^"]+)"', page))
    modules = {str(path.relative_to(SOURCES)) for path in SOURCES.rglob("*.js")}
    assert preloaded == modules - {"app.js"}


@pytest.fixture
def prefixed_url(explorer_url: str) -> Iterator[str]:
    """The same server below a prefix, as behind a reverse proxy."""
    target = urlsplit(explorer_url)

    class Proxy(BaseHTTPRequestHandler):
        def forward(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            upstream = HTTPConnection(target.hostname or "", target.port or 80, timeout=30)
            path = target.path + self.path.removeprefix("/some/prefix")
            headers = {"Accept": self.headers.get("Accept", "*/*")}
            upstream.request(self.command, path, body, headers)
            answer = upstream.getresponse()
            data = answer.read()
            upstream.close()
            self.send_response(answer.status)
            for name in ("Content-Type", "Location"):
                if value := answer.headers.get(name):
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = forward

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/some/prefix"
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_explorer_works_below_a_prefix(
    browser: Browser,
    prefixed_url: str,
    rest: OrthancRest,
    new_study: Callable[..., PhantomStudy],
) -> None:
    stored = rest.upload(new_study(StudyDate="20991228").ct(1, size=16))[0]
    context = browser.new_context()
    explorer = Explorer(context.new_page(), prefixed_url)
    page = explorer.page
    page.goto(f"{prefixed_url}/")
    page.get_by_role("link", name="Search").first.click()
    page.get_by_label("Patient name").wait_for()
    explorer.open(f"#/instances/{stored['ID']}")
    page.locator(".picture[data-shown=wanted]").wait_for()
    context.close()
    assert explorer.problems == []
