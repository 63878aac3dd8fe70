"""Files, tags and single values of instances over HTTP."""

from __future__ import annotations

import base64
import functools
import json
import zipfile
from http.client import HTTPConnection
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import JPEGBaseline8Bit, JPEGLSLossless, RLELossless

from lanthorn_core.dicom.dicomjson import to_dicom_json
from lanthorn_core.dicom.part10 import read_dataset
from lanthorn_core.usecases.store_instance import StoreReceipt
from tests.fixtures.dicom_files import ct_file
from tests.fixtures.rest_api import RestApi
from tests.fixtures.running_lanthorn import RunningLanthorn

DATA = Path(__file__).parents[1] / "data" / "pydicom"
_PATIENCE_S = 60.0
get = functools.partial(httpx2.get, timeout=_PATIENCE_S)
post = functools.partial(httpx2.post, timeout=_PATIENCE_S)


def sample(name: str) -> bytes:
    return (DATA / name).read_bytes()


async def stored(rest_api: RestApi, data: bytes) -> str:
    receipt: StoreReceipt = await rest_api.store(data)
    return f"/instances/{receipt.public_ids.instance}"


@pytest.mark.parametrize("pixels", [8, 1024])
async def test_a_file_comes_back_as_it_went_in(rest_api: RestApi, pixels: int) -> None:
    file = ct_file(rows=pixels, columns=1024)
    path = await stored(rest_api, file)
    for _ in range(2):
        answer = await rest_api.client.get(f"{path}/file")
        assert answer.status_code == 200
        assert answer.content == file
        assert answer.headers["content-type"] == "application/dicom"
        assert answer.headers["content-length"] == str(len(file))
        assert answer.headers["content-disposition"] == f'filename="{path[11:]}.dcm"'
        assert answer.headers["x-content-type-options"] == "nosniff"


async def test_the_newest_of_overwritten_files_is_sent(make_rest_api: Any) -> None:
    rest_api = await make_rest_api(OVERWRITE_INSTANCES="true")
    file = bytearray(sample("CT_small.dcm"))
    for number in range(5):
        file[-200] = number
        path = await stored(rest_api, bytes(file))
        assert (await rest_api.client.get(f"{path}/file")).content == file


async def test_a_deleted_instance_is_gone_although_it_was_sent_before(rest_api: RestApi) -> None:
    path = await stored(rest_api, sample("CT_small.dcm"))
    assert (await rest_api.client.get(f"{path}/file")).status_code == 200
    assert (await rest_api.client.delete(path)).status_code == 200
    assert await rest_api.refusal("GET", f"{path}/file") == (404, 17, "")
    await stored(rest_api, sample("CT_small.dcm"))
    assert (await rest_api.client.get(f"{path}/file")).status_code == 200


@pytest.mark.parametrize(
    ("query", "header"),
    [
        ("?filename=x.dcm", b'filename="x.dcm"'),
        ("?filename=%c3%a9.dcm", 'filename="é.dcm"'.encode()),
        ("?filename=a%22%0d%0aSet-Cookie:%20b", b'filename="aSet-Cookie: b"'),
    ],
)
async def test_a_file_can_be_named(rest_api: RestApi, query: str, header: bytes) -> None:
    path = await stored(rest_api, sample("CT_small.dcm"))
    answer = await rest_api.client.get(f"{path}/file{query}")
    assert dict(answer.headers.raw)[b"content-disposition"] == header


async def test_an_empty_file_name_is_none(rest_api: RestApi) -> None:
    path = await stored(rest_api, sample("CT_small.dcm"))
    answer = await rest_api.client.get(f"{path}/file?filename=")
    assert "content-disposition" not in answer.headers


async def test_what_needs_no_transcoding_needs_no_renderer(rest_api: RestApi) -> None:
    path = await stored(rest_api, sample("CT_small.dcm"))
    same = await rest_api.client.get(f"{path}/file?transcode=1.2.840.10008.1.2.1")
    assert same.content == sample("CT_small.dcm")
    assert await rest_api.refusal("GET", f"{path}/file?transcode=1.2.3") == (
        400, 3, "Unknown transfer syntax: 1.2.3",
    )  # fmt: skip
    status, code, _ = await rest_api.refusal("GET", f"{path}/file?transcode=1.2.840.10008.1.2")
    assert (status, code) == (503, 36)


