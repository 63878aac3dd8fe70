"""`POST /instances`, from the body to the stored object and the answer."""

from __future__ import annotations

import gzip
import zipfile
from collections.abc import AsyncIterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from lanthorn_core.dicom.part10 import scan_file
from lanthorn_core.model import Level
from lanthorn_core.ports.index import FindQuery
from lanthorn_core.usecases.receipts import OBJECTS_PREFIX
from tests.fixtures.dicom_files import ct_file
from tests.fixtures.rest_api import RestApi

DATA = Path(__file__).parents[1] / "data" / "pydicom"
CT_IDS = {
    "ID": "f689ddd2-662f8fe1-8b18180d-ec2a2cee-937917af",
    "ParentPatient": "fa558bce-587a86d3-ad0da9b3-9d043d9d-4f5c5718",
    "ParentSeries": "93034833-163e42c3-bc9a428b-194620cf-2c5799e5",
    "ParentStudy": "8a8cf898-ca27c490-d0c7058c-929d0581-2bbf104d",
    "Path": "/instances/f689ddd2-662f8fe1-8b18180d-ec2a2cee-937917af",
}


def sample(name: str) -> bytes:
    return (DATA / name).read_bytes()


def zipped(**files: bytes) -> bytes:
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as writing:
        for name, data in files.items():
            writing.writestr(name, data)
    return buffer.getvalue()


async def refusal(rest_api: RestApi, body: bytes, **headers: str) -> tuple[int, int, str]:
    answer = await rest_api.client.post("/instances", content=body, headers=headers)
    assert answer.headers["content-type"] == "text/plain"
    document = answer.json()
    return answer.status_code, document["OrthancStatus"], document.get("Details", "")


async def uploaded(rest_api: RestApi, body: bytes, **headers: str) -> Any:
    answer = await rest_api.client.post("/instances", content=body, headers=headers)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    assert "warning" not in answer.headers
    return answer.json()


async def count(rest_api: RestApi) -> int:
    assert await rest_api.system.reader.wait_until_current()
    return await rest_api.system.reader.count(FindQuery(level=Level.INSTANCE))


async def objects_of(rest_api: RestApi) -> list[str]:
    return [info.key async for info in rest_api.system.objects.list(OBJECTS_PREFIX)]


def spooled(rest_api: RestApi) -> list[Path]:
    return list(rest_api.system.objects.spool_folder.glob("upload-*"))


async def test_an_upload_is_answered_as_by_orthanc_and_found_at_once(rest_api: RestApi) -> None:
    answer = await uploaded(rest_api, sample("CT_small.dcm"))
    assert answer == {**CT_IDS, "Status": "Success"}
    assert (await rest_api.get(answer["Path"]))["FileSize"] == 39206


async def test_the_same_again_is_already_stored(rest_api: RestApi) -> None:
    await uploaded(rest_api, sample("CT_small.dcm"))
    answer = await uploaded(rest_api, sample("CT_small.dcm"))
    assert answer == {**CT_IDS, "Status": "AlreadyStored"}
    assert await count(rest_api) == 1


async def test_with_overwriting_the_newest_wins(make_rest_api: Any) -> None:
    rest_api = await make_rest_api(OVERWRITE_INSTANCES="true")
    first = await uploaded(rest_api, sample("CT_small.dcm"))
    changed = bytearray(sample("CT_small.dcm"))
    changed[-200] ^= 0xFF
    again = await uploaded(rest_api, bytes(changed))
    assert (first["Status"], again["Status"]) == ("Success", "Success")
    answer = await rest_api.client.get(f"{again['Path']}/file")
    assert answer.content == bytes(changed)


async def test_without_overwriting_the_first_stays(rest_api: RestApi) -> None:
    answer = await uploaded(rest_api, sample("CT_small.dcm"))
    changed = bytearray(sample("CT_small.dcm"))
    changed[-200] ^= 0xFF
    await uploaded(rest_api, bytes(changed))
    stored = await rest_api.client.get(f"{answer['Path']}/file")
    assert stored.content == sample("CT_small.dcm")


async def test_an_upload_remembers_where_it_came_from(rest_api: RestApi) -> None:
    answer = await uploaded(rest_api, sample("CT_small.dcm"))
    metadata = await rest_api.get(f"{answer['Path']}/metadata?expand")
    assert metadata["Origin"] == "RestApi"
    assert metadata["RemoteIP"] == "127.0.0.1"
    assert metadata["RemoteAET"] == ""
    assert metadata["HttpUsername"] == ""


async def test_an_upload_remembers_its_user(make_rest_api: Any) -> None:
    rest_api = await make_rest_api(
        AUTHENTICATION_ENABLED="true", REGISTERED_USERS='{"jane": "secret"}'
    )
    answer = await rest_api.client.post(
        "/instances", content=sample("CT_small.dcm"), auth=("jane", "secret")
    )
    found = await rest_api.client.get(
        f"{answer.json()['Path']}/metadata/HttpUsername", auth=("jane", "secret")
    )
    assert found.text == "jane"


