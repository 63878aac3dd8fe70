"""Resources over HTTP: listed, shown, searched, labelled, deleted."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from tests.fixtures.dicom_files import ct_file
from tests.fixtures.rest_api import RestApi


@pytest.fixture
async def two_series(rest_api: RestApi) -> list[Any]:
    """Store a study of two series with three instances."""
    study = {"PatientID": "P1", "PatientName": "Doe^Jane", "StudyInstanceUID": generate_uid()}
    first, second = generate_uid(), generate_uid()
    return [
        await rest_api.store(
            ct_file(**study, SeriesInstanceUID=uid, InstanceNumber=number, Modality=modality)
        )
        for uid, number, modality in ((first, 1, "CT"), (first, 2, "CT"), (second, 7, "PT"))
    ]


async def test_a_study_is_shown_as_orthanc_shows_it(
    rest_api: RestApi, two_series: list[Any]
) -> None:
    ids = two_series[0].public_ids
    study = await rest_api.get(f"/studies/{ids.study}")
    assert study.keys() == {
        "ID", "IsStable", "Labels", "LastUpdate", "MainDicomTags", "ParentPatient",
        "PatientMainDicomTags", "Series", "Type",
    }  # fmt: skip
    assert study["ParentPatient"] == ids.patient
    assert study["PatientMainDicomTags"]["PatientName"] == "Doe^Jane"
    assert set(study["Series"]) == {receipt.public_ids.series for receipt in two_series}


async def test_an_instance_has_sizes_and_no_stability(
    rest_api: RestApi, two_series: list[Any]
) -> None:
    receipt = two_series[1]
    instance = await rest_api.get(f"/instances/{receipt.public_ids.instance}")
    assert instance["FileSize"] == receipt.size_bytes
    assert instance["IndexInSeries"] == 2
    assert instance["FileUuid"] in receipt.object_key
    assert not {"IsStable", "LastUpdate"} & instance.keys()


async def test_listings_give_ids_unless_expanded(rest_api: RestApi, two_series: list[Any]) -> None:
    ids = await rest_api.get("/instances/")
    assert set(ids) == {receipt.public_ids.instance for receipt in two_series}
    expanded = await rest_api.get("/instances?expand&since=1&limit=1")
    assert [one["ID"] for one in expanded] == ids[1:2]
    assert await rest_api.get("/instances?since=99&limit=1") == []


@pytest.mark.parametrize(
    ("query", "code", "details"),
    [
        ("limit=1", 8, 'Missing "since" argument for GET request against: /patients/'),
        ("since=1", 8, 'Missing "limit" argument for GET request against: /patients/'),
        ("since=x&limit=1", 5, "Syntax error in some user-supplied data"),
        ("expand=maybe", 3, 'Expected a Boolean for GET argument "expand", found: maybe'),
        ("response-content=No", 3, 'Unrecognized value for "ResponseContent": No'),
        ("expand&requested-tags=No", 8, "Invalid requested-tags argument: Unknown DICOM tag No"),
    ],
)
async def test_bad_parameters_are_refused_in_orthancs_words(
    rest_api: RestApi, query: str, code: int, details: str
) -> None:
    assert await rest_api.refusal("GET", f"/patients?{query}") == (400, code, details)


async def test_children_are_expanded_unless_told_otherwise(
    rest_api: RestApi, two_series: list[Any]
) -> None:
    patient_id = two_series[0].public_ids.patient
    children = await rest_api.get(f"/patients/{patient_id}/series")
    assert {child["Type"] for child in children} == {"Series"}
    ids = await rest_api.get(f"/patients/{patient_id}/series?expand=false")
    assert set(ids) == {child["ID"] for child in children}


async def test_ancestors_are_found_from_below(rest_api: RestApi, two_series: list[Any]) -> None:
    ids = two_series[2].public_ids
    for name, expected in (("series", ids.series), ("study", ids.study), ("patient", ids.patient)):
        found = await rest_api.get(f"/instances/{ids.instance}/{name}")
        assert found["ID"] == expected


async def test_requested_tags_come_from_index_counts_and_files(
    rest_api: RestApi, two_series: list[Any]
) -> None:
    ids = two_series[0].public_ids
    tags = "PatientName;StudyDate;Rows;PatientComments;ModalitiesInStudy"
    study = await rest_api.get(f"/studies/{ids.study}?requested-tags={tags}")
    assert study["RequestedTags"] == {
        "PatientName": "Doe^Jane",
        "StudyDate": "20240102",
        "Rows": "8",
        "PatientComments": None,
        "ModalitiesInStudy": "CT\\PT",
    }
    instance = await rest_api.get(f"/instances/{ids.instance}?requested-tags=Modality;Rows&full")
    assert instance["RequestedTags"] == {
        "0008,0060": {"Name": "Modality", "Type": "String", "Value": "CT"},
        "0028,0010": {"Name": "Rows", "Type": "String", "Value": "8"},
    }


async def test_requested_tags_of_the_patient_are_those_of_the_study(rest_api: RestApi) -> None:
    await rest_api.store(ct_file(PatientID="P", PatientName="First", PatientSex="F"))
    later = ct_file(PatientID="P", PatientName="Second")
    ids = (await rest_api.store(later)).public_ids
    for path in (f"/studies/{ids.study}", f"/series/{ids.series}", f"/instances/{ids.instance}"):
        found = await rest_api.get(f"{path}?requested-tags=PatientID;PatientName;PatientSex")
        assert found["RequestedTags"] == {"PatientID": "P", "PatientName": "Second"}
    patient = await rest_api.get(f"/patients/{ids.patient}?requested-tags=PatientName")
    assert patient["RequestedTags"] == {"PatientName": "First"}


async def test_main_tags_that_are_sequences_are_shown(rest_api: RestApi) -> None:
    item = Dataset()
    item.RequestedProcedureID = "R1"
    receipt = await rest_api.store(ct_file(RequestAttributesSequence=[item]))
    path = f"/series/{receipt.public_ids.series}"
    tags = (await rest_api.get(path))["MainDicomTags"]
    assert tags["RequestAttributesSequence"] == [{"RequestedProcedureID": "R1"}]
    short = (await rest_api.get(f"{path}?short"))["MainDicomTags"]
    assert short["0040,0275"] == [{"0040,1001": "R1"}]
    metadata = await rest_api.get(f"{path}/metadata?expand")
    kept = json.loads(metadata["MainDicomSequences"])
    assert kept["Sequences"].keys() == {"0040,0275"}


async def test_response_content_chooses_the_parts(rest_api: RestApi, two_series: list[Any]) -> None:
    [study] = await rest_api.get("/studies?response-content=Labels;Children")
    assert study.keys() == {"ID", "Type", "Labels", "Series"}


async def test_unknown_resources_are_not_found(rest_api: RestApi) -> None:
    for path in ("/studies/no", "/studies/no/series", "/series/no/metadata", "/series/no/labels"):
        assert await rest_api.refusal("GET", path) == (404, 17, "")
    assert await rest_api.refusal("DELETE", "/studies/no") == (404, 17, "")
    assert await rest_api.refusal("GET", "/patients/no/protected") == (400, 3, "")


async def test_deleting_names_the_lowest_that_is_left(
    rest_api: RestApi, two_series: list[Any]
) -> None:
    ids = two_series[2].public_ids
    answer = (await rest_api.client.delete(f"/instances/{ids.instance}")).json()
    left = {"ID": ids.study, "Path": f"/studies/{ids.study}", "Type": "Study"}
    assert answer == {"RemainingAncestor": left}
    answer = (await rest_api.client.delete(f"/studies/{ids.study}")).json()
    assert answer == {"RemainingAncestor": None}
    assert await rest_api.get("/patients") == []


async def test_statistics_count_what_is_below(rest_api: RestApi, two_series: list[Any]) -> None:
    ids = two_series[0].public_ids
    size_bytes = sum(receipt.size_bytes for receipt in two_series)
    study = await rest_api.get(f"/studies/{ids.study}/statistics")
    assert (study["CountSeries"], study["CountInstances"]) == (2, 3)
    assert study["DiskSize"] == str(size_bytes)
    assert "CountStudies" not in study
    everything = await rest_api.get("/statistics")
    assert everything["CountInstances"] == 3
    assert everything["TotalDiskSize"] == str(size_bytes)


async def test_protection_is_written_and_read(rest_api: RestApi, two_series: list[Any]) -> None:
    path = f"/patients/{two_series[0].public_ids.patient}"
    assert (await rest_api.client.get(f"{path}/protected")).text == "0"
    assert (await rest_api.client.put(f"{path}/protected", content="1")).status_code == 200
    assert (await rest_api.client.get(f"{path}/protected")).text == "1"
    assert (await rest_api.get(path))["IsProtected"] is True
    answer = await rest_api.client.put(f"{path}/protected", content="2")
    assert (answer.status_code, answer.json()["OrthancStatus"]) == (400, 15)


async def test_labels_are_set_found_and_removed(rest_api: RestApi, two_series: list[Any]) -> None:
    study_id = two_series[0].public_ids.study
    path = f"/studies/{study_id}/labels"
    for label in ("b", "A-_1", "b"):
        answer = await rest_api.client.put(f"{path}/{label}")
        assert (answer.status_code, answer.headers["content-type"]) == (200, "text/plain")
    assert await rest_api.get(path) == ["A-_1", "b"]
    assert await rest_api.get("/tools/labels") == ["A-_1", "b"]
    find = {"Level": "Study", "Query": {}, "Labels": ["b"]}
    assert await rest_api.post("/tools/find", find) == [study_id]
    assert await rest_api.post("/tools/find", find | {"LabelsConstraint": "None"}) == []
    for _ in range(2):
        assert (await rest_api.client.delete(f"{path}/b")).status_code == 200
    assert (await rest_api.client.get(f"{path}/b")).status_code == 404
    status, code, details = await rest_api.refusal("PUT", f"{path}/a.b")
    assert (status, code) == (400, 3)
    assert details.endswith("with maximum 64 characters, but got: a.b")


async def test_changes_are_paged_by_their_numbers(rest_api: RestApi, two_series: list[Any]) -> None:
    first = await rest_api.get("/changes?limit=2")
    assert [change["ChangeType"] for change in first["Changes"]] == ["NewInstance", "NewSeries"]
    assert first["Done"] is False
    change = first["Changes"][0]
    assert change["Path"] == f"/instances/{change['ID']}"
    rest = await rest_api.get(f"/changes?since={first['Last']}")
    assert rest["Done"] is True
    assert rest["First"] == rest["Changes"][0]["Seq"] > first["Last"]
    last = await rest_api.get("/changes?last")
    assert last["Changes"] == rest["Changes"][-1:]
    assert (await rest_api.client.delete("/changes")).status_code == 200
    assert await rest_api.get("/changes") == {"Changes": [], "Done": True, "Last": rest["Last"]}


async def test_changes_of_an_unknown_type_are_refused(rest_api: RestApi) -> None:
    refusal = await rest_api.refusal("GET", "/changes?type=No")
    assert refusal == (400, 3, "Invalid value for a change: No")


async def test_attachments_are_the_file(rest_api: RestApi, two_series: list[Any]) -> None:
    receipt = two_series[0]
    path = f"/instances/{receipt.public_ids.instance}/attachments"
    assert await rest_api.get(path) == ["dicom"]
    assert await rest_api.get(f"{path}?full") == {"dicom": 1}
    data = await rest_api.client.get(f"{path}/dicom/data")
    assert data.content == await rest_api.system.objects.get(receipt.object_key)
    assert data.headers["content-disposition"].startswith('filename="')
    part = await rest_api.client.get(f"{path}/dicom/data", headers={"Range": "bytes=128-131"})
    assert (part.status_code, part.content) == (206, b"DICM")
    assert part.headers["content-range"] == f"bytes 128-131/{receipt.size_bytes}"
    beyond = {"Range": f"bytes={receipt.size_bytes}-"}
    assert (await rest_api.client.get(f"{path}/dicom/data", headers=beyond)).status_code == 416
    known = {"If-None-Match": data.headers["etag"]}
    assert (await rest_api.client.get(f"{path}/dicom/info", headers=known)).status_code == 304
    assert await rest_api.refusal("GET", f"{path}/no") == (404, 7, "")
    assert await rest_api.refusal("DELETE", f"{path}/dicom") == (403, 45, "")


async def test_shared_tags_are_those_with_one_value(
    rest_api: RestApi, two_series: list[Any]
) -> None:
    ids = two_series[0].public_ids
    shared = await rest_api.get(f"/studies/{ids.study}/shared-tags?simplify")
    assert shared["PatientID"] == "P1"
    assert "Modality" not in shared
    tags = await rest_api.get(f"/series/{ids.series}/instances-tags?short")
    assert {one["0020,0013"] for one in tags.values()} == {"1", "2"}
    module = await rest_api.get(f"/studies/{ids.study}/module-patient?simplify")
    assert module == {"PatientID": "P1", "PatientName": "Doe^Jane"}
