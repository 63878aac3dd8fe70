"""C-MOVE and C-GET as SCU: the jobs `DicomMoveScu` and `DicomGetScu`, against pynetdicom."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEG2000Lossless
from pynetdicom.events import Event

from lanthorn_core import wiring
from lanthorn_core.adapters.bus_nats import move_receipts
from lanthorn_core.commands import GetJob, MoveJob, RetrieveIdentifier, to_parameters
from lanthorn_core.model import Level, RemoteAE
from lanthorn_core.ports.jobs import Job, JobRequest, JobState
from lanthorn_core.usecases.byte_budget import ByteBudget
from lanthorn_core.usecases.store_instance import StoreInstance
from lanthorn_dimse_gateway.app import serving_dicom
from lanthorn_dimse_gateway.contexts import ContextPolicy
from lanthorn_dimse_gateway.jobs.get import GetRunner
from lanthorn_dimse_gateway.jobs.move import MoveRunner
from lanthorn_dimse_gateway.listening import listen
from lanthorn_dimse_gateway.receive_buffers import ReceiveBuffers
from lanthorn_dimse_gateway.scp.moved import announce_moved
from lanthorn_dimse_gateway.scp.store import StoreScp
from lanthorn_dimse_gateway.scu.associations import ScuOptions, open_association_pool
from lanthorn_dimse_gateway.services import ConfiguredRemoteAEs
from tests.fixtures.dicom_files import make_ct
from tests.fixtures.index import MakeSystem, System
from tests.fixtures.jobs import Jobs
from tests.fixtures.pynetdicom_peer import SURPRISED_THREADS
from tests.fixtures.remote_application import (
    CT,
    PATIENT_ROOT_GET,
    PATIENT_ROOT_MOVE,
    STUDY_ROOT_GET,
    STUDY_ROOT_MOVE,
    VERIFICATION,
    remote_application,
    towards,
)
from tests.fixtures.retrieving import destination

pytestmark = SURPRISED_THREADS

CT_AS = [(CT, [ExplicitVRLittleEndian, ImplicitVRLittleEndian])]
Finished = Callable[[Job], bool]


@dataclass(frozen=True)
class Retriever:
    """The gateway's job worker over everything real."""

    system: System
    jobs: Jobs
    port: int

    async def start(self, job_type: str, parameters: MoveJob | GetJob) -> str:
        """Submit a job as rest-api does."""
        return await self.jobs.registry.submit(
            JobRequest(type=job_type, parameters=to_parameters(parameters))
        )

    async def run(self, job_type: str, parameters: MoveJob | GetJob) -> Job:
        """Run a job to its end."""
        job_id = await self.start(job_type, parameters)
        return await self.jobs.until(job_id, lambda job: job.state.is_final)


@pytest.fixture
async def retriever(make_system: MakeSystem) -> AsyncIterator[Retriever]:
    async with AsyncExitStack() as stack:
        system = await make_system()
        await stack.enter_async_context(system.indexer())
        yield await stack.enter_async_context(_retrieving(system))


@asynccontextmanager
async def _retrieving(system: System) -> AsyncIterator[Retriever]:
    settings = system.settings
    store = StoreInstance(system.objects, system.bus.publisher, None, settings.default_encoding)
    receipts = system.bus.move_receipts
    receiver = StoreScp(
        store,
        system.objects.spool_folder,
        ReceiveBuffers(ByteBudget(64 << 20)),
        announce_moved(receipts),
    )
    listening = listen("127.0.0.1", 0)
    port = listening.getsockname()[1]
    async with (
        wiring.open_jobs(settings, system.bus) as engine,
        open_association_pool(ScuOptions(ae_title="LANTHORN")) as pool,
        serving_dicom(settings, [receiver], ConfiguredRemoteAEs.of(settings), listening, drain_s=5),
    ):
        jobs = Jobs(engine)
        runners = {
            "DicomMoveScu": MoveRunner(pool, receipts, "LANTHORN", settings.default_encoding),
            "DicomGetScu": GetRunner(
                pool, receiver, ContextPolicy.of(settings, {}), settings.default_encoding
            ),
        }
        async with jobs.worker(runners):
            yield Retriever(system, jobs, port)


