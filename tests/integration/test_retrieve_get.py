"""C-GET SCP: pynetdicom asks and receives over the same association."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pynetdicom import build_context, build_role, evt

from lanthorn_core.dicom.part10 import read_file_meta
from lanthorn_core.model import RemoteAE
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
    identifier_of,
    in_thread,
)
from tests.integration.test_retrieve_move import make_study, store, uids

pytestmark = SURPRISED_THREADS

PATIENT_ROOT = "1.2.840.10008.5.1.4.1.2.1.3"
STUDY_ROOT = "1.2.840.10008.5.1.4.1.2.2.3"
PATIENT_STUDY_ONLY = "1.2.840.10008.5.1.4.1.2.3.3"
MR = "1.2.840.10008.5.1.4.1.1.4"
DATA = Path(__file__).parents[1] / "data" / "pydicom"


async def test_stored_bytes_come_back_over_the_same_association(
    retrieve_gateway: RetrieveGateway,
) -> None:
    study = make_study()
    stored = await store(retrieve_gateway, study)
    answers, received = await retrieve_gateway.get(
        STUDY_ROOT, QueryRetrieveLevel="STUDY", StudyInstanceUID=study[0].StudyInstanceUID
    )
    assert answers.status == 0x0000
    assert [answers.counts_of(place) for place in range(4)] == [
        (2, 1, 0, 0),
        (1, 2, 0, 0),
        (0, 3, 0, 0),
        (None, 3, 0, 0),
    ]
    assert {each.sop_instance_uid: each.data_set for each in received} == stored
    assert {each.move_originator_ae_title for each in received} == {None}


@pytest.mark.parametrize(
    ("model", "level", "key", "expected"),
    [
        (PATIENT_ROOT, "PATIENT", "PatientID", 4),
        (PATIENT_STUDY_ONLY, "STUDY", "StudyInstanceUID", 4),
        (STUDY_ROOT, "STUDY", "AccessionNumber", 4),
        (STUDY_ROOT, "SERIES", "SeriesInstanceUID", 2),
        (PATIENT_ROOT, "IMAGE", "SOPInstanceUID", 1),
    ],
)
async def test_every_level_in_every_model(
    retrieve_gateway: RetrieveGateway, model: str, level: str, key: str, expected: int
) -> None:
    study = make_study(series=2, instances=2)
    await store(retrieve_gateway, study + make_study())
    answers, received = await retrieve_gateway.get(
        model, **{"QueryRetrieveLevel": level, key: study[0][key].value}
    )
    assert (answers.status, answers.counts) == (0x0000, (None, expected, 0, 0))
    assert {each.sop_instance_uid for each in received} == set(uids(study)[:expected])


async def test_the_level_is_required(retrieve_gateway: RetrieveGateway) -> None:
    study = make_study(instances=1)
    await store(retrieve_gateway, study)
    answers, received = await retrieve_gateway.get(
        STUDY_ROOT, StudyInstanceUID=study[0].StudyInstanceUID
    )
    assert (answers.status, received) == (0xA900, [])


async def test_nothing_found_is_success_without_sub_operations(
    retrieve_gateway: RetrieveGateway,
) -> None:
    answers, _ = await retrieve_gateway.get(
        STUDY_ROOT, QueryRetrieveLevel="STUDY", StudyInstanceUID="1.2.3"
    )
    assert (len(answers.responses), answers.status) == (1, 0x0000)
    assert answers.counts == (None, 0, 0, 0)


async def test_a_sop_class_without_context_fails_alone_and_the_rest_goes_on(
    retrieve_gateway: RetrieveGateway,
) -> None:
    study = make_study(instances=4)
    study[0].SOPClassUID = study[2].SOPClassUID = MR
    await store(retrieve_gateway, study)
    answers, received = await retrieve_gateway.get(
        STUDY_ROOT, QueryRetrieveLevel="STUDY", StudyInstanceUID=study[0].StudyInstanceUID
    )
    assert (answers.status, answers.counts) == (0xB000, (None, 2, 2, 0))
    assert answers.failed == [study[0].SOPInstanceUID, study[2].SOPInstanceUID]
    assert len(received) == 2


@pytest.mark.parametrize("scp_roles", [(), (MR,)])
async def test_without_the_scp_role_everything_fails(
    retrieve_gateway: RetrieveGateway, scp_roles: tuple[str, ...]
) -> None:
    study = make_study(instances=2)
    await store(retrieve_gateway, study)
    answers, received = await retrieve_gateway.get(
        STUDY_ROOT,
        storage=[(CT, EXPLICIT), (MR, EXPLICIT)],
        scp_roles=scp_roles,
        QueryRetrieveLevel="STUDY",
        StudyInstanceUID=study[0].StudyInstanceUID,
    )
    assert (answers.status, answers.counts, received) == (0xA702, (None, 0, 2, 0), [])
    assert sorted(answers.failed) == sorted(uids(study))


async def test_failures_and_warnings_of_the_requestor_are_counted(
    retrieve_gateway: RetrieveGateway,
) -> None:
    study = make_study(instances=3)
    await store(retrieve_gateway, study)
    statuses: Iterator[int] = iter([0xA700, 0x0000, 0xB000])
    answers, received = await retrieve_gateway.get(
        STUDY_ROOT,
        answer=lambda _: next(statuses),
        QueryRetrieveLevel="STUDY",
        StudyInstanceUID=study[0].StudyInstanceUID,
    )
    assert (answers.status, answers.counts) == (0xB000, (None, 1, 1, 1))
    assert answers.failed == [received[0].sop_instance_uid]


async def test_the_stored_syntax_is_preferred(retrieve_gateway: RetrieveGateway) -> None:
    study = make_study(instances=1)
    stored = await store(retrieve_gateway, study)
    _, received = await retrieve_gateway.get(
        STUDY_ROOT,
        storage=[(CT, IMPLICIT), (CT, EXPLICIT)],
        QueryRetrieveLevel="STUDY",
        StudyInstanceUID=study[0].StudyInstanceUID,
    )
    assert [(each.transfer_syntax, each.data_set) for each in received] == [
        (EXPLICIT, *stored.values())
    ]


async def test_c_cancel_ends_it_with_the_counts_so_far(retrieve_gateway: RetrieveGateway) -> None:
    study = make_study(instances=20)
    await store(retrieve_gateway, study)
    received: list[str] = []

    def ask() -> list[Dataset]:
        contexts = [build_context(STUDY_ROOT), build_context(CT, EXPLICIT)]
        cancelled = threading.Event()

        def receive(event: Any) -> int:
            received.append(event.request.AffectedSOPInstanceUID)
            if not cancelled.is_set():
                cancelled.set()
                event.assoc.send_c_cancel(5, query_model=STUDY_ROOT)
            return 0x0000

        with retrieve_gateway.associated(
            contexts,
            ext_neg=[build_role(CT, scp_role=True)],
            evt_handlers=[(evt.EVT_C_STORE, receive)],
        ) as assoc:
            identifier = identifier_of(
                QueryRetrieveLevel="STUDY", StudyInstanceUID=study[0].StudyInstanceUID
            )
            responses = assoc.send_c_get(identifier, STUDY_ROOT, msg_id=5)
            return [status for status, _ in responses]

    final = (await in_thread(ask))[-1]
    assert final.Status == 0xFE00
    assert final.NumberOfCompletedSuboperations == len(received) < 20
    assert final.NumberOfRemainingSuboperations + final.NumberOfCompletedSuboperations == 20


async def test_a_requestor_that_leaves_in_the_middle_harms_nobody(
    retrieve_gateway: RetrieveGateway,
) -> None:
    study = make_study(instances=20)
    await store(retrieve_gateway, study)

    def ask_and_leave() -> None:
        identifier = identifier_of(
            QueryRetrieveLevel="STUDY", StudyInstanceUID=study[0].StudyInstanceUID
        )
        contexts = [(STUDY_ROOT, IMPLICIT), (CT, EXPLICIT)]
        port = retrieve_gateway.port
        with Requestor(LOOPBACK, port, contexts, scp_roles=[CT]) as requestor:
            requestor.write(requestor.encode(STUDY_ROOT, identifier))
            requestor.read_pdu()
            requestor.write(A_ABORT)

    await in_thread(ask_and_leave)
    answers, _ = await retrieve_gateway.get(
        STUDY_ROOT, QueryRetrieveLevel="STUDY", StudyInstanceUID=study[0].StudyInstanceUID
    )
    assert answers.counts == (None, 20, 0, 0)


async def test_large_objects_are_streamed_and_arrive_whole(
    retrieve_gateway: RetrieveGateway,
) -> None:
    study = make_study(instances=2, rows=1024, columns=1024, frames=3)
    stored = await store(retrieve_gateway, study)
    answers, received = await retrieve_gateway.get(
        STUDY_ROOT, QueryRetrieveLevel="STUDY", StudyInstanceUID=study[0].StudyInstanceUID
    )
    assert answers.counts == (None, 2, 0, 0)
    assert {each.sop_instance_uid: each.data_set for each in received} == stored


@pytest.mark.parametrize("allowed", [True, False])
async def test_compressed_objects_need_transcoding_for_who_takes_native_ones_only(
    make_retrieve_gateway: MakeRetrieveGateway, allowed: bool
) -> None:
    gateway: RetrieveGateway = await make_retrieve_gateway(TRANSCODE_DICOM_PROTOCOL="false")
    data = (DATA / "JPEG2000.dcm").read_bytes()
    await gateway.system.store(data)
    meta = read_file_meta(data)
    sop_class = meta.media_storage_sop_class_uid
    syntax = meta.transfer_syntax_uid if allowed else EXPLICIT
    answers, received = await gateway.get(
        STUDY_ROOT,
        storage=[(sop_class, syntax)],
        QueryRetrieveLevel="IMAGE",
        SOPInstanceUID=meta.media_storage_sop_instance_uid,
    )
    if allowed:
        assert answers.status == 0x0000
        assert [each.data_set for each in received] == [data[meta.dataset_offset :]]
    else:
        assert (answers.status, answers.counts) == (0xA702, (None, 0, 1, 0))


async def test_nothing_is_transcoded_for_a_known_ae_that_forbids_it(
    retrieve_gateway: RetrieveGateway,
) -> None:
    study = make_study(instances=1)
    await store(retrieve_gateway, study)
    await retrieve_gateway.add_remote(
        RemoteAE(ae_title="ASKER", host=LOOPBACK, port=104, allow_transcoding=False)
    )
    answers, _ = await retrieve_gateway.get(
        STUDY_ROOT,
        storage=[(CT, IMPLICIT)],
        QueryRetrieveLevel="STUDY",
        StudyInstanceUID=study[0].StudyInstanceUID,
    )
    assert (answers.status, answers.counts) == (0xA702, (None, 0, 1, 0))
