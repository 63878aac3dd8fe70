"""A full store in the mode `Reject`, as senders see it on both faces.

As Orthanc 1.13.0 was seen to answer: 507 to `POST /instances`, for a ZIP archive as a whole, and
A700 to C-STORE; more of a known patient, and what is there already, are taken.
"""

from __future__ import annotations

import asyncio
import socket
import zipfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

from pydicom import Dataset

from lanthorn_core.dicom.part10 import read_file_meta
from lanthorn_core.runtime.lifecycle import Stop
from lanthorn_dimse_gateway.app import run as run_gateway
from lanthorn_embedded.sockets import ReservedPort
from tests.fixtures.dicom_files import as_file, ct_file, make_ct
from tests.fixtures.gateway import EXPLICIT_VR_LITTLE_ENDIAN, RunningGateway
from tests.fixtures.index import MakeSystem, System
from tests.fixtures.rest_api import RestApi

REJECT = {"MAXIMUM_STORAGE_MODE": "Reject"}
ONE_PATIENT = REJECT | {"MAXIMUM_PATIENT_COUNT": "1"}
ONE_MEGABYTE = REJECT | {"MAXIMUM_STORAGE_SIZE": "1"}


def zipped(*files: bytes) -> bytes:
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for number, data in enumerate(files):
            archive.writestr(f"{number}.dcm", data)
    return buffer.getvalue()


async def upload(rest_api: RestApi, data: bytes) -> tuple[int, Any]:
    # In a task of its own, as requests are in the server: a group of tasks that failed leaves the
    # task around it marked as cancelled (Python 3.11).
    request = rest_api.client.post("/instances", content=data)
    answer = await asyncio.ensure_future(request)
    return answer.status_code, answer.json()


def spooled(system: System) -> list[Path]:
    return [path for path in system.objects.spool_folder.rglob("*") if path.is_file()]


async def test_uploads_of_new_patients_beyond_the_limit_are_refused(make_rest_api: Any) -> None:
    rest_api: RestApi = await make_rest_api(**ONE_PATIENT)
    first = ct_file(PatientID="A")
    assert (await upload(rest_api, first))[0] == 200
    status, problem = await upload(rest_api, ct_file(PatientID="B"))
    assert (status, problem["OrthancStatus"]) == (507, 19)
    assert problem["OrthancError"] == "The file storage is full"
    assert (await upload(rest_api, ct_file(PatientID="A")))[0] == 200
    assert (await upload(rest_api, first))[1]["Status"] == "AlreadyStored"
    assert (await rest_api.get("/statistics"))["CountInstances"] == 2


async def test_a_zip_archive_that_does_not_fit_is_refused(make_rest_api: Any) -> None:
    rest_api: RestApi = await make_rest_api(**ONE_PATIENT)
    archive = zipped(ct_file(PatientID="A"), ct_file(PatientID="B"))
    assert (await upload(rest_api, archive))[0] == 507
    assert (await rest_api.get("/statistics"))["CountPatients"] <= 1


async def test_a_zip_archive_of_one_patient_fits(make_rest_api: Any) -> None:
    rest_api: RestApi = await make_rest_api(**ONE_PATIENT)
    status, answers = await upload(rest_api, zipped(*(ct_file(PatientID="C") for _ in range(3))))
    assert (status, [one["Status"] for one in answers]) == (200, ["Success"] * 3)


async def test_uploads_beyond_the_limit_of_bytes_are_refused(make_rest_api: Any) -> None:
    rest_api: RestApi = await make_rest_api(**ONE_MEGABYTE)
    large = ct_file(rows=600, columns=600)
    assert (await upload(rest_api, large))[0] == 200
    assert (await upload(rest_api, ct_file(rows=600, columns=600)))[0] == 507
    assert spooled(rest_api.system) == []
    assert (await upload(rest_api, ct_file()))[0] == 200
    assert (await upload(rest_api, large))[1]["Status"] == "AlreadyStored"
    patient = (await rest_api.get("/patients"))[0]
    assert (await rest_api.client.delete(f"/patients/{patient}")).status_code == 200
    assert (await upload(rest_api, ct_file(rows=600, columns=600)))[0] == 200


async def test_without_reject_nothing_is_refused(make_rest_api: Any) -> None:
    rest_api: RestApi = await make_rest_api(MAXIMUM_PATIENT_COUNT="1")
    for _ in range(3):
        assert (await upload(rest_api, ct_file()))[0] == 200


@asynccontextmanager
async def running_gateway(system: System) -> AsyncIterator[RunningGateway]:
    """Run the gateway as its process does, in the test's own loop."""
    stop = Stop()
    port = system.settings.dicom_port
    task = asyncio.ensure_future(run_gateway(system.settings, stop))
    try:
        async with asyncio.timeout(20):
            while not await asyncio.to_thread(listens, port):
                assert not task.done(), task
                await asyncio.sleep(0.05)
        yield RunningGateway(port, system.settings.runtime.data_folder, None, stop.set)  # type: ignore[arg-type]  # the server is inside
    finally:
        stop.set()
        await task


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


async def send(gateway: RunningGateway, dataset: Dataset) -> int | None:
    data = as_file(dataset)
    return await asyncio.to_thread(
        gateway.send,
        data[read_file_meta(data).dataset_offset :],
        sop_instance_uid=dataset.SOPInstanceUID,
        transfer_syntax=EXPLICIT_VR_LITTLE_ENDIAN,
    )


async def test_a_c_store_beyond_a_limit_is_out_of_resources(make_system: MakeSystem) -> None:
    port = ReservedPort()
    limits = ONE_PATIENT | {"MAXIMUM_STORAGE_SIZE": "8"}
    system = await make_system(**limits, DICOM_PORT=str(port.number))
    async with system.indexer(), running_gateway(system) as gateway:
        first = make_ct(PatientID="A")
        assert await send(gateway, first) == 0x0000
        assert await send(gateway, make_ct(PatientID="B")) == 0xA700
        assert await send(gateway, make_ct(PatientID="A")) == 0x0000
        large = make_ct(PatientID="A", rows=2048, columns=2048)
        assert await send(gateway, large) == 0xA700
        assert spooled(system) == []
        assert await send(gateway, first) == 0x0000
        assert await system.reader.wait_until_current()
        counts = await system.reader.statistics()
        assert (counts.patients, counts.instances) == (1, 2)
