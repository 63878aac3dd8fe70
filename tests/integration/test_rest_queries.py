"""`/modalities/*/query` and `/queries`, as Orthanc 1.13.0 answers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from pydicom import Dataset
from pynetdicom.events import Event

from tests.fixtures.pynetdicom_peer import SURPRISED_THREADS
from tests.fixtures.remote_application import (
    PATIENT_ROOT_FIND,
    STUDY_ROOT_FIND,
    RemoteApplication,
    remote_application,
)
from tests.fixtures.rest_api import MakeRestApi, RestApi
from tests.fixtures.whole_system import MakeWholeSystem, WholeSystem

pytestmark = SURPRISED_THREADS

FIRST = {
    "0008,0005": "ISO_IR 192",
    "0008,0050": "A1",
    "0008,0052": "STUDY",
    "0010,0010": "Müller^Zoë",
    "0010,0020": "P1",
    "0020,000d": "1.2.1",
}


def _study(number: int) -> Dataset:
    found = Dataset()
    found.SpecificCharacterSet = "ISO_IR 192"
    found.QueryRetrieveLevel = "STUDY"
    found.PatientName = "Müller^Zoë"
    found.PatientID = f"P{number}"
    found.AccessionNumber = f"A{number}"
    found.StudyInstanceUID = f"1.2.{number}"
    return found


def two_studies(_event: Event) -> Iterator[Any]:
    """Answer two studies."""
    yield 0xFF00, _study(1)
    yield 0xFF00, _study(2)


def no_move(_event: Event) -> Iterator[Any]:
    """Refuse every move destination."""
    yield None, None


async def _ask(rest: RestApi, body: dict[str, Any]) -> str:
    answer = await rest.post("/modalities/r/query", body)
    assert answer["Path"] == f"/queries/{answer['ID']}"
    query_id: str = answer["ID"]
    return query_id


async def _known(system: WholeSystem, remote: RemoteApplication, **options: Any) -> RestApi:
    await system.add_modality("r", remote.ae_title, remote.port, **options)
    return system.rest


async def test_a_query_is_kept_with_its_answers(whole_system: WholeSystem) -> None:
    asked = {"PatientID": "*", "0008,1030": "", "SeriesDescription": ""}
    with remote_application(find=two_studies) as remote:
        rest = await _known(whole_system, remote)
        query = await _ask(rest, {"Level": "studies", "Query": asked})
    at = f"/queries/{query}"
    assert await rest.get("/queries") == [query]
    assert await rest.get(at) == ["answers", "level", "modality", "query", "retrieve"]
    for part, text in (("level", "Study"), ("modality", "r")):
        answer = await rest.client.get(f"{at}/{part}")
        assert (answer.text, answer.headers["content-type"]) == (text, "text/plain")
    assert (await rest.get(f"{at}/query"))["0010,0020"] == {
        "Name": "PatientID",
        "Type": "String",
        "Value": "*",
    }
    assert await rest.get(f"{at}/query?simplify") == {
        "PatientID": "*",
        "StudyDescription": "",
        "SeriesDescription": "",
    }
    assert (await rest.get(f"{at}/query?short"))["0008,103e"] == ""
    assert await rest.get(f"{at}/answers") == ["0", "1"]
    expanded = await rest.get(f"{at}/answers?expand")
    assert expanded[0]["0010,0010"] == {
        "Name": "PatientName",
        "Type": "String",
        "Value": "Müller^Zoë",
    }
    assert (await rest.get(f"{at}/answers?expand&short"))[0] == FIRST
    assert (await rest.get(f"{at}/answers?expand&simplify"))[1]["StudyInstanceUID"] == "1.2.2"
    assert await rest.get(f"{at}/answers/0") == [
        *("content", "retrieve", "query-series", "query-instances"),
    ]
    assert await rest.get(f"{at}/answers/0/content") == expanded[0]
    assert await rest.get(f"{at}/answers/0/content?short") == FIRST
    assert (await rest.client.delete(at)).content == b""
    assert (await rest.client.delete(at)).status_code == 200
    assert await rest.get("/queries") == []
    assert (await rest.refusal("GET", at))[:2] == (404, 17)


async def test_answers_that_are_not_there_are_refused(whole_system: WholeSystem) -> None:
    with remote_application(find=two_studies) as remote:
        rest = await _known(whole_system, remote)
        at = f"/queries/{await _ask(rest, {'Level': 'Study'})}/answers"
        for part, method, body in (
            ("", "GET", None),
            ("/content", "GET", None),
            ("/retrieve", "POST", None),
            ("/query-series", "POST", {}),
        ):
            assert (await rest.refusal(method, f"{at}/2{part}", body))[:2] == (400, 3)
            assert (await rest.refusal(method, f"{at}/-1{part}", body))[:2] == (400, 3)
            assert await rest.refusal(method, f"{at}/x{part}", body) == (
                *(400, 5),
                "Syntax error in some user-supplied data",
            )
    for path in ("", "/level", "/modality", "/query", "/answers", "/answers/0/content"):
        for query in ("nobody", "6b1f3a60-27a8-4d5a-8b8d-8a2ad6a8d9a1"):
            assert (await rest.refusal("GET", f"/queries/{query}{path}"))[:2] == (404, 17)
    assert (await rest.refusal("POST", "/queries/nobody/retrieve"))[:2] == (404, 17)


QUERY_REFUSALS: list[tuple[Any, int, str]] = [
    ([], 15, "Must provide a JSON object"),
    ("x", 15, "Must provide a JSON object"),
    ({}, 15, "The JSON body must contain field Level"),
    ({"Level": 3}, 15, "The JSON body must contain field Level"),
    ({"Level": "Foo"}, 3, "Invalid resource type 'Foo'"),
    ({"Level": "Study", "Query": []}, 15, "The field Query must contain a JSON object"),
    *(
        (
            {"Level": "Study", "Query": query},
            15,
            "Associative array of DICOM tags to strings expected in field: Query",
        )
        for query in ({"Nope": ""}, {"PatientID": 5}, {"PatientID": None}, {"PatientID": ["a"]})
    ),
    ({"Level": "Study", "Timeout": "x"}, 15, "Integer value expected in field: Timeout"),
    (
        {"Level": "Study", "Timeout": -1},
        5,
        "Negative value found while expecting an unsigned int in field 'Timeout'",
    ),
    ({"Level": "Study", "Normalize": 1}, 15, "The field Normalize must contain a Boolean"),
    ({"Level": "Study", "LocalAet": 3}, 15, "The field LocalAet must contain a string"),
    (
        {"Level": "Study", "Query": {"NumberOfStudyRelatedInstances": "x"}},
        3,
        "The value of tag 0020,1208 does not fit",
    ),
]


async def test_what_is_no_query_is_refused_in_orthancs_words(rest_api: RestApi) -> None:
    await rest_api.client.put("/modalities/r", json=["AE", "127.0.0.1", 104])
    for body, code, details in QUERY_REFUSALS:
        refusal = await rest_api.refusal("POST", "/modalities/r/query", body)
        assert refusal == (400, code, details)
    assert await rest_api.get("/queries") == []


async def test_normalizing_asks_for_what_belongs_to_the_level(whole_system: WholeSystem) -> None:
    asked = dict.fromkeys(
        (
            *("PatientName", "StudyDescription", "SeriesDescription", "Rows", "Modality"),
            *("ModalitiesInStudy", "NumberOfStudyRelatedInstances", "RetrieveAETitle"),
        ),
        "",
    )
    with remote_application(find=two_studies) as remote:
        rest = await _known(whole_system, remote)
        await _ask(rest, {"Level": "Study", "Query": asked})
        await _ask(rest, {"Level": "Study", "Query": asked, "Normalize": False})
        await _ask(rest, {"Level": "Patient", "Query": asked})
    study, everything, patient = ({element.keyword for element in i} for i in remote.identifiers)
    required = {"PatientID", "AccessionNumber", "StudyInstanceUID", "QueryRetrieveLevel"}
    assert study - {"SpecificCharacterSet"} == required | {
        *("PatientName", "StudyDescription", "ModalitiesInStudy", "NumberOfStudyRelatedInstances"),
    }
    assert everything - {"SpecificCharacterSet"} == required | asked.keys()
    assert patient - {"SpecificCharacterSet"} == {"PatientID", "PatientName", "QueryRetrieveLevel"}
    assert remote.abstract_syntaxes == [STUDY_ROOT_FIND, STUDY_ROOT_FIND, PATIENT_ROOT_FIND]


async def test_our_ae_title_is_that_of_the_query_or_of_the_modality(
    whole_system: WholeSystem,
) -> None:
    with remote_application(find=two_studies, move=no_move) as remote:
        rest = await _known(whole_system, remote)
        query = await _ask(rest, {"Level": "Study", "LocalAet": "OF QUERY"})
        await _known(whole_system, remote, LocalAet="OF MODALITY")
        await _ask(rest, {"Level": "Study"})
        # What follows of a query goes to the remote AE as it was then.
        await rest.client.post(f"/queries/{query}/retrieve")
    assert [association.requestor.ae_title for association in remote.associations] == [
        *("OF QUERY", "OF MODALITY", "OF QUERY"),
    ]


async def test_a_remote_ae_that_fails_leaves_no_query(whole_system: WholeSystem) -> None:
    def fail(event: Event) -> Iterator[Any]:
        yield 0xFF00, _study(1)
        yield 0xA900, None

    with remote_application(find=fail) as remote:
        rest = await _known(whole_system, remote)
        answer = await rest.client.post("/modalities/r/query", json={"Level": "Study"})
    assert (answer.status_code, answer.json()["OrthancStatus"]) == (500, 9)
    assert answer.json()["Details"] == (
        'C-FIND SCU to AET "REMOTE" has failed with DIMSE status 0xA900'
    )
    assert answer.json()["ErrorPayload"] == {
        "Content": {"DimseErrorStatus": 0xA900},
        "Type": "Dimse",
    }
    assert await rest.get("/queries") == []


async def test_of_many_queries_the_oldest_go(make_whole_system: MakeWholeSystem) -> None:
    system = await make_whole_system(QUERY_RETRIEVE_SIZE="3")
    with remote_application(find=two_studies) as remote:
        rest = await _known(system, remote)
        queries = [await _ask(rest, {"Level": "Study"}) for _ in range(5)]
    assert await rest.get("/queries") == queries[-3:]


async def test_a_query_with_many_answers_is_kept_whole(whole_system: WholeSystem) -> None:
    def many(_event: Event) -> Iterator[Any]:
        for number in range(1203):
            yield 0xFF00, _study(number)

    with remote_application(find=many) as remote:
        rest = await _known(whole_system, remote)
        at = f"/queries/{await _ask(rest, {'Level': 'Study'})}/answers"
    answers = await rest.get(f"{at}?expand&simplify")
    assert [one["PatientID"] for one in answers] == [f"P{number}" for number in range(1203)]
    assert (await rest.get(f"{at}/1202/content?simplify"))["PatientID"] == "P1202"


async def test_every_process_sees_the_query(
    whole_system: WholeSystem, make_rest_api: MakeRestApi
) -> None:
    with remote_application(find=two_studies) as remote:
        rest = await _known(whole_system, remote)
        query = await _ask(rest, {"Level": "Study"})
    other: RestApi = await make_rest_api(indexing=False)  # type: ignore[misc]
    assert await other.get(f"/queries/{query}/answers") == ["0", "1"]


async def test_answers_can_be_asked_further(whole_system: WholeSystem) -> None:
    with remote_application(find=two_studies) as remote:
        rest = await _known(whole_system, remote)
        study = f"/queries/{await _ask(rest, {'Level': 'Study'})}/answers/1"
        for route, level in (("series", "Series"), ("instances", "Instance")):
            body = {"Query": {"Modality": "CT"}, "Timeout": 3}
            below = await rest.post(f"{study}/query-{route}", body)
            assert (await rest.client.get(f"{below['Path']}/level")).text == level
            assert await rest.get(f"{below['Path']}/query?simplify") == {
                "Modality": "CT",
                "StudyInstanceUID": "1.2.2",
            }
        assert (await rest.refusal("POST", f"{study}/query-studies", {}))[:2] == (404, 17)
        patient = f"/queries/{await _ask(rest, {'Level': 'Patient'})}/answers/0"
        below = await rest.post(f"{patient}/query-studies", {})
        assert await rest.get(f"{below['Path']}/query?simplify") == {"PatientID": "P1"}
        assert await rest.refusal("POST", f"{patient}/query-studies") == (
            *(400, 15),
            "Must provide a JSON object",
        )
    levels = [identifier.QueryRetrieveLevel for identifier in remote.identifiers]
    assert levels == ["STUDY", "SERIES", "IMAGE", "PATIENT", "STUDY"]
    assert remote.identifiers[1].StudyInstanceUID == "1.2.2"


def _moved(rest: RestApi, answer: Any) -> Any:
    """Details and payload of a refused C-MOVE."""
    error = answer.json()
    assert (answer.status_code, error["OrthancStatus"]) == (500, 9), error
    return error["ErrorPayload"]["Content"]


async def test_a_target_may_be_named_in_every_way(whole_system: WholeSystem) -> None:
    bodies = [
        *(b"", b"{}", b"THIRD", b'"THIRD"', b'{"TargetAet":"THIRD"}', b"12"),
    ]
    with remote_application(find=two_studies, move=no_move) as remote:
        rest = await _known(whole_system, remote)
        at = f"/queries/{await _ask(rest, {'Level': 'Study'})}"
        for body in bodies:
            _moved(rest, await rest.client.post(f"{at}/answers/0/retrieve", content=body))
        [first] = _moved(rest, await rest.client.post(f"{at}/answers/1/retrieve"))
        both = _moved(rest, await rest.client.post(f"{at}/retrieve"))
    targets = [request.MoveDestination for request in remote.requests[1:7]]
    assert targets == ["LANTHORN", "LANTHORN", "THIRD", "THIRD", "THIRD", "12"]
    assert first["Query"] == {
        "0008,0050": "A2",
        "0008,0052": "STUDY",
        "0010,0020": "P2",
        "0020,000d": "1.2.2",
    }
    assert [one["Query"]["0020,000d"] for one in both] == ["1.2.1", "1.2.2"]


async def test_tags_of_a_retrieve_are_shown_as_wanted(whole_system: WholeSystem) -> None:
    with remote_application(find=two_studies, move=no_move) as remote:
        rest = await _known(whole_system, remote)
        at = f"/queries/{await _ask(rest, {'Level': 'Study'})}/answers/0/retrieve"
        shown = []
        for style in ("Simplify", "Full", "Short"):
            job = await rest.post(at, {style: True, "Asynchronous": True})
            shown.append((await rest.get(job["Path"]))["Content"]["Query"][0])
    assert shown[0]["StudyInstanceUID"] == "1.2.1"
    assert shown[1]["0020,000d"]["Value"] == "1.2.1"
    assert shown[2]["0020,000d"] == "1.2.1"


async def test_the_method_of_a_retrieve_is_the_clients_the_modalitys_or_the_servers(
    make_whole_system: MakeWholeSystem,
) -> None:
    system = await make_whole_system(DICOM_DEFAULT_RETRIEVE_METHOD="C-GET")
    assert (await system.rest.get("/system"))["DicomDefaultRetrieveMethod"] == "C-GET"
    types = []
    with remote_application(find=two_studies, move=no_move) as remote:
        rest = await _known(system, remote)
        by_default = f"/queries/{await _ask(rest, {'Level': 'Study'})}/retrieve"
        await _known(system, remote, RetrieveMethod="C-MOVE")
        by_modality = f"/queries/{await _ask(rest, {'Level': 'Study'})}/retrieve"
        for path, body in (
            (by_default, {}),
            (by_default, {"RetrieveMethod": "C-MOVE"}),
            (by_modality, {}),
            (by_modality, {"RetrieveMethod": "C-GET"}),
            (by_modality, {"RetrieveMethod": "SystemDefault"}),
        ):
            answer = await rest.client.post(path, json={**body, "Asynchronous": True})
            job = await rest.get(answer.json()["Path"])
            types.append(job["Type"])
        for method, code in (("X", 3), (5, 15)):
            refusal = await rest.refusal("POST", by_default, {"RetrieveMethod": method})
            assert refusal[:2] == (400, code)
    assert types == ["DicomGetScu", "DicomMoveScu", "DicomMoveScu", "DicomGetScu", "DicomGetScu"]


async def test_ae_titles_of_a_retrieve_are_checked(whole_system: WholeSystem) -> None:
    with remote_application(find=two_studies) as remote:
        rest = await _known(whole_system, remote)
        at = f"/queries/{await _ask(rest, {'Level': 'Study'})}/retrieve"
    for body in (b'{"TargetAet":5}', json.dumps({"TargetAet": "X" * 17}).encode(), b"A\\B"):
        answer = await rest.client.post(at, content=body)
        assert answer.status_code == 400
    assert await rest.get("/jobs") == []
