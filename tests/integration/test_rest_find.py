"""Searching over HTTP, and what is done to many resources at once."""

from __future__ import annotations

from typing import Any

import pytest
from pydicom.dataset import Dataset

from tests.fixtures.dicom_files import ct_file
from tests.fixtures.rest_api import RestApi


def study_query(**query: str) -> dict[str, Any]:
    return {"Level": "Study", "Query": query}


async def test_names_match_whatever_the_case_unless_told_otherwise(rest_api: RestApi) -> None:
    receipt = await rest_api.store(ct_file(PatientName="Doe^Jane"))
    await rest_api.store(ct_file(PatientName="Roe^Jane"))
    query = study_query(PatientName="doe*")
    assert await rest_api.post("/tools/find", query) == [receipt.public_ids.study]
    assert await rest_api.post("/tools/find", query | {"CaseSensitive": True}) == []


async def test_dates_match_by_range(rest_api: RestApi) -> None:
    for date in ("20240101", "20240115", "20240201"):
        await rest_api.store(ct_file(StudyDate=date))
    query = study_query(StudyDate="20240110-20240131")
    assert len(await rest_api.post("/tools/find", query)) == 1
    assert await rest_api.post("/tools/count-resources", study_query(StudyDate="20240110-")) == {
        "Count": 2
    }


async def test_what_is_not_indexed_is_looked_up_in_files(rest_api: RestApi) -> None:
    small = await rest_api.store(ct_file(rows=4, StationName="A"))
    for _ in range(3):
        await rest_api.store(ct_file(rows=8))
    query = {"Level": "Instance", "Query": {"Rows": "4"}}
    assert await rest_api.post("/tools/find", query) == [small.public_ids.instance]
    assert await rest_api.post("/tools/count-resources", query) == {"Count": 1}
    others = {"Level": "Instance", "Query": {"Rows": "8"}}
    found = await rest_api.post("/tools/find", others)
    assert len(found) == 3
    window = others | {"Since": 1, "Limit": 1, "Expand": True}
    assert [one["ID"] for one in await rest_api.post("/tools/find", window)] == found[1:2]
    counted = {"Level": "Study", "Query": {"NumberOfStudyRelatedInstances": "1", "Rows": "4"}}
    assert await rest_api.post("/tools/find", counted) == [small.public_ids.study]


async def test_sequences_never_match(rest_api: RestApi) -> None:
    item = Dataset()
    item.CodeValue = "1"
    await rest_api.store(ct_file(ProcedureCodeSequence=[item]))
    assert await rest_api.post("/tools/find", study_query(ProcedureCodeSequence="1")) == []


async def test_a_tag_without_a_constraint_restricts_nothing_whatever_its_name(
    rest_api: RestApi,
) -> None:
    study = (await rest_api.store(ct_file())).public_ids.study
    query = {"NoSuchTag": "", "Rows": "", "StudyDate": ""}
    assert await rest_api.post("/tools/find", study_query(**query)) == [study]


async def test_answers_come_in_the_order_asked_for_and_in_windows(rest_api: RestApi) -> None:
    for date in ("20240115", "20240101", "20240201"):
        await rest_api.store(ct_file(StudyDate=date))
    order = {"Type": "DicomTag", "Key": "StudyDate", "Direction": "DESC"}
    body = study_query() | {"OrderBy": [order], "Expand": True, "Limit": 2}
    found = await rest_api.post("/tools/find", body)
    assert [one["MainDicomTags"]["StudyDate"] for one in found] == ["20240201", "20240115"]
    assert len(await rest_api.post("/tools/find", body | {"Since": 2})) == 1
    assert await rest_api.post("/tools/find", body | {"Since": 4}) == []


@pytest.fixture
async def numbered(rest_api: RestApi) -> RestApi:
    """Hold studies whose AccessionNumber and StudyDescription are numbers, or are not."""
    for number, text in (("10", "1.5"), ("9", "-2"), ("x", "no"), ("-3", "1e2"), (None, None)):
        described = {} if text is None else {"StudyDescription": text}
        await rest_api.store(ct_file(AccessionNumber=number, **described))
    return rest_api


