"""What users attach to resources, over HTTP."""

from __future__ import annotations

import hashlib

import asyncpg
import pytest

from tests.fixtures.dicom_files import ct_file
from tests.fixtures.rest_api import MakeRestApi, RestApi

LARGE = bytes(range(256)) * 8192
"""More than is held in memory."""


def etag(revision: int, data: bytes) -> str:
    return f'"{revision}-{hashlib.md5(data).hexdigest()}"'


async def _is_garbage(rest_api: RestApi, key: str) -> bool:
    connection = await asyncpg.connect(rest_api.system.settings.runtime.database_url)
    try:
        found = await connection.fetchval("SELECT 1 FROM object_garbage WHERE object_key = $1", key)
    finally:
        await connection.close()
    return found is not None


async def keys(rest_api: RestApi) -> list[str]:
    return [info.key async for info in rest_api.system.objects.list("attachments/")]


@pytest.mark.parametrize("data", [b"hello", b"", LARGE])
async def test_what_is_attached_comes_back_at_every_level(rest_api: RestApi, data: bytes) -> None:
    ids = (await rest_api.store(ct_file())).public_ids
    for level, public_id in zip(("patients", "studies", "series", "instances"), ids, strict=True):
        await _attach_and_read(rest_api, f"/{level}/{public_id}/attachments", data)
        change = (await rest_api.get("/changes?last"))["Changes"][0]
        assert (change["ChangeType"], change["ID"]) == ("UpdatedAttachment", public_id)


async def _attach_and_read(rest_api: RestApi, base: str, data: bytes) -> None:
    written = await rest_api.client.put(f"{base}/1024", content=data)
    assert (written.status_code, written.headers["etag"]) == (200, etag(0, data))
    assert "1024" in await rest_api.get(base)
    read = await rest_api.client.get(f"{base}/1024/data")
    assert read.content == data
    assert read.headers["content-type"] == "application/octet-stream"
    info = await rest_api.get(f"{base}/1024/info")
    assert (info["ContentType"], info["UncompressedSize"]) == (1024, len(data))
    assert info["UncompressedMD5"] == hashlib.md5(data).hexdigest()
    assert (await rest_api.client.post(f"{base}/1024/verify-md5")).status_code == 200


async def test_names_and_media_types_are_those_of_the_configuration(
    make_rest_api: MakeRestApi,
) -> None:
    options = {"USER_CONTENT_TYPE": '{"report": [5001, "application/pdf"]}'}
    rest_api: RestApi = await make_rest_api(**options)  # type: ignore[misc]
    ids = (await rest_api.store(ct_file())).public_ids
    base = f"/instances/{ids.instance}/attachments"
    await rest_api.client.put(f"{base}/report", content=b"%PDF")
    assert await rest_api.get(f"{base}?full") == {"dicom": 1, "report": 5001}
    read = await rest_api.client.get(f"{base}/5001/data")
    assert read.headers["content-type"] == "application/pdf"
    query = {"Level": "Instance", "Query": {}, "ResponseContent": ["Attachments"]}
    [found] = await rest_api.post("/tools/find", query)
    assert [one["ContentType"] for one in found["Attachments"]] == [1, 5001]


async def test_a_new_file_replaces_the_old_one_whose_object_goes(rest_api: RestApi) -> None:
    ids = (await rest_api.store(ct_file())).public_ids
    path = f"/studies/{ids.study}/attachments/1024"
    await rest_api.client.put(path, content=b"one")
    wrong = {"If-Match": etag(0, b"two")}
    assert (await rest_api.client.put(path, content=b"x", headers=wrong)).status_code == 409
    right = {"If-Match": etag(0, b"one")}
    written = await rest_api.client.put(path, content=b"two", headers=right)
    assert written.headers["etag"] == etag(1, b"two")
    assert (await rest_api.client.get(f"{path}/data")).content == b"two"
    known = {"If-None-Match": etag(1, b"two")}
    assert (await rest_api.client.get(f"{path}/data", headers=known)).status_code == 304
    assert (await rest_api.client.delete(path)).status_code == 200
    assert await rest_api.refusal("DELETE", path) == (404, 17, "")
    assert await rest_api.refusal("GET", f"{path}/data") == (404, 17, "")


async def test_attachments_go_with_their_resource(rest_api: RestApi) -> None:
    ids = (await rest_api.store(ct_file())).public_ids
    await rest_api.client.put(f"/patients/{ids.patient}/attachments/1024", content=b"x")
    await rest_api.client.delete(f"/studies/{ids.study}")
    await rest_api.store(ct_file(PatientID="another"))
    assert (await rest_api.client.get(f"/patients/{ids.patient}")).status_code == 404
    # The collector may have been quicker.
    for key in await keys(rest_api):
        assert await _is_garbage(rest_api, key)


async def test_what_is_refused_leaves_nothing_in_the_store(rest_api: RestApi) -> None:
    ids = (await rest_api.store(ct_file())).public_ids
    base = f"/instances/{ids.instance}/attachments"
    for name, status, code in (("dicom", 403, 45), ("3", 403, 45), ("65536", 404, 7)):
        assert (await rest_api.refusal("PUT", f"{base}/{name}"))[:2] == (status, code)
    assert (await rest_api.refusal("PUT", "/instances/nowhere/attachments/1024"))[0] == 404
    assert await keys(rest_api) == []
