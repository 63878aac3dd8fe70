"""The job `DicomModalityStore`, and the associations over which it sends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from pydicom.dataset import Dataset
from pynetdicom import StoragePresentationContexts
from pynetdicom.service_class import StorageServiceClass
from pynetdicom.sop_class import uid_to_service_class

from lanthorn_core.commands import StoreJob, StoreStraight, to_parameters
from lanthorn_core.dicom.commitment import CommitmentRequest, SopReference
from lanthorn_core.dicom.part10 import read_file_meta
from lanthorn_core.errors import NoPresentationContext, RemoteAEFailed
from lanthorn_core.model import RemoteAE
from lanthorn_core.ports.jobs import Checkpoint, Job, JobRequest, JobState
from lanthorn_core.usecases.job_worker import JobWorker
from lanthorn_dimse_gateway.jobs.store import StoreJobRunner
from lanthorn_dimse_gateway.scu.store_straight import StoreStraightHandler
from lanthorn_embedded.sockets import ReservedPort
from tests.fixtures.dicom_files import as_file, make_ct
from tests.fixtures.pynetdicom_peer import SURPRISED_THREADS
from tests.fixtures.retrieving import (
    CT,
    LOOPBACK,
    Destination,
    MakeRetrieveGateway,
    RetrieveGateway,
    destination,
)

pytestmark = SURPRISED_THREADS


async def store(gateway: RetrieveGateway, datasets: list[Dataset]) -> list[str]:
    """Store data sets; gives the Orthanc identifiers of the instances."""
    receipts = [await gateway.system.store(as_file(dataset)) for dataset in datasets]
    await gateway.system.reader.wait_until_current()
    return [receipt.public_ids.instance for receipt in receipts]


def request_for(remote: RemoteAE, instances: list[str], **parameters: Any) -> JobRequest:
    job = StoreJob(
        remote=msgspec.structs.replace(remote, timeout_s=20), instances=instances, **parameters
    )
    return JobRequest(type="DicomModalityStore", parameters=to_parameters(job))


class Commitments:
    """Takes the requests for storage commitment."""

    def __init__(self) -> None:
        self.requested: list[CommitmentRequest] = []

    async def __call__(self, remote: RemoteAE, request: CommitmentRequest) -> None:
        self.requested.append(request)


@asynccontextmanager
async def worker(
    gateway: RetrieveGateway, commitments: Commitments | None = None
) -> AsyncIterator[None]:
    runner = StoreJobRunner(gateway.system.reader, gateway.store, commitments or Commitments())
    jobs = JobWorker(
        gateway.jobs.store, gateway.jobs.signals, {"DicomModalityStore": runner}, concurrency=2
    )
    stop = asyncio.Event()
    running = asyncio.ensure_future(jobs.run(stop))
    try:
        yield
    finally:
        stop.set()
        await running


async def run(gateway: RetrieveGateway, request: JobRequest) -> Job:
    async with worker(gateway), asyncio.timeout(30):
        return await gateway.jobs.registry.run(request)


async def test_a_job_sends_its_instances_in_order(retrieve_gateway: RetrieveGateway) -> None:
    datasets = [make_ct() for _ in range(4)]
    instances = await store(retrieve_gateway, datasets)
    with destination() as peer:
        job = await run(
            retrieve_gateway,
            request_for(
                peer.remote_ae,
                instances,
                move_originator_ae_title="FAKE",
                move_originator_message_id=42,
            ),
        )
        assert (job.state, job.progress) == (JobState.SUCCESS, 1.0)
        assert job.content == {
            "Description": "REST API",
            "FailedInstancesCount": 0,
            "InstancesCount": 4,
        }
        assert [each.sop_instance_uid for each in peer.received] == [
            dataset.SOPInstanceUID for dataset in datasets
        ]
        assert {
            (each.move_originator_ae_title, each.move_originator_message_id)
            for each in peer.received
        } == {("FAKE", 42)}


async def test_the_first_failure_ends_the_job(retrieve_gateway: RetrieveGateway) -> None:
    instances = await store(retrieve_gateway, [make_ct() for _ in range(3)])
    statuses: Iterator[int] = iter([0x0000, 0xA700])
    with destination(answer=lambda _: next(statuses)) as peer:
        job = await run(retrieve_gateway, request_for(peer.remote_ae, instances))
        assert job.state is JobState.FAILURE
        assert job.error is not None
        assert job.error.slug == RemoteAEFailed.slug
        assert job.error.details == 'C-STORE SCU to AET "DEST" has failed with DIMSE status 0xA700'
        assert len(peer.received) == 2


async def test_a_permissive_job_counts_its_failures(retrieve_gateway: RetrieveGateway) -> None:
    instances = await store(retrieve_gateway, [make_ct() for _ in range(3)])
    statuses: Iterator[int] = iter([0x0000, 0xA700, 0xB000])
    with destination(answer=lambda _: next(statuses)) as peer:
        job = await run(
            retrieve_gateway,
            request_for(peer.remote_ae, ["gone", *instances], permissive=True),
        )
        assert job.state is JobState.SUCCESS
        assert job.content["FailedInstancesCount"] == 2
        assert job.content["InstancesCount"] == 4
        assert len(peer.received) == 3


async def test_a_deleted_instance_fails_the_job(retrieve_gateway: RetrieveGateway) -> None:
    instances = await store(retrieve_gateway, [make_ct()])
    with destination() as peer:
        job = await run(retrieve_gateway, request_for(peer.remote_ae, [*instances, "gone"]))
        assert job.error is not None
        assert job.error.slug == "unknown-resource"
        assert len(peer.received) == 1


@pytest.mark.parametrize("permissive", [True, False])
async def test_an_unreachable_remote_ae_is_told_in_orthancs_words(
    retrieve_gateway: RetrieveGateway, permissive: bool
) -> None:
    nobody = ReservedPort()
    instances = await store(retrieve_gateway, [make_ct(), make_ct()])
    dead = RemoteAE(ae_title="DEAD", host=LOOPBACK, port=nobody.number)
    job = await run(retrieve_gateway, request_for(dead, instances, permissive=permissive))
    if permissive:
        assert (job.state, job.content["FailedInstancesCount"]) == (JobState.SUCCESS, 2)
    else:
        assert job.error is not None
        assert job.error.details == (
            'DicomAssociation - connecting to AET "DEAD": '
            "TCP Initialization Error: Connection refused"
        )


async def test_a_remote_ae_that_takes_nothing_of_it_is_told_apart(
    retrieve_gateway: RetrieveGateway,
) -> None:
    instances = await store(retrieve_gateway, [make_ct()])
    with destination(sop_classes=["1.2.840.10008.5.1.4.1.1.4"]) as peer:
        job = await run(retrieve_gateway, request_for(peer.remote_ae, instances))
        assert job.error is not None
        assert (job.error.slug, job.error.details) == (
            NoPresentationContext.slug,
            'Unable to negotiate a presentation context with AET "DEST"',
        )


async def test_a_remote_ae_that_aborts_fails_the_instance(
    retrieve_gateway: RetrieveGateway,
) -> None:
    instances = await store(retrieve_gateway, [make_ct(), make_ct()])

    def abort_first(event: Any) -> int:
        if len(peer.received) == 1:
            event.assoc.abort()
        return 0x0000

    with destination(answer=abort_first) as peer:
        job = await run(retrieve_gateway, request_for(peer.remote_ae, instances, permissive=True))
        assert job.content["FailedInstancesCount"] == 1
        assert [len(peer.received), len(peer.associations)] == [2, 2]


async def test_more_sop_classes_than_contexts_need_several_associations(
    retrieve_gateway: RetrieveGateway,
) -> None:
    storage = [str(each.abstract_syntax) for each in StoragePresentationContexts]
    # pynetdicom proposes some that it does not serve.
    sop_classes = [uid for uid in storage if uid_to_service_class(uid) is StorageServiceClass][:80]
    datasets = [make_ct(SOPClassUID=sop_class_uid) for sop_class_uid in sop_classes]
    instances = await store(retrieve_gateway, datasets)
    with destination(sop_classes=sop_classes) as peer:
        job = await run(retrieve_gateway, request_for(peer.remote_ae, instances))
        assert job.state is JobState.SUCCESS
        assert len(peer.received) == 80
        assert len(peer.associations) == 2
        assert all(len(each.requestor.requested_contexts) <= 128 for each in peer.associations)


async def test_an_interrupted_job_goes_on_where_it_stopped(
    retrieve_gateway: RetrieveGateway,
) -> None:
    instances = await store(retrieve_gateway, [make_ct() for _ in range(3)])
    with destination() as peer:
        job_id = await retrieve_gateway.jobs.registry.submit(request_for(peer.remote_ae, instances))
        claimed = await retrieve_gateway.jobs.store.claim(
            ["DicomModalityStore"], worker_id="gone", lease_s=30
        )
        assert claimed is not None
        await retrieve_gateway.jobs.store.give_back(
            claimed.claim, Checkpoint(2 / 3, {"done": 2, "failed": 1}, {})
        )
        async with worker(retrieve_gateway), asyncio.timeout(30):
            job = await retrieve_gateway.jobs.registry.wait(job_id)
        assert (job.state, job.content["FailedInstancesCount"]) == (JobState.SUCCESS, 1)
        assert len(peer.received) == 1


async def test_storage_commitment_is_asked_for_what_was_sent(
    retrieve_gateway: RetrieveGateway,
) -> None:
    datasets = [make_ct(), make_ct()]
    instances = await store(retrieve_gateway, datasets)
    commitments = Commitments()
    with destination() as peer:
        request = request_for(
            peer.remote_ae, instances, storage_commitment_transaction_uid="2.25.1"
        )
        async with worker(retrieve_gateway, commitments), asyncio.timeout(30):
            await retrieve_gateway.jobs.registry.run(request)
    assert commitments.requested == [
        CommitmentRequest(
            "2.25.1", tuple(SopReference(CT, dataset.SOPInstanceUID) for dataset in datasets)
        )
    ]


async def test_idle_associations_are_released_after_the_delay(
    make_retrieve_gateway: MakeRetrieveGateway,
) -> None:
    gateway: RetrieveGateway = await make_retrieve_gateway(DICOM_ASSOCIATION_CLOSE_DELAY="5")
    instances = await store(gateway, [make_ct()])
    with destination() as peer:
        await run(gateway, request_for(peer.remote_ae, instances))
        assert gateway.pool.idle_count == 1
        async with asyncio.timeout(30):
            while gateway.pool.idle_count:  # noqa: ASYNC110  # nothing tells it
                await asyncio.sleep(0.02)
        (association,) = peer.associations
        await asyncio.to_thread(association.join, 10)
        assert association.is_released


async def test_without_a_delay_associations_are_released_at_once(
    make_retrieve_gateway: MakeRetrieveGateway,
) -> None:
    gateway: RetrieveGateway = await make_retrieve_gateway(DICOM_ASSOCIATION_CLOSE_DELAY="0")
    instances = await store(gateway, [make_ct()])
    with destination() as peer:
        await run(gateway, request_for(peer.remote_ae, instances))
        assert gateway.pool.idle_count == 0
        (association,) = peer.associations
        await asyncio.to_thread(association.join, 10)
        assert association.is_released


async def test_parallel_jobs_have_an_association_each(retrieve_gateway: RetrieveGateway) -> None:
    instances = await store(retrieve_gateway, [make_ct(), make_ct()])
    both = asyncio.Event()
    loop = asyncio.get_running_loop()

    def meet(_: Any) -> int:
        if len(peer.received) == 2:
            loop.call_soon_threadsafe(both.set)
        asyncio.run_coroutine_threadsafe(both.wait(), loop).result(20)
        return 0x0000

    peer: Destination
    with destination(answer=meet) as peer:
        async with worker(retrieve_gateway), asyncio.timeout(30):
            registry = retrieve_gateway.jobs.registry
            finished = await asyncio.gather(
                *(registry.run(request_for(peer.remote_ae, [each])) for each in instances)
            )
        assert [job.state for job in finished] == [JobState.SUCCESS] * 2
        assert len(peer.associations) == 2


async def test_store_straight_sends_one_object(retrieve_gateway: RetrieveGateway) -> None:
    data = as_file(make_ct())
    meta = read_file_meta(data)
    key = "straight/1.dcm"
    await retrieve_gateway.system.objects.put(key, [data])
    handler = StoreStraightHandler(retrieve_gateway.store)

    async def answer(_: Any) -> None:
        pytest.fail("there is nothing to answer")

    statuses = iter([0x0000, 0xA900])
    with destination(answer=lambda _: next(statuses)) as peer:
        command = StoreStraight(
            remote=peer.remote_ae,
            object_key=key,
            size_bytes=len(data),
            dataset_offset=meta.dataset_offset,
            sop_class_uid=meta.media_storage_sop_class_uid,
            sop_instance_uid=meta.media_storage_sop_instance_uid,
            transfer_syntax_uid=meta.transfer_syntax_uid,
        )
        await handler(command, answer)
        assert [each.data_set for each in peer.received] == [data[meta.dataset_offset :]]
        with pytest.raises(RemoteAEFailed, match="DIMSE status 0xA900"):
            await handler(command, answer)