@pytest.mark.parametrize(
    ("kind", "key", "direction", "expected"),
    [
        ("DicomTag", "AccessionNumber", "ASC", ["-3", "10", "9", "x", None]),
        ("DicomTag", "AccessionNumber", "DESC", ["x", "9", "10", "-3", None]),
        ("DicomTagAsInt", "AccessionNumber", "ASC", ["-3", "9", "10", "x", None]),
        ("DicomTagAsInt", "AccessionNumber", "DESC", ["10", "9", "-3", "x", None]),
        ("DicomTagAsInt", "StudyDescription", "ASC", ["-2", "1.5", "1e2", "no", None]),
        ("DicomTagAsFloat", "StudyDescription", "ASC", ["-2", "1.5", "1e2", "no", None]),
        ("dicomtagasfloat", "StudyDescription", "desc", ["1e2", "1.5", "-2", "no", None]),
    ],
)
async def test_numbers_sort_as_numbers_and_missing_values_come_last(
    numbered: RestApi, kind: str, key: str, direction: str, expected: list[str | None]
) -> None:
    order = {"Type": kind, "Key": key, "Direction": direction}
    body = study_query() | {"OrderBy": [order], "Expand": True}
    found = await numbered.post("/tools/find", body)
    assert [one["MainDicomTags"].get(key) for one in found] == expected


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("AccessionNumber", ["Aa", "ab", "B"]),
        ("StudyDescription", ["Aa", "ab", "B"]),
        ("PatientName", ["Aa", "ab", "B"]),
        ("InstitutionName", ["Aa", "B", "ab"]),
    ],
)
async def test_identifying_texts_sort_without_case_as_in_orthanc(
    rest_api: RestApi, key: str, expected: list[str]
) -> None:
    for value in ("B", "ab", "Aa"):
        await rest_api.store(ct_file(**{key: value}))
    order = {"Type": "DicomTag", "Key": key, "Direction": "ASC"}
    body = study_query() | {"OrderBy": [order], "Expand": True}
    found = await rest_api.post("/tools/find", body)
    shown = [one["MainDicomTags"] | one["PatientMainDicomTags"] for one in found]
    assert [tags[key] for tags in shown] == expected


async def test_metadata_sort_as_numbers(rest_api: RestApi) -> None:
    studies = [(await rest_api.store(ct_file())).public_ids.study for _ in range(3)]
    await rest_api.get("/studies")  # all of them are indexed now
    for study, value in zip(studies, ("10", "9"), strict=False):
        answer = await rest_api.client.put(f"/studies/{study}/metadata/1024", content=value)
        assert answer.status_code == 200
    for kind, expected in (
        ("Metadata", studies),
        ("MetadataAsInt", [studies[1], studies[0], studies[2]]),
        ("MetadataAsFloat", [studies[1], studies[0], studies[2]]),
    ):
        order = {"Type": kind, "Key": "1024", "Direction": "ASC"}
        found = await rest_api.post("/tools/find", study_query() | {"OrderBy": [order]})
        assert found == expected


async def test_the_second_order_decides_between_equals(rest_api: RestApi) -> None:
    for date, number in (("20240102", "10"), ("20240101", "8"), ("20240102", "9")):
        await rest_api.store(ct_file(StudyDate=date, AccessionNumber=number))
    orders = [
        {"Type": "DicomTag", "Key": "StudyDate", "Direction": "DESC"},
        {"Type": "DicomTagAsInt", "Key": "AccessionNumber", "Direction": "ASC"},
    ]
    body = study_query() | {"OrderBy": orders, "Expand": True}
    found = await rest_api.post("/tools/find", body)
    assert [one["MainDicomTags"]["AccessionNumber"] for one in found] == ["9", "10", "8"]


async def test_parents_and_metadata_restrict_a_search(rest_api: RestApi) -> None:
    receipt = await rest_api.store(ct_file())
    await rest_api.store(ct_file())
    body = {"Level": "Series", "Query": {}, "ParentPatient": receipt.public_ids.patient}
    assert await rest_api.post("/tools/find", body) == [receipt.public_ids.series]
    body = {"Level": "Instance", "Query": {}, "MetadataQuery": {"Origin": "rest*"}}
    assert len(await rest_api.post("/tools/find", body)) == 2
    body["MetadataQuery"] = {"Origin": "a\\restapi", "RemoteIP": "10.*"}
    assert await rest_api.post("/tools/find", body) == []


async def test_a_configured_limit_caps_the_answers(make_rest_api: Any) -> None:
    rest_api: RestApi = await make_rest_api(LIMIT_FIND_RESULTS="2")
    for _ in range(3):
        await rest_api.store(ct_file())
    assert len(await rest_api.post("/tools/find", study_query())) == 2
    assert len(await rest_api.post("/tools/find", study_query() | {"Limit": 1})) == 1
    assert len(await rest_api.post("/tools/find", {"Level": "Instance", "Query": {}})) == 3


async def test_the_formats_and_parts_of_answers_can_be_chosen(rest_api: RestApi) -> None:
    await rest_api.store(ct_file(PatientName="Doe^Jane"))
    body = {"Level": "Patient", "Query": {}, "ResponseContent": ["MainDicomTags"], "Short": True}
    [patient] = await rest_api.post("/tools/find", body | {"RequestedTags": ["Rows"]})
    assert patient.keys() == {"ID", "Type", "MainDicomTags", "RequestedTags"}
    assert patient["MainDicomTags"]["0010,0010"] == "Doe^Jane"
    assert patient["RequestedTags"] == {"0028,0010": "8"}


