"""Instances for peers that do not take them as they are stored; the renderer transcodes."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from io import BytesIO
from pathlib import Path

import httpx2
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pynetdicom.dsutils import decode

from lanthorn_core.dicom.part10 import read_file_meta
from lanthorn_core.model import RemoteAE
from lanthorn_embedded.sockets import ReservedPort
from tests.fixtures.dicom_files import ct_file
from tests.fixtures.pynetdicom_peer import SURPRISED_THREADS
from tests.fixtures.retrieving import (
    EXPLICIT,
    IMPLICIT,
    LOOPBACK,
    MakeRetrieveGateway,
    Received,
    RetrieveGateway,
    destination,
)

pytestmark = SURPRISED_THREADS

STUDY_ROOT_MOVE = "1.2.840.10008.5.1.4.1.2.2.2"
STUDY_ROOT_GET = "1.2.840.10008.5.1.4.1.2.2.3"
BIG_ENDIAN = "1.2.840.10008.1.2.2"


def sample(name: str) -> bytes:
    return Path(str(get_testdata_file(name))).read_bytes()


@asynccontextmanager
async def renderer(port: int, folder: Path) -> AsyncIterator[None]:
    environment = {
        "LANTHORN_DATA_DIR": str(folder),
        "LANTHORN_LISTEN": f"{LOOPBACK}:{port}",
        "PATH": os.environ["PATH"],
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "lanthorn_renderer",
        env=environment,
        stdout=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(90), httpx2.AsyncClient(trust_env=False) as client:
            while not await _is_ready(client, port):  # noqa: ASYNC110  # it sets no event
                await asyncio.sleep(0.05)
        yield
    finally:
        process.terminate()
        await process.wait()


async def _is_ready(client: httpx2.AsyncClient, port: int) -> bool:
    try:
        return (await client.get(f"http://{LOOPBACK}:{port}/readyz")).is_success
    except httpx2.TransportError:
        return False


@pytest.fixture
async def gateway(
    make_retrieve_gateway: MakeRetrieveGateway, tmp_path: Path
) -> AsyncIterator[RetrieveGateway]:
    port = ReservedPort()
    made: RetrieveGateway = await make_retrieve_gateway(
        renderer_url=f"http://{LOOPBACK}:{port.number}",
        DICOM_SCU_PREFERRED_TRANSFER_SYNTAX=IMPLICIT,
    )
    async with renderer(port.number, tmp_path / "data"):
        yield made


def as_dataset(received: Received) -> pydicom.Dataset:
    syntax = received.transfer_syntax
    dataset = decode(BytesIO(received.data_set), syntax == IMPLICIT, syntax != BIG_ENDIAN)
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    return dataset


CASES = [
    # What is stored, what the destination takes, and in what it then gets it.
    ("JPEG2000.dcm", (IMPLICIT, EXPLICIT), IMPLICIT),
    ("JPEG2000.dcm", (EXPLICIT,), EXPLICIT),
    ("JPEG2000.dcm", (BIG_ENDIAN,), BIG_ENDIAN),
    ("CT_small.dcm", (IMPLICIT,), IMPLICIT),
    ("MR_small_bigendian.dcm", (EXPLICIT,), EXPLICIT),
    ("MR_small_implicit.dcm", (BIG_ENDIAN,), BIG_ENDIAN),
    ("image_dfl.dcm", (IMPLICIT,), IMPLICIT),
]


async def test_a_move_transcodes_to_what_the_destination_takes(gateway: RetrieveGateway) -> None:
    for case in CASES:
        name, accepted, sent_in = case
        data = sample(name)
        original = pydicom.dcmread(BytesIO(data))
        await gateway.system.store(data)
        with destination(transfer_syntaxes=accepted) as peer:
            await gateway.add_remote(peer.remote_ae)
            answers = await gateway.move(
                "DEST",
                STUDY_ROOT_MOVE,
                QueryRetrieveLevel="IMAGE",
                SOPInstanceUID=original.SOPInstanceUID,
            )
            assert (answers.status, answers.counts) == (0x0000, (None, 1, 0, 0)), case
            (received,) = peer.received
        assert received.transfer_syntax == sent_in, case
        dataset = as_dataset(received)
        assert dataset.SOPInstanceUID == original.SOPInstanceUID, case
        assert dataset.PatientName == original.PatientName, case
        assert (dataset.pixel_array == original.pixel_array).all(), case


async def test_a_get_transcodes_to_what_the_requestor_takes(gateway: RetrieveGateway) -> None:
    data = sample("JPEG2000.dcm")
    original = pydicom.dcmread(BytesIO(data))
    await gateway.system.store(data)
    answers, received = await gateway.get(
        STUDY_ROOT_GET,
        storage=[(original.SOPClassUID, EXPLICIT)],
        QueryRetrieveLevel="IMAGE",
        SOPInstanceUID=original.SOPInstanceUID,
    )
    assert (answers.status, answers.counts) == (0x0000, (None, 1, 0, 0))
    assert (as_dataset(received[0]).pixel_array == original.pixel_array).all()


async def test_a_large_object_is_transcoded_in_a_stream(gateway: RetrieveGateway) -> None:
    data = ct_file(rows=1024, columns=1024, frames=3)
    original = pydicom.dcmread(BytesIO(data))
    await gateway.system.store(data)
    with destination(transfer_syntaxes=[IMPLICIT]) as peer:
        await gateway.add_remote(peer.remote_ae)
        answers = await gateway.move(
            "DEST",
            STUDY_ROOT_MOVE,
            QueryRetrieveLevel="IMAGE",
            SOPInstanceUID=original.SOPInstanceUID,
        )
        assert answers.counts == (None, 1, 0, 0)
        assert as_dataset(peer.received[0]).PixelData == original.PixelData


async def test_what_cannot_be_transcoded_fails_alone_and_the_rest_goes_on(
    gateway: RetrieveGateway,
) -> None:
    broken = sample("JPEG2000.dcm")
    start = broken.index(b"\xff\x4f\xff\x51")  # SOC, SIZ: where the code stream begins
    broken = broken[: start + 2] + bytes(60) + broken[start + 62 :]
    native = sample("CT_small.dcm")
    uids = []
    for data in (broken, native):
        await gateway.system.store(data)
        uids.append(read_file_meta(data).media_storage_sop_instance_uid)
    with destination(transfer_syntaxes=[EXPLICIT]) as peer:
        await gateway.add_remote(peer.remote_ae)
        answers = await gateway.move(
            "DEST", STUDY_ROOT_MOVE, QueryRetrieveLevel="IMAGE", SOPInstanceUID=uids
        )
        assert (answers.status, answers.counts) == (0xB000, (None, 1, 1, 0))
        assert answers.failed == uids[:1]
        assert len(peer.associations) == 1


async def test_a_remote_ae_that_forbids_transcoding_gets_nothing_else(
    gateway: RetrieveGateway,
) -> None:
    original = pydicom.dcmread(BytesIO(sample("JPEG2000.dcm")))
    await gateway.system.store(sample("JPEG2000.dcm"))
    with destination(transfer_syntaxes=[IMPLICIT, EXPLICIT]) as peer:
        await gateway.add_remote(
            RemoteAE(ae_title="DEST", host=LOOPBACK, port=peer.port, allow_transcoding=False)
        )
        answers = await gateway.move(
            "DEST",
            STUDY_ROOT_MOVE,
            QueryRetrieveLevel="IMAGE",
            SOPInstanceUID=original.SOPInstanceUID,
        )
        assert (answers.status, answers.counts) == (0xA702, (None, 0, 1, 0))
        assert not peer.received