async def test_a_file_as_xml_is_refused_and_unknown_forms_get_the_file(rest_api: RestApi) -> None:
    path = await stored(rest_api, sample("CT_small.dcm"))
    answer = await rest_api.client.get(f"{path}/file", headers={"Accept": "application/dicom+xml"})
    assert (answer.status_code, answer.json()["OrthancStatus"]) == (406, 34)
    other = await rest_api.client.get(f"{path}/file", headers={"Accept": "text/plain"})
    assert other.content == sample("CT_small.dcm")


@pytest.mark.parametrize(
    ("name", "has_inline_pixels"),
    [
        ("CT_small", True),  # something follows its pixels
        ("MR_small_bigendian", True),
        ("chrX1", True),
        ("image_dfl", True),
        ("liver_rle", False),
        ("rtplan", False),
    ],
)
async def test_a_file_comes_as_dicom_json(
    rest_api: RestApi, name: str, has_inline_pixels: bool
) -> None:
    path = await stored(rest_api, sample(f"{name}.dcm"))
    answer = await rest_api.client.get(
        f"{path}/file?transcode=1.2.3", headers={"Accept": "application/dicom+json"}
    )
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/dicom+json"
    assert int(answer.headers["content-length"]) == len(answer.content)
    assert "content-disposition" not in answer.headers
    dataset = read_dataset(sample(f"{name}.dcm"), until_pixels=False)
    assert answer.json() == to_dicom_json(dataset, default_encoding="Latin1")
    assert ("7FE00010" in answer.json()) == has_inline_pixels


async def test_dicom_json_of_many_pixels_has_all_of_them(rest_api: RestApi) -> None:
    file = ct_file(rows=1023, columns=1023)
    path = await stored(rest_api, file)
    answer = await rest_api.client.get(f"{path}/file", headers={"Accept": "application/dicom+json"})
    pixels = base64.b64decode(answer.json()["7FE00010"]["InlineBinary"], validate=True)
    assert pixels == dcmread(BytesIO(file)).PixelData


@pytest.mark.parametrize(
    "route",
    ["file", "tags", "simplified-tags", "header", "content", "content/0010-0010", "pdf", "frames"],
)
async def test_what_is_not_there_has_no_routes(rest_api: RestApi, route: str) -> None:
    assert await rest_api.refusal("GET", f"/instances/nope/{route}") == (404, 17, "")


async def test_another_method_is_refused(rest_api: RestApi) -> None:
    path = await stored(rest_api, sample("CT_small.dcm"))
    answer = await rest_api.client.post(f"{path}/file")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET")


async def test_tags_come_in_three_formats(rest_api: RestApi) -> None:
    path = await stored(rest_api, sample("CT_small.dcm"))
    name = {"Name": "PatientName", "Type": "String", "Value": "CompressedSamples^CT1"}
    full = await rest_api.get(f"{path}/tags")
    assert full["0010,0010"] == name
    assert full["7fe0,0010"] == {"Name": "PixelData", "Type": "Null", "Value": None}
    assert "fffc,fffc" not in full
    assert (await rest_api.get(f"{path}/tags?short"))["0010,0010"] == "CompressedSamples^CT1"
    simple = await rest_api.get(f"{path}/tags?simplify&short")
    assert simple["PatientName"] == "CompressedSamples^CT1"
    assert await rest_api.get(f"{path}/simplified-tags?short") == simple


