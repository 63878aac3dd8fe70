"""The search form, and what it asks of the server."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.ui.conftest import Explorer
from tests.ui.orthanc_rest import OrthancRest
from tests.ui.phantoms import PhantomStudy

pytestmark = pytest.mark.ui


@pytest.fixture(scope="module")
def archive(rest: OrthancRest, new_study: Callable[..., PhantomStudy]) -> list[PhantomStudy]:
    """Two studies of one patient: a CT of 2021, a photo of 2023."""
    first = new_study(
        StudyDate="20210314", StudyDescription="Abdomen", AccessionNumber="ACC-UI-1", StudyID="a"
    )
    second = new_study(
        PatientID=first.tags["PatientID"],
        PatientName=first.tags["PatientName"],
        StudyDate="20230910",
        StudyDescription="Skin lesion",
        AccessionNumber="ACC-UI-2",
    )
    rest.upload(first.ct(1, size=16))
    rest.upload(second.photo(size=16))
    return [first, second]


def search(page: Page, **values: str) -> Locator:
    """Fill the form, send it, give the rows of the answer."""
    for label, value in values.items():
        page.get_by_label(label.replace("_", " "), exact=True).fill(value)
    page.get_by_role("button", name="Search").click()
    return page.locator("tbody tr")


def test_a_part_of_the_name_in_any_case_finds_the_patient(
    explorer: Explorer, archive: list[PhantomStudy]
) -> None:
    family = archive[0].tags["PatientName"].split("^")[0]
    rows = search(explorer.open("#/search"), Patient_name=f"{family[3:].upper()} ada")
    expect(rows).to_have_count(2)


def test_fields_are_combined(explorer: Explorer, archive: list[PhantomStudy]) -> None:
    rows = search(
        explorer.open("#/search"),
        Patient_ID=archive[0].tags["PatientID"],
        Study_description="skin",
    )
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("Skin lesion")


def test_wildcards_are_taken_as_they_are(explorer: Explorer, archive: list[PhantomStudy]) -> None:
    page = explorer.open(f"#/search?id={archive[0].tags['PatientID']}")
    expect(page.locator("tbody tr")).to_have_count(2)
    rows = search(page, Study_description="Abd*")
    expect(rows).to_have_count(1)
    rows = search(page, Study_description="bd*")
    expect(page.get_by_text("No study matches")).to_be_visible()


@pytest.mark.parametrize(
    ("first_day", "last_day", "found"),
    [
        ("2021-03-14", "2021-03-14", ["Abdomen"]),
        ("2022-01-01", "", ["Skin lesion"]),
        ("", "2022-01-01", ["Abdomen"]),
        ("2021-01-01", "2023-12-31", ["Skin lesion", "Abdomen"]),
    ],
)
def test_a_range_of_dates_may_be_open_at_either_end(
    explorer: Explorer, archive: list[PhantomStudy], first_day: str, last_day: str, found: list[str]
) -> None:
    page = explorer.open("#/search")
    search(page, Patient_ID=archive[0].tags["PatientID"], From=first_day, To=last_day)
    rows = page.locator("tbody .col-description")
    expect(rows).to_have_text(found)


def test_several_modalities_mean_any_of_them(
    explorer: Explorer, archive: list[PhantomStudy]
) -> None:
    page = explorer.open("#/search")
    page.get_by_role("checkbox", name="CT", exact=True).check()
    rows = search(page, Patient_ID=archive[0].tags["PatientID"])
    expect(rows).to_have_count(1)
    page.get_by_role("checkbox", name="SC", exact=True).check()
    page.get_by_role("button", name="Search").click()
    expect(rows).to_have_count(2)


def test_a_label_restricts_the_search(
    explorer: Explorer, rest: OrthancRest, archive: list[PhantomStudy]
) -> None:
    identifier = rest.find("Study", StudyInstanceUID=archive[1].tags["StudyInstanceUID"])[0]
    rest.request("PUT", f"/studies/{identifier}/labels/ui-search", b"")
    rows = search(
        explorer.open("#/search"), Patient_ID=archive[0].tags["PatientID"], Label="ui-search"
    )
    expect(rows).to_have_count(1)


def test_a_search_that_finds_nothing_says_so(explorer: Explorer) -> None:
    page = explorer.open("#/search")
    search(page, Patient_name="nobody has this name")
    expect(page.get_by_text("No study matches")).to_be_visible()
    page.get_by_role("link", name="Clear the search").click()
    expect(page.get_by_label("Patient name")).to_have_value("")


def test_the_address_keeps_the_search(explorer: Explorer, archive: list[PhantomStudy]) -> None:
    page = explorer.open("#/search")
    search(page, Accession_number="ACC-UI-2", Patient_ID=archive[0].tags["PatientID"])
    expect(page.locator("tbody tr")).to_have_count(1)
    page.reload()
    expect(page.get_by_label("Accession number")).to_have_value("ACC-UI-2")
    expect(page.locator("tbody tr")).to_have_count(1)
