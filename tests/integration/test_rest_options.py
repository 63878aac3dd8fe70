"""Options of the configuration that change what the REST API answers, as in Orthanc 1.13.0."""

from __future__ import annotations

from typing import Any

import pytest

from tests.fixtures.dicom_files import ct_file
from tests.fixtures.rest_api import RestApi

EXPLORER = ["/", "/app", "/app/", "/app/explorer.html", "/favicon.ico", "/app/images/favicon.ico"]


@pytest.mark.parametrize("path", EXPLORER)
async def test_without_the_explorer_its_pages_are_nowhere(make_rest_api: Any, path: str) -> None:
    rest_api: RestApi = await make_rest_api(ORTHANC_EXPLORER_ENABLED="false")
    assert await rest_api.refusal("GET", path) == (404, 17, "")
    assert await rest_api.get("/patients") == []


async def test_without_metrics_there_are_no_figures(make_rest_api: Any) -> None:
    rest_api: RestApi = await make_rest_api(METRICS_ENABLED="false")
    answer = await rest_api.client.get("/tools/metrics-prometheus")
    assert (answer.status_code, answer.text) == (200, "")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4"


async def test_connections_can_be_ended_with_each_answer(
    rest_api: RestApi, make_rest_api: Any
) -> None:
    assert "connection" not in (await rest_api.client.get("/system")).headers
    other: RestApi = await make_rest_api(indexing=False, KEEP_ALIVE="false")
    assert (await other.client.get("/system")).headers["connection"] == "close"


@pytest.mark.parametrize("access", ["Always", "Answers"])
async def test_searches_open_files_for_what_is_not_indexed(make_rest_api: Any, access: str) -> None:
    rest_api: RestApi = await make_rest_api(STORAGE_ACCESS_ON_FIND=access)
    receipt = await rest_api.store(ct_file(rows=4))
    await rest_api.store(ct_file(rows=8))
    query = {"Level": "Study", "Query": {"Rows": "4"}, "Expand": True, "RequestedTags": ["Rows"]}
    [study] = await rest_api.post("/tools/find", query)
    assert (study["ID"], study["RequestedTags"]) == (receipt.public_ids.study, {"Rows": "4"})


async def test_searches_may_be_kept_from_opening_files(make_rest_api: Any) -> None:
    rest_api: RestApi = await make_rest_api(STORAGE_ACCESS_ON_FIND="Never")
    receipt = await rest_api.store(ct_file(rows=4, PatientID="P1"))
    ids = receipt.public_ids
    by_rows = {"Level": "Study", "Query": {"Rows": "4"}}
    assert await rest_api.post("/tools/find", by_rows) == []
    assert await rest_api.post("/tools/count-resources", by_rows) == {"Count": 0}
    by_count = {"Level": "Study", "Query": {"NumberOfStudyRelatedInstances": "1", "Rows": ""}}
    assert await rest_api.post("/tools/find", by_count) == [ids.study]
    by_count["Query"] = {"NumberOfStudyRelatedInstances": "2"}
    assert await rest_api.post("/tools/find", by_count) == []
    tags = "Rows;ModalitiesInStudy;PatientID"
    study = await rest_api.get(f"/studies/{ids.study}?requestedTags={tags}")
    assert study["RequestedTags"] == {"ModalitiesInStudy": "CT", "PatientID": "P1"}
    assert (await rest_api.get(f"/instances/{ids.instance}/simplified-tags"))["Rows"] == "4"


async def test_without_md5_attachments_have_none(make_rest_api: Any) -> None:
    rest_api: RestApi = await make_rest_api(STORE_MD5_FOR_ATTACHMENTS="false")
    receipt = await rest_api.store(ct_file())
    path = f"/instances/{receipt.public_ids.instance}/attachments/dicom"
    assert not [name for name in await rest_api.get(path) if "md5" in name]
    info = await rest_api.get(f"{path}/info")
    assert (info["CompressedMD5"], info["UncompressedMD5"]) == ("", "")
    assert info["UncompressedSize"] == receipt.size_bytes
    for name in ("md5", "compressed-md5"):
        assert (await rest_api.refusal("GET", f"{path}/{name}"))[0] == 404
    assert (await rest_api.refusal("POST", f"{path}/verify-md5"))[0] == 400


async def test_with_md5_attachments_tell_it(rest_api: RestApi) -> None:
    receipt = await rest_api.store(ct_file())
    path = f"/instances/{receipt.public_ids.instance}/attachments/dicom"
    md5 = (await rest_api.client.get(f"{path}/md5")).text
    info = await rest_api.get(f"{path}/info")
    assert len(md5) == 32
    assert (info["CompressedMD5"], info["UncompressedMD5"]) == (md5, md5)
    assert {"md5", "compressed-md5", "verify-md5"} < set(await rest_api.get(path))


async def test_the_limit_of_instances_is_their_own(make_rest_api: Any) -> None:
    rest_api: RestApi = await make_rest_api(LIMIT_FIND_INSTANCES="2")
    for _ in range(3):
        await rest_api.store(ct_file())
    found = await rest_api.post("/tools/find", {"Level": "Instance", "Query": {}})
    assert len(found) == 2
    assert len(await rest_api.post("/tools/find", {"Level": "Series", "Query": {}})) == 3
    assert await rest_api.post("/tools/count-resources", {"Level": "Instance", "Query": {}}) == {
        "Count": 3
    }
    assert len(await rest_api.get("/instances")) == 3