@pytest.mark.parametrize(
    "name", ["CT_small.dcm", "JPEG2000.dcm", "MR_small_bigendian.dcm", "image_dfl.dcm"]
)
async def test_what_follows_the_pixels_is_shown_when_asked_for(
    rest_api: RestApi, name: str
) -> None:
    path = await stored(rest_api, sample(name))
    tags = await rest_api.get(f"{path}/tags?short")
    whole = await rest_api.get(f"{path}/tags?short&whole")
    assert "7fe0,0010" in tags
    behind = {key for key in whole if key > "7fe0,0010"}
    assert whole.keys() - tags.keys() == behind
    assert bool(behind) == (0xFFFC_FFFC in dcmread(DATA / name))


async def test_a_long_text_is_shown_when_asked_for(rest_api: RestApi) -> None:
    path = await stored(rest_api, ct_file(ImageComments="x" * 300))
    assert (await rest_api.get(f"{path}/tags?short"))["0020,4000"] is None
    shown = await rest_api.get(f"{path}/tags?short&ignore-length=PatientID,0020-4000")
    assert shown["0020,4000"] == "x" * 300


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [("whole=zzz", 400, 3), ("ignore-length=Foo", 500, 27)],
)
async def test_parameters_that_make_no_sense_are_refused(
    rest_api: RestApi, query: str, status: int, code: int
) -> None:
    path = await stored(rest_api, sample("CT_small.dcm"))
    assert (await rest_api.refusal("GET", f"{path}/tags?{query}"))[:2] == (status, code)


async def test_the_header_is_the_file_meta_information(rest_api: RestApi) -> None:
    path = await stored(rest_api, sample("CT_small.dcm"))
    header = await rest_api.get(f"{path}/header?short")
    assert header == {
        "0002,0000": "192",
        "0002,0002": "1.2.840.10008.5.1.4.1.1.2",
        "0002,0003": "1.3.6.1.4.1.5962.1.1.1.1.1.20040119072730.12322",
        "0002,0010": "1.2.840.10008.1.2.1",
        "0002,0012": "1.3.6.1.4.1.5962.2",
        "0002,0013": "DCTOOL100",
        "0002,0016": "CLUNIE1",
    }


async def test_content_lists_the_tags_of_the_whole_data_set(rest_api: RestApi) -> None:
    path = await stored(rest_api, sample("CT_small.dcm"))
    tags = await rest_api.get(f"{path}/content")
    assert tags[:2] == ["0008-0005", "0008-0008"]
    assert tags[-2:] == ["7fe0-0010", "fffc-fffc"]
    assert await rest_api.get(f"{path}/content/0010-1002/0") == ["0010-0020", "0010-0022"]


async def test_content_sends_bytes_as_they_are_stored(rest_api: RestApi) -> None:
    path = await stored(rest_api, sample("CT_small.dcm"))
    for route, value in (
        ("PatientName", b"CompressedSamples^CT1 "),
        ("0028-0010", b"\x80\0"),
        ("0010-1002/0/0010-0020", b"ABCD1234"),
        ("fffc-fffc", None),
    ):
        answer = await rest_api.client.get(f"{path}/content/{route}")
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "application/octet-stream"
        assert value is None or answer.content == value


@pytest.mark.parametrize(
    ("route", "status", "code"),
    [
        ("9999-9999", 404, None),
        ("0008-0005/0", 404, None),
        ("0010-1002/5", 404, None),
        ("0010-1002/x", 404, None),
        ("7fe0-0010/1", 404, None),
        ("7fe0-0010/0/0", 404, None),
        ("7fe0-0010/" + "1" * 5000, 404, None),
        ("7fe0-0010/x", 400, 15),
        ("Foo", 500, 27),
        ("0010-1002/0/foo", 500, 27),
    ],
)
async def test_paths_that_lead_nowhere_are_refused_as_by_orthanc(
    rest_api: RestApi, route: str, status: int, code: int | None
) -> None:
    path = await stored(rest_api, sample("CT_small.dcm"))
    answer = await rest_api.client.get(f"{path}/content/{route}")
    assert answer.status_code == status
    found = json.loads(answer.content)["OrthancStatus"] if answer.content else None
    assert found == code


