"""Metadata over HTTP: names, numbers and revisions."""

from __future__ import annotations

from typing import Any

import pytest

from tests.fixtures.dicom_files import ct_file
from tests.fixtures.rest_api import RestApi

HELLO = '"0-5d41402abc4b2a76b9719d911017c592"'


@pytest.fixture
async def path(rest_api: RestApi) -> str:
    receipt = await rest_api.store(ct_file())
    return f"/instances/{receipt.public_ids.instance}/metadata"


async def test_metadata_are_listed_by_name_or_number(rest_api: RestApi, path: str) -> None:
    names = await rest_api.get(path)
    assert names[:2] == ["IndexInSeries", "ReceptionDate"]
    assert (await rest_api.get(f"{path}?numeric"))[:2] == [1, 2]
    values = await rest_api.get(f"{path}?expand")
    assert values["Origin"] == "RestApi"
    assert (await rest_api.get(f"{path}?expand&numeric"))["8"] == "RestApi"


async def test_a_value_is_a_plain_text_with_a_revision(rest_api: RestApi, path: str) -> None:
    for name in ("Origin", "8"):
        answer = await rest_api.client.get(f"{path}/{name}")
        assert (answer.text, answer.headers["content-type"]) == ("RestApi", "text/plain")
        assert answer.headers["etag"] == '"0-6a51804f85f17e32298545094d1ebafb"'


async def test_users_write_read_and_delete_their_own(rest_api: RestApi, path: str) -> None:
    written = await rest_api.client.put(f"{path}/1024", content="hello")
    assert (written.status_code, written.headers["etag"]) == (200, HELLO)
    assert (await rest_api.client.get(f"{path}/1024")).text == "hello"
    assert (await rest_api.get(f"{path}?expand"))["1024"] == "hello"
    assert (await rest_api.client.delete(f"{path}/1024")).status_code == 200
    assert await rest_api.refusal("DELETE", f"{path}/1024") == (404, 17, "")
    assert await rest_api.refusal("GET", f"{path}/1024") == (404, 17, "")


async def test_what_a_client_knows_is_not_sent_again(rest_api: RestApi, path: str) -> None:
    await rest_api.client.put(f"{path}/1024", content="hello")
    known = await rest_api.client.get(f"{path}/1024", headers={"If-None-Match": HELLO})
    assert (known.status_code, known.content) == (304, b"")
    odd = await rest_api.client.get(f"{path}/1024", headers={"If-None-Match": "no"})
    assert (odd.status_code, odd.json()["OrthancStatus"]) == (400, 3)


async def test_another_revision_than_expected_is_not_overwritten(
    rest_api: RestApi, path: str
) -> None:
    await rest_api.client.put(f"{path}/1024", content="hello")
    first = {"If-Match": HELLO}
    second = await rest_api.client.put(f"{path}/1024", content="hello2", headers=first)
    assert second.headers["etag"].startswith('"1-')
    late = await rest_api.client.put(f"{path}/1024", content="hello3", headers=first)
    assert (late.status_code, late.json()["OrthancStatus"]) == (409, 43)
    assert (await rest_api.client.get(f"{path}/1024")).text == "hello2"


async def test_revisions_can_be_made_obligatory(make_rest_api: Any) -> None:
    rest_api: RestApi = await make_rest_api(CHECK_REVISIONS="true")
    ids = (await rest_api.store(ct_file())).public_ids
    path = f"/series/{ids.series}/metadata/1024"
    assert (await rest_api.client.put(path, content="a")).status_code == 200
    expected = (409, 43, 'HTTP header "If-Match" is missing, as "CheckRevisions" is "true"')
    assert await rest_api.refusal("PUT", path, "b") == expected
    assert await rest_api.refusal("DELETE", path) == expected


async def test_system_metadata_and_unknown_names_are_refused(rest_api: RestApi, path: str) -> None:
    assert await rest_api.refusal("PUT", f"{path}/Origin", "a") == (403, 45, "")
    assert await rest_api.refusal("DELETE", f"{path}/8") == (403, 45, "")
    assert await rest_api.refusal("PUT", f"{path}/no", "a") == (404, 7, "")
    status, code, _ = await rest_api.refusal("PUT", "/series/no/metadata/1024", "a")
    assert (status, code) == (404, 17)


async def test_configured_names_stand_for_their_numbers(make_rest_api: Any) -> None:
    rest_api: RestApi = await make_rest_api(USER_METADATA='{"Doctor": 1025}')
    ids = (await rest_api.store(ct_file())).public_ids
    path = f"/studies/{ids.study}/metadata"
    assert (await rest_api.client.put(f"{path}/Doctor", content="Who")).status_code == 200
    assert (await rest_api.client.get(f"{path}/1025")).text == "Who"
    assert "Doctor" in await rest_api.get(path)
    find = {"Level": "Study", "Query": {}, "MetadataQuery": {"Doctor": "w*"}}
    assert await rest_api.post("/tools/find", find) == [ids.study]


async def test_only_texts_are_kept(rest_api: RestApi, path: str) -> None:
    for content in (b"\xff", b"a\0b"):
        answer = await rest_api.client.put(f"{path}/1024", content=content)
        assert (answer.status_code, answer.json()["OrthancStatus"]) == (400, 8)
