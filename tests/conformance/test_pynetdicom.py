"""pynetdicom on the other end: as user of every service, and as the provider that we ask."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, generate_uid
from pynetdicom import AE, build_role, evt
from pynetdicom.association import Association
from pynetdicom.presentation import build_context
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    CTImageStorage,
    PatientRootQueryRetrieveInformationModelFind,
    PatientRootQueryRetrieveInformationModelGet,
    PatientRootQueryRetrieveInformationModelMove,
    StorageCommitmentPushModel,
    StorageCommitmentPushModelInstance,
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelMove,
    Verification,
)

from lanthorn_embedded.sockets import LOOPBACK, ReservedPort
from tests.conformance.peers import make_study
from tests.conformance.servers import Server, lanthorn
from tests.fixtures.dicom_files import make_ct
from tests.fixtures.pynetdicom_peer import SURPRISED_THREADS

pytestmark = [pytest.mark.conformance, SURPRISED_THREADS]

Handlers = Sequence[tuple[Any, Callable[..., Any]]]


@dataclass
class Heard:
    """What a provider of pynetdicom was asked."""

    stored: list[Dataset] = field(default_factory=list)
    originators: list[tuple[Any, Any]] = field(default_factory=list)
    identifiers: list[Dataset] = field(default_factory=list)
    calling: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Peer:
    """A server that knows a pynetdicom application, and where that one shall listen."""

    server: Server
    port: ReservedPort

    @contextlib.contextmanager
    def associated(
        self, *contexts: Any, handlers: Handlers = (), roles: Sequence[Any] = ()
    ) -> Iterator[Association]:
        """Associate as `PYNETDICOM`."""
        entity = AE("PYNETDICOM")
        entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = 30
        association = entity.associate(
            LOOPBACK,
            self.server.dicom_port,
            contexts=[c if not isinstance(c, str) else build_context(c) for c in contexts],
            ae_title=self.server.ae_title,
            ext_neg=list(roles),
            evt_handlers=list(handlers),
        )
        assert association.is_established
        try:
            yield association
        finally:
            association.release()
            association.join(10)
            association.dul.join(10)

    @contextlib.contextmanager
    def listening(self, handlers: Handlers, *abstract_syntaxes: str) -> Iterator[Heard]:
        """Provide services at the port that the server knows."""
        heard = Heard()

        def store(event: Any) -> int:
            heard.stored.append(event.dataset)
            request = event.request
            heard.originators.append(
                (request.MoveOriginatorApplicationEntityTitle, request.MoveOriginatorMessageID)
            )
            return 0x0000

        def accepted(event: Any) -> None:
            heard.calling.append(event.assoc.requestor.ae_title)

        entity = AE("PYNETDICOM")
        for abstract_syntax in (Verification, CTImageStorage, *abstract_syntaxes):
            entity.add_supported_context(abstract_syntax, scu_role=True, scp_role=True)
        running = entity.start_server(
            (LOOPBACK, self.port.number),
            block=False,
            evt_handlers=[
                (evt.EVT_C_STORE, store),
                (evt.EVT_ACCEPTED, accepted),
                *[
                    (event, lambda e, handler=handler: handler(e, heard))
                    for event, handler in handlers
                ],
            ],
        )
        assert running is not None
        try:
            yield heard
        finally:
            running.shutdown()


@pytest.fixture(scope="module")
def peer() -> Iterator[Peer]:
    port = ReservedPort()
    with lanthorn(DicomModalities={"peer": ["PYNETDICOM", LOOPBACK, port.number]}) as server:
        yield Peer(server, port)


def identifier(level: str, **keys: Any) -> Dataset:
    """Make the identifier of a query or retrieval."""
    dataset = Dataset()
    dataset.QueryRetrieveLevel = level
    for keyword, value in keys.items():
        setattr(dataset, keyword, value)
    return dataset


def test_echo_and_store_over_one_association(peer: Peer, tmp_path: Path) -> None:
    study = make_study(tmp_path)
    with peer.associated(
        Verification, build_context(CTImageStorage, ExplicitVRLittleEndian)
    ) as association:
        assert association.send_c_echo().Status == 0x0000
        for dataset in study.datasets:
            assert association.send_c_store(dataset).Status == 0x0000
    assert peer.server.sop_instance_uids(study.study_instance_uid) == study.sop_instance_uids


@pytest.mark.parametrize(
    "model",
    [PatientRootQueryRetrieveInformationModelFind, StudyRootQueryRetrieveInformationModelFind],
)
def test_find_sees_what_was_acknowledged_a_moment_ago(
    peer: Peer, tmp_path: Path, model: str
) -> None:
    with peer.associated(
        build_context(CTImageStorage, ExplicitVRLittleEndian), model
    ) as association:
        for _ in range(5):
            study = make_study(tmp_path, series=1, instances=1)
            assert association.send_c_store(study.datasets[0]).Status == 0x0000
            asked = identifier(
                "STUDY", PatientID=study.patient_id, StudyInstanceUID="", ModalitiesInStudy=""
            )
            (pending, answer), (final, _) = list(association.send_c_find(asked, model))
            assert (pending.Status, final.Status) == (0xFF00, 0x0000)
            assert answer.StudyInstanceUID == study.study_instance_uid
            assert answer.ModalitiesInStudy == "CT"


def test_move_to_itself_names_the_originator(peer: Peer, tmp_path: Path) -> None:
    study = make_study(tmp_path)
    peer.server.upload(*study.files)
    model = StudyRootQueryRetrieveInformationModelMove
    asked = identifier("STUDY", StudyInstanceUID=study.study_instance_uid)
    with peer.listening([]) as heard, peer.associated(model) as association:
        responses = list(association.send_c_move(asked, "PYNETDICOM", model, msg_id=77))
    final, _ = responses[-1]
    assert final.Status == 0x0000
    assert final.NumberOfCompletedSuboperations == 4
    assert final.NumberOfFailedSuboperations == 0
    assert {str(dataset.SOPInstanceUID) for dataset in heard.stored} == study.sop_instance_uids
    assert set(heard.originators) == {("PYNETDICOM", 77)}
    assert heard.calling == [peer.server.ae_title]


@pytest.mark.parametrize(
    "model",
    [PatientRootQueryRetrieveInformationModelGet, StudyRootQueryRetrieveInformationModelGet],
)
def test_get_receives_in_the_role_of_a_provider(peer: Peer, tmp_path: Path, model: str) -> None:
    study = make_study(tmp_path)
    peer.server.upload(*study.files)
    received: list[Dataset] = []

    def store(event: Any) -> int:
        received.append(event.dataset)
        return 0x0000

    asked = identifier(
        "STUDY", PatientID=study.patient_id, StudyInstanceUID=study.study_instance_uid
    )
    with peer.associated(
        model,
        build_context(CTImageStorage, [ImplicitVRLittleEndian, ExplicitVRLittleEndian]),
        handlers=[(evt.EVT_C_STORE, store)],
        roles=[build_role(CTImageStorage, scp_role=True)],
    ) as association:
        responses = list(association.send_c_get(asked, model))
    assert responses[-1][0].Status == 0x0000
    assert {str(dataset.SOPInstanceUID) for dataset in received} == study.sop_instance_uids
    pixels = {str(dataset.SOPInstanceUID): dataset.PixelData for dataset in study.datasets}
    assert {str(dataset.SOPInstanceUID): dataset.PixelData for dataset in received} == pixels


def test_get_without_a_context_for_the_images_fails_every_sub_operation(
    peer: Peer, tmp_path: Path
) -> None:
    study = make_study(tmp_path, series=1)
    peer.server.upload(*study.files)
    model = StudyRootQueryRetrieveInformationModelGet
    asked = identifier("STUDY", StudyInstanceUID=study.study_instance_uid)
    with peer.associated(model) as association:
        responses = list(association.send_c_get(asked, model))
    final, failed = responses[-1]
    assert final.Status == 0xA702
    assert final.NumberOfFailedSuboperations == 2
    assert failed is not None
    assert {str(uid) for uid in failed.FailedSOPInstanceUIDList} == study.sop_instance_uids


def test_storage_commitment_reports_on_a_new_association(peer: Peer, tmp_path: Path) -> None:
    study = make_study(tmp_path, series=1, instances=1)
    peer.server.upload(*study.files)
    absent = generate_uid()
    reports: list[tuple[int, Dataset]] = []

    def report(event: Any, heard: Heard) -> tuple[int, None]:
        reports.append((event.event_type, event.event_information))
        return 0x0000, None

    asked = Dataset()
    asked.TransactionUID = generate_uid()
    asked.ReferencedSOPSequence = []
    for uid in (study.datasets[0].SOPInstanceUID, absent):
        item = Dataset()
        item.ReferencedSOPClassUID = CTImageStorage
        item.ReferencedSOPInstanceUID = uid
        asked.ReferencedSOPSequence.append(item)
    with peer.listening([(evt.EVT_N_EVENT_REPORT, report)], StorageCommitmentPushModel):
        with peer.associated(StorageCommitmentPushModel) as association:
            status, _ = association.send_n_action(
                asked, 1, StorageCommitmentPushModel, StorageCommitmentPushModelInstance
            )
            assert status.Status == 0x0000
        peer_waits_for(lambda: bool(reports))
    ((event_type, information),) = reports
    assert event_type == 2  # PS3.4 Table J.3-2: complete, failures exist
    assert information.TransactionUID == asked.TransactionUID
    (committed,) = information.ReferencedSOPSequence
    assert committed.ReferencedSOPInstanceUID == study.datasets[0].SOPInstanceUID
    (failed,) = information.FailedSOPSequence
    assert failed.ReferencedSOPInstanceUID == absent
    assert failed.FailureReason == 0x0112  # no such object instance


def peer_waits_for(condition: Callable[[], bool]) -> None:
    """Return once it is so."""
    give_up_at = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < give_up_at
        time.sleep(0.02)


def test_we_store_what_is_there_with_the_originator_that_was_asked_for(
    peer: Peer, tmp_path: Path
) -> None:
    study = make_study(tmp_path)
    identifiers = peer.server.upload(*study.files)
    with peer.listening([]) as heard:
        answer = peer.server.post(
            "/modalities/peer/store",
            {
                "Resources": identifiers,
                "LocalAet": "DISGUISE",
                "MoveOriginatorAet": "ORIGIN",
                "MoveOriginatorID": 42,
            },
        )
    assert answer["LocalAet"] == "DISGUISE"
    assert {str(dataset.SOPInstanceUID) for dataset in heard.stored} == study.sop_instance_uids
    assert set(heard.originators) == {("ORIGIN", 42)}
    assert set(heard.calling) == {"DISGUISE"}


def test_we_ask_with_the_keys_of_the_query_and_keep_the_answers(peer: Peer) -> None:
    def find(event: Any, heard: Heard) -> Iterator[tuple[int, Dataset | None]]:
        heard.identifiers.append(event.identifier)
        for number in ("1", "2"):
            answer = identifier(
                "STUDY", PatientID=number, StudyInstanceUID=f"1.2.{number}", PatientName="Ärztin"
            )
            answer.SpecificCharacterSet = "ISO_IR 100"
            yield 0xFF00, answer

    with peer.listening(
        [(evt.EVT_C_FIND, find)],
        StudyRootQueryRetrieveInformationModelFind,
        PatientRootQueryRetrieveInformationModelFind,
    ) as heard:
        query = peer.server.post(
            "/modalities/peer/query",
            {"Level": "Study", "Query": {"PatientID": "X*", "PatientName": ""}},
        )
    (asked,) = heard.identifiers
    assert asked.QueryRetrieveLevel == "STUDY"
    assert asked.PatientID == "X*"
    assert "StudyInstanceUID" in asked
    answers = peer.server.get(f"{query['Path']}/answers?expand&simplify")
    assert [answer["PatientID"] for answer in answers] == ["1", "2"]
    assert answers[0]["PatientName"] == "Ärztin"


def test_a_query_that_fails_at_the_provider_fails_with_its_status(peer: Peer) -> None:
    def find(event: Any, heard: Heard) -> Iterator[tuple[int, None]]:
        yield 0xA700, None

    with peer.listening(
        [(evt.EVT_C_FIND, find)],
        StudyRootQueryRetrieveInformationModelFind,
        PatientRootQueryRetrieveInformationModelFind,
    ):
        failure = peer.server.failure(
            "/modalities/peer/query", {"Level": "Study", "Query": {"PatientID": "X"}}
        )
    assert (failure.http_status, failure.orthanc_status) == (500, 9)
    assert 'C-FIND SCU to AET "PYNETDICOM" has failed with DIMSE status 0xA700' in failure.details


def test_we_get_over_the_association_that_we_opened(peer: Peer, tmp_path: Path) -> None:
    study = make_study(tmp_path)

    def get(event: Any, heard: Heard) -> Iterator[Any]:
        yield len(study.datasets)
        for dataset in study.datasets:
            yield 0xFF00, dataset

    with peer.listening(
        [(evt.EVT_C_GET, get)],
        StudyRootQueryRetrieveInformationModelGet,
        PatientRootQueryRetrieveInformationModelGet,
    ):
        answer = peer.server.post(
            "/modalities/peer/get",
            {
                "Level": "Study",
                "Resources": [{"StudyInstanceUID": study.study_instance_uid}],
            },
        )
    stored = peer.server.sop_instance_uids(study.study_instance_uid)
    assert stored == study.sop_instance_uids
    (detail,) = answer["Details"]
    assert len(detail["ReceivedInstancesIds"]) == len(study.datasets)
    metadata = peer.server.metadata(study.datasets[0].SOPInstanceUID)
    assert metadata["RemoteAET"] == "PYNETDICOM"


def test_a_canceled_move_is_canceled_at_the_provider(peer: Peer) -> None:
    canceled: list[bool] = []

    def move(event: Any, heard: Heard) -> Iterator[Any]:
        yield LOOPBACK, peer.port.number, {"contexts": [build_context(CTImageStorage)]}
        yield 1000
        for _ in range(1000):
            if event.is_cancelled:
                canceled.append(True)
                yield 0xFE00, None
                return
            time.sleep(0.05)
            yield 0xFF00, next(endless)

    endless = iter(endless_images())
    with peer.listening(
        [(evt.EVT_C_MOVE, move)],
        StudyRootQueryRetrieveInformationModelMove,
        PatientRootQueryRetrieveInformationModelMove,
    ):
        job = peer.server.post(
            "/modalities/peer/move",
            {
                "Level": "Study",
                "Asynchronous": True,
                "Resources": [{"StudyInstanceUID": "1.2.3"}],
            },
        )
        peer_waits_for(lambda: peer.server.get(job["Path"])["State"] == "Running")
        peer_waits_for(lambda: bool(peer.server.get(job["Path"])["Progress"]))
        peer.server.post(f"{job['Path']}/cancel", b"")
        peer_waits_for(lambda: bool(canceled))
        peer_waits_for(lambda: peer.server.get(job["Path"])["State"] == "Failure")
    assert peer.server.get(job["Path"])["ErrorCode"] == 37


def endless_images() -> Iterator[Dataset]:
    """Make images without end."""
    while True:
        yield make_ct()
