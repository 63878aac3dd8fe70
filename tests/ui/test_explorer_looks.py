"""Light, dark and phone: nothing overflows, nothing jumps; pictures are kept for the eye."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.ui.conftest import Explorer
from tests.ui.orthanc_rest import OrthancRest
from tests.ui.phantoms import PhantomStudy

pytestmark = pytest.mark.ui

DESKTOP = {"viewport": {"width": 1360, "height": 900}}
PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}
LOOKS: dict[str, dict[str, Any]] = {
    "light": {**DESKTOP, "color_scheme": "light"},
    "dark": {**DESKTOP, "color_scheme": "dark"},
    "phone": {**PHONE, "color_scheme": "dark"},
}
GOOD_LAYOUT_SHIFT = 0.1  # Core Web Vitals: "good"


@pytest.fixture(scope="module")
def routes(rest: OrthancRest, new_study: Callable[..., PhantomStudy]) -> dict[str, str]:
    phantom = new_study(
        PatientName="Nightingale^Florence",
        StudyDate="20991231",
        StudyDescription="CT chest with contrast",
        AccessionNumber="A-0815",
        InstitutionName="St Thomas",
    )
    ct = rest.upload(phantom.ct(20, size=256))
    cine = rest.upload(phantom.cine(12, size=256))[0]
    rest.upload(phantom.photo(size=256) + phantom.plan())
    rest.request("PUT", f"/studies/{cine['ParentStudy']}/labels/teaching", b"")
    return {
        "studies": "#/studies",
        "patients": "#/patients",
        "patient": f"#/patients/{cine['ParentPatient']}",
        "study": f"#/studies/{cine['ParentStudy']}",
        "series": f"#/series/{ct[0]['ParentSeries']}",
        "instance": f"#/instances/{ct[9]['ID']}",
        "frames": f"#/instances/{cine['ID']}",
        "search": f"#/search?id={phantom.tags['PatientID']}&modality=CT",
        "upload": "#/upload",
    }


@pytest.mark.parametrize("look", LOOKS)
def test_pages_fit_their_window_and_keep_their_layout(
    browser: Browser,
    explorer_url: str,
    routes: dict[str, str],
    screenshots: Path,
    look: str,
) -> None:
    context = browser.new_context(**LOOKS[look])
    explorer = Explorer(context.new_page(), explorer_url)
    for name, route in routes.items():
        page = explorer.open(route)
        page.wait_for_load_state("networkidle")
        page.screenshot(path=screenshots / f"{look}-{name}.png")
        too_wide = page.evaluate(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
        assert too_wide == 0, name
        assert page.evaluate("window.layoutShift") < GOOD_LAYOUT_SHIFT, name
    context.close()
    assert explorer.problems == []


@pytest.mark.parametrize(("look", "darkest", "lightest"), [("light", 200, 255), ("dark", 0, 60)])
def test_colors_follow_the_preference_but_pictures_lie_on_black(
    browser: Browser,
    explorer_url: str,
    routes: dict[str, str],
    look: str,
    darkest: int,
    lightest: int,
) -> None:
    context = browser.new_context(**LOOKS[look])
    explorer = Explorer(context.new_page(), explorer_url)
    page = explorer.open(routes["instance"])
    page.locator(".picture").wait_for()
    color = "element => getComputedStyle(element).backgroundColor.match(/\\d+/g).map(Number)"
    assert all(darkest <= part <= lightest for part in page.locator("body").evaluate(color))
    assert page.locator(".screen").evaluate(color) == [0, 0, 0]
    context.close()
    assert explorer.problems == []
