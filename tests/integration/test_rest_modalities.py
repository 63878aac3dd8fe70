"""`/modalities`: configuration, echo, store, worklists, retrievals, as Orthanc 1.13.0 answers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset
from pydicom.data import get_testdata_file
from pynetdicom import AE, AllStoragePresentationContexts, evt
from pynetdicom.events import Event

from tests.fixtures.pynetdicom_peer import SURPRISED_THREADS
from tests.fixtures.remote_application import CT, STUDY_ROOT_FIND, remote_application
from tests.fixtures.rest_api import RestApi
from tests.fixtures.whole_system import MakeWholeSystem, WholeSystem

pytestmark = SURPRISED_THREADS

SHOWN = {
    "AET": "AE",
    "AllowEcho": True,
    "AllowEventReport": True,
    "AllowFind": True,
    "AllowFindWorklist": True,
    "AllowGet": True,
    "AllowMove": True,
    "AllowNAction": True,
    "AllowStore": True,
    "AllowTranscoding": True,
    "Host": "h",
    "LocalAet": "",
    "Manufacturer": "Generic",
    "Port": 104,
    "RetrieveMethod": "SystemDefault",
    "Timeout": 0,
    "UseDicomTls": False,
}
UNKNOWN = (404, 7, "No modality with symbolic name: nobody")


async def _put(rest_api: RestApi, name: str, body: Any) -> None:
    answer = await rest_api.client.put(f"/modalities/{name}", content=json.dumps(body))
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-type"] == "text/plain"


async def test_a_modality_that_was_put_is_shown_complete(rest_api: RestApi) -> None:
    await _put(rest_api, "t", ["AE", "h", "104"])
    assert await rest_api.get("/modalities/t/configuration") == SHOWN
    assert await rest_api.get("/modalities?expand") == {"t": SHOWN}
    assert await rest_api.get("/modalities") == ["t"]
    assert (await rest_api.get("/modalities/t"))[:2] == ["configuration", "echo"]
    await _put(rest_api, "t", {"AET": "AE", "Host": "h", "Port": 104, "AllowEcho": False})
    assert await rest_api.get("/modalities/t/configuration") == SHOWN | {"AllowEcho": False}


async def test_what_is_no_modality_changes_nothing(rest_api: RestApi) -> None:
    refusal = await rest_api.refusal("PUT", "/modalities/t", ["AE", "h", 104, "Nope"])
    assert refusal == (400, 3, 'Unknown modality manufacturer: "Nope"')
    answer = await rest_api.client.put("/modalities/t", content=b"no JSON")
    assert (answer.status_code, answer.json()["OrthancStatus"]) == (400, 15)
    assert await rest_api.get("/modalities") == []


async def test_a_name_has_letters_digits_dashes_and_underscores(rest_api: RestApi) -> None:
    await _put(rest_api, "a-B_9", ["AE", "h", 104])
    for name in ("a%20b", "a.b", "%C3%A4"):
        status, code, details = await rest_api.refusal(
            "PUT", f"/modalities/{name}", ["AE", "h", 104]
        )
        assert (status, code) == (400, 15)
        assert details.startswith("Only alphanumeric, dash characters and underscores")
    assert await rest_api.get("/modalities") == ["a-B_9"]


async def test_a_modality_that_was_deleted_is_unknown_everywhere(rest_api: RestApi) -> None:
    await _put(rest_api, "nobody", ["AE", "h", 104])
    answer = await rest_api.client.delete("/modalities/nobody")
    assert (answer.status_code, answer.content) == (200, b"")
    assert await rest_api.refusal("DELETE", "/modalities/nobody") == (
        *(404, 7),
        "Unknown DICOM modality with symbolic name: nobody",
    )
    assert await rest_api.refusal("GET", "/modalities/nobody/configuration") == UNKNOWN
    assert (await rest_api.client.get("/modalities/nobody")).status_code == 404
    for route in (
        *("echo", "find", "find-instance", "find-patient", "find-series", "find-study"),
        *("find-worklist", "get", "move", "query", "store", "store-straight"),
    ):
        assert await rest_api.refusal("POST", f"/modalities/nobody/{route}", {}) == UNKNOWN


async def test_other_methods_are_not_allowed(rest_api: RestApi) -> None:
    for method, path in (
        ("POST", "/modalities"),
        ("DELETE", "/modalities"),
        ("POST", "/modalities/x"),
        ("GET", "/modalities/x/echo"),
        ("PUT", "/modalities/x/query"),
    ):
        assert (await rest_api.client.request(method, path)).status_code == 405


async def test_without_a_gateway_a_command_is_answered_at_once_and_may_be_repeated(
    rest_api: RestApi,
) -> None:
    await _put(rest_api, "r", ["AE", "127.0.0.1", 104])
    answer = await rest_api.client.post("/modalities/r/echo")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert answer.json()["Details"] == "No gateway takes commands"


async def test_an_echo_that_succeeds_answers_an_empty_object(whole_system: WholeSystem) -> None:
    bodies = [b"", b"{}", b'{"Timeout":3}', b"[]", b"12", b'{"Timeout":0}']
    with remote_application() as remote:
        await whole_system.add_modality("r", remote.ae_title, remote.port)
        for body in bodies:
            answer = await whole_system.rest.client.post("/modalities/r/echo", content=body)
            assert (answer.status_code, answer.content) == (200, b"{}")
            assert answer.headers["content-type"] == "application/json"
    assert len(remote.requests) == len(bodies)


async def test_an_echo_may_check_queries_too(make_whole_system: MakeWholeSystem) -> None:
    def find(event: Event) -> Iterator[Any]:
        yield 0x0000, None

    system = await make_whole_system(DICOM_ECHO_CHECKS_FIND="true")
    with remote_application(find=find) as remote:
        await system.add_modality("r", remote.ae_title, remote.port)
        client = system.rest.client
        assert (await client.post("/modalities/r/echo", json={"CheckFind": False})).is_success
        assert len(remote.identifiers) == 0
        assert (await client.post("/modalities/r/echo")).is_success
        [identifier] = remote.identifiers
    assert identifier.QueryRetrieveLevel == "STUDY"
    assert identifier.StudyInstanceUID


ECHO_REFUSALS: list[tuple[Any, int, str]] = [
    ({"Timeout": "3"}, 15, "Integer value expected in field: Timeout"),
    (
        {"Timeout": -1},
        *(5, "Negative value found while expecting an unsigned int in field 'Timeout'"),
    ),
    ({"CheckFind": 1}, 15, "Boolean value expected in field: CheckFind"),
]


async def test_fields_of_an_echo_are_checked(rest_api: RestApi) -> None:
    await _put(rest_api, "r", ["AE", "127.0.0.1", 104])
    for body, code, details in ECHO_REFUSALS:
        refusal = await rest_api.refusal("POST", "/modalities/r/echo", body)
        assert refusal == (400, code, details)


async def test_a_remote_ae_that_is_not_there_is_error_9(whole_system: WholeSystem) -> None:
    await whole_system.add_modality("dead", "DEAD", 1)
    status, code, details = await whole_system.rest.refusal("POST", "/modalities/dead/echo")
    assert (status, code) == (500, 9)
    assert details.startswith('DicomAssociation - connecting to AET "DEAD": TCP Initialization')


# Store


CT_FILE = Path(str(get_testdata_file("CT_small.dcm"))).read_bytes()
INSTANCE = "f689ddd2-662f8fe1-8b18180d-ec2a2cee-937917af"
STUDY = "8a8cf898-ca27c490-d0c7058c-929d0581-2bbf104d"


class _Receiver:
    """A Storage SCP that notes who sent what."""

    def __init__(self, status: int) -> None:
        self.status = status
        self.received: list[tuple[str, str, str, Any, Any]] = []
        entity = AE("RECEIVER")
        entity.supported_contexts = AllStoragePresentationContexts
        self._entity = entity
        server = entity.start_server(
            ("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, self._store)]
        )
        self.port: int = server.socket.getsockname()[1]

    def _store(self, event: Event) -> int:
        self.received.append(
            (
                event.assoc.requestor.ae_title,
                event.assoc.requestor.primitive.called_ae_title,
                str(event.request.AffectedSOPInstanceUID),
                event.request.MoveOriginatorApplicationEntityTitle,
                event.request.MoveOriginatorMessageID,
            )
        )
        return self.status

    def stop(self) -> None:
        self._entity.shutdown()


@pytest.fixture
def receiver(request: pytest.FixtureRequest) -> Iterator[_Receiver]:
    """Run a Storage SCP, which takes everything unless the test says otherwise."""
    running = _Receiver(getattr(request, "param", 0x0000))
    yield running
    running.stop()


@pytest.fixture
async def sending(make_whole_system: MakeWholeSystem, receiver: _Receiver) -> WholeSystem:
    """Give the test a system with one CT and a modality that takes it."""
    system = await make_whole_system(LOG_EXPORTED_RESOURCES="true")
    await system.add_modality("r", "RECEIVER", receiver.port)
    await system.rest.store(CT_FILE)
    return system


def _stored(resource: str, kind: str, **more: Any) -> dict[str, Any]:
    return {
        "Description": "REST API",
        "FailedInstancesCount": 0,
        "InstancesCount": 1,
        "LocalAet": "LANTHORN",
        "ParentResources": [resource],
        "RemoteAet": "RECEIVER",
        "Resources": [{"ID": resource, "Type": kind}],
        **more,
    }


SENT: list[tuple[bytes, dict[str, Any]]] = [
    (INSTANCE.encode(), _stored(INSTANCE, "Instance")),
    (json.dumps(INSTANCE).encode(), _stored(INSTANCE, "Instance")),
    (json.dumps([STUDY]).encode(), _stored(STUDY, "Study")),
    (json.dumps({"Resources": [STUDY]}).encode(), _stored(STUDY, "Study")),
    (
        json.dumps({"Resources": [STUDY], "LocalAet": "ME", "CalledAet": "YOU"}).encode(),
        _stored(STUDY, "Study", LocalAet="ME", RemoteAet="YOU"),
    ),
    (
        json.dumps({"Resources": [STUDY], "MoveOriginatorID": 3}).encode(),
        _stored(STUDY, "Study", MoveOriginatorAET="LANTHORN", MoveOriginatorID=3),
    ),
]


async def test_resources_are_sent_however_they_are_named(
    sending: WholeSystem, receiver: _Receiver
) -> None:
    for body, answer in SENT:
        receiver.received.clear()
        response = await sending.rest.client.post("/modalities/r/store", content=body)
        assert response.status_code == 200, response.text
        assert response.json() == answer
        [(calling, called, _, originator, message_id)] = receiver.received
        assert (calling, called) == (answer["LocalAet"], answer["RemoteAet"])
        assert originator == answer.get("MoveOriginatorAET")
        assert message_id == answer.get("MoveOriginatorID")


async def _finished(rest_api: RestApi, job_id: str) -> Any:
    async with asyncio.timeout(30):
        while True:
            job = await rest_api.get(f"/jobs/{job_id}")
            if job["State"] in {"Success", "Failure"}:
                return job
            await asyncio.sleep(0.02)


async def test_a_store_may_go_on_in_the_background(
    sending: WholeSystem, receiver: _Receiver
) -> None:
    body = {"Resources": [STUDY], "Asynchronous": True, "UserData": {"a": 1}, "Priority": 3}
    job = await sending.rest.post("/modalities/r/store", body)
    assert job["Path"] == f"/jobs/{job['ID']}"
    shown = await _finished(sending.rest, job["ID"])
    assert (shown["Type"], shown["UserData"]) == ("DicomModalityStore", {"a": 1})
    assert shown["Content"] == _stored(STUDY, "Study")
    assert len(receiver.received) == 1


@pytest.mark.parametrize("receiver", [0xA700], indirect=True)
async def test_a_failed_store_answers_the_status_of_the_remote_ae(sending: WholeSystem) -> None:
    answer = await sending.rest.client.post("/modalities/r/store", json=[STUDY])
    assert answer.status_code == 500
    error = answer.json()
    assert (error["OrthancStatus"], error["Details"]) == (
        9,
        'C-STORE SCU to AET "RECEIVER" has failed with DIMSE status 0xA700',
    )
    assert error["ErrorPayload"] == {"Type": "Dimse", "Content": {"DimseErrorStatus": 0xA700}}


STORE_REFUSALS: list[tuple[bytes, int, int, str]] = [
    (b"", 400, 15, "Must provide a JSON value"),
    (b"nope", 400, 15, "Must provide a JSON value"),
    (b"5", 400, 15, "Must provide a JSON object, or a JSON array of strings"),
    (b"{}", 400, 15, 'Missing field in JSON: "Resources"'),
    (b'{"Resources":"x"}', 400, 15, 'JSON field "Resources" must contain an array'),
    (b'["nope"]', 400, 15, "This string is not a valid Orthanc identifier: nope"),
    (
        b"[5]",
        *(400, 15, "Resources to be exported must be specified as a JSON array of strings"),
    ),
    (
        b'"da39a3ee-5e6b4b0d-3255bfef-95601890-afd80709"',
        *(404, 17, "There is no resource da39a3ee-5e6b4b0d-3255bfef-95601890-afd80709"),
    ),
    (b'{"Resources":[],"LocalAet":5}', 400, 5, ""),
    (b'{"Resources":[],"Host":5}', 400, 5, ""),
    (b'{"Resources":[],"Port":"x"}', 400, 5, ""),
    (
        b'{"Resources":[],"Port":0}',
        400,
        3,
        "A TCP port number must be in range [1..65535], but found: 0",
    ),
    (b'{"Resources":[],"MoveOriginatorID":70000}', 400, 3, ""),
    (b'{"Resources":[],"StorageCommitment":"x"}', 400, 5, ""),
    (b'{"Resources":[],"Timeout":"x"}', 400, 15, "Integer value expected in field: Timeout"),
    (
        b'{"Resources":[],"Permissive":"x"}',
        *(400, 15, "Boolean value expected in field: Permissive"),
    ),
]


async def test_what_cannot_be_sent_is_refused_in_orthancs_words(rest_api: RestApi) -> None:
    await _put(rest_api, "r", ["AE", "127.0.0.1", 104])
    for body, status, code, details in STORE_REFUSALS:
        answer = await rest_api.client.post("/modalities/r/store", content=body)
        error = answer.json()
        assert (answer.status_code, error["OrthancStatus"]) == (status, code), body
        assert error.get("Details", "") == details
    assert await rest_api.get("/jobs") == []


async def test_what_is_sent_is_in_the_log_of_exports(sending: WholeSystem) -> None:
    rest = sending.rest
    assert await rest.get("/exports") == {"Done": True, "Exports": [], "Last": 0}
    for body in ([STUDY, INSTANCE], INSTANCE):
        await rest.post("/modalities/r/store", body)
    page = await rest.get("/exports")
    assert (page["Done"], page["First"], page["Last"]) == (True, 1, 3)
    study, instance, _ = page["Exports"]
    date = study.pop("Date")
    assert len(date) == len("20261120T212410")
    assert study == {
        "ID": STUDY,
        "Path": f"/studies/{STUDY}",
        "PatientID": "1CT1",
        "RemoteModality": "r",
        "ResourceType": "Study",
        "Seq": 1,
        "StudyInstanceUID": "1.3.6.1.4.1.5962.1.2.1.20040119072730.12322",
    }
    assert instance["SOPInstanceUID"] == "1.3.6.1.4.1.5962.1.1.1.1.1.20040119072730.12322"
    assert instance["SeriesInstanceUID"] == "1.3.6.1.4.1.5962.1.3.1.1.20040119072730.12322"
    window = await rest.get("/exports?since=1&limit=1")
    assert ([one["Seq"] for one in window["Exports"]], window["Done"]) == ([2], False)
    assert [one["Seq"] for one in (await rest.get("/exports?last"))["Exports"]] == [3]
    assert await rest.get("/exports?limit=0") == {"Done": False, "Exports": [], "Last": 0}
    assert await rest.get("/exports?since=99") == {"Done": True, "Exports": [], "Last": 99}
    assert (await rest.client.delete("/exports")).content == b""
    assert await rest.get("/exports?last") == {"Done": True, "Exports": [], "Last": 0}
    await rest.post("/modalities/r/store", INSTANCE)
    assert (await rest.get("/exports"))["First"] == 4


async def test_a_file_is_sent_straight_and_not_kept(
    sending: WholeSystem, receiver: _Receiver
) -> None:
    before = [info.key async for info in sending.rest.system.objects.list()]
    answer = await sending.rest.client.post("/modalities/r/store-straight", content=CT_FILE)
    assert answer.status_code == 200, answer.text
    assert answer.json() == {
        "SOPClassUID": CT,
        "SOPInstanceUID": "1.3.6.1.4.1.5962.1.1.1.1.1.20040119072730.12322",
    }
    assert [one[2] for one in receiver.received] == [answer.json()["SOPInstanceUID"]]
    assert [info.key async for info in sending.rest.system.objects.list()] == before


async def test_a_file_that_could_not_be_sent_straight_leaves_nothing(
    whole_system: WholeSystem,
) -> None:
    await whole_system.add_modality("dead", "DEAD", 1)
    answer = await whole_system.rest.client.post("/modalities/dead/store-straight", content=CT_FILE)
    assert (answer.status_code, answer.json()["OrthancStatus"]) == (500, 9)
    for broken in (b"", b"nope", CT_FILE[:200]):
        answer = await whole_system.rest.client.post(
            "/modalities/dead/store-straight", content=broken
        )
        assert (answer.status_code, answer.json()["OrthancStatus"]) == (400, 15)
        assert answer.json()["Details"] == (
            f"Cannot parse an invalid DICOM file (size: {len(broken)} bytes)"
        )
    assert [info.key async for info in whole_system.rest.system.objects.list()] == []


# Worklists and the old routes


def _worklist(event: Event) -> Iterator[Any]:
    entry = Dataset()
    entry.SpecificCharacterSet = "ISO_IR 192"
    entry.PatientName = "Müller^Zoë"
    step = Dataset()
    step.Modality = "CT"
    entry.ScheduledProcedureStepSequence = [step]
    yield 0xFF00, entry


@pytest.mark.parametrize(
    ("body", "answer"),
    [
        (
            {"PatientName": "Ж*", "ScheduledProcedureStepSequence": [{"Modality": "CT"}]},
            {
                "PatientName": "Müller^Zoë",
                "ScheduledProcedureStepSequence": [{"Modality": "CT"}],
                "SpecificCharacterSet": "ISO_IR 192",
            },
        ),
        (
            {
                "Query": {
                    "PatientName": "Ж*",
                    "ScheduledProcedureStepSequence": [{"Modality": "CT"}],
                },
                "Short": True,
            },
            {
                "0008,0005": "ISO_IR 192",
                "0010,0010": "Müller^Zoë",
                "0040,0100": [{"0008,0060": "CT"}],
            },
        ),
    ],
)
async def test_worklist_entries_are_asked_for_with_sequences_and_any_script(
    whole_system: WholeSystem, body: Any, answer: Any
) -> None:
    with remote_application(find=_worklist) as remote:
        await whole_system.add_modality("r", remote.ae_title, remote.port)
        assert await whole_system.rest.post("/modalities/r/find-worklist", body) == [answer]
        [identifier] = remote.identifiers
    assert identifier.PatientName == "Ж*"
    assert identifier.ScheduledProcedureStepSequence[0].Modality == "CT"


WORKLIST_REFUSALS: list[tuple[Any, int, int]] = [
    ("x", 400, 15),
    ([], 400, 15),
    ({"Query": 5}, 400, 5),
    ({"Query": {}, "Short": 1}, 400, 15),
    ({"Nope": ""}, 500, 27),
]


async def test_what_is_no_worklist_query_is_refused(rest_api: RestApi) -> None:
    await _put(rest_api, "r", ["AE", "127.0.0.1", 104])
    for body, status, code in WORKLIST_REFUSALS:
        refusal = await rest_api.refusal("POST", "/modalities/r/find-worklist", body)
        assert refusal[:2] == (status, code)


def _by_level(event: Event) -> Iterator[Any]:
    found = Dataset()
    found.QueryRetrieveLevel = event.identifier.QueryRetrieveLevel
    found.PatientID = "ABC"
    if found.QueryRetrieveLevel != "PATIENT":
        found.StudyInstanceUID = "1.2.3"
    if found.QueryRetrieveLevel in {"SERIES", "IMAGE"}:
        found.SeriesInstanceUID = "1.2.3.4"
    yield 0xFF00, found


async def test_the_old_find_route_answers_a_tree(whole_system: WholeSystem) -> None:
    with remote_application(find=_by_level) as remote:
        await whole_system.add_modality("r", remote.ae_title, remote.port)
        [patient] = await whole_system.rest.post("/modalities/r/find", {"PatientID": "ABC"})
    assert patient["PatientID"] == "ABC"
    assert patient["Studies"][0]["Series"][0]["SeriesInstanceUID"] == "1.2.3.4"
    levels = [identifier.QueryRetrieveLevel for identifier in remote.identifiers]
    assert levels == ["PATIENT", "STUDY", "SERIES"]
    assert remote.identifiers[2].StudyInstanceUID == "1.2.3"


async def test_the_old_find_routes_want_the_keys_above(whole_system: WholeSystem) -> None:
    rest = whole_system.rest
    keys = {"PatientID": "ABC", "StudyInstanceUID": "1.2.3", "SeriesInstanceUID": "1.2.3.4"}
    with remote_application(find=_by_level) as remote:
        await whole_system.add_modality("r", remote.ae_title, remote.port)
        for route, count in (("patient", 0), ("study", 1), ("series", 2), ("instance", 3)):
            enough = dict(list(keys.items())[:count])
            assert len(await rest.post(f"/modalities/r/find-{route}", enough)) == 1
            if count:
                too_few = dict(list(keys.items())[: count - 1])
                refusal = await rest.refusal("POST", f"/modalities/r/find-{route}", too_few)
                assert refusal[:2] == (400, 8)
        assert (await rest.refusal("POST", "/modalities/r/find-patient", {"Nope": ""}))[:2] == (
            500,
            27,
        )


# Retrieving


UIDS = {"PatientID": "1CT1", "StudyInstanceUID": "1.2.3"}


def _moved(event: Event) -> Iterator[Any]:
    yield None, None


RETRIEVE_REFUSALS: list[tuple[Any, int, int, str]] = [
    (
        *({}, 400, 15),
        "Must provide a JSON body containing fields Resources and Level",
    ),
    (
        *({"Level": 5, "Resources": []}, 400, 15),
        "Must provide a JSON body containing fields Resources and Level",
    ),
    ({"Level": "Foo", "Resources": []}, 400, 3, "Invalid resource type 'Foo'"),
    (
        *({"Level": "Study", "Resources": ["x"]}, 400, 15),
        "Expecting an object in field 'Resources elements'",
    ),
    ({"Level": "Study", "Resources": [{"Nope": "x"}]}, 500, 27, "Nope"),
    (
        *({"Level": "Study", "Resources": [{"StudyInstanceUID": 5}]}, 400, 15),
        "Expecting a string in field 'StudyInstanceUID'",
    ),
    (
        *({"Level": "Study", "Resources": [{"PatientID": "1"}]}, 400, 8),
        "Missing tag 0020,000d",
    ),
    ({"Level": "Study", "Resources": [], "LocalAet": 5}, 400, 5, ""),
    (
        *({"Level": "Study", "Resources": [], "Timeout": "x"}, 400, 15),
        "Integer value expected in field: Timeout",
    ),
]


async def test_what_cannot_be_retrieved_is_refused_in_orthancs_words(rest_api: RestApi) -> None:
    await _put(rest_api, "r", ["AE", "127.0.0.1", 104])
    for route in ("move", "get"):
        for body, status, code, details in RETRIEVE_REFUSALS:
            refusal = await rest_api.refusal("POST", f"/modalities/r/{route}", body)
            assert refusal == (status, code, details)
    assert await rest_api.get("/jobs") == []


async def test_a_refused_move_is_answered_with_the_details_of_its_job(
    whole_system: WholeSystem,
) -> None:
    with remote_application(move=_moved) as remote:
        await whole_system.add_modality("r", remote.ae_title, remote.port)
        answer = await whole_system.rest.client.post(
            "/modalities/r/move",
            json={"Level": "Study", "Resources": [UIDS], "TargetAet": "THIRD", "LocalAet": "ME"},
        )
        [identifier], [request] = remote.identifiers, remote.requests
    assert (answer.status_code, answer.json()["OrthancStatus"]) == (500, 9)
    # pynetdicom answers so to a destination that it does not know.
    assert (
        answer.json()["Details"] == 'C-MOVE SCU to AET "REMOTE" has failed with DIMSE status 0xA801'
    )
    query = {"0008,0052": "STUDY", "0010,0020": "1CT1", "0020,000d": "1.2.3"}
    details = [{"DimseErrorStatus": 0xA801, "Query": query, "ReceivedInstancesIds": []}]
    assert answer.json()["ErrorPayload"] == {"Type": "RetrieveJob", "Content": details}
    assert (identifier.QueryRetrieveLevel, identifier.StudyInstanceUID) == ("STUDY", "1.2.3")
    assert "PatientID" not in identifier
    assert request.MoveDestination == "THIRD"
    [job] = await whole_system.rest.get("/jobs?expand")
    assert job["Content"] == {
        "Description": "REST API",
        "Details": details,
        "LocalAet": "ME",
        "Query": [query],
        "RemoteAet": "REMOTE",
        "TargetAet": "THIRD",
    }


async def test_a_modality_is_known_to_the_gateway_as_soon_as_it_was_put(
    whole_system: WholeSystem,
) -> None:
    def may_find() -> bool:
        entity = AE("NEWCOMER")
        entity.add_requested_context(STUDY_ROOT_FIND)
        assoc = entity.associate("127.0.0.1", whole_system.dicom_port)
        if not assoc.is_established:
            return False
        identifier = Dataset()
        identifier.QueryRetrieveLevel = "STUDY"
        identifier.StudyInstanceUID = ""
        [(status, _)] = assoc.send_c_find(identifier, STUDY_ROOT_FIND)
        assoc.release()
        return int(status.Status) == 0x0000

    client = whole_system.rest.client
    for _ in range(3):
        assert not await asyncio.to_thread(may_find)
        await whole_system.add_modality("newcomer", "NEWCOMER", 104)
        assert await asyncio.to_thread(may_find)
        await whole_system.add_modality("newcomer", "NEWCOMER", 104, AllowFind=False)
        assert not await asyncio.to_thread(may_find)
        await client.delete("/modalities/newcomer")
