"""Browsing: from the list of studies down to the pixels of one instance."""

import json
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.ui.conftest import Explorer
from tests.ui.orthanc_rest import OrthancRest
from tests.ui.phantoms import PhantomStudy

pytestmark = pytest.mark.ui

SLICES = 12
FRAMES = 6


class Stored(NamedTuple):
    """A study on the server: who, and the instances of each series in order."""

    tags: dict[str, Any]
    study: str
    patient: str
    ct: list[str]
    cine: str
    photo: str
    plan: str


@pytest.fixture(scope="module")
def stored(rest: OrthancRest, new_study: Callable[..., PhantomStudy]) -> Stored:
    phantom = new_study(StudyDate="20991231", StudyDescription="Everything at once")
    ct = rest.upload(phantom.ct(SLICES))
    others = [
        rest.upload(files) for files in (phantom.cine(FRAMES), phantom.photo(), phantom.plan())
    ]
    cine, photo, plan = (answers[0]["ID"] for answers in others)
    rest.request("PUT", f"/studies/{ct[0]['ParentStudy']}/labels/teaching", b"")
    return Stored(
        phantom.tags,
        ct[0]["ParentStudy"],
        ct[0]["ParentPatient"],
        [answer["ID"] for answer in ct],
        cine,
        photo,
        plan,
    )


def family_name(stored: Stored) -> str:
    return str(stored.tags["PatientName"]).split("^")[0]


def wait_until_painted(image: Locator) -> None:
    """Wait for an image that has pixels, not merely an element."""
    image.scroll_into_view_if_needed()
    expect(image).to_have_js_property("complete", True)
    assert image.evaluate("image => image.naturalWidth") > 0


def picture_bytes(page: Page) -> str:
    """Give the grey values that the viewer shows, once they are those that were asked for."""
    picture = page.locator(".picture[data-shown=wanted]")
    picture.wait_for()
    values: str = picture.evaluate(
        """async (image) => {
          await image.decode();
          const canvas = new OffscreenCanvas(image.naturalWidth, image.naturalHeight);
          const context = canvas.getContext('2d');
          context.drawImage(image, 0, 0);
          return context.getImageData(0, 0, canvas.width, canvas.height).data.join(' ');
        }"""
    )
    return values


def test_the_root_opens_the_studies_newest_first(explorer: Explorer, stored: Stored) -> None:
    page = explorer.page
    page.goto(f"{explorer.url}/")
    expect(page.locator("h1")).to_have_text("Studies")
    expect(page.locator("tbody tr").first).to_contain_text(family_name(stored))
    assert page.url.split("#")[0] == f"{explorer.url}/app/explorer.html"


def test_a_row_of_the_list_tells_date_modalities_contents_and_labels(
    explorer: Explorer, stored: Stored
) -> None:
    row = explorer.open().locator("tbody tr").first
    for text in ("2099-12-31", "CT", "RTPLAN", "4 series", f"{SLICES + 3} instances", "teaching"):
        expect(row).to_contain_text(text)


def test_a_study_shows_a_painted_thumbnail_of_each_series(
    explorer: Explorer, stored: Stored
) -> None:
    page = explorer.open()
    page.get_by_role("link", name=family_name(stored)).first.click()
    expect(page.locator("h1")).to_have_text("Everything at once")
    thumbnails = page.locator(".thumbnail img")
    expect(thumbnails).to_have_count(4)
    for index in range(4):
        wait_until_painted(thumbnails.nth(index))
    expect(page.locator(".tile-title")).to_have_text(
        ["Chest axial", "Beating disc", "Color chart", "Plan"]
    )


def test_a_series_shows_its_instances_in_the_order_of_their_numbers(
    explorer: Explorer, stored: Stored, rest: OrthancRest
) -> None:
    series = rest.get(f"/instances/{stored.ct[0]}")["ParentSeries"]
    page = explorer.open(f"#/series/{series}")
    expect(page.locator(".tile-title")).to_have_text(
        [f"Instance {number}" for number in range(1, SLICES + 1)]
    )
    thumbnails = page.locator(".thumbnail img")
    for index in range(SLICES):
        assert thumbnails.nth(index).get_attribute("loading") == "lazy"
        wait_until_painted(thumbnails.nth(index))


