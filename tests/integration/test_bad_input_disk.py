"""A full disk: said in each protocol, survived, and forgotten once there is room again."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from tests.fixtures.dimse_sender import EncodedInstance, Sender
from tests.fixtures.hostile_files import PIXEL_DATA, dataset, element, part10, zip_of
from tests.fixtures.running_lanthorn import RunningLanthorn, lanthorn_up
from tests.fixtures.unharmed import (
    ask,
    ask_json,
    object_files,
    spool_files,
    unharmed,
    upload,
    wait_until_no_garbage,
)

STORAGE_FULL = (507, 19)
SUCCESS, OUT_OF_RESOURCES = 0x0000, 0xA700  # PS3.4 Table B.2-1
DISK_BYTES = 16 << 20
SMALL_BYTES, LARGE_BYTES = 200, 3 << 20
"""One stays in memory until it is stored, the other is spooled to the disk as it comes."""
UID = "1.2.826.0.1.3680043.8.498.7"
CT, EXPLICIT = str(CTImageStorage), str(ExplicitVRLittleEndian)

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """Mount a file system of few bytes in a folder."""
    folder.mkdir(parents=True)
    size = f"size={DISK_BYTES},mode=0700"
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", size, "lanthorn-test", str(folder)],
        capture_output=True,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"no file system can be mounted here: {done.stderr.decode()}")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLanthorn]:
    folder: Path = tmp_path_factory.mktemp("full")
    folder.chmod(0o711)
    data_folder = folder / "data"
    options = {"Lanthorn": {"GatewayProcesses": 1}}
    # Only the objects lie on it: database and stream have the room they need.
    with small_disk(data_folder / "objects"):
        data_folder.chmod(0o711)
        with lanthorn_up(folder, options) as running:
            yield running


@contextlib.contextmanager
def room_left(system: RunningLanthorn, size_bytes: int) -> Iterator[None]:
    """Fill the disk, but for some bytes, for the length of the block."""
    objects = system.data_folder / "objects"
    free = os.statvfs(objects)
    filler = objects / "filler"
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, free.f_bavail * free.f_frsize - size_bytes)
    try:
        yield
    finally:
        filler.unlink()


def file_of(size_bytes: int, sop_instance_uid: str | None = None) -> bytes:
    pixels = element(PIXEL_DATA, b"OW", os.urandom(size_bytes))
    return part10(dataset(pixels, sop_instance_uid=sop_instance_uid))


def store(system: RunningLanthorn, *sizes_bytes: int) -> list[int]:
    """Send instances over one association; returns the statuses."""
    with Sender("127.0.0.1", system.dicom_port, [(CT, EXPLICIT)]) as sender:
        return [
            sender.store(
                EncodedInstance(
                    CT,
                    f"{UID}.{size_bytes}",
                    EXPLICIT,
                    dataset(
                        element(PIXEL_DATA, b"OW", bytes(size_bytes)),
                        sop_instance_uid=f"{UID}.{size_bytes}",
                    ),
                )
            )
            for size_bytes in sizes_bytes
        ]


@pytest.mark.parametrize("size_bytes", [SMALL_BYTES, LARGE_BYTES])
def test_http_says_that_the_storage_is_full(system: RunningLanthorn, size_bytes: int) -> None:
    with room_left(system, 0), unharmed(system):
        answer = upload(system, file_of(size_bytes))
        assert answer.error == STORAGE_FULL
        assert answer.headers["Retry-After"]


def test_http_says_so_of_what_fills_the_disk_midway(system: RunningLanthorn) -> None:
    with room_left(system, LARGE_BYTES // 2), unharmed(system):
        assert upload(system, file_of(LARGE_BYTES)).error == STORAGE_FULL


def test_http_says_so_of_forms_and_archives(system: RunningLanthorn) -> None:
    large = file_of(LARGE_BYTES)
    form = b"--x\r\nA: b\r\n\r\n" + large + b"\r\n--x--\r\n"
    with room_left(system, 0), unharmed(system):
        answer = upload(system, form, {"Content-Type": "multipart/form-data; boundary=x"})
        assert answer.error == STORAGE_FULL
        for archive in (zip_of({"a.dcm": large}), zip_of({"a.dcm": file_of(SMALL_BYTES)})):
            assert upload(system, archive).error == STORAGE_FULL


def test_dimse_is_out_of_resources_and_the_association_goes_on(system: RunningLanthorn) -> None:
    with room_left(system, 0), unharmed(system):
        statuses = store(system, SMALL_BYTES, LARGE_BYTES, SMALL_BYTES)
    assert statuses == [OUT_OF_RESOURCES] * 3
    with room_left(system, LARGE_BYTES // 2), unharmed(system):
        assert store(system, LARGE_BYTES) == [OUT_OF_RESOURCES]


def test_what_was_stored_before_is_served_from_a_full_disk(system: RunningLanthorn) -> None:
    file = file_of(SMALL_BYTES)
    stored = upload(system, file).json
    with room_left(system, 0), unharmed(system):
        assert ask(system, "GET", f"{stored['Path']}/file").body == file
        assert ask(system, "GET", f"/studies/{stored['ParentStudy']}/archive").status == 200
        assert ask(system, "PUT", f"{stored['Path']}/metadata/1024", b"noted").status == 200
        assert ask(system, "GET", "/readyz").status == 200


def test_a_disk_that_fills_up_keeps_what_was_acknowledged_and_takes_more_once_there_is_room(
    system: RunningLanthorn,
) -> None:
    kept = {}
    while True:
        file = file_of(LARGE_BYTES)
        answer = upload(system, file)
        if answer.status != 200:
            break
        kept[answer.json["Path"]] = file
    assert answer.error == STORAGE_FULL
    assert len(kept) >= 3
    for path, file in kept.items():
        assert ask(system, "GET", f"{path}/file").body == file
    assert len(object_files(system)) == ask_json(system, "/statistics")["CountInstances"]
    assert spool_files(system) == []

    for path in kept:  # what is deleted makes room, as soon as its file is gone
        assert ask(system, "DELETE", path).status == 200
    wait_until_no_garbage(system)
    assert upload(system, file).status == 200
    assert store(system, SMALL_BYTES, LARGE_BYTES) == [SUCCESS] * 2
    assert len(object_files(system)) == ask_json(system, "/statistics")["CountInstances"]
