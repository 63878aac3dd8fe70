"""Storage commitment that modalities ask us for (PS3.4 Annex J), pynetdicom in their part."""

from __future__ import annotations

import asyncio
import queue
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from pydicom import Dataset
from pynetdicom import AE, build_context, evt
from pynetdicom.association import Association

from lanthorn_core.dicom.commitment import CommitmentRequest, SopReference, encode_request
from lanthorn_core.dicom.encodings import EXPLICIT_VR_LITTLE_ENDIAN as EXPLICIT
from lanthorn_dimse import AssociateRequest, Command, CommandField, associate, propose
from tests.fixtures.dicom_files import as_file, make_ct
from tests.fixtures.pynetdicom_peer import SURPRISED_THREADS
from tests.fixtures.whole_system import MakeWholeSystem, WholeSystem

pytestmark = SURPRISED_THREADS

PUSH_MODEL, INSTANCE = "1.2.840.10008.1.20.1", "1.2.840.10008.1.20.1.1"
CT, MR = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4"


@dataclass
class Report:
    """An N-EVENT-REPORT request as a modality sees it."""

    event_type: int
    information: Dataset
    calling_ae_title: str
    called_ae_title: str
    was_opened_by_us: bool

    @property
    def committed(self) -> list[tuple[str, str]]:
        return [
            (str(item.ReferencedSOPClassUID), str(item.ReferencedSOPInstanceUID))
            for item in self.information.get("ReferencedSOPSequence", [])
        ]

    @property
    def failures(self) -> list[tuple[str, int]]:
        return [
            (str(item.ReferencedSOPInstanceUID), int(item.FailureReason))
            for item in self.information.get("FailedSOPSequence", [])
        ]


@dataclass
class Modality:
    """An AE that asks for storage commitment and takes reports."""

    port: int = 0
    ae_title: str = "MODALITY"
    status: int = 0x0000
    reports: queue.Queue[Report] = field(default_factory=queue.Queue)

    def take(self, event: Any) -> tuple[int, None]:
        assoc = event.assoc
        self.reports.put(
            Report(
                event.event_type,
                event.event_information,
                assoc.requestor.ae_title,
                assoc.acceptor.ae_title,
                assoc.is_requestor,
            )
        )
        return self.status, None

    @contextmanager
    def associated(self, system: WholeSystem, ae_title: str = "") -> Iterator[Association]:
        entity = AE(ae_title or self.ae_title)
        entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = 30
        assoc = entity.associate(
            "127.0.0.1",
            system.dicom_port,
            contexts=[build_context(PUSH_MODEL)],
            ae_title="LANTHORN",
            evt_handlers=[(evt.EVT_N_EVENT_REPORT, self.take)],
        )
        assert assoc.is_established
        try:
            yield assoc
        finally:
            if assoc.is_established:
                assoc.release()
            assoc.join(10)

    async def ask(
        self, system: WholeSystem, references: Iterable[tuple[str, str]], **options: Any
    ) -> int | None:
        """Request commitment; returns the status, None if the association was aborted."""

        def run() -> int | None:
            with self.associated(system, options.pop("ae_title", "")) as assoc:
                return send_request(assoc, references, **options)

        return await asyncio.to_thread(run)

    async def report(self) -> Report:
        """Wait for the next report."""
        return await asyncio.to_thread(self.reports.get, timeout=60)


def send_request(
    assoc: Association,
    references: Iterable[tuple[str, str]],
    *,
    transaction_uid: str = "1.2.77.1",
    action_type: int = 1,
    instance_uid: str = INSTANCE,
) -> int | None:
    information = Dataset()
    if transaction_uid:
        information.TransactionUID = transaction_uid
    information.ReferencedSOPSequence = []
    for sop_class_uid, sop_instance_uid in references:
        item = Dataset()
        item.ReferencedSOPClassUID = sop_class_uid
        item.ReferencedSOPInstanceUID = sop_instance_uid
        information.ReferencedSOPSequence.append(item)
    response, _ = assoc.send_n_action(information, action_type, PUSH_MODEL, instance_uid)
    return response.get("Status")