def wanted(
    study_instance_uid: str = "1.2.3", *, level: Level = Level.STUDY, **more: Any
) -> RetrieveIdentifier:
    name = "PATIENT" if level is Level.PATIENT else "STUDY"
    keys = {"0008,0052": name, "0020,000d": study_instance_uid}
    return RetrieveIdentifier(level=level, keys=keys, query=dict(keys), **more)


def move_job(
    remote: RemoteAE, *identifiers: RetrieveIdentifier, target: str = "TARGET", **more: Any
) -> MoveJob:
    return MoveJob(remote=remote, target_ae_title=target, identifiers=list(identifiers), **more)


def sending(port: int, *datasets: Dataset) -> Callable[[Event], Iterator[Any]]:
    """Make a C-MOVE provider that sends these to a port."""

    def move(event: Event) -> Iterator[Any]:
        yield towards(port)
        yield len(datasets)
        for dataset in datasets:
            yield 0xFF00, dataset

    return move


async def test_a_move_names_its_destination_and_ends_well(retriever: Retriever) -> None:
    with (
        destination(sop_classes=[CT]) as target,
        remote_application(move=sending(target.port, make_ct(), make_ct())) as application,
    ):
        job = await retriever.run("DicomMoveScu", move_job(application.remote_ae, wanted()))
        (request,) = application.requests
        (identifier,) = application.identifiers
        assert len(target.received) == 2
        assert application.abstract_syntaxes == [STUDY_ROOT_MOVE]
    assert job.state is JobState.SUCCESS
    assert job.progress == 1
    assert request.MoveDestination == "TARGET"
    assert identifier.QueryRetrieveLevel == "STUDY"
    assert identifier.StudyInstanceUID == "1.2.3"
    assert job.content["Details"] == [
        {"DimseErrorStatus": 0, "Query": wanted().query, "ReceivedInstancesIds": []}
    ]


async def test_a_move_of_a_patient_prefers_the_patient_root(retriever: Retriever) -> None:
    with (
        destination(sop_classes=[CT]) as target,
        remote_application(move=sending(target.port, make_ct())) as application,
    ):
        job = await retriever.run(
            "DicomMoveScu", move_job(application.remote_ae, wanted(level=Level.PATIENT))
        )
        assert application.abstract_syntaxes == [PATIENT_ROOT_MOVE]
    assert job.state is JobState.SUCCESS


async def test_a_move_takes_the_model_that_the_peer_has(retriever: Retriever) -> None:
    with (
        destination(sop_classes=[CT]) as target,
        remote_application(
            move=sending(target.port, make_ct()), abstract_syntaxes=[PATIENT_ROOT_MOVE]
        ) as application,
    ):
        job = await retriever.run("DicomMoveScu", move_job(application.remote_ae, wanted()))
        assert application.abstract_syntaxes == [PATIENT_ROOT_MOVE]
    assert job.state is JobState.SUCCESS


