"""What `lanthorn import` tells a server of resources that it has stored."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lanthorn_core import wiring
from tests.fixtures.dicom_files import ct_file
from tests.fixtures.rest_api import RestApi

PATH = "/lanthorn/imported-resources"
RECEIVED = {
    "Level": "Instance",
    "History": {
        "Origin": "DicomProtocol",
        "RemoteAET": "CT99",
        "CalledAET": "ORTHANC",
        "RemoteIP": "10.1.1.1",
    },
    "ChangedAt": "20190102T030405",
    "Metadata": {"1024": "é"},
    "Labels": ["seen"],
}


async def test_an_instance_has_its_history_and_what_users_wrote_after_an_import(
    rest_api: RestApi,
) -> None:
    ids = (await rest_api.store(ct_file())).public_ids
    parents = [("Series", ids.series), ("Study", ids.study), ("Patient", ids.patient)]
    told: list[dict[str, Any]] = [RECEIVED | {"ID": ids.instance}]
    for level, public_id in parents:
        told.append({"Level": level, "ID": public_id, "ChangedAt": "20190102T030405"})
    told[-1]["IsProtected"] = True
    unknown = {"Instance": [], "Patient": [], "Series": [], "Study": []}
    assert await rest_api.post(PATH, told) == unknown

    metadata = await rest_api.get(f"/instances/{ids.instance}/metadata?expand")
    expected = {**RECEIVED["History"], "ReceptionDate": "20190102T030405", "1024": "é"}  # type: ignore[dict-item]
    assert expected.items() <= metadata.items()
    assert "HttpUsername" not in metadata
    assert await rest_api.get(f"/instances/{ids.instance}/labels") == ["seen"]
    patient = await rest_api.get(f"/patients/{ids.patient}")
    assert (patient["IsProtected"], patient["LastUpdate"]) == (True, "20190102T030405")
    study = await rest_api.get(f"/studies/{ids.study}")
    assert study["LastUpdate"] == "20190102T030405"


async def test_the_history_stays_when_the_index_is_built_again(rest_api: RestApi) -> None:
    ids = (await rest_api.store(ct_file())).public_ids
    path = f"/instances/{ids.instance}/metadata?expand"
    await rest_api.get(path)  # it is in the index
    await rest_api.post(PATH, [RECEIVED | {"ID": ids.instance}])
    told = await rest_api.get(path)
    await wiring.reindex(rest_api.system.settings)
    assert await rest_api.get(path) == told


async def test_nothing_is_older_than_what_lies_in_it(rest_api: RestApi) -> None:
    ids = (await rest_api.store(ct_file())).public_ids
    before = (await rest_api.get(f"/series/{ids.series}"))["LastUpdate"]
    await rest_api.post(
        PATH, [{"Level": "Series", "ID": ids.series, "ChangedAt": "20190102T030405"}]
    )
    after = (await rest_api.get(f"/series/{ids.series}"))["LastUpdate"]
    assert "20190102T030405" < after <= before


async def test_what_users_wrote_here_stays(rest_api: RestApi) -> None:
    ids = (await rest_api.store(ct_file())).public_ids
    path = f"/instances/{ids.instance}/metadata/1024"
    await rest_api.client.put(path, content="ours")
    await rest_api.post(PATH, [RECEIVED | {"ID": ids.instance}])
    assert (await rest_api.client.get(path)).text == "ours"


async def test_what_is_not_stored_is_named(rest_api: RestApi) -> None:
    data = ct_file()
    ids = (await rest_api.store(data)).public_ids
    answer = await rest_api.post(PATH, [RECEIVED | {"ID": "nowhere"}])
    assert answer["Instance"] == ["nowhere"]
    question = {"Level": "Instance", "Resources": ["nowhere", ids.instance]}
    stored = await rest_api.post("/lanthorn/stored-resources", question)
    assert stored == {ids.instance: len(data)}


@pytest.mark.parametrize(
    "wrong",
    [
        {"Level": "Frame"},
        {"History": {"TransferSyntax": "1.2"}},
        {"Metadata": {"9": "1.2"}},
        {"Metadata": {"1024": "a\0b"}},
        {"Labels": ["a b"]},
        {"ChangedAt": "yesterday"},
        {"Colour": "red"},
    ],
)
async def test_what_no_server_knows_of_a_resource_is_refused(
    rest_api: RestApi, wrong: dict[str, Any]
) -> None:
    body = json.dumps([RECEIVED | {"ID": "x"} | wrong])
    answer = await rest_api.client.post(PATH, content=body)
    assert (answer.status_code, answer.json()["type"]) == (400, "/problems/bad-request")