@pytest.mark.parametrize(
    ("body", "status", "code", "details"),
    [
        ([], 400, 8, "The body must contain a JSON object"),
        ({"Query": {}}, 400, 8, 'Field "Level" is missing, or should be a string'),
        ({"Level": "Study"}, 400, 8, 'Field "Query" is missing, or should be a JSON object'),
        (study_query() | {"Level": "no"}, 400, 3, "Invalid resource type 'no'"),
        (study_query(No="1"), 500, 27, "No"),
        (
            study_query() | {"OrderBy": [{"Type": "no", "Key": "StudyDate", "Direction": "ASC"}]},
            400,
            8,
            'Field "Type" must be "DicomTag", "DicomTagAsInt", "DicomTagAsFloat" or "Metadata", '
            '"MetadataAsInt", "MetadataAsFloat"',
        ),
        (study_query(StudyInstanceUID="1*"), 400, 3, "Wildcards are not allowed on tag 0020,000d"),
    ],
)
async def test_bad_searches_are_refused_in_orthancs_words(
    rest_api: RestApi, body: Any, status: int, code: int, details: str
) -> None:
    assert await rest_api.refusal("POST", "/tools/find", body) == (status, code, details)


@pytest.mark.parametrize("odd", ["\\u0000", "\\ud800", "\\udc00x"])
@pytest.mark.parametrize(
    "body",
    [
        '{"Level": "Study", "Query": {"PatientName": "%s"}}',
        '{"Level": "Study", "Query": {}, "ParentPatient": "%s"}',
        '{"Level": "Study", "Query": {}, "Labels": ["%s"]}',
        '{"Level": "%s", "Query": {}}',
        '{"Level": "Study", "Query": {}, "%s": 1}',
    ],
)
async def test_what_is_no_text_is_refused(rest_api: RestApi, body: str, odd: str) -> None:
    answer = await rest_api.client.post("/tools/find", content=body % odd)
    assert (answer.status_code, answer.json()["OrthancStatus"]) == (400, 8)


async def test_depth_of_a_body_does_no_harm(rest_api: RestApi) -> None:
    body = '{"a": ' + "[" * 900 + '"\\\\"' + "]" * 900 + "}"
    answer = await rest_api.client.post("/tools/find", content=body)
    assert answer.json()["Details"] == 'Field "Level" is missing, or should be a string'
    answer = await rest_api.client.post("/tools/find", content=body.replace("[", "[" * 200))
    assert answer.status_code == 400


async def test_zero_bytes_name_no_resource(rest_api: RestApi) -> None:
    assert (await rest_api.client.get("/patients/%00")).status_code == 404
    assert (await rest_api.client.post("/tools/lookup", content=b"\0")).status_code == 200


async def test_a_body_counts_as_json_whatever_it_says(rest_api: RestApi) -> None:
    receipt = await rest_api.store(ct_file())
    content = b'{"Level": "Study", "Query": {}, /* all of them */ }'
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = await rest_api.client.post("/tools/find", content=content, headers=form)
    assert answer.json() == [receipt.public_ids.study]


async def test_a_uid_or_patient_id_is_looked_up(rest_api: RestApi) -> None:
    receipt = await rest_api.store(ct_file(PatientID="P1"))
    patient_id = receipt.public_ids.patient
    answer = await rest_api.client.post("/tools/lookup", content=" p1 ")
    assert answer.json() == [
        {"ID": patient_id, "Path": f"/patients/{patient_id}", "Type": "Patient"}
    ]
    uid = receipt.identity.series_instance_uid
    [series] = (await rest_api.client.post("/tools/lookup", content=uid)).json()
    assert series["ID"] == receipt.public_ids.series
    assert (await rest_api.client.post("/tools/lookup", content="no")).json() == []


async def test_many_resources_are_shown_at_once(rest_api: RestApi) -> None:
    receipts = [await rest_api.store(ct_file(PatientID="P1")) for _ in range(2)]
    ids = [receipt.public_ids.instance for receipt in receipts]
    shown = await rest_api.post("/tools/bulk-content", {"Resources": ["no", *ids]})
    assert [one["ID"] for one in shown] == ids
    assert shown[0]["Metadata"]["Origin"] == "RestApi"
    up = {"Resources": ids, "Level": "Patient", "Metadata": False}
    [patient] = await rest_api.post("/tools/bulk-content", up)
    assert patient["ID"] == receipts[0].public_ids.patient
    assert "Metadata" not in patient
    down = {"Resources": [patient["ID"]], "Level": "Series"}
    assert len(await rest_api.post("/tools/bulk-content", down)) == 2


async def test_many_resources_are_deleted_at_once(rest_api: RestApi) -> None:
    first, second = [await rest_api.store(ct_file()) for _ in range(2)]
    ids = [first.public_ids.instance, second.public_ids.patient, "no"]
    answer = await rest_api.client.post("/tools/bulk-delete", json={"Resources": ids})
    assert (answer.status_code, answer.content) == (200, b"")
    assert await rest_api.get("/instances") == []


async def test_an_indexer_that_is_behind_is_told_in_a_warning(make_rest_api: Any) -> None:
    rest_api: RestApi = await make_rest_api(indexing=False, LANTHORN__INDEX_BARRIER_TIMEOUT="0.1")
    await rest_api.store(ct_file())
    answer = await rest_api.client.get("/patients")
    assert answer.json() == []
    assert answer.headers["warning"].startswith("199 lanthorn")
