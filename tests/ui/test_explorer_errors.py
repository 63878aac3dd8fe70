"""What the reader sees when the server does not do what is asked."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Route, expect

from tests.ui.conftest import Explorer
from tests.ui.orthanc_rest import OrthancRest
from tests.ui.phantoms import PhantomStudy

pytestmark = pytest.mark.ui

UNKNOWN = "00000000-00000000-00000000-00000000-00000000"


@pytest.mark.parametrize("level", ["patients", "studies", "series", "instances"])
def test_an_unknown_resource_is_said_to_be_missing(explorer: Explorer, level: str) -> None:
    explorer.tolerate("status of 404")
    page = explorer.open(f"#/{level}/{UNKNOWN}")
    expect(page.get_by_role("alert")).to_contain_text("Not found")
    page.get_by_role("link", name="To the studies").click()
    expect(page.locator("h1")).to_have_text("Studies")


def test_an_address_without_a_page_says_so(explorer: Explorer) -> None:
    page = explorer.open("#/no/such/page")
    expect(page.get_by_text("There is no page at this address")).to_be_visible()


def test_a_lost_server_is_told_and_its_return_is_noticed(
    explorer: Explorer, rest: OrthancRest, new_study: Callable[..., PhantomStudy]
) -> None:
    explorer.tolerate("ERR_INTERNET_DISCONNECTED")
    study = rest.upload(new_study().ct(1, size=16))[0]["ParentStudy"]
    page = explorer.open("#/search")
    page.context.set_offline(True)
    page.evaluate("hash => { location.hash = hash; }", f"#/studies/{study}")
    expect(page.get_by_role("alert")).to_contain_text("The server does not answer")
    expect(page.get_by_text("No connection to the server")).to_be_visible()
    page.context.set_offline(False)
    expect(page.locator("h1")).to_have_text("Phantom")
    expect(page.get_by_text("No connection to the server")).to_have_count(0)


def test_an_unready_server_is_told_and_can_be_asked_again(explorer: Explorer) -> None:
    explorer.tolerate("status of 503")
    page = explorer.page

    def refuse(route: Route) -> None:
        route.fulfill(status=503, body='{"title": "The index is not ready", "status": 503}')

    page.route("**/tools/find", refuse)
    explorer.open("#/patients")
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("The server is not ready")
    expect(alert).to_contain_text("The index is not ready")
    page.unroute("**/tools/find")
    page.get_by_role("button", name="Try again").click()
    expect(alert).to_have_count(0)