@pytest.mark.parametrize(
    "name",
    ["CT_small.dcm", "MR_small_bigendian.dcm", "MR_small_implicit.dcm", "image_dfl.dcm"],
)
async def test_native_pixels_are_one_block_in_little_endian(rest_api: RestApi, name: str) -> None:
    path = await stored(rest_api, sample(name))
    assert await rest_api.get(f"{path}/content/7fe0-0010") == ["0"]
    answer = await rest_api.client.get(f"{path}/content/7fe0-0010/0")
    pixels = dcmread(DATA / name).pixel_array
    stored_type = pixels.dtype.newbyteorder("<")
    assert answer.content == pixels.astype(stored_type).tobytes()


@pytest.mark.parametrize("name", ["JPEG2000.dcm", "emri_small_RLE.dcm", "US1_J2KI.dcm"])
async def test_encapsulated_pixels_are_an_offset_table_and_fragments(
    rest_api: RestApi, name: str
) -> None:
    path = await stored(rest_api, sample(name))
    numbers = await rest_api.get(f"{path}/content/7fe0-0010")
    assert len(numbers) >= 2
    value = dcmread(DATA / name).PixelData
    rebuilt = b""
    for number in numbers:
        block = (await rest_api.client.get(f"{path}/content/7fe0-0010/{number}")).content
        rebuilt += b"\xfe\xff\x00\xe0" + len(block).to_bytes(4, "little") + block
    assert value.startswith(rebuilt)
    assert value[len(rebuilt) :] in (b"", b"\xfe\xff\xdd\xe0\0\0\0\0")


async def test_without_pixels_there_are_no_blocks(rest_api: RestApi) -> None:
    path = await stored(rest_api, sample("rtplan.dcm"))
    assert (await rest_api.client.get(f"{path}/content/7fe0-0010")).status_code == 404
    assert await rest_api.get(f"{path}/frames") == [0]


def pdf_file(document: bytes, media_type: str = "application/pdf") -> bytes:
    return ct_file(
        SOPClassUID="1.2.840.10008.5.1.4.1.1.104.1",
        PixelData=None,
        MIMETypeOfEncapsulatedDocument=media_type,
        EncapsulatedDocument=document,
    )


@pytest.mark.parametrize("document", [b"%PDF-1.4 even!", b"%PDF-1.4 odd\n"])
async def test_a_pdf_document_is_sent_without_its_padding(
    rest_api: RestApi, document: bytes
) -> None:
    padded = document + b"\0" * (len(document) % 2)
    path = await stored(rest_api, pdf_file(padded))
    answer = await rest_api.client.get(f"{path}/pdf")
    assert answer.headers["content-type"] == "application/pdf"
    assert answer.content == document


async def test_another_document_is_no_pdf(rest_api: RestApi) -> None:
    other = pdf_file(b"<html>", "text/html")
    for file in (other, ct_file()):
        answer = await rest_api.client.get(f"{await stored(rest_api, file)}/pdf")
        assert (answer.status_code, answer.content) == (404, b"")


async def test_figures_have_orthancs_names(rest_api: RestApi) -> None:
    await stored(rest_api, sample("CT_small.dcm"))
    answer = await rest_api.client.get("/tools/metrics-prometheus")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4"
    figures = {line.split()[0]: line.split()[1] for line in answer.text.splitlines()}
    assert figures["orthanc_count_instances"] == "1"
    assert float(figures["orthanc_disk_size_mb"]) == pytest.approx(39206 / 2**20)


@pytest.fixture(scope="module")
def picture_paths(running_lanthorn: RunningLanthorn) -> dict[str, str]:
    """Store some samples in a whole system, renderer included."""
    names = ("CT_small.dcm", "SC_rgb.dcm", "JPEG2000.dcm", "emri_small.dcm", "test-SR.dcm")
    paths = {}
    for name in names:
        answer = post(f"{running_lanthorn.http_url}/instances", content=sample(name))
        paths[name] = f"{running_lanthorn.http_url}{answer.json()['Path']}"
    return paths


