"""The routes of Orthanc's worklist plugin."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.rest_api import MakeRestApi, RestApi
from tests.fixtures.worklist_files import make_worklist

TAGS: dict[str, Any] = {
    "PatientID": "PID-45",
    "PatientName": "Müller^Jörg",
    "ScheduledProcedureStepSequence": [
        {"Modality": "US", "ScheduledProcedureStepStartDate": "20251014"}
    ],
}


@pytest.fixture(params=["folder", "database"])
async def api(request: pytest.FixtureRequest, make_rest_api: Any, tmp_path: Path) -> RestApi:
    options = {"WORKLISTS__ENABLE": "true"}
    if request.param == "folder":
        options["WORKLISTS__DIRECTORY"] = str(tmp_path / "worklists")
    made: RestApi = await make_rest_api(STABLE_AGE="1", **options)
    return made


async def test_an_item_is_made_shown_listed_and_removed(api: RestApi) -> None:
    made = await api.post("/worklists/create", {"Tags": TAGS})
    assert made["Path"] == f"/worklists/{made['ID']}"
    shown = await api.get(made["Path"])
    assert shown["ID"] == made["ID"]
    assert shown["Tags"]["PatientName"] == "Müller^Jörg"
    assert shown["Tags"]["StudyInstanceUID"].startswith("2.25.")
    assert shown["Tags"]["ScheduledProcedureStepSequence"] == [
        {"Modality": "US", "ScheduledProcedureStepStartDate": "20251014"}
    ]
    (listed,) = await api.get("/worklists/?format=Short")
    listed.pop("CreationDate", None)  # only the database knows
    assert listed["ID"] == made["ID"]
    assert listed["Tags"]["0010,0020"] == "PID-45"
    (full,) = await api.get("/worklists?format=Full")
    assert full["Tags"]["0010,0020"] == {"Name": "PatientID", "Type": "String", "Value": "PID-45"}
    answer = await api.client.delete(made["Path"])
    assert (answer.status_code, answer.text) == (200, "{}")
    assert await api.get("/worklists") == []
    assert (await api.refusal("DELETE", made["Path"]))[:2] == (404, 17)
    assert (await api.refusal("GET", made["Path"]))[:2] == (404, 17)


async def test_an_item_is_replaced(api: RestApi) -> None:
    made = await api.post("/worklists/create", {"Tags": TAGS})
    answer = await api.client.put(made["Path"], json={"Tags": {"PatientID": "other"}})
    assert answer.json() == made
    shown = await api.get(made["Path"])
    assert shown["Tags"]["PatientID"] == "other"
    assert "PatientName" not in shown["Tags"]


WRONG_BODIES: list[tuple[Any, int, str]] = [
    ([], 15, "Tags must be an object of DICOM tags"),
    ({"Tags": []}, 15, "Tags must be an object of DICOM tags"),
    ({"Tags": {}}, 15, "an item needs a ScheduledProcedureStepSequence"),
    (
        {"Tags": {"ScheduledProcedureStepSequence": []}},
        15,
        "a scheduled procedure step needs a Modality",
    ),
    (
        {"Tags": {"ScheduledProcedureStepSequence": [{"Modality": "CT"}]}},
        15,
        "needs a ScheduledProcedureStepStartDate",
    ),
    ({"Tags": TAGS, "Force": "yes"}, 15, "Force"),
    ({"Tags": {"NoSuchTag": ""}}, 27, "NoSuchTag"),
]


async def test_what_no_modality_would_find_is_refused(api: RestApi) -> None:
    for body, code, details in WRONG_BODIES:
        _, orthanc_code, told = await api.refusal("POST", "/worklists/create", body)
        assert orthanc_code == code, body
        assert details in told
    assert await api.get("/worklists") == []


async def test_force_takes_what_no_modality_would_find(api: RestApi) -> None:
    made = await api.post("/worklists/create", {"Tags": {"PatientID": "1"}, "Force": True})
    assert (await api.get(made["Path"]))["Tags"]["PatientID"] == "1"


async def test_an_unknown_format_is_refused(api: RestApi) -> None:
    assert (await api.refusal("GET", "/worklists?format=XML"))[:2] == (400, 3)


async def test_files_of_others_are_shown_by_their_names(
    make_rest_api: MakeRestApi, tmp_path: Path
) -> None:
    folder = tmp_path / "data" / "items"
    folder.mkdir(parents=True)
    (folder / "from the RIS.wl").write_bytes(make_worklist())
    (folder / "broken.wl").write_bytes(b"?")
    api: RestApi = await make_rest_api(  # type: ignore[misc]
        WORKLISTS__ENABLE="true", WORKLISTS__Database="items"
    )
    (listed,) = await api.get("/worklists")
    assert listed["ID"] == "from the RIS"
    assert (await api.get("/worklists/from%20the%20RIS"))["Tags"]["PatientID"] == "P1"
    assert (await api.refusal("GET", "/worklists/broken"))[:2] == (400, 15)
    assert (await api.refusal("GET", "/worklists/..%2Fsecret"))[0] == 404


async def test_the_routes_are_there_only_if_worklists_are_enabled(rest_api: RestApi) -> None:
    assert (await rest_api.refusal("GET", "/worklists"))[:2] == (404, 17)
    assert (await rest_api.refusal("POST", "/worklists/create", {"Tags": TAGS}))[:2] == (404, 17)
    assert await rest_api.get("/plugins") == ["explorer.js"]


async def test_worklists_are_listed_among_the_plugins(api: RestApi) -> None:
    assert await api.get("/plugins") == ["explorer.js", "worklists"]
    assert (await api.get("/plugins/worklists"))["ID"] == "worklists"
