"""Storage commitment that REST clients ask modalities for, pynetdicom being the modality."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from pydicom import Dataset
from pynetdicom import AE, build_role, evt
from pynetdicom.pdu import P_DATA_TF

from lanthorn_core.dicom.commitment import CommitmentRequest, SopReference
from lanthorn_core.wiring import open_commitment_reports
from tests.fixtures.dicom_files import as_file, make_ct
from tests.fixtures.pynetdicom_peer import SURPRISED_THREADS
from tests.fixtures.whole_system import MakeWholeSystem, WholeSystem

pytestmark = SURPRISED_THREADS

PUSH_MODEL, INSTANCE = "1.2.840.10008.1.20.1", "1.2.840.10008.1.20.1.1"
CT = "1.2.840.10008.5.1.4.1.1.2"


@dataclass
class Archive:
    """An AE that is asked for storage commitment, and reports as the test tells it."""

    port: int = 0
    ae_title: str = "ARCHIVE"
    status: int = 0x0000
    requests: list[Dataset] = field(default_factory=list)
    calling_ae_titles: list[str] = field(default_factory=list)
    on_same_association: tuple[int, list[tuple[str, int | None]]] | None = None
    statuses: list[int | None] = field(default_factory=list)
    threads: list[threading.Thread] = field(default_factory=list)

    def take(self, event: Any) -> tuple[int, None]:
        self.requests.append(event.action_information)
        self.calling_ae_titles.append(event.assoc.requestor.ae_title)
        return self.status, None

    def answered(self, event: Any) -> None:
        """Report over the association of the request, when the answer to that is out."""
        if isinstance(event.pdu, P_DATA_TF) and self.on_same_association is not None:
            event_type, outcome = self.on_same_association
            self.on_same_association = None
            report = threading.Thread(
                target=self._send,
                args=(event.assoc, self.requests[-1].TransactionUID, event_type, outcome),
                kwargs={"release": False},
            )
            report.start()
            self.threads.append(report)

    def report(
        self,
        system: WholeSystem,
        transaction_uid: str,
        outcome: list[tuple[str, int | None]],
        *,
        event_type: int | None = None,
        ae_title: str = "",
        roles: bool = True,
    ) -> None:
        """Report over a new association; an outcome is an instance and its failure reason."""
        entity = AE(ae_title or self.ae_title)
        entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = 30
        entity.add_requested_context(PUSH_MODEL)
        negotiated = [build_role(PUSH_MODEL, scp_role=True)] if roles else []
        assoc = entity.associate(
            "127.0.0.1", system.dicom_port, ae_title="LANTHORN", ext_neg=negotiated
        )
        assert assoc.is_established
        if not roles:
            assoc.accepted_contexts[0]._as_scp = True
        if event_type is None:
            event_type = 2 if any(reason for _, reason in outcome) else 1
        self._send(assoc, transaction_uid, event_type, outcome, release=True)
        assoc.join(10)

    def _send(
        self,
        assoc: Any,
        transaction_uid: str,
        event_type: int,
        outcome: list[tuple[str, int | None]],
        *,
        release: bool,
    ) -> None:
        information = Dataset()
        information.TransactionUID = transaction_uid
        items: dict[bool, list[Dataset]] = {False: [], True: []}
        for uid, reason in outcome:
            item = Dataset()
            item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = CT, uid
            if reason:
                item.FailureReason = reason
            items[bool(reason)].append(item)
        information.ReferencedSOPSequence = items[False]
        if items[True]:
            information.FailedSOPSequence = items[True]
        response, _ = assoc.send_n_event_report(information, event_type, PUSH_MODEL, INSTANCE)
        self.statuses.append(response.get("Status"))
        if release:
            assoc.release()


@pytest.fixture
def archive() -> Iterator[Archive]:
    """Give the test an archive that listens."""
    made = Archive()
    entity = AE(made.ae_title)
    entity.add_supported_context(PUSH_MODEL)
    handlers = [(evt.EVT_N_ACTION, made.take), (evt.EVT_PDU_SENT, made.answered)]
    server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
    made.port = server.socket.getsockname()[1]
    yield made
    for thread in [*made.threads, *server.active_associations]:
        thread.join(10)
    server.shutdown()


@pytest.fixture
async def system(archive: Archive, make_whole_system: MakeWholeSystem) -> WholeSystem:
    """Give the test a system that knows the archive, and ends before it."""
    made = await make_whole_system(STORAGE_COMMITMENT_REPORTS_SIZE="3")
    await made.add_modality("archive", archive.ae_title, archive.port)
    return made


async def store(system: WholeSystem) -> tuple[str, str]:
    """Store a CT; returns its SOP Instance UID and its id."""
    dataset = make_ct()
    answer = await system.rest.client.post("/instances", content=as_file(dataset))
    return str(dataset.SOPInstanceUID), answer.json()["ID"]


async def ask(system: WholeSystem, **body: Any) -> str:
    """Ask for commitment; returns the transaction UID."""
    answer = await system.rest.post("/modalities/archive/storage-commitment", body)
    assert answer["Path"] == f"/storage-commitment/{answer['ID']}"
    return str(answer["ID"])


def named(uid: str) -> dict[str, str]:
    return {"SOPClassUID": CT, "SOPInstanceUID": uid}


async def test_instances_are_named_by_ids_of_any_level_and_by_uids(
    system: WholeSystem, archive: Archive
) -> None:
    uid, public_id = await store(system)
    study = (await system.rest.get(f"/instances/{public_id}/study"))["ID"]
    transaction = await ask(
        system,
        Resources=[study, public_id],
        DicomInstances=[[CT, "1.2.3"], named("1.2.4")],
        LocalAet="US",
    )
    (request,) = archive.requests
    assert transaction.startswith("2.25.")
    assert request.TransactionUID == transaction
    assert [
        (item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID)
        for item in request.ReferencedSOPSequence
    ] == [(CT, uid), (CT, uid), (CT, "1.2.3"), (CT, "1.2.4")]
    assert archive.calling_ae_titles == ["US"]


async def test_a_report_is_pending_until_the_modality_reports(
    system: WholeSystem, archive: Archive
) -> None:
    transaction = await ask(system, DicomInstances=[[CT, "1.2.3"], [CT, "1.2.4"]])
    path = f"/storage-commitment/{transaction}"
    assert await system.rest.get(path) == {"RemoteAET": "ARCHIVE", "Status": "Pending"}
    outcome = [("1.2.3", None), ("1.2.4", 0x0112)]
    await asyncio.to_thread(archive.report, system, transaction, outcome)
    assert await system.rest.get(path) == {
        "RemoteAET": "ARCHIVE",
        "Status": "Failure",
        "Success": [named("1.2.3")],
        "Failures": [
            {
                **named("1.2.4"),
                "FailureReason": 274,
                "Description": (
                    "One or more of the elements in the Referenced SOP Instance Sequence was not "
                    "available"
                ),
            }
        ],
    }
    await asyncio.to_thread(archive.report, system, transaction, [("1.2.3", None)])
    assert (await system.rest.get(path))["Status"] == "Success"
    assert archive.statuses == [0x0000, 0x0000]


async def test_a_report_may_come_over_the_association_of_the_request(
    system: WholeSystem, archive: Archive
) -> None:
    archive.on_same_association = (1, [("1.2.3", None)])
    transaction = await ask(system, DicomInstances=[[CT, "1.2.3"]])
    path = f"/storage-commitment/{transaction}"
    async with asyncio.timeout(30):
        while (report := await system.rest.get(path))["Status"] == "Pending":  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    assert report == {
        "RemoteAET": "ARCHIVE",
        "Status": "Success",
        "Success": [named("1.2.3")],
        "Failures": [],
    }


async def test_a_report_without_role_negotiation_counts_as_well(
    system: WholeSystem, archive: Archive
) -> None:
    transaction = await ask(system, DicomInstances=[[CT, "1.2.3"]])
    await asyncio.to_thread(archive.report, system, transaction, [("1.2.3", None)], roles=False)
    assert (await system.rest.get(f"/storage-commitment/{transaction}"))["Status"] == "Success"


async def test_only_who_was_asked_is_believed(system: WholeSystem, archive: Archive) -> None:
    transaction = await ask(system, DicomInstances=[[CT, "1.2.3"]])
    await system.add_modality("other", "OTHER", archive.port)
    outcome: list[tuple[str, int | None]] = [("1.2.3", None)]
    await asyncio.to_thread(archive.report, system, transaction, outcome, ae_title="OTHER")
    await asyncio.to_thread(archive.report, system, "1.2.3.4", outcome)
    await asyncio.to_thread(archive.report, system, transaction, outcome, ae_title="STRANGER")
    await asyncio.to_thread(archive.report, system, transaction, outcome, event_type=3)
    assert archive.statuses == [0x0000, 0x0000, 0x0124, 0x0113]
    assert (await system.rest.get(f"/storage-commitment/{transaction}"))["Status"] == "Pending"


async def test_what_was_committed_is_removed(system: WholeSystem, archive: Archive) -> None:
    (uid, public_id), (_, other) = await store(system), await store(system)
    transaction = await ask(system, Resources=[public_id])
    path = f"/storage-commitment/{transaction}"
    assert await system.rest.refusal("POST", f"{path}/remove") == (
        500,
        6,
        "Cannot remove DICOM instances after failure in storage commitment transaction: "
        f"{transaction}",
    )
    await asyncio.to_thread(archive.report, system, transaction, [(uid, 0x0110)])
    assert (await system.rest.refusal("POST", f"{path}/remove"))[:2] == (500, 6)
    await asyncio.to_thread(archive.report, system, transaction, [(uid, None)])
    answer = await system.rest.client.post(f"{path}/remove")
    assert (answer.status_code, answer.text) == (200, "{}")
    assert await system.rest.get("/instances") == [other]
    assert (await system.rest.get(path))["Status"] == "Success"


async def test_an_unknown_transaction_is_told(system: WholeSystem) -> None:
    refusal = (404, 7, "No storage commitment transaction with UID: 1.2")
    assert await system.rest.refusal("GET", "/storage-commitment/1.2") == refusal
    assert await system.rest.refusal("POST", "/storage-commitment/1.2/remove") == refusal


async def test_the_oldest_reports_are_forgotten(system: WholeSystem) -> None:
    transactions = [await ask(system, DicomInstances=[[CT, "1.2.3"]]) for _ in range(4)]
    assert (await system.rest.refusal("GET", f"/storage-commitment/{transactions[0]}"))[0] == 404
    for transaction in transactions[1:]:
        assert (await system.rest.get(f"/storage-commitment/{transaction}"))["Status"] == "Pending"


async def test_a_modality_that_refuses_or_is_away_is_an_error(
    system: WholeSystem, archive: Archive
) -> None:
    route, body = "/modalities/archive/storage-commitment", {"DicomInstances": [[CT, "1.2.3"]]}
    archive.status = 0x0112
    assert await system.rest.refusal("POST", route, body) == (
        500,
        9,
        "Storage commitment - The request cannot be handled by remote AET: ARCHIVE",
    )
    await system.add_modality("archive", "ARCHIVE", 1)
    assert await system.rest.refusal("POST", route, body) == (
        500,
        9,
        'DicomAssociation - connecting to AET "ARCHIVE": TCP Initialization Error: '
        "Connection refused",
    )


WRONG_REQUESTS: list[tuple[Any, int, int, str]] = [
    ([], 400, 15, "Must provide a JSON object with a list of resources"),
    ({}, 400, 15, "Empty storage commitment request"),
    ({"Resources": "x"}, 400, 15, "must provide an array of Orthanc resources"),
    ({"Resources": ["nope"]}, 404, 17, ""),
    ({"DicomInstances": [["1"]]}, 400, 15, "an array with 2 strings"),
    ({"DicomInstances": [{"SOPClassUID": "1"}]}, 400, 15, "an object with 2 string"),
    ({"DicomInstances": [["a", "b"]]}, 400, 15, "no UID"),
    ({"DicomInstances": [7]}, 400, 15, "JSON array or object"),
    ({"DicomInstances": "x"}, 400, 15, "an array of DICOM instances"),
]


async def test_wrong_requests_are_refused(system: WholeSystem, archive: Archive) -> None:
    for body, status, code, details in WRONG_REQUESTS:
        route = "/modalities/archive/storage-commitment"
        found = await system.rest.refusal("POST", route, body)
        assert found[:2] == (status, code), body
        assert details in found[2]
    assert archive.requests == []


async def test_an_unknown_modality_is_told(system: WholeSystem) -> None:
    assert await system.rest.refusal("POST", "/modalities/none/storage-commitment", {}) == (
        404,
        7,
        "No modality with symbolic name: none",
    )


async def test_a_transaction_that_begins_again_is_pending_again(system: WholeSystem) -> None:
    request = CommitmentRequest("1.2.77", (SopReference(CT, "1.2.3"),))
    async with open_commitment_reports(system.rest.system.settings) as reports:
        await reports.expect(request, "ARCHIVE")
        assert await reports.record("1.2.77", "ARCHIVE", request.references, ())
        await reports.expect(request, "OTHER")
        assert await reports.requested("1.2.77") == request
        report = await reports.get("1.2.77")
    assert report is not None
    assert (report.is_pending, report.remote_ae_title, report.committed) == (True, "OTHER", ())