@pytest.mark.parametrize(
    ("name", "route", "accept", "status", "media_type"),
    [
        ("CT_small.dcm", "preview", "", 200, "image/png"),
        ("CT_small.dcm", "preview", "image/jpeg", 200, "image/jpeg"),
        ("CT_small.dcm", "frames/0/rendered?width=10", "", 200, "image/png"),
        ("CT_small.dcm", "image-uint16", "image/x-portable-arbitrarymap", 200,
         "image/x-portable-arbitrarymap"),
        ("CT_small.dcm", "image-uint16", "image/jpeg", 404, None),
        ("CT_small.dcm", "preview", "text/html", 404, None),
        ("CT_small.dcm", "preview", "image/jpeg;q=x", 415, None),
        ("CT_small.dcm", "preview?quality=0", "", 415, None),
        ("CT_small.dcm", "preview?quality=101", "image/jpeg", 415, None),
        ("CT_small.dcm", "rendered?width=x", "", 404, None),
        ("CT_small.dcm", "rendered?width=-1", "", 404, None),
        ("CT_small.dcm", "rendered?width=99999999999", "", 404, None),
        ("CT_small.dcm", "rendered?window-center=nan", "", 404, None),
        ("CT_small.dcm", "rendered?window-center=x", "", 404, None),
        ("CT_small.dcm", "frames/1/preview", "", 415, None),
        ("CT_small.dcm", "frames/-1/preview", "", 415, None),
        ("CT_small.dcm", "frames/x/preview", "", 404, None),
        ("CT_small.dcm", "frames/99999999999/preview", "", 404, None),
        ("CT_small.dcm", f"frames/{'9' * 5000}/preview", "", 404, None),
        ("CT_small.dcm", "frames/1/raw", "", 400, "text/plain"),
        ("CT_small.dcm", "frames/x/raw", "", 404, None),
        ("CT_small.dcm", "frames/0/raw", "", 200, "application/octet-stream"),
        ("CT_small.dcm", "frames/0/raw.gz", "", 200, "application/gzip"),
        ("JPEG2000.dcm", "frames/0/raw", "", 200, "image/jp2"),
        ("SC_rgb.dcm", "preview", "", 200, "image/png"),
        ("SC_rgb.dcm", "image-uint8", "", 415, None),
        ("emri_small.dcm", "frames/9/preview", "", 200, "image/png"),
        ("emri_small.dcm", "frames/10/preview", "", 415, None),
        ("test-SR.dcm", "preview", "", 415, None),
        ("test-SR.dcm", "frames/0/raw", "", 400, "text/plain"),
        ("test-SR.dcm", "frames/7/raw", "", 400, "text/plain"),
    ],
)  # fmt: skip
def test_pictures_are_answered_with_orthancs_statuses(
    picture_paths: dict[str, str],
    name: str,
    route: str,
    accept: str,
    status: int,
    media_type: str | None,
) -> None:
    answer = get(f"{picture_paths[name]}/{route}", headers={"Accept": accept})
    assert answer.status_code == status
    assert answer.headers.get("content-type") == media_type
    assert bool(answer.content) == (media_type is not None)


@pytest.mark.parametrize(
    ("route", "target"),
    [
        ("preview", "../../app/images/unsupported.png"),
        ("frames/0/rendered", "../../../../app/images/unsupported.png"),
    ],
)
def test_what_cannot_be_shown_can_be_replaced_by_a_picture(
    picture_paths: dict[str, str], route: str, target: str
) -> None:
    url = f"{picture_paths['test-SR.dcm']}/{route}?returnUnsupportedImage"
    answer = get(url)
    assert (answer.status_code, answer.headers["location"]) == (307, target)
    assert get(url, follow_redirects=True).headers["content-type"] == "image/png"
    refused = get(f"{url}=false")
    assert refused.status_code == 415


