"""The tag tree of an instance and its filter."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.ui.conftest import Explorer
from tests.ui.orthanc_rest import OrthancRest
from tests.ui.phantoms import PhantomStudy

pytestmark = pytest.mark.ui


@pytest.fixture
def plan_page(
    explorer: Explorer, rest: OrthancRest, new_study: Callable[..., PhantomStudy]
) -> Page:
    """The page of an RT plan: three beams in a sequence."""
    identifier = rest.upload(new_study(InstitutionName="Under the lamp").plan())[0]["ID"]
    return explorer.open(f"#/instances/{identifier}")


def names(page: Page) -> list[str]:
    return page.locator(".tag-name > span").all_inner_texts()


@pytest.mark.parametrize("wanted", ["institutionn", "0008,0080", "under the LAMP"])
def test_the_filter_finds_by_name_number_and_value(plan_page: Page, wanted: str) -> None:
    plan_page.get_by_label("Filter tags").fill(wanted)
    expect(plan_page.get_by_text("1 found")).to_be_visible()
    assert names(plan_page) == ["InstitutionName"]
    expect(plan_page.locator(".tag-value")).to_have_text("Under the lamp")


def test_a_sequence_opens_on_demand(plan_page: Page) -> None:
    beams = plan_page.locator(".tag-sequence", has_text="BeamSequence")
    expect(beams).to_contain_text("3 items")
    expect(plan_page.get_by_text("Field 2")).to_have_count(0)
    beams.locator("summary").first.click()
    expect(plan_page.get_by_text("Field 2")).to_be_visible()


def test_the_filter_looks_into_sequences_and_opens_them(plan_page: Page) -> None:
    plan_page.get_by_label("Filter tags").fill("field 2")
    expect(plan_page.get_by_text("Field 2")).to_be_visible()
    expect(plan_page.get_by_text("Field 3")).to_have_count(0)
    assert names(plan_page) == ["BeamSequence", "BeamName"]


def test_a_filter_without_a_match_says_so_and_can_be_emptied(plan_page: Page) -> None:
    expect(plan_page.locator(".tag").first).to_be_visible()
    before = names(plan_page)
    plan_page.get_by_label("Filter tags").fill("no such thing")
    expect(plan_page.get_by_text("No tag matches")).to_be_visible()
    plan_page.get_by_label("Filter tags").fill("")
    expect(plan_page.locator(".tag-name > span")).to_have_text(before)