def test_a_long_series_comes_page_by_page(
    explorer: Explorer, rest: OrthancRest, new_study: Callable[..., PhantomStudy]
) -> None:
    series = rest.upload(new_study().ct(65, size=16))[0]["ParentSeries"]
    page = explorer.open(f"#/series/{series}")
    expect(page.locator(".tile")).to_have_count(60)
    expect(page.get_by_text("Instances 1\u201360 of 65")).to_be_visible()
    page.get_by_role("link", name="Next page").click()
    expect(page.locator(".tile")).to_have_count(5)
    expect(page.get_by_text("Instances 61\u201365 of 65")).to_be_visible()
    page.go_back()
    expect(page.locator(".tile")).to_have_count(60)


def test_the_window_changes_the_picture(explorer: Explorer, stored: Stored) -> None:
    page = explorer.open(f"#/instances/{stored.ct[6]}")
    as_in_file = picture_bytes(page)
    page.get_by_role("button", name="Lung").click()
    lung = picture_bytes(page)
    assert lung != as_in_file
    page.get_by_role("spinbutton", name="Width").fill("3000")
    page.keyboard.press("Enter")
    assert picture_bytes(page) not in (lung, as_in_file)
    asked = [path for path in explorer.paths_asked() if "/rendered?" in path][-1]
    assert "window-center=-600" in asked
    assert "window-width=3000" in asked
    page.get_by_role("button", name="As in file").click()
    assert picture_bytes(page) == as_in_file


def test_dragging_on_the_picture_changes_the_window(explorer: Explorer, stored: Stored) -> None:
    page = explorer.open(f"#/instances/{stored.ct[6]}")
    before = picture_bytes(page)
    page.locator(".screen").hover()
    page.mouse.down()
    page.mouse.move(700, 600, steps=4)
    page.mouse.up()
    assert picture_bytes(page) != before
    expect(page.get_by_role("button", name="As in file")).to_have_attribute("aria-pressed", "false")


def test_the_frame_slider_shows_each_frame(explorer: Explorer, stored: Stored) -> None:
    page = explorer.open(f"#/instances/{stored.cine}")
    pictures = {picture_bytes(page)}
    slider = page.get_by_role("slider", name="Frame")
    for frame in range(2, FRAMES + 1):
        slider.fill(str(frame))
        expect(page.locator(".frame-number")).to_have_text(f"{frame} / {FRAMES}")
        pictures.add(picture_bytes(page))
    assert len(pictures) == FRAMES


def test_playing_runs_through_the_frames_until_paused(explorer: Explorer, stored: Stored) -> None:
    page = explorer.open(f"#/instances/{stored.cine}")
    page.get_by_role("button", name="Play frames").click()
    # The fourth may come and go between two looks; in the browser no frame is missed.
    page.wait_for_function(
        """text => document.querySelector(".frame-number").textContent === text""",
        arg=f"4 / {FRAMES}",
        polling="raf",
    )
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_role("button", name="Play frames")).to_be_visible()


def test_a_color_picture_has_no_window(explorer: Explorer, stored: Stored) -> None:
    page = explorer.open(f"#/instances/{stored.photo}")
    picture_bytes(page)
    expect(page.get_by_role("slider")).to_have_count(0)


def test_an_instance_without_pixels_says_so_and_asks_for_none(
    explorer: Explorer, stored: Stored
) -> None:
    page = explorer.open(f"#/instances/{stored.plan}")
    expect(page.get_by_text("This instance holds no image")).to_be_visible()
    assert not [path for path in explorer.paths_asked() if path.endswith("/rendered")]


def test_a_patient_shows_its_studies(explorer: Explorer, stored: Stored) -> None:
    page = explorer.open(f"#/patients/{stored.patient}")
    expect(page.locator("h1")).to_have_text(f"{family_name(stored)}, Ada")
    page.get_by_role("link", name="Everything at once").click()
    expect(page.locator("h1")).to_have_text("Everything at once")


def test_the_list_of_patients_leads_to_a_patient(explorer: Explorer, stored: Stored) -> None:
    page = explorer.open("#/patients?order=received")
    page.get_by_role("link", name=family_name(stored)).click()
    expect(page.get_by_text(stored.tags["PatientID"]).first).to_be_visible()


def test_the_frame_of_the_page_tells_what_the_server_holds_and_is_not(
    explorer: Explorer, rest: OrthancRest
) -> None:
    footer = explorer.open().get_by_role("contentinfo")
    count = json.loads(rest.request("GET", "/statistics"))["CountStudies"]
    expect(footer).to_contain_text(f"Studies{count:,}")
    expect(footer).to_contain_text("Not a medical device")
