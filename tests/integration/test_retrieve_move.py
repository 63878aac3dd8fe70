"""C-MOVE SCP: pynetdicom asks, pynetdicom receives."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid
from pynetdicom import build_context

from lanthorn_core.dicom.part10 import read_file_meta
from lanthorn_core.model import RemoteAE
from lanthorn_core.ports.jobs import JobState
from lanthorn_embedded.sockets import ReservedPort
from tests.fixtures.dicom_files import as_file, make_ct
from tests.fixtures.dimse_requestor import Requestor
from tests.fixtures.pynetdicom_peer import SURPRISED_THREADS
from tests.fixtures.retrieving import (
    A_ABORT,
    CT,
    EXPLICIT,
    IMPLICIT,
    LOOPBACK,
    MakeRetrieveGateway,
    RetrieveGateway,
    destination,
    identifier_of,
    in_thread,
)

pytestmark = SURPRISED_THREADS

PATIENT_ROOT = "1.2.840.10008.5.1.4.1.2.1.2"
STUDY_ROOT = "1.2.840.10008.5.1.4.1.2.2.2"
PATIENT_STUDY_ONLY = "1.2.840.10008.5.1.4.1.2.3.2"


def make_study(*, series: int = 1, instances: int = 3, **elements: Any) -> list[Dataset]:
    study, patient = generate_uid(), f"PID{generate_uid()[-10:]}"
    return [
        make_ct(
            **{
                "PatientID": patient,
                "AccessionNumber": f"ACC{patient[-8:]}",
                "StudyInstanceUID": study,
                "SeriesInstanceUID": f"{study[:58]}.{number}",
                "InstanceNumber": instance + 1,
                **elements,
            }
        )
        for number in range(series)
        for instance in range(instances)
    ]


async def store(gateway: RetrieveGateway, datasets: list[Dataset]) -> dict[str, bytes]:
    """Store data sets; gives what was stored behind the File Meta Information, by UID."""
    stored = {}
    for dataset in datasets:
        data = as_file(dataset)
        await gateway.system.store(data)
        stored[str(dataset.SOPInstanceUID)] = data[read_file_meta(data).dataset_offset :]
    return stored


def sample(name: str) -> bytes:
    return Path(str(get_testdata_file(name))).read_bytes()


def uids(datasets: list[Dataset]) -> list[str]:
    return [str(dataset.SOPInstanceUID) for dataset in datasets]


async def test_stored_bytes_go_out_as_they_are(retrieve_gateway: RetrieveGateway) -> None:
    study = make_study()
    stored = await store(retrieve_gateway, study)
    with destination() as peer:
        await retrieve_gateway.add_remote(peer.remote_ae)
        answers = await retrieve_gateway.move(
            "DEST",
            STUDY_ROOT,
            QueryRetrieveLevel="STUDY",
            StudyInstanceUID=study[0].StudyInstanceUID,
        )
        assert answers.status == 0x0000
        assert [answers.counts_of(place) for place in range(4)] == [
            (2, 1, 0, 0),
            (1, 2, 0, 0),
            (0, 3, 0, 0),
            (None, 3, 0, 0),
        ]
        assert {each.sop_instance_uid: each.data_set for each in peer.received} == stored
        assert {each.transfer_syntax for each in peer.received} == {EXPLICIT}
        assert {
            (each.move_originator_ae_title, each.move_originator_message_id)
            for each in peer.received
        } == {("ASKER", 77)}
        assert len(peer.associations) == 1
        assert peer.associations[0].requestor.ae_title == "LANTHORN"


@pytest.mark.parametrize(
    ("model", "level", "key", "expected"),
    [
        (PATIENT_ROOT, "PATIENT", "PatientID", 4),
        (PATIENT_STUDY_ONLY, "PATIENT", "PatientID", 4),
        (PATIENT_ROOT, "STUDY", "StudyInstanceUID", 4),
        (PATIENT_STUDY_ONLY, "STUDY", "StudyInstanceUID", 4),
        (STUDY_ROOT, "STUDY", "AccessionNumber", 4),
        (STUDY_ROOT, None, "AccessionNumber", 4),
        (STUDY_ROOT, "SERIES", "SeriesInstanceUID", 2),
        (STUDY_ROOT, None, "SeriesInstanceUID", 2),
        (PATIENT_ROOT, "IMAGE", "SOPInstanceUID", 1),
        (STUDY_ROOT, None, "SOPInstanceUID", 1),
    ],
)
async def test_every_level_in_every_model(
    retrieve_gateway: RetrieveGateway, model: str, level: str | None, key: str, expected: int
) -> None:
    study = make_study(series=2, instances=2)
    await store(retrieve_gateway, study + make_study())
    identifier = {key: study[0][key].value} | ({"QueryRetrieveLevel": level} if level else {})
    with destination() as peer:
        await retrieve_gateway.add_remote(peer.remote_ae)
        answers = await retrieve_gateway.move("DEST", model, **identifier)
        assert answers.status == 0x0000
        assert answers.counts == (None, expected, 0, 0)
        assert {each.sop_instance_uid for each in peer.received} == set(uids(study)[:expected])


async def test_a_list_of_images_is_retrieved_in_one_request(
    retrieve_gateway: RetrieveGateway,
) -> None:
    study = make_study(instances=4)
    await store(retrieve_gateway, study)
    wanted = uids(study)[1:3]
    with destination() as peer:
        await retrieve_gateway.add_remote(peer.remote_ae)
        answers = await retrieve_gateway.move(
            "DEST",
            STUDY_ROOT,
            QueryRetrieveLevel="IMAGE",
            StudyInstanceUID=study[0].StudyInstanceUID,
            SOPInstanceUID=[*wanted, "1.2.3"],
        )
        assert answers.counts == (None, 2, 0, 0)
        assert [each.sop_instance_uid for each in peer.received] == wanted


@pytest.mark.parametrize(
    ("identifier", "status"),
    [
        ({"QueryRetrieveLevel": "STUDY"}, 0xA900),
        ({"QueryRetrieveLevel": "PATIENT", "PatientID": ""}, 0xA900),
        ({"QueryRetrieveLevel": "FRAME", "SOPInstanceUID": "1.2"}, 0xA900),
        ({"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": "1.2.3.4"}, 0x0000),
    ],
)
async def test_wrong_identifiers_and_empty_results(
    retrieve_gateway: RetrieveGateway, identifier: dict[str, str], status: int
) -> None:
    await store(retrieve_gateway, make_study(instances=1))
    with destination() as peer:
        await retrieve_gateway.add_remote(peer.remote_ae)
        answers = await retrieve_gateway.move("DEST", STUDY_ROOT, **identifier)
        assert (answers.status, len(answers.responses)) == (status, 1)
        if status == 0x0000:
            assert answers.counts == (None, 0, 0, 0)
        assert not peer.associations


async def test_an_unknown_destination_is_a801(retrieve_gateway: RetrieveGateway) -> None:
    study = make_study(instances=1)
    await store(retrieve_gateway, study)
    answers = await retrieve_gateway.move(
        "NOBODY",
        STUDY_ROOT,
        QueryRetrieveLevel="STUDY",
        StudyInstanceUID=study[0].StudyInstanceUID,
    )
    assert [int(each.Status) for each in answers.responses] == [0xA801]


async def test_an_unreachable_destination_fails_everything(
    retrieve_gateway: RetrieveGateway,
) -> None:
    study, nobody = make_study(), ReservedPort()
    await store(retrieve_gateway, study)
    await retrieve_gateway.add_remote(RemoteAE(ae_title="AWAY", host=LOOPBACK, port=nobody.number))
    answers = await retrieve_gateway.move(
        "AWAY",
        STUDY_ROOT,
        QueryRetrieveLevel="STUDY",
        StudyInstanceUID=study[0].StudyInstanceUID,
    )
    assert answers.status == 0xA702
    assert answers.counts == (None, 0, 3, 0)
    assert sorted(answers.failed) == sorted(uids(study))
    assert answers.responses[-1].ErrorComment.startswith("DicomAssociation - connecting to AET")


async def test_failures_and_warnings_of_the_destination_are_counted(
    retrieve_gateway: RetrieveGateway,
) -> None:
    study = make_study(instances=4)
    await store(retrieve_gateway, study)
    statuses = iter([0x0000, 0xB007, 0xA700, 0xC123])
    with destination(answer=lambda _: next(statuses)) as peer:
        await retrieve_gateway.add_remote(peer.remote_ae)
        answers = await retrieve_gateway.move(
            "DEST",
            STUDY_ROOT,
            QueryRetrieveLevel="STUDY",
            StudyInstanceUID=study[0].StudyInstanceUID,
        )
        assert answers.status == 0xB000
        assert answers.counts == (None, 1, 2, 1)
        assert answers.failed == [each.sop_instance_uid for each in peer.received[2:]]


async def test_an_instance_the_destination_cannot_take_fails_alone(
    retrieve_gateway: RetrieveGateway,
) -> None:
    study = make_study()
    study[1].SOPClassUID = "1.2.840.10008.5.1.4.1.1.4"  # MR Image Storage
    await store(retrieve_gateway, study)
    with destination(sop_classes=[CT]) as peer:
        await retrieve_gateway.add_remote(peer.remote_ae)
        answers = await retrieve_gateway.move(
            "DEST",
            STUDY_ROOT,
            QueryRetrieveLevel="STUDY",
            StudyInstanceUID=study[0].StudyInstanceUID,
        )
        assert (answers.status, answers.counts) == (0xB000, (None, 2, 1, 0))
        assert answers.failed == [study[1].SOPInstanceUID]
        assert len(peer.received) == 2


async def test_c_cancel_ends_it_with_the_counts_so_far(retrieve_gateway: RetrieveGateway) -> None:
    study = make_study(instances=20)
    await store(retrieve_gateway, study)
    entered, go_on = threading.Event(), threading.Event()

    def answer(_: Any) -> int:
        entered.set()
        go_on.wait(20)
        return 0x0000

    def ask() -> list[Dataset]:
        with retrieve_gateway.associated([build_context(STUDY_ROOT)]) as assoc:
            responses = assoc.send_c_move(
                identifier_of(
                    QueryRetrieveLevel="STUDY", StudyInstanceUID=study[0].StudyInstanceUID
                ),
                "DEST",
                STUDY_ROOT,
                msg_id=5,
            )
            assert entered.wait(20)
            (asker,) = retrieve_gateway.server.associations
            before = asker.bytes_received
            assoc.send_c_cancel(5, query_model=STUDY_ROOT)
            # The destination answers only after the C-CANCEL has been read.
            give_up_at = time.monotonic() + 20
            while asker.bytes_received == before:
                assert time.monotonic() < give_up_at
                time.sleep(0.01)
            go_on.set()
            return [status for status, _ in responses]

    with destination(answer=answer) as peer:
        await retrieve_gateway.add_remote(peer.remote_ae)
        responses = await in_thread(ask)
        final = responses[-1]
        assert final.Status == 0xFE00
        assert final.NumberOfCompletedSuboperations == len(peer.received) < 20
        assert final.NumberOfRemainingSuboperations + final.NumberOfCompletedSuboperations == 20


async def test_a_requestor_that_leaves_ends_its_sub_operations(
    retrieve_gateway: RetrieveGateway,
) -> None:
    study = make_study(instances=30)
    await store(retrieve_gateway, study)
    entered, go_on = threading.Event(), threading.Event()

    def answer(_: Any) -> int:
        entered.set()
        go_on.wait(20)
        return 0x0000

    def ask_and_leave() -> None:
        identifier = identifier_of(
            QueryRetrieveLevel="STUDY", StudyInstanceUID=study[0].StudyInstanceUID
        )
        contexts = [(STUDY_ROOT, IMPLICIT)]
        with Requestor(LOOPBACK, retrieve_gateway.port, contexts) as requestor:
            requestor.write(requestor.encode(STUDY_ROOT, identifier, destination="DEST"))
            entered.wait(20)
            requestor.write(A_ABORT)

    with destination(answer=answer) as peer:
        await retrieve_gateway.add_remote(peer.remote_ae)
        await in_thread(ask_and_leave)
        go_on.set()
        async with asyncio.timeout(20):
            while not retrieve_gateway.pool.idle_count:  # noqa: ASYNC110  # nothing tells it
                await asyncio.sleep(0.01)
        assert len(peer.received) < 30


async def test_an_association_is_used_again_for_the_next_request(
    retrieve_gateway: RetrieveGateway,
) -> None:
    first, second = make_study(), make_study()
    await store(retrieve_gateway, first + second)
    with destination() as peer:
        await retrieve_gateway.add_remote(peer.remote_ae)
        for study in (first, second):
            answers = await retrieve_gateway.move(
                "DEST",
                STUDY_ROOT,
                QueryRetrieveLevel="STUDY",
                StudyInstanceUID=study[0].StudyInstanceUID,
            )
            assert answers.counts == (None, 3, 0, 0)
        assert len(peer.received) == 6
        assert len(peer.associations) == 1


async def test_a_destination_that_was_restarted_is_reached_at_once(
    retrieve_gateway: RetrieveGateway,
) -> None:
    first, second = make_study(), make_study()
    await store(retrieve_gateway, first + second)
    port = ReservedPort()
    for study in (first, second):
        with destination(port=port.number) as peer:
            await retrieve_gateway.add_remote(peer.remote_ae)
            answers = await retrieve_gateway.move(
                "DEST",
                STUDY_ROOT,
                QueryRetrieveLevel="STUDY",
                StudyInstanceUID=study[0].StudyInstanceUID,
            )
            assert answers.counts == (None, 3, 0, 0)
            assert len(peer.received) == 3


async def test_the_local_ae_title_of_the_destination_is_used(
    retrieve_gateway: RetrieveGateway,
) -> None:
    study = make_study(instances=1)
    await store(retrieve_gateway, study)
    with destination() as peer:
        await retrieve_gateway.add_remote(
            RemoteAE(ae_title="DEST", host=LOOPBACK, port=peer.port, local_ae_title="OTHERNAME")
        )
        await retrieve_gateway.move(
            "DEST",
            STUDY_ROOT,
            QueryRetrieveLevel="STUDY",
            StudyInstanceUID=study[0].StudyInstanceUID,
        )
        assert peer.associations[0].requestor.ae_title == "OTHERNAME"


async def test_without_permission_nothing_is_sent(
    make_retrieve_gateway: MakeRetrieveGateway,
) -> None:
    gateway: RetrieveGateway = await make_retrieve_gateway(DICOM_ALWAYS_ALLOW_MOVE="false")
    study = make_study(instances=1)
    await store(gateway, study)
    with destination() as peer:
        await gateway.add_remote(peer.remote_ae)
        answers = await gateway.move(
            "DEST",
            STUDY_ROOT,
            QueryRetrieveLevel="STUDY",
            StudyInstanceUID=study[0].StudyInstanceUID,
        )
        assert (answers.status, peer.received) == (0x0124, [])


async def test_large_objects_are_streamed_and_arrive_whole(
    retrieve_gateway: RetrieveGateway,
) -> None:
    study = make_study(instances=2, rows=1024, columns=1024, frames=3)
    stored = await store(retrieve_gateway, study)
    with destination() as peer:
        await retrieve_gateway.add_remote(peer.remote_ae)
        answers = await retrieve_gateway.move(
            "DEST",
            STUDY_ROOT,
            QueryRetrieveLevel="STUDY",
            StudyInstanceUID=study[0].StudyInstanceUID,
        )
        assert answers.counts == (None, 2, 0, 0)
        assert {each.sop_instance_uid: each.data_set for each in peer.received} == stored


async def test_an_object_that_is_gone_fails_alone(retrieve_gateway: RetrieveGateway) -> None:
    study = make_study()
    await store(retrieve_gateway, study)
    await retrieve_gateway.system.reader.wait_until_current()
    objects = retrieve_gateway.system.objects
    keys = [info.key async for info in objects.list()]
    await objects.delete(keys[1])
    with destination() as peer:
        await retrieve_gateway.add_remote(peer.remote_ae)
        answers = await retrieve_gateway.move(
            "DEST",
            STUDY_ROOT,
            QueryRetrieveLevel="STUDY",
            StudyInstanceUID=study[0].StudyInstanceUID,
        )
        assert (answers.status, answers.counts) == (0xB000, (None, 2, 1, 0))
        assert answers.failed == [study[1].SOPInstanceUID]


async def test_asynchronously_a_job_is_made_and_success_is_answered(
    make_retrieve_gateway: MakeRetrieveGateway,
) -> None:
    gateway: RetrieveGateway = await make_retrieve_gateway(SYNCHRONOUS_C_MOVE="false")
    study = make_study()
    await store(gateway, study)
    with destination() as peer:
        await gateway.add_remote(peer.remote_ae)
        answers = await gateway.move(
            "DEST",
            STUDY_ROOT,
            QueryRetrieveLevel="STUDY",
            StudyInstanceUID=study[0].StudyInstanceUID,
        )
        assert [int(each.Status) for each in answers.responses] == [0x0000]
        (job,) = await gateway.jobs.registry.list()
        assert (job.type, job.state) == ("DicomModalityStore", JobState.PENDING)
        resources = job.content["ParentResources"]
        assert job.content == {
            "Description": "C-MOVE",
            "FailedInstancesCount": 0,
            "InstancesCount": 3,
            "LocalAet": "LANTHORN",
            "MoveOriginatorAET": "ASKER",
            "MoveOriginatorID": 77,
            "ParentResources": resources,
            "RemoteAet": "DEST",
        }
        assert len(resources) == 1
        assert not peer.received


async def test_deflated_and_big_endian_objects_go_out_as_they_are(
    retrieve_gateway: RetrieveGateway,
) -> None:
    stored = {}
    for name in ("image_dfl.dcm", "MR_small_bigendian.dcm"):
        data = sample(name)
        await retrieve_gateway.system.store(data)
        meta = read_file_meta(data)
        stored[meta.media_storage_sop_instance_uid] = (
            meta.transfer_syntax_uid,
            data[meta.dataset_offset :],
        )
    syntaxes = [IMPLICIT, EXPLICIT, "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"]
    with destination(transfer_syntaxes=syntaxes) as peer:
        await retrieve_gateway.add_remote(peer.remote_ae)
        answers = await retrieve_gateway.move(
            "DEST", STUDY_ROOT, QueryRetrieveLevel="IMAGE", SOPInstanceUID=list(stored)
        )
        assert answers.counts == (None, 2, 0, 0)
        assert {
            each.sop_instance_uid: (each.transfer_syntax, each.data_set) for each in peer.received
        } == stored