async def test_a_move_to_ourselves_names_what_came(
    retriever: Retriever, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(move_receipts, "PATIENCE_S", 30.0)
    images = [make_ct() for _ in range(3)]
    with remote_application(move=sending(retriever.port, *images)) as application:
        remote = application.remote_ae
        job = await retriever.run("DicomMoveScu", move_job(remote, wanted(), target="LANTHORN"))
    assert job.state is JobState.SUCCESS
    (detail,) = job.content["Details"]
    await retriever.system.reader.wait_until_current()
    found = await retriever.system.reader.resources(Level.INSTANCE, detail["ReceivedInstancesIds"])
    assert {resource.main_tags["SOPInstanceUID"] for resource in found} == {
        str(image.SOPInstanceUID) for image in images
    }


async def test_an_unknown_destination_fails_the_job_with_the_status(retriever: Retriever) -> None:
    def move(event: Event) -> Iterator[Any]:
        yield None, None

    with remote_application(move=move) as application:
        job = await retriever.run("DicomMoveScu", move_job(application.remote_ae, wanted()))
    assert job.state is JobState.FAILURE
    assert job.error is not None
    assert job.error.details == ('C-MOVE SCU to AET "REMOTE" has failed with DIMSE status 0xA801')
    assert job.content["Details"][0]["DimseErrorStatus"] == 0xA801


async def test_a_failed_identifier_ends_the_job_unless_it_is_permissive(
    retriever: Retriever,
) -> None:
    def move(event: Event) -> Iterator[Any]:
        if event.identifier.StudyInstanceUID == "1.2.3":
            yield None, None
            return
        yield towards(target.port)
        yield 1
        yield 0xFF00, make_ct()

    with (
        destination(sop_classes=[CT]) as target,
        remote_application(move=move) as application,
    ):
        both = (wanted("1.2.3"), wanted("1.2.4"))
        strict = await retriever.run("DicomMoveScu", move_job(application.remote_ae, *both))
        assert len(application.requests) == 1
        permissive = await retriever.run(
            "DicomMoveScu", move_job(application.remote_ae, *both, permissive=True)
        )
        assert len(application.requests) == 3
        assert len(application.associations) == 2  # one for each job
    assert strict.state is JobState.FAILURE
    assert permissive.state is JobState.SUCCESS
    statuses = [detail["DimseErrorStatus"] for detail in permissive.content["Details"]]
    assert statuses == [0xA801, 0]


async def test_a_canceled_job_cancels_the_move_at_the_peer(retriever: Retriever) -> None:
    canceled = threading.Event()

    def move(event: Event) -> Iterator[Any]:
        yield towards(target.port)
        yield 10_000
        for _ in range(10_000):
            if event.is_cancelled:
                canceled.set()
                yield 0xFE00, None
                return
            yield 0xFF00, make_ct()

    with (
        destination(sop_classes=[CT]) as target,
        remote_application(move=move) as application,
    ):
        job_id = await retriever.start("DicomMoveScu", move_job(application.remote_ae, wanted()))
        await retriever.jobs.until(job_id, lambda job: job.progress > 0)
        await retriever.jobs.registry.cancel(job_id)
        job = await retriever.jobs.until_state(job_id, JobState.FAILURE)
        assert await asyncio.to_thread(canceled.wait, 30)
    assert job.error is not None
    assert job.error.slug == "job-canceled"
    assert job.progress < 1


async def test_a_get_stores_what_comes_back_and_names_it(retriever: Retriever) -> None:
    images = [make_ct() for _ in range(3)]

    def get(event: Event) -> Iterator[Any]:
        yield len(images)
        for image in images:
            yield 0xFF00, image

    with remote_application(get=get, storage=CT_AS) as application:
        remote = application.remote_ae
        job = await retriever.run("DicomGetScu", GetJob(remote=remote, identifiers=[wanted()]))
        assert application.abstract_syntaxes == [STUDY_ROOT_GET]
        assert application.ended == ["released"]
    assert job.state is JobState.SUCCESS
    (detail,) = job.content["Details"]
    assert len(detail["ReceivedInstancesIds"]) == 3
    await retriever.system.reader.wait_until_current()
    found = await retriever.system.reader.resources(Level.INSTANCE, detail["ReceivedInstancesIds"])
    assert len(found) == 3


async def test_what_came_by_get_is_known_to_come_from_the_remote_ae(retriever: Retriever) -> None:
    def get(event: Event) -> Iterator[Any]:
        yield 1
        yield 0xFF00, make_ct()

    with remote_application(get=get, storage=CT_AS) as application:
        job = await retriever.run(
            "DicomGetScu", GetJob(remote=application.remote_ae, identifiers=[wanted()])
        )
    (identifier,) = job.content["Details"][0]["ReceivedInstancesIds"]
    await retriever.system.reader.wait_until_current()
    found = await retriever.system.reader.resource(Level.INSTANCE, identifier)
    assert found is not None
    assert found.metadata["RemoteAET"] == "REMOTE"
    assert found.metadata["CalledAET"] == "LANTHORN"
    assert found.metadata["Origin"] == "DicomProtocol"


async def test_the_sop_classes_of_a_study_decide_on_what_is_proposed(retriever: Retriever) -> None:
    def get(event: Event) -> Iterator[Any]:
        yield 0

    with remote_application(get=get, storage=CT_AS) as application:
        for classes in ([CT], []):
            await retriever.run(
                "DicomGetScu",
                GetJob(remote=application.remote_ae, identifiers=[wanted(sop_class_uids=classes)]),
            )
        few, many = (
            [
                (str(context.abstract_syntax), [str(uid) for uid in context.transfer_syntax])
                for context in association.requestor.requested_contexts
            ]
            for association in application.associations
        )
    models = {STUDY_ROOT_GET, PATIENT_ROOT_GET}
    assert {abstract_syntax for abstract_syntax, _ in few} == {*models, CT}
    assert (CT, [JPEG2000Lossless]) in few
    assert len(many) > 100
    assert len(many) <= 128
    assert (CT, [ExplicitVRLittleEndian, ImplicitVRLittleEndian]) in many


@pytest.mark.parametrize("status", [0xA702, 0xB000, 0xC000])
async def test_a_get_that_fails_tells_the_status(retriever: Retriever, status: int) -> None:
    def get(event: Event) -> Iterator[Any]:
        yield 1
        yield status, None

    with remote_application(get=get, storage=CT_AS) as application:
        job = await retriever.run(
            "DicomGetScu", GetJob(remote=application.remote_ae, identifiers=[wanted()])
        )
    assert job.state is JobState.FAILURE
    assert job.error is not None
    assert job.error.details == (
        f'C-GET SCU to AET "REMOTE" has failed with DIMSE status 0x{status:04X}'
    )


async def test_a_peer_that_aborts_a_get_fails_it_with_the_words_of_orthanc(
    retriever: Retriever,
) -> None:
    def get(event: Event) -> Iterator[Any]:
        yield 1
        event.assoc.abort()
        yield 0xFF00, make_ct()

    with remote_application(get=get, storage=CT_AS) as application:
        job = await retriever.run(
            "DicomGetScu", GetJob(remote=application.remote_ae, identifiers=[wanted()])
        )
    assert job.error is not None
    assert job.error.details == ('C-GET SCU to AET "REMOTE" has failed to receive DIMSE command')


async def test_an_instance_that_cannot_be_kept_is_refused_and_the_rest_comes(
    retriever: Retriever,
) -> None:
    good, bad = make_ct(), make_ct(StudyInstanceUID=None)

    def get(event: Event) -> Iterator[Any]:
        yield 2
        yield 0xFF00, bad
        yield 0xFF00, good

    with remote_application(get=get, storage=CT_AS) as application:
        job = await retriever.run(
            "DicomGetScu", GetJob(remote=application.remote_ae, identifiers=[wanted()])
        )
    assert job.state is JobState.FAILURE  # B000: a sub-operation failed
    (detail,) = job.content["Details"]
    assert detail["DimseErrorStatus"] == 0xB000
    assert len(detail["ReceivedInstancesIds"]) == 1


async def test_a_peer_without_retrieval_fails_the_job(retriever: Retriever) -> None:
    with remote_application(abstract_syntaxes=[VERIFICATION]) as application:
        job = await retriever.run(
            "DicomGetScu", GetJob(remote=application.remote_ae, identifiers=[wanted()])
        )
    assert job.error is not None
    assert job.error.slug == "no-presentation-context"


async def test_a_canceled_job_cancels_the_get_at_the_peer(retriever: Retriever) -> None:
    canceled = threading.Event()

    def get(event: Event) -> Iterator[Any]:
        yield 10_000
        for _ in range(10_000):
            if event.is_cancelled:
                canceled.set()
                yield 0xFE00, None
                return
            yield 0xFF00, make_ct()

    with remote_application(get=get, storage=CT_AS) as application:
        job_id = await retriever.start(
            "DicomGetScu", GetJob(remote=application.remote_ae, identifiers=[wanted()])
        )
        await retriever.jobs.until(job_id, lambda job: job.progress > 0)
        await retriever.jobs.registry.cancel(job_id)
        await retriever.jobs.until_state(job_id, JobState.FAILURE)
        assert await asyncio.to_thread(canceled.wait, 30)