@pytest.fixture
def modality() -> Iterator[Modality]:
    """Give the test a modality that takes reports over associations that we open."""
    made = Modality()
    entity = AE(made.ae_title)
    entity.add_supported_context(PUSH_MODEL, scu_role=False, scp_role=True)
    server = entity.start_server(
        ("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_N_EVENT_REPORT, made.take)]
    )
    made.port = server.socket.getsockname()[1]
    yield made
    # Aborted in the middle of its last words, pynetdicom's association would linger.
    for association in server.active_associations:
        association.join(10)
    server.shutdown()


@pytest.fixture
async def make(modality: Modality, make_whole_system: MakeWholeSystem) -> Callable[..., Any]:
    async def made(**options: str) -> WholeSystem:
        system = await make_whole_system(**options)
        await system.add_modality("modality", modality.ae_title, modality.port)
        return system

    return made


async def store(system: WholeSystem) -> str:
    dataset = make_ct()
    await system.rest.store(as_file(dataset))
    return str(dataset.SOPInstanceUID)


async def job_of(system: WholeSystem, state: str) -> dict[str, Any]:
    async with asyncio.timeout(60):
        while True:
            (job,) = await system.rest.get("/jobs?expand")
            if job["State"] == state:
                found: dict[str, Any] = job
                return found
            await asyncio.sleep(0.05)


async def test_what_is_stored_is_committed_over_a_new_association(
    make: Callable[..., Any], modality: Modality
) -> None:
    system = await make()
    references = [(CT, await store(system)) for _ in range(3)]
    assert await modality.ask(system, references) == 0x0000
    report = await modality.report()
    assert report.event_type == 1
    assert report.information.TransactionUID == "1.2.77.1"
    assert report.committed == references
    assert "FailedSOPSequence" not in report.information
    assert not report.was_opened_by_us
    assert (report.calling_ae_title, report.called_ae_title) == ("LANTHORN", "MODALITY")


async def test_what_is_not_stored_as_such_is_told_with_the_reason(
    make: Callable[..., Any], modality: Modality
) -> None:
    system = await make()
    uid = await store(system)
    references = [(CT, uid), (CT, "1.2.3.404"), (MR, uid)]
    assert await modality.ask(system, references) == 0x0000
    report = await modality.report()
    assert report.event_type == 2
    assert report.committed == [(CT, uid)]
    assert report.failures == [("1.2.3.404", 0x0112), (uid, 0x0119)]


async def test_an_instance_whose_object_is_gone_is_not_committed(
    make: Callable[..., Any], modality: Modality
) -> None:
    system = await make()
    dataset = make_ct()
    receipt = await system.rest.store(as_file(dataset))
    await system.rest.system.reader.wait_until_current()
    await system.rest.system.objects.delete(receipt.object_key)
    assert await modality.ask(system, [(CT, str(dataset.SOPInstanceUID))]) == 0x0000
    assert (await modality.report()).failures == [(str(dataset.SOPInstanceUID), 0x0110)]


async def test_the_request_becomes_a_job(make: Callable[..., Any], modality: Modality) -> None:
    system = await make()
    await modality.ask(system, [(CT, await store(system))])
    job = await job_of(system, "Success")
    assert job["Type"] == "StorageCommitmentScp"
    assert job["Progress"] == 100
    assert job["Content"] == {
        "CalledAet": "LANTHORN",
        "Description": "",
        "RemoteAet": "MODALITY",
        "RemoteIp": "127.0.0.1",
        "TransactionUid": "1.2.77.1",
    }


async def test_a_thousand_instances_are_committed_at_once(
    make: Callable[..., Any], modality: Modality
) -> None:
    system = await make()
    stored = (CT, await store(system))
    references = [*((CT, f"1.2.3.{number}") for number in range(1200)), stored]
    assert await modality.ask(system, references) == 0x0000
    report = await modality.report()
    assert report.committed == [stored]
    assert [uid for uid, _ in report.failures] == [uid for _, uid in references[:-1]]


async def test_a_report_that_is_refused_fails_the_job(
    make: Callable[..., Any], modality: Modality
) -> None:
    system = await make()
    modality.status = 0x0110
    await modality.ask(system, [(CT, await store(system))])
    job = await job_of(system, "Failure")
    assert job["ErrorCode"] == 9
    assert "0x0110" in job["ErrorDetails"]


async def test_a_modality_that_is_away_is_tried_again(
    make: Callable[..., Any], modality: Modality
) -> None:
    system = await make()
    await system.add_modality("modality", modality.ae_title, 1)
    await modality.ask(system, [(CT, await store(system))])
    job = await job_of(system, "Retry")
    assert job["Content"]["RemoteAet"] == "MODALITY"


async def test_the_report_comes_over_the_same_association_if_that_is_open(
    make: Callable[..., Any], modality: Modality
) -> None:
    system = await make(LANTHORN__COMMITMENT_ON_SAME_ASSOCIATION="true")
    reference = (CT, await store(system))

    def run() -> Report:
        with modality.associated(system) as assoc:
            assert send_request(assoc, [reference]) == 0x0000
            return modality.reports.get(timeout=60)

    report = await asyncio.to_thread(run)
    assert report.committed == [reference]
    assert report.was_opened_by_us


async def test_the_report_comes_over_a_new_association_if_the_first_one_is_over(
    make: Callable[..., Any], modality: Modality
) -> None:
    system = await make(LANTHORN__COMMITMENT_ON_SAME_ASSOCIATION="true")
    reference = (CT, await store(system))
    for number in range(5):
        uid = f"1.2.77.{number + 1}"
        assert await modality.ask(system, [reference], transaction_uid=uid) == 0x0000
        report = await modality.report()
        assert (report.committed, report.information.TransactionUID) == ([reference], uid)


WRONG_REQUESTS: list[tuple[dict[str, Any], int]] = [
    ({"action_type": 2}, 0x0123),
    ({"instance_uid": "1.2.3"}, 0x0112),
    ({"transaction_uid": ""}, 0x0115),
    ({"ae_title": "NOBODY"}, 0x0124),
]


async def test_requests_that_make_no_sense_are_refused(
    make: Callable[..., Any], modality: Modality
) -> None:
    system = await make()
    for options, status in WRONG_REQUESTS:
        assert await modality.ask(system, [(CT, "1.2.3")], **options) == status, options
    assert await system.rest.get("/jobs") == []
    assert await modality.ask(system, []) == 0x0000
    assert (await modality.report()).event_type == 1


async def test_a_modality_without_permission_is_refused(
    make: Callable[..., Any], modality: Modality
) -> None:
    system = await make()
    await system.add_modality(
        "modality", modality.ae_title, modality.port, AllowStorageCommitment=False
    )
    assert await modality.ask(system, [(CT, "1.2.3")]) == 0x0124


async def test_a_request_for_too_many_instances_is_refused(make: Callable[..., Any]) -> None:
    system = await make()
    references = [SopReference(CT, f"1.2.3.4.5.6.7.8.9.10.{number}") for number in range(60_000)]
    encoded = encode_request(CommitmentRequest("1.2.77.1", tuple(references)), EXPLICIT)
    assoc = await associate(
        "127.0.0.1",
        system.dicom_port,
        AssociateRequest("MODALITY", "LANTHORN", propose([(PUSH_MODEL, [EXPLICIT])])),
    )
    command = Command(
        CommandField.N_ACTION_RQ,
        assoc.next_message_id(),
        has_data_set=True,
        requested_sop_class_uid=PUSH_MODEL,
        requested_sop_instance_uid=INSTANCE,
        action_type_id=1,
    )
    response = await assoc.request(1, command, encoded)
    assert response.command.status == 0x0213
    await assoc.release()
    assert await system.rest.get("/jobs") == []
