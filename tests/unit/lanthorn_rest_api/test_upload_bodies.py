"""Bodies of uploads, taken apart."""

from __future__ import annotations

import zipfile
from collections.abc import AsyncIterator
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lanthorn_core.dicom.part10 import scan_file
from lanthorn_core.errors import InvalidDataset
from lanthorn_rest_api.inflation import InflationLimits
from lanthorn_rest_api.upload_bodies import (
    ArchivedFiles,
    as_dicom_file,
    looks_like_dicom,
    multipart_boundary,
    opened_archive,
    parts_of,
    receive,
)
from lanthorn_rest_api.upload_spool import SpooledUpload
from lanthorn_rest_api.zip_reading import ZipReading
from tests.fixtures.dicom_files import ct_file

BODY = (
    b'--abc\r\nContent-Disposition: form-data; name="a"; filename="../../etc/passwd"\r\n'
    b"Content-Type: application/dicom\r\n\r\nfirst\r\n"
    b"--abc\r\n\r\nsec\r\n--ab\r\nond\r\n"
    b"--abc\r\nX: y\r\n\r\n\r\n--abc--\r\n"
)


def left_in(folder: Path) -> list[Path]:
    return list(folder.iterdir())


async def chunks(body: bytes, step: int) -> AsyncIterator[bytes]:
    for at in range(0, len(body), step):
        yield body[at : at + step]


async def parts(body: bytes, folder: Path, step: int = 1 << 16) -> list[bytes | Path]:
    return [part.take() async for part in parts_of(chunks(body, step), "abc", folder)]


@pytest.mark.parametrize(
    ("content_type", "boundary"),
    [
        ("multipart/form-data; boundary=abc", "abc"),
        ('Multipart/Form-Data; charset=x; boundary="a b"', "a b"),
        ("multipart/form-data", ""),
        ("multipart/related; boundary=abc", ""),
        ("application/dicom", ""),
        ("", ""),
    ],
)
def test_only_a_form_with_a_boundary_is_multipart(content_type: str, boundary: str) -> None:
    assert multipart_boundary(content_type) == boundary


@pytest.mark.parametrize("step", [1, 2, 7, 64, 4096])
async def test_a_form_is_taken_apart_however_it_is_cut(tmp_path: Path, step: int) -> None:
    assert await parts(BODY, tmp_path, step) == [b"first", b"sec\r\n--ab\r\nond", b""]


async def test_a_large_part_goes_to_the_disk(tmp_path: Path) -> None:
    data = bytes(range(256)) * 8192
    body = b"--abc\r\n\r\n" + data + b"\r\n--abc--"
    [path] = await parts(body, tmp_path)
    assert isinstance(path, Path)
    assert path.read_bytes() == data


async def test_a_part_lives_until_the_next_one(tmp_path: Path) -> None:
    large = bytes(2 << 20)
    body = b"--abc\r\n\r\n" + large + b"\r\n--abc\r\n\r\n" + large + b"\r\n--abc--"
    async for part in parts_of(chunks(body, 1 << 16), "abc", tmp_path):
        assert part.size_bytes == len(large)
        assert len(left_in(tmp_path)) == 1
    assert not left_in(tmp_path)


@pytest.mark.parametrize("kept", [0, 3, 40, -3, -20])
async def test_a_form_that_ends_too_early_is_refused(tmp_path: Path, kept: int) -> None:
    """A real Orthanc says 200 and has lost the last file."""
    body = BODY.removesuffix(b"\r\n")[:kept]
    with pytest.raises(InvalidDataset, match="Truncated multipart"):
        await parts(body, tmp_path)
    assert not left_in(tmp_path)


async def test_a_body_without_its_boundary_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidDataset, match="Cannot parse the multipart"):
        await parts(ct_file(), tmp_path)


async def test_headers_without_an_end_are_refused(tmp_path: Path) -> None:
    body = b"--abc\r\nX: " + bytes(b"x" * (1 << 20)) + b"\r\n\r\n\r\n--abc--"
    with pytest.raises(InvalidDataset, match="Cannot parse the multipart"):
        await parts(body, tmp_path)


@given(st.binary(max_size=200))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
async def test_no_bytes_at_all_crash_the_form_reader(tmp_path: Path, body: bytes) -> None:
    try:
        await parts(b"--abc\r\n" + body, tmp_path)
    except InvalidDataset:
        return


async def test_a_body_is_received_in_memory_or_on_disk(tmp_path: Path) -> None:
    for size_bytes in (0, 10, 3 << 20):
        body = bytes(size_bytes)
        with SpooledUpload(tmp_path) as upload:
            await receive(chunks(body, 100_000), upload)
            assert upload.on_disk == (size_bytes > 1 << 20)
            taken = upload.take()
        assert (taken if isinstance(taken, bytes) else taken.read_bytes()) == body


def spooled(data: bytes, folder: Path, *, on_disk: bool) -> SpooledUpload:
    upload = SpooledUpload(folder, in_memory_bytes=0 if on_disk else 1 << 30)
    upload.write(data)
    return upload


@pytest.mark.parametrize("on_disk", [False, True])
@pytest.mark.parametrize("cut_bytes", [128 + 4, None])
def test_what_lacks_its_meta_information_gets_it(
    tmp_path: Path, on_disk: bool, cut_bytes: int | None
) -> None:
    file = ct_file()
    bare = file[cut_bytes or scan_file(file)[0].dataset_offset :]
    source = as_dicom_file(spooled(bare, tmp_path, on_disk=on_disk))
    assert isinstance(source, list)
    assert source[0].endswith(bare)
    assert scan_file(source[0])[1].elements == scan_file(file)[1].elements
    assert not left_in(tmp_path)


def test_a_file_on_disk_stays_where_it_is(tmp_path: Path) -> None:
    path = as_dicom_file(spooled(ct_file(), tmp_path, on_disk=True))
    assert isinstance(path, Path)
    assert path.parent == tmp_path


@pytest.mark.parametrize("on_disk", [False, True])
@pytest.mark.parametrize("data", [b"hello garbage", b"%PDF-1.4" + bytes(300), bytes(500)])
def test_what_is_no_dicom_is_refused(tmp_path: Path, data: bytes, on_disk: bool) -> None:
    assert not looks_like_dicom(data)
    with (
        spooled(data, tmp_path, on_disk=on_disk) as upload,
        pytest.raises(InvalidDataset),
    ):
        as_dicom_file(upload)
    assert not left_in(tmp_path)


@pytest.mark.parametrize("on_disk", [False, True])
def test_of_an_archive_only_what_looks_like_dicom_comes_out(tmp_path: Path, on_disk: bool) -> None:
    file = ct_file()
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as writing:
        writing.writestr("folder/", b"")
        writing.writestr("readme.txt", b"not this one")
        writing.writestr("video.mp4", bytes(3 << 20))
        writing.writestr("../../../escape.dcm", file)
        writing.writestr("/etc/passwd", file)
        writing.writestr("empty.dcm", b"")
    with (
        spooled(buffer.getvalue(), tmp_path, on_disk=on_disk) as upload,
        opened_archive(upload) as archive,
    ):
        files = ArchivedFiles(ZipReading(archive, InflationLimits()), tmp_path)
        found = []
        while (entry := files.next_file()) is not None:
            found.append(entry.take())
    assert found == [file, file]
    assert not left_in(tmp_path)
