"""Everything can be reached, understood and done without a mouse."""

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.ui.conftest import Explorer
from tests.ui.orthanc_rest import OrthancRest
from tests.ui.phantoms import PhantomStudy

pytestmark = pytest.mark.ui


@pytest.fixture(scope="module")
def stored(rest: OrthancRest, new_study: Callable[..., PhantomStudy]) -> list[dict[str, str]]:
    return rest.upload(new_study(StudyDate="20991230").ct(3, size=32))


def press_until(page: Page, key: str, selector: str) -> None:
    """Press a key until an element has the focus; never more often than there are elements."""
    for _ in range(80):
        if page.locator(selector).first.evaluate("element => element === document.activeElement"):
            return
        page.keyboard.press(key)
    pytest.fail(f"{selector} is never focused")


def test_the_skip_link_leads_to_the_content(explorer: Explorer) -> None:
    page = explorer.open("#/search")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.get_by_label("Patient name")).to_be_focused()


def test_from_the_list_to_an_instance_with_tab_and_enter(
    explorer: Explorer, stored: list[dict[str, str]]
) -> None:
    page = explorer.open(f"#/studies/{stored[0]['ParentStudy']}")
    expect(page.locator(".tile")).to_have_count(1)  # more are drawn while they load
    press_until(page, "Tab", ".tile")
    page.keyboard.press("Enter")
    expect(page.locator(".tile")).to_have_count(3)
    expect(page.locator("#main")).to_be_focused()
    press_until(page, "Tab", ".tile")
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text("Instance 1")


def test_arrow_keys_on_the_picture_step_through_the_series(
    explorer: Explorer, stored: list[dict[str, str]]
) -> None:
    page = explorer.open(f"#/instances/{stored[0]['ID']}")
    expect(page.get_by_text("1 of 3")).to_be_visible()
    press_until(page, "Tab", ".screen")
    page.keyboard.press("ArrowRight")
    expect(page.locator("h1")).to_have_text("Instance 2")
    expect(page.get_by_text("2 of 3")).to_be_visible()
    page.keyboard.press("ArrowRight")
    expect(page.locator("h1")).to_have_text("Instance 3")
    expect(page.locator(".screen")).to_be_focused()
    page.keyboard.press("ArrowLeft")
    expect(page.locator("h1")).to_have_text("Instance 2")


def test_the_window_can_be_set_with_keys(explorer: Explorer, stored: list[dict[str, str]]) -> None:
    page = explorer.open(f"#/instances/{stored[0]['ID']}")
    page.get_by_role("slider", name="Center").focus()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("spinbutton", name="Center")).to_have_value("41")


def unnamed_controls(page: Page) -> list[str]:
    """Give the controls that a screen reader could not name."""
    tree: dict[str, Any] = page.context.new_cdp_session(page).send("Accessibility.getFullAXTree")
    roles = {
        "button", "link", "textbox", "searchbox", "slider", "spinbutton", "checkbox", "combobox",
        "progressbar", "dialog", "region", "navigation", "Date",
    }  # fmt: skip
    return [
        f"{node['role']['value']} {node.get('backendDOMNodeId')}"
        for node in tree["nodes"]
        if not node.get("ignored")
        and node.get("role", {}).get("value") in roles
        and not node.get("name", {}).get("value", "").strip()
    ]


@pytest.mark.parametrize(
    "route", ["studies", "patients", "search", "upload", "study", "series", "instance"]
)
def test_every_control_has_a_name(
    explorer: Explorer, stored: list[dict[str, str]], route: str
) -> None:
    routes = {
        "study": f"studies/{stored[0]['ParentStudy']}",
        "series": f"series/{stored[0]['ParentSeries']}",
        "instance": f"instances/{stored[0]['ID']}",
    }
    page = explorer.open(f"#/{routes.get(route, route)}")
    page.wait_for_load_state("networkidle")
    assert unnamed_controls(page) == []


def test_the_title_of_the_window_names_the_page(
    explorer: Explorer, stored: list[dict[str, str]]
) -> None:
    page = explorer.open(f"#/instances/{stored[0]['ID']}")
    expect(page).to_have_title("Instance 1 · Lanthorn")