@pytest.mark.parametrize("encoding", ["gzip", "GZIP"])
async def test_a_gzipped_body_is_inflated(rest_api: RestApi, encoding: str) -> None:
    body = gzip.compress(sample("CT_small.dcm"))
    answer = await uploaded(rest_api, body, **{"Content-Encoding": encoding})
    assert answer == {**CT_IDS, "Status": "Success"}
    stored = await rest_api.client.get(f"{answer['Path']}/file")
    assert stored.content == sample("CT_small.dcm")


async def test_a_gzipped_archive_is_an_archive(rest_api: RestApi) -> None:
    body = gzip.compress(zipped(a=sample("CT_small.dcm")))
    answer = await uploaded(rest_api, body, **{"Content-Encoding": "gzip"})
    assert answer == [{**CT_IDS, "Status": "Success"}]


async def test_a_large_upload_passes_through_the_disk(rest_api: RestApi) -> None:
    file = ct_file(rows=1024, columns=1024, frames=3)
    for body, headers in ((file, {}), (gzip.compress(file, 1), {"Content-Encoding": "gzip"})):
        answer = await uploaded(rest_api, body, **headers)
        stored = await rest_api.client.get(f"{answer['Path']}/file")
        assert stored.headers["content-length"] == str(len(file))
        assert stored.content == file
    assert not spooled(rest_api)


async def test_of_an_archive_every_dicom_file_is_stored(rest_api: RestApi) -> None:
    first, second = ct_file(rows=600, columns=1024), ct_file()
    answers = await uploaded(
        rest_api,
        zipped(
            **{
                "readme.txt": b"hello",
                "../../evil.dcm": first,
                "broken.dcm": second[:-10],
                "nested.zip": zipped(a=second),
                "DICOMDIR": bytes(128) + b"DICM",
                "empty.dcm": b"",
                "deep/down/b.dcm": second,
                "no-study.dcm": ct_file(StudyInstanceUID=None),
            }
        ),
    )
    assert [answer["Status"] for answer in answers] == ["Success", "Success"]
    files = [(await rest_api.client.get(f"{a['Path']}/file")).content for a in answers]
    assert files == [first, second]
    assert await count(rest_api) == 2
    assert not spooled(rest_api)
    above = rest_api.system.objects.spool_folder.parent.parent
    assert not list(above.rglob("evil*"))


async def test_many_files_of_an_archive_keep_their_order(rest_api: RestApi) -> None:
    files = {f"{number}.dcm": ct_file() for number in range(40)}
    expected = [str(scan_file(file)[0].media_storage_sop_instance_uid) for file in files.values()]
    answers = await uploaded(rest_api, zipped(**files))
    found = await rest_api.system.reader.resources(
        Level.INSTANCE, [answer["ID"] for answer in answers]
    )
    assert [resource.main_tags["SOPInstanceUID"] for resource in found] == expected


async def test_one_file_twice_in_an_archive_is_stored_once(rest_api: RestApi) -> None:
    answers = await uploaded(rest_api, zipped(a=sample("CT_small.dcm"), b=sample("CT_small.dcm")))
    assert sorted(answer["Status"] for answer in answers) == ["AlreadyStored", "Success"]
    assert await count(rest_api) == 1


@pytest.mark.parametrize("files", [{}, {"readme.txt": b"hello"}])
async def test_an_archive_without_dicom_is_no_error(
    rest_api: RestApi, files: dict[str, bytes]
) -> None:
    assert await uploaded(rest_api, zipped(**files)) == []


async def test_a_form_stores_its_files_and_answers_nothing(rest_api: RestApi) -> None:
    answer = await rest_api.client.post(
        "/instances",
        files=[
            ("file", ("../a.dcm", sample("CT_small.dcm"), "application/dicom")),
            ("file", ("b.zip", zipped(a=ct_file(), b=ct_file()), "application/zip")),
            ("other", ("c", ct_file(rows=800, columns=1024), "text/plain")),
        ],
    )
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-type"] == "text/plain"
    assert await count(rest_api) == 4
    assert not spooled(rest_api)


async def test_a_form_ends_at_the_first_file_that_is_none(rest_api: RestApi) -> None:
    answer = await rest_api.client.post(
        "/instances",
        files=[("a", ct_file()), ("b", b"hello"), ("c", ct_file())],
    )
    assert answer.status_code == 400
    assert answer.json()["Details"] == "Cannot parse an invalid DICOM file (size: 5 bytes)"
    assert await count(rest_api) == 1


