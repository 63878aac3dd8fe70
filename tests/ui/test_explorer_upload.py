"""Upload: pickers, drop, progress, ZIP, and the server's word on what it refuses."""

import io
import zipfile
from collections.abc import Callable

import pytest
from playwright.sync_api import FilePayload, Page, expect

from tests.ui.conftest import Explorer
from tests.ui.orthanc_rest import OrthancRest
from tests.ui.phantoms import PhantomStudy

pytestmark = pytest.mark.ui

AT_A_TIME = 3

COUNT_SENDING = """
window.sending = [];
let active = 0;
const send = XMLHttpRequest.prototype.send;
XMLHttpRequest.prototype.send = function (body) {
  active += 1;
  window.sending.push(active);
  this.addEventListener('load', () => { active -= 1; });
  send.call(this, body);
};
"""


def payloads(files: list[bytes]) -> list[FilePayload]:
    return [
        {"name": f"image{number}.dcm", "mimeType": "application/dicom", "buffer": file}
        for number, file in enumerate(files)
    ]


def pick(page: Page, files: list[FilePayload]) -> None:
    page.get_by_label("Choose files").set_input_files(files)


def instances_of(rest: OrthancRest, study: PhantomStudy) -> int:
    return len(rest.find("Instance", StudyInstanceUID=study.tags["StudyInstanceUID"]))


def test_chosen_files_are_stored_a_few_at_a_time(
    explorer: Explorer, rest: OrthancRest, new_study: Callable[..., PhantomStudy]
) -> None:
    study = new_study()
    explorer.page.add_init_script(COUNT_SENDING)
    page = explorer.open("#/upload")
    pick(page, payloads(study.ct(9, size=64)))
    expect(page.get_by_text("9 files received")).to_be_visible()
    expect(page.get_by_text("9 instances stored")).to_be_visible()
    assert instances_of(rest, study) == 9
    at_once = page.evaluate("window.sending")
    assert len(at_once) == 9
    assert 1 < max(at_once) <= AT_A_TIME
    page.get_by_role("link", name="Open the study").click()
    expect(page.locator(".tile")).to_have_count(1)


def test_progress_moves_while_bytes_are_sent(
    explorer: Explorer, new_study: Callable[..., PhantomStudy]
) -> None:
    page = explorer.open("#/upload")
    network = page.context.new_cdp_session(page)
    network.send("Network.enable")
    slow = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": 100_000}
    network.send("Network.emulateNetworkConditions", slow)
    pick(page, payloads(new_study().ct(1, size=512)))
    page.wait_for_function(
        """() => {
          const bar = document.querySelector('progress[aria-label="All files"]');
          return bar && bar.value > 0 && bar.value < bar.max;
        }"""
    )
    expect(page.get_by_text("1 file received")).to_be_visible()
    bar = page.get_by_role("progressbar", name="All files")
    assert bar.evaluate("bar => bar.value === bar.max")


def test_uploading_again_tells_that_it_is_already_here(
    explorer: Explorer, rest: OrthancRest, new_study: Callable[..., PhantomStudy]
) -> None:
    files = new_study().ct(2, size=16)
    rest.upload(files)
    page = explorer.open("#/upload")
    pick(page, payloads(files))
    expect(page.get_by_text("2 already here")).to_be_visible()


def test_a_zip_archive_is_unpacked_by_the_server(
    explorer: Explorer, rest: OrthancRest, new_study: Callable[..., PhantomStudy]
) -> None:
    study = new_study()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for number, file in enumerate(study.ct(4, size=16)):
            archive.writestr(f"folder/{number}.dcm", file)
    page = explorer.open("#/upload")
    pick(page, [{"name": "s.zip", "mimeType": "application/zip", "buffer": buffer.getvalue()}])
    expect(page.get_by_text("4 instances stored")).to_be_visible()
    assert instances_of(rest, study) == 4


def test_an_invalid_file_shows_the_words_of_the_server_beside_the_good_ones(
    explorer: Explorer, rest: OrthancRest, new_study: Callable[..., PhantomStudy]
) -> None:
    explorer.tolerate("status of 400")
    study = new_study()
    page = explorer.open("#/upload")
    bad: FilePayload = {"name": "letter.txt", "mimeType": "text/plain", "buffer": b"no DICOM" * 40}
    pick(page, [*payloads(study.ct(2, size=16)), bad])
    row = page.locator(".upload-row.is-failed")
    expect(row).to_have_count(1)
    expect(row).to_contain_text("letter.txt")
    expect(row.locator(".upload-message")).to_contain_text("DICOM")
    expect(page.get_by_text("2 instances stored")).to_be_visible()
    assert instances_of(rest, study) == 2
    page.get_by_role("button", name="Send failed ones again").click()
    expect(row.locator(".upload-message")).to_contain_text("DICOM")


def test_files_that_are_never_images_are_left_out(explorer: Explorer) -> None:
    page = explorer.open("#/upload")
    pick(page, [{"name": ".DS_Store", "mimeType": "", "buffer": b"x"}])
    expect(page.get_by_text("1 left out")).to_be_visible()
    assert "POST /instances" not in explorer.paths_asked()


@pytest.mark.parametrize("target", [".drop", "h1"])
def test_files_dropped_on_the_zone_or_elsewhere_are_stored(
    explorer: Explorer, rest: OrthancRest, new_study: Callable[..., PhantomStudy], target: str
) -> None:
    study = new_study()
    page = explorer.open("#/upload" if target == ".drop" else "#/studies")
    transfer = page.evaluate_handle(
        """(bytes) => {
          const transfer = new DataTransfer();
          transfer.items.add(new File([new Uint8Array(bytes)], 'dropped.dcm'));
          return transfer;
        }""",
        list(study.ct(1, size=16)[0]),
    )
    page.dispatch_event(target, "drop", {"dataTransfer": transfer})
    expect(page.get_by_text("1 file received")).to_be_visible()
    assert instances_of(rest, study) == 1


def test_uploads_go_on_while_another_page_is_open(
    explorer: Explorer, rest: OrthancRest, new_study: Callable[..., PhantomStudy]
) -> None:
    study = new_study()
    page = explorer.open("#/upload")
    pick(page, payloads(study.ct(12, size=128)))
    page.get_by_role("link", name="Patients").click()
    expect(page.locator("h1")).to_have_text("Patients")
    page.get_by_role("link", name="Upload").click()
    expect(page.get_by_text("12 files received")).to_be_visible()
    assert instances_of(rest, study) == 12