def test_a_file_can_be_transcoded(picture_paths: dict[str, str]) -> None:
    url = f"{picture_paths['CT_small.dcm']}/file"
    answer = get(url, params={"transcode": JPEGLSLossless})
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/dicom")
    assert answer.headers["content-disposition"].endswith('.dcm"')
    before, after = dcmread(DATA / "CT_small.dcm"), dcmread(BytesIO(answer.content))
    assert after.file_meta.TransferSyntaxUID == JPEGLSLossless
    assert after.SOPInstanceUID == before.SOPInstanceUID
    assert np.array_equal(after.pixel_array, before.pixel_array)
    refused = get(url, params={"transcode": "1.2.840.10008.1.2.4.70"})
    assert (refused.status_code, refused.json()["OrthancStatus"]) == (415, 3000)
    too_wide = get(url, params={"transcode": JPEGBaseline8Bit})
    assert (too_wide.status_code, too_wide.json()["OrthancStatus"]) == (415, 3000)


def test_a_lossy_file_is_as_good_as_is_asked(picture_paths: dict[str, str]) -> None:
    url = f"{picture_paths['SC_rgb.dcm']}/file"
    sizes = []
    for quality in ("1", "90", "100"):
        parameters = {"transcode": JPEGBaseline8Bit, "lossy-quality": quality}
        answer = get(url, params=parameters)
        assert dcmread(BytesIO(answer.content)).LossyImageCompression == "01"
        sizes.append(len(answer.content))
    assert sizes == sorted(set(sizes))
    wrong = get(url, params={"transcode": JPEGBaseline8Bit, "lossy-quality": "x"})
    assert wrong.status_code == 400


def test_an_archive_can_be_transcoded(
    running_lanthorn: RunningLanthorn, picture_paths: dict[str, str]
) -> None:
    for name, expected in (("JPEG2000.dcm", RLELossless), ("test-SR.dcm", RLELossless)):
        study = get(f"{picture_paths[name]}/study").json()["ID"]
        url = f"{running_lanthorn.http_url}/studies/{study}/archive"
        answer = get(url, params={"transcode": RLELossless})
        with zipfile.ZipFile(BytesIO(answer.content)) as archive:
            [entry] = archive.namelist()
            after = dcmread(BytesIO(archive.read(entry)))
        assert after.file_meta.TransferSyntaxUID == expected


def test_what_cannot_be_transcoded_comes_as_it_is_in_an_archive(
    running_lanthorn: RunningLanthorn, picture_paths: dict[str, str]
) -> None:
    study = get(f"{picture_paths['CT_small.dcm']}/study").json()["ID"]
    url = f"{running_lanthorn.http_url}/studies/{study}/archive"
    answer = get(url, params={"transcode": JPEGBaseline8Bit})
    with zipfile.ZipFile(BytesIO(answer.content)) as archive:
        [entry] = archive.namelist()
        assert archive.read(entry) == sample("CT_small.dcm")


def test_frames_are_listed(picture_paths: dict[str, str]) -> None:
    path = picture_paths["emri_small.dcm"]
    assert get(f"{path}/frames").json() == list(range(10))
    routes = get(f"{path}/frames/3").json()
    assert {"preview", "rendered", "raw", "raw.gz", "image-int16"} <= set(routes)
    for route in routes:
        assert get(f"{path}/frames/3/{route}").status_code == 200


def test_a_raw_frame_is_the_stored_bytes(picture_paths: dict[str, str]) -> None:
    dataset: Dataset = dcmread(DATA / "emri_small.dcm")
    answer = get(f"{picture_paths['emri_small.dcm']}/frames/3/raw")
    size = dataset.Rows * dataset.Columns * 2
    assert answer.content == dataset.PixelData[3 * size : 4 * size]


def test_a_client_that_leaves_in_the_middle_of_a_file_does_no_harm(
    running_lanthorn: RunningLanthorn,
) -> None:
    file = ct_file(rows=2048, columns=2048, frames=4)
    uploaded = post(f"{running_lanthorn.http_url}/instances", content=file).json()
    for route in (f"{uploaded['Path']}/file", f"/studies/{uploaded['ParentStudy']}/archive"):
        connection = HTTPConnection("127.0.0.1", running_lanthorn.http_port)
        connection.request("GET", route)
        assert connection.getresponse().read(1000)
        connection.close()
    answer = get(f"{running_lanthorn.http_url}{uploaded['Path']}/file")
    assert answer.content == file
