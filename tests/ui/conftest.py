"""Fixtures of the explorer's tests: a browser, a page that tolerates no error, phantom studies.

The server is the one at `LANTHORN_UI_URL`, else a `running_lanthorn` of our own. Screenshots go to
`LANTHORN_UI_SCREENSHOTS`, else to pytest's temporary folder.
"""

import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import (
    Browser,
    ConsoleMessage,
    Error,
    Page,
    Request,
    expect,
    sync_playwright,
)

from tests.ui.orthanc_rest import OrthancRest
from tests.ui.phantoms import PhantomStudy

CHROMIUM = "/usr/bin/chromium"
CHROMIUM_FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PATIENCE_MS = 30_000
expect.set_options(timeout=PATIENCE_MS)

WATCH_LAYOUT = """
window.layoutShift = 0;
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) {
    if (!entry.hadRecentInput) window.layoutShift += entry.value;
  }
}).observe({ type: 'layout-shift', buffered: true });
"""


class Explorer:
    """One window of the explorer that notes whatever should not happen.

    Parameters
    ----------
    page : Page
        A new page.
    url : str
        Root of the server, without a slash at the end.
    """

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url
        self.requests: list[Request] = []
        self.problems: list[str] = []
        self.tolerated: tuple[str, ...] = ()
        page.set_default_timeout(PATIENCE_MS)
        page.add_init_script(WATCH_LAYOUT)
        page.on("console", self._note_message)
        page.on("pageerror", self._note_exception)
        page.on("request", self._note_request)

    def open(self, route: str = "#/studies") -> Page:
        """Load a page of the explorer anew."""
        self.page.goto("about:blank")
        self.page.goto(f"{self.url}/app/explorer.html{route}")
        self.page.locator("#main h1").wait_for()
        return self.page

    def tolerate(self, *texts: str) -> None:
        """Expect console errors that contain one of some texts, as failed requests cause them."""
        self.tolerated = texts

    def paths_asked(self) -> list[str]:
        """Give method and path of all requests so far, the query with them."""
        return [
            f"{request.method} {request.url.removeprefix(self.url)}" for request in self.requests
        ]

    def _note_message(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not any(
            text in message.text for text in self.tolerated
        ):
            self.problems.append(f"console {message.type}: {message.text}")

    def _note_exception(self, error: Error) -> None:
        self.problems.append(f"exception: {error}")

    def _note_request(self, request: Request) -> None:
        self.requests.append(request)
        parts = urlsplit(request.url)
        if parts.scheme in ("http", "https", "ws", "wss") and not request.url.startswith(self.url):
            self.problems.append(f"left the origin: {request.url}")


@pytest.fixture(scope="session")
def explorer_url(request: pytest.FixtureRequest) -> str:
    """Root of the server under test, without a slash at the end."""
    given = os.environ.get("LANTHORN_UI_URL")
    url: str = given or request.getfixturevalue("running_lanthorn").http_url
    return url.rstrip("/")


@pytest.fixture(scope="session")
def rest(explorer_url: str) -> OrthancRest:
    return OrthancRest(explorer_url)


@pytest.fixture(scope="module")
def browser(explorer_url: str) -> Iterator[Browser]:
    """Chromium of Debian; begun after the server and ended before it (it has a loop of its own)."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def explorer(browser: Browser, explorer_url: str) -> Iterator[Explorer]:
    """A fresh window; its test fails for any console error and any request to elsewhere."""
    context = browser.new_context(viewport={"width": 1360, "height": 900})
    explorer = Explorer(context.new_page(), explorer_url)
    yield explorer
    context.close()
    assert explorer.problems == []


@pytest.fixture(scope="module")
def new_study(rest: OrthancRest) -> Iterator[Callable[..., PhantomStudy]]:
    """Make studies whose names nobody else uses; they are deleted in the end."""
    made: list[PhantomStudy] = []

    def make(**tags: str) -> PhantomStudy:
        serial = uuid.uuid4().hex[:10]
        study = PhantomStudy(
            **{"PatientID": f"UI-{serial}", "PatientName": f"Phantom{serial}^Ada", **tags}
        )
        made.append(study)
        return study

    yield make
    for study in made:
        rest.remove_study(study.tags["StudyInstanceUID"])


@pytest.fixture(scope="session")
def screenshots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder for pictures of the pages."""
    given = os.environ.get("LANTHORN_UI_SCREENSHOTS")
    folder = Path(given) if given else tmp_path_factory.mktemp("screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    return folder
