"""The renderer as a process of its own, asked by the client that the other services use."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import httpx2
import numpy as np
import psutil
import pydicom
import pytest
import pytest_asyncio
from PIL import Image
from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian, RLELossless

from lanthorn_core.adapters.objects_fs import FilesystemObjectStore
from lanthorn_core.adapters.renderer_http import HttpRenderer
from lanthorn_core.errors import (
    DecodeFailed,
    InvalidParameter,
    NotRenderable,
    RendererUnavailable,
    UnknownResource,
    UnsupportedTransferSyntax,
)
from lanthorn_core.ports.renderer import RenderRequest, TranscodeRequest
from lanthorn_embedded.sockets import ReservedPort
from tests.fixtures.dicom_files import ct_file

DATA = Path(__file__).parents[1] / "data" / "pydicom"
SAMPLES = ("CT_small.dcm", "JPEG2000.dcm", "emri_small_jpeg_ls_lossless.dcm", "rtplan.dcm")
START_S = 60.0

pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass
class RunningRenderer:
    """A started process, its address, and a client of it."""

    url: str
    process: asyncio.subprocess.Process
    client: HttpRenderer
    objects: FilesystemObjectStore


@asynccontextmanager
async def start_renderer(folder: Path) -> AsyncIterator[RunningRenderer]:
    async with FilesystemObjectStore(folder / "objects") as objects:
        for name in SAMPLES:
            await objects.put(f"t/{name}", [(DATA / name).read_bytes()])
        await objects.put("t/short.dcm", [ct_file(PixelData=bytes(10))])
        port = ReservedPort()
        environment = {
            "LANTHORN_DATA_DIR": str(folder),
            "LANTHORN_LISTEN": f"127.0.0.1:{port.number}",
            "PATH": os.environ["PATH"],
        }
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "lanthorn_renderer",
            env=environment,
            stdout=asyncio.subprocess.DEVNULL,
        )
        url = f"http://127.0.0.1:{port.number}"
        try:
            async with HttpRenderer(url) as client:
                async with asyncio.timeout(START_S):
                    while not await answers(client):  # noqa: ASYNC110 - it sets no event
                        await asyncio.sleep(0.05)
                yield RunningRenderer(url, process, client, objects)
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_renderer(
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[RunningRenderer]:
    async with start_renderer(tmp_path_factory.mktemp("renderer")) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def own_renderer(tmp_path: Path) -> AsyncIterator[RunningRenderer]:
    """One that the test may stop."""
    async with start_renderer(tmp_path) as running:
        yield running


async def answers(client: HttpRenderer) -> bool:
    try:
        await client.check()
    except RendererUnavailable:
        return False
    return True


async def test_a_preview_comes_as_png(shared_renderer: RunningRenderer) -> None:
    image = await shared_renderer.client.render(RenderRequest(object_key="t/CT_small.dcm"))
    assert image.media_type == "image/png"
    with Image.open(BytesIO(image.body)) as read:
        assert (read.size, read.getextrema()) == ((128, 128), (0, 255))


async def test_every_field_of_a_request_arrives(shared_renderer: RunningRenderer) -> None:
    request = RenderRequest(
        object_key="t/emri_small_jpeg_ls_lossless.dcm", frame_index=7, mode="rendered",
        image_format="jpeg", window_center=100.5, window_width=200.25, width=32, height=99,
        smooth=True, quality=40,
    )  # fmt: skip
    image = await shared_renderer.client.render(request)
    assert image.media_type == "image/jpeg"
    with Image.open(BytesIO(image.body)) as read:
        assert read.size == (32, 32)


async def test_raw_frames_are_the_stored_bytes(shared_renderer: RunningRenderer) -> None:
    native = await shared_renderer.client.render(
        RenderRequest(object_key="t/CT_small.dcm", mode="raw")
    )
    dataset = pydicom.dcmread(DATA / "CT_small.dcm")
    assert native.media_type == "application/octet-stream"
    assert native.body == dataset.PixelData[: 128 * 128 * 2]
    jpeg = await shared_renderer.client.render(
        RenderRequest(object_key="t/JPEG2000.dcm", mode="raw")
    )
    assert jpeg.media_type == "image/jp2"


async def test_sixteen_bits_are_kept(shared_renderer: RunningRenderer) -> None:
    request = RenderRequest(object_key="t/CT_small.dcm", mode="image-int16")
    with Image.open(BytesIO((await shared_renderer.client.render(request)).body)) as read:
        expected = pydicom.dcmread(DATA / "CT_small.dcm").pixel_array
        assert np.array_equal(np.asarray(read).astype(np.int16), expected)


FAILURES = [
    (RenderRequest(object_key="t/absent.dcm"), UnknownResource),
    (RenderRequest(object_key="t/rtplan.dcm"), NotRenderable),
    (RenderRequest(object_key="t/CT_small.dcm", frame_index=1), NotRenderable),
    (RenderRequest(object_key="t/CT_small.dcm", frame_index=1, mode="raw"), InvalidParameter),
    (RenderRequest(object_key="t/CT_small.dcm", quality=101), InvalidParameter),
    (RenderRequest(object_key="t/CT_small.dcm", window_width=float("nan")), InvalidParameter),
    (RenderRequest(object_key="t/short.dcm"), DecodeFailed),
]


async def test_failures_keep_their_class_and_their_text(shared_renderer: RunningRenderer) -> None:
    for request, error in FAILURES:
        with pytest.raises(error) as caught:
            await shared_renderer.client.render(request)
        assert type(caught.value) is error
        assert caught.value.details


@pytest.mark.parametrize("target", [ImplicitVRLittleEndian, RLELossless])
async def test_objects_come_in_other_transfer_syntaxes(
    shared_renderer: RunningRenderer, target: str
) -> None:
    name = "emri_small_jpeg_ls_lossless.dcm"
    request = TranscodeRequest(object_key=f"t/{name}", transfer_syntax_uid=target)
    data = b"".join([chunk async for chunk in shared_renderer.client.transcode(request)])
    after = pydicom.dcmread(BytesIO(data))
    assert after.file_meta.TransferSyntaxUID == target
    assert np.array_equal(after.pixel_array, pydicom.dcmread(DATA / name).pixel_array)


async def test_large_objects_come_in_pieces(shared_renderer: RunningRenderer) -> None:
    pixels = np.arange(4 << 20, dtype="<u2")
    ct = ct_file(rows=2048, columns=2048, PixelData=pixels.tobytes())
    await shared_renderer.objects.put("t/large.dcm", [ct])
    request = TranscodeRequest(
        object_key="t/large.dcm", transfer_syntax_uid=ExplicitVRBigEndian, with_file_meta=False
    )
    chunks = [chunk async for chunk in shared_renderer.client.transcode(request)]
    assert len(chunks) > 4
    assert b"".join(chunks).endswith(pixels.byteswap().tobytes())


TRANSCODING_FAILURES = [
    ("absent", RLELossless, UnknownResource),
    ("CT_small", "1.2", UnsupportedTransferSyntax),
    ("CT_small", "x", InvalidParameter),
    ("short", RLELossless, DecodeFailed),
]


async def test_failed_transcodings_keep_their_class(shared_renderer: RunningRenderer) -> None:
    for name, target, error in TRANSCODING_FAILURES:
        request = TranscodeRequest(object_key=f"t/{name}.dcm", transfer_syntax_uid=target)
        with pytest.raises(error) as caught:
            await anext(shared_renderer.client.transcode(request))
        assert type(caught.value) is error


async def test_the_frames_are_counted(shared_renderer: RunningRenderer) -> None:
    async with httpx2.AsyncClient(base_url=shared_renderer.url) as client:
        key = {"object_key": "t/emri_small_jpeg_ls_lossless.dcm"}
        counted = await client.get("/v1/frames", params=key)
        assert counted.json() == {"number_of_frames": 10}
        unknown = await client.get("/v1/frames", params={"object_key": "t/absent.dcm"})
        assert unknown.status_code == 404
        assert unknown.headers["content-type"] == "application/problem+json"
        assert unknown.json()["type"] == "/problems/unknown-resource"
        metrics = await client.get("/metrics")
        assert "lanthorn_renderer_frame_seconds" in metrics.text


async def test_it_ends_cleanly_when_told_to(own_renderer: RunningRenderer) -> None:
    await own_renderer.client.render(RenderRequest(object_key="t/CT_small.dcm"))
    own_renderer.process.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(own_renderer.process.wait(), 60) == 0


async def test_no_decoder_outlives_a_killed_service(own_renderer: RunningRenderer) -> None:
    await own_renderer.client.render(RenderRequest(object_key="t/CT_small.dcm"))
    children = psutil.Process(own_renderer.process.pid).children(recursive=True)
    assert children
    own_renderer.process.kill()
    await own_renderer.process.wait()
    _, alive = await asyncio.to_thread(psutil.wait_procs, children, timeout=60)
    assert not alive


async def test_a_renderer_that_is_gone_is_unavailable(own_renderer: RunningRenderer) -> None:
    own_renderer.process.kill()
    await own_renderer.process.wait()
    with pytest.raises(RendererUnavailable):
        await own_renderer.client.render(RenderRequest(object_key="t/CT_small.dcm"))