@pytest.mark.parametrize(
    ("body", "headers", "expected"),
    [
        (b"", {}, (400, 15, "Received an empty DICOM file")),
        (
            b"hello garbage",
            {},
            (400, 15, "Cannot parse an invalid DICOM file (size: 13 bytes)"),
        ),
        (b"PK", {}, (400, 15, "Cannot parse an invalid DICOM file (size: 2 bytes)")),
        (b"PK\x03\x04junk", {}, (400, 15, "Cannot open ZIP archive from memory buffer")),
        (
            sample("CT_small.dcm")[:2000],
            {},
            (400, 15, "Cannot parse an invalid DICOM file (size: 2000 bytes)"),
        ),
        (
            sample("CT_small.dcm")[:-500],
            {},
            (400, 15, "Cannot parse an invalid DICOM file (size: 38706 bytes)"),
        ),
        (
            sample("CT_small.dcm")[128:],
            {},
            (400, 15, "Cannot parse an invalid DICOM file (size: 39078 bytes)"),
        ),
        (
            gzip.compress(b"some text"),
            {},
            (400, 15, "Cannot parse an invalid DICOM file (size: 29 bytes)"),
        ),
        (
            gzip.compress(b"some text"),
            {"Content-Encoding": "gzip"},
            (400, 15, "Cannot parse an invalid DICOM file (size: 9 bytes)"),
        ),
        (
            gzip.compress(sample("CT_small.dcm"))[:-9],
            {"Content-Encoding": "gzip"},
            (400, 15, "Truncated gzip input"),
        ),
        (
            b"not gzip",
            {"Content-Encoding": "gzip"},
            (400, 15, "Cannot inflate a broken gzip body"),
        ),
        (
            zipped(a=sample("CT_small.dcm"))[:5000],
            {},
            (400, 15, "Cannot open ZIP archive from memory buffer"),
        ),
        (
            gzip.compress(bytes(1 << 29), 9),
            {"Content-Encoding": "gzip"},
            (400, 15, "The gzip body inflates to more than is allowed"),
        ),
        (
            zipped(a=sample("CT_small.dcm"), b=bytes(1 << 29)),
            {},
            (400, 15, "The ZIP archive inflates to more than is allowed"),
        ),
        (
            ct_file(StudyInstanceUID=None),
            {},
            (404, 21, "StudyInstanceUID (0020,000d) is missing"),
        ),
        (
            b"--x\r\n\r\n" + sample("CT_small.dcm"),
            {"Content-Type": "multipart/form-data; boundary=x"},
            (400, 15, "Truncated multipart/form-data body"),
        ),
    ],
    ids=lambda value: "" if isinstance(value, bytes | dict) else value[2].replace(" ", "-"),
)
async def test_what_cannot_be_stored_is_refused_and_leaves_nothing(
    rest_api: RestApi, body: bytes, headers: dict[str, str], expected: tuple[int, int, str]
) -> None:
    assert await refusal(rest_api, body, **headers) == expected
    assert not await objects_of(rest_api)
    assert not spooled(rest_api)
    assert await count(rest_api) == 0


@pytest.mark.parametrize("large", [False, True])
async def test_a_bare_data_set_becomes_a_file(rest_api: RestApi, large: bool) -> None:
    file = ct_file(rows=1024 if large else 8, columns=1024)
    bare = file[scan_file(file)[0].dataset_offset :]
    answer = await uploaded(rest_api, bare)
    stored = (await rest_api.client.get(f"{answer['Path']}/file")).content
    assert stored.endswith(bare)
    assert scan_file(stored)[0].transfer_syntax_uid == "1.2.840.10008.1.2.1"
    assert not spooled(rest_api)


async def test_a_client_that_leaves_leaves_nothing(rest_api: RestApi) -> None:
    app = rest_api.client._transport.app  # type: ignore[attr-defined]
    messages = iter(
        [
            {"type": "http.request", "body": bytes(2 << 20), "more_body": True},
            {"type": "http.disconnect"},
        ]
    )

    async def receive() -> Any:
        return next(messages)

    async def send(_: Any) -> None:
        return

    scope = {
        "type": "http", "method": "POST", "path": "/instances", "query_string": b"",
        "headers": [], "client": ("127.0.0.1", 1), "http_version": "1.1", "scheme": "http",
        "server": ("lanthorn", 80), "root_path": "", "raw_path": b"/instances",
    }  # fmt: skip
    await app(scope, receive, send)
    assert not spooled(rest_api)
    assert not await objects_of(rest_api)


async def test_what_is_stored_is_told_although_the_index_is_behind(make_rest_api: Any) -> None:
    rest_api = await make_rest_api(indexing=False, LANTHORN__INDEX_BARRIER_TIMEOUT="0.2")
    answer = await rest_api.client.post("/instances", content=sample("CT_small.dcm"))
    assert answer.status_code == 200
    assert answer.json() == {**CT_IDS, "Status": "Success"}
    assert "behind" in answer.headers["warning"]
    assert len(await objects_of(rest_api)) == 1


async def test_uploads_in_pieces_of_any_size_arrive(rest_api: RestApi) -> None:
    file = sample("CT_small.dcm")

    async def trickle() -> AsyncIterator[bytes]:
        for at in range(0, len(file), 997):
            yield file[at : at + 997]

    answer = await rest_api.client.post("/instances", content=trickle())
    assert answer.json() == {**CT_IDS, "Status": "Success"}
