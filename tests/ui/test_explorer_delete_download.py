"""Taking things out of the server: downloads give the bytes, deletions ask first."""

import io
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.ui.conftest import Explorer
from tests.ui.orthanc_rest import OrthancRest
from tests.ui.phantoms import PhantomStudy

pytestmark = pytest.mark.ui


def test_a_downloaded_file_has_the_bytes_that_were_stored(
    explorer: Explorer, rest: OrthancRest, new_study: Callable[..., PhantomStudy]
) -> None:
    file = new_study().ct(1, size=32)[0]
    identifier = rest.upload([file])[0]["ID"]
    page = explorer.open(f"#/instances/{identifier}")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download file").click()
    assert Path(download.value.path()).read_bytes() == file
    assert download.value.suggested_filename.endswith(".dcm")


@pytest.mark.parametrize("level", ["patients", "studies", "series"])
def test_a_downloaded_archive_holds_every_file(
    explorer: Explorer, rest: OrthancRest, new_study: Callable[..., PhantomStudy], level: str
) -> None:
    files = new_study().ct(3, size=32)
    stored = rest.upload(files)[0]
    parent = {"patients": "ParentPatient", "studies": "ParentStudy", "series": "ParentSeries"}
    page = explorer.open(f"#/{level}/{stored[parent[level]]}")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download ZIP").click()
    with zipfile.ZipFile(io.BytesIO(Path(download.value.path()).read_bytes())) as archive:
        assert sorted(archive.read(name) for name in archive.namelist()) == sorted(files)


@pytest.mark.parametrize("way_out", ["Cancel", "Escape"])
def test_a_deletion_that_is_not_confirmed_deletes_nothing(
    explorer: Explorer, rest: OrthancRest, new_study: Callable[..., PhantomStudy], way_out: str
) -> None:
    study = rest.upload(new_study().ct(1, size=16))[0]["ParentStudy"]
    page = explorer.open(f"#/studies/{study}")
    page.get_by_role("button", name="Delete").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("1 series with 1 instance will be deleted")
    expect(dialog.get_by_role("button", name="Cancel")).to_be_focused()
    if way_out == "Escape":
        page.keyboard.press("Escape")
    else:
        dialog.get_by_role("button", name="Cancel").click()
    expect(dialog).to_have_count(0)
    assert rest.has(f"/studies/{study}")
    assert not [path for path in explorer.paths_asked() if path.startswith("DELETE")]


def test_a_confirmed_deletion_removes_the_study_and_leads_to_the_list(
    explorer: Explorer, rest: OrthancRest, new_study: Callable[..., PhantomStudy]
) -> None:
    phantom = new_study()
    study = rest.upload(phantom.ct(2, size=16))[0]["ParentStudy"]
    page = explorer.open(f"#/studies/{study}")
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("button", name="Delete study").click()
    expect(page.locator("h1")).to_have_text("Studies")
    expect(page.get_by_text("The study was deleted.")).to_be_visible()
    expect(page.get_by_text(phantom.tags["PatientID"])).to_have_count(0)
    assert not rest.has(f"/studies/{study}")


def test_deleting_an_instance_leads_to_the_series_that_is_left(
    explorer: Explorer, rest: OrthancRest, new_study: Callable[..., PhantomStudy]
) -> None:
    first, second = rest.upload(new_study().ct(2, size=16))
    page = explorer.open(f"#/instances/{first['ID']}")
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("button", name="Delete instance").click()
    expect(page.locator(".tile-title")).to_have_text(["Instance 2"])
    assert not rest.has(f"/instances/{first['ID']}")
    assert rest.has(f"/instances/{second['ID']}")


def test_a_deletion_that_the_server_refuses_is_told_in_the_dialog(
    explorer: Explorer, rest: OrthancRest, new_study: Callable[..., PhantomStudy]
) -> None:
    explorer.tolerate("status of 404")
    study = rest.upload(new_study().ct(1, size=16))[0]["ParentStudy"]
    page = explorer.open(f"#/studies/{study}")
    page.get_by_role("button", name="Delete").click()
    rest.request("DELETE", f"/studies/{study}")
    page.get_by_role("button", name="Delete study").click()
    expect(page.get_by_role("alert")).to_have_text(re.compile("not know|unknown resource", re.I))
