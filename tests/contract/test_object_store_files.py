"""What only the object store on files promises."""

from __future__ import annotations

import asyncio
import mmap
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from lanthorn_core.adapters import directory_sync
from lanthorn_core.adapters.directory_sync import DirectorySync
from lanthorn_core.adapters.objects_fs import LEFTOVER_AGE_S, FilesystemObjectStore
from lanthorn_core.errors import StorageFull, StorageUnavailable

KEY = "instances/v1/2026/11/21/08/0193-a.dcm"


def entries(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


@pytest.fixture
def disk(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """Mount the file system that the parameter describes; needs the right to mount."""
    folder = tmp_path / "disk"
    folder.mkdir()
    kind, _, options = request.param.partition(":")
    source = "lanthorn-test"
    if kind == "ext4":
        image = tmp_path / "image"
        with image.open("wb") as file:
            file.truncate(4 << 20)
        subprocess.run(["mkfs.ext4", "-q", "-O", "^has_journal", str(image)], check=True)
        source, options = str(image), "loop"
    mounted = subprocess.run(
        ["mount", "-t", kind, *(["-o", options] if options else []), source, str(folder)],
        check=False,
        capture_output=True,
        text=True,
    )
    if mounted.returncode:
        pytest.skip(f"no right to mount: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.parametrize("disk", ["tmpfs:size=4m", "ext4"], indirect=True)
@pytest.mark.parametrize("object_bytes", [30_000, 1_000_001])
async def test_a_full_disk_leaves_nothing_behind_and_the_store_usable(
    disk: Path, object_bytes: int
) -> None:
    async with FilesystemObjectStore(disk / "objects") as store:
        await store.put("first.dcm", [bytes(500_000)])
        stored: list[str] = ["first.dcm"]
        with pytest.raises(StorageFull):  # noqa: PT012  # how many fit is the file system's affair
            for number in range(1000):
                key = f"objects/{number:03}.dcm"
                await store.put(key, [bytes(object_bytes)])
                stored.append(key)
        assert sorted([info.key async for info in store.list()]) == sorted(stored)
        assert entries(store.spool_folder) == []
        for key in stored:
            await store.delete(key)
        await store.put(KEY, [bytes(object_bytes)])
        assert len(await store.get(KEY)) == object_bytes


@pytest.mark.parametrize("disk", ["tmpfs:nr_inodes=8"], indirect=True)
async def test_no_room_for_folders_is_a_full_store_too(disk: Path) -> None:
    async with FilesystemObjectStore(disk / "objects") as store:
        arriving = store.spool_folder / "arriving"
        arriving.write_bytes(b"DICM")
        with pytest.raises(StorageFull):
            await store.put(KEY, arriving)
        assert entries(store.spool_folder) == []
        assert [info async for info in store.list()] == []


@pytest.mark.parametrize("disk", ["ramfs", "tmpfs", "ext4"], indirect=True)
async def test_a_file_system_without_direct_writes_does_as_well(disk: Path) -> None:
    async with FilesystemObjectStore(disk / "objects") as store:
        for number, size_bytes in enumerate((100_000, 200_000)):
            content = os.urandom(size_bytes)
            await store.put(f"{number}.dcm", [content])
            assert await store.get(f"{number}.dcm") == content
        assert entries(store.spool_folder) == []


@pytest.mark.parametrize(
    "size_bytes",
    [65_535, 65_536, 65_537, 69_632, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, (3 << 20) + 5],
)
@pytest.mark.parametrize("parts", [1, 3, 1500])
async def test_objects_around_the_borders_of_direct_writes_are_whole(
    tmp_path: Path, size_bytes: int, parts: int
) -> None:
    content = os.urandom(size_bytes)
    step = -(-size_bytes // parts)
    pieces = [memoryview(content)[start : start + step] for start in range(0, size_bytes, step)]
    async with FilesystemObjectStore(tmp_path) as store:
        await store.put(KEY, pieces)
        assert await store.get(KEY) == content
        assert (await store.stat(KEY)).size_bytes == size_bytes


@pytest.mark.parametrize(
    "size_bytes", [65_536, 65_537, 69_632, 131_071, (1 << 20) - 1, 1 << 20, (3 << 20) + 5]
)
async def test_what_begins_on_a_page_is_written_whole_and_nothing_behind_it(
    tmp_path: Path, size_bytes: int
) -> None:
    page_aligned = mmap.mmap(-1, 4 << 20)
    content = os.urandom(size_bytes)
    page_aligned[:] = b"!" * len(page_aligned)
    page_aligned[:size_bytes] = content
    with memoryview(page_aligned) as view, view[:size_bytes] as part:
        async with FilesystemObjectStore(tmp_path) as store:
            await store.put(KEY, [part])
            assert await store.get(KEY) == content
            assert (await store.stat(KEY)).size_bytes == size_bytes


async def test_the_buffers_of_a_cancelled_put_may_be_reused_at_once(tmp_path: Path) -> None:
    buffer = bytearray(os.urandom(48 << 20))
    content = bytes(buffer)
    async with FilesystemObjectStore(tmp_path) as store:
        put = asyncio.ensure_future(store.put(KEY, [memoryview(buffer)]))
        await asyncio.sleep(0)
        time.sleep(0.002)  # noqa: ASYNC251  # a thread writes; of its end nobody hears before this
        put.cancel()
        with pytest.raises(asyncio.CancelledError):
            await put
        buffer[:] = bytes(len(buffer))
    # Closing the store waited for whatever still ran.
    async with FilesystemObjectStore(tmp_path) as store:
        async for info in store.list():
            assert await store.get(info.key) == content


async def test_opening_removes_what_crashes_left_and_not_what_others_write(tmp_path: Path) -> None:
    spool = tmp_path / ".spool"
    spool.mkdir()
    old, young = spool / "old", spool / "young"
    old.write_bytes(b"x")
    young.write_bytes(b"x")
    long_ago = time.time() - LEFTOVER_AGE_S - 60
    os.utime(old, (long_ago, long_ago))
    async with FilesystemObjectStore(tmp_path) as store:
        assert entries(spool) == [young]
        assert [info async for info in store.list()] == []


async def test_several_processes_may_share_the_folder(tmp_path: Path) -> None:
    async with FilesystemObjectStore(tmp_path) as one, FilesystemObjectStore(tmp_path) as other:
        keys = [f"hour/{number}.dcm" for number in range(40)]
        await asyncio.gather(
            *((one, other)[number % 2].put(key, [key.encode()]) for number, key in enumerate(keys))
        )
        assert [info.key async for info in one.list()] == sorted(keys)
        assert [info.key async for info in other.list()] == sorted(keys)


async def test_objects_are_for_their_owner_only(tmp_path: Path) -> None:
    async with FilesystemObjectStore(tmp_path / "objects") as store:
        await store.put(KEY, [b"DICM"])
        assert (tmp_path / "objects" / KEY).stat().st_mode & 0o077 == 0
        assert store.spool_folder.stat().st_mode & 0o077 == 0


async def test_a_store_whose_folder_went_away_fails_its_check(tmp_path: Path) -> None:
    async with FilesystemObjectStore(tmp_path / "objects") as store:
        (tmp_path / "objects").rename(tmp_path / "unmounted")
        with pytest.raises(StorageUnavailable):
            await store.check()
        with pytest.raises(StorageUnavailable):
            await store.put(KEY, [b"DICM"])
        (tmp_path / "unmounted").rename(tmp_path / "objects")
        await store.check()


async def test_a_folder_that_cannot_be_made_is_a_store_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageUnavailable):
        async with FilesystemObjectStore(tmp_path / "file" / "objects"):
            pass


class SlowSyncs:
    """Stands before the real `fsync` of directories: counts it, and holds it while it is told."""

    def __init__(self) -> None:
        self.folders: list[Path] = []
        self.go_on = threading.Event()
        self.begun = threading.Semaphore(0)
        self._real = directory_sync.sync_directory

    def __call__(self, folder: Path) -> None:
        self.folders.append(folder)
        self.begun.release()
        assert self.go_on.wait(10)
        self._real(folder)


@pytest.fixture
def slow_syncs(monkeypatch: pytest.MonkeyPatch) -> SlowSyncs:
    syncs = SlowSyncs()
    monkeypatch.setattr(directory_sync, "sync_directory", syncs)
    return syncs


def test_who_comes_during_a_sync_shares_the_next_one(tmp_path: Path, slow_syncs: SlowSyncs) -> None:
    with ThreadPoolExecutor(2) as callers, ThreadPoolExecutor(1) as rounds:
        directories = DirectorySync(tmp_path, rounds)
        first = callers.submit(directories.sync, tmp_path)
        assert slow_syncs.begun.acquire(timeout=10)
        late = [directories.sync(tmp_path) for _ in range(5)]
        assert all(isinstance(future, Future) and not future.done() for future in late)
        slow_syncs.go_on.set()
        assert first.result(10) is None
        for future in late:
            assert future is not None
            future.result(10)
    assert slow_syncs.folders == [tmp_path, tmp_path]


def test_a_sync_that_fails_fails_for_all_who_share_it(
    tmp_path: Path, slow_syncs: SlowSyncs
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    with ThreadPoolExecutor(1) as caller, ThreadPoolExecutor(1) as rounds:
        slow_syncs.go_on.set()
        directories = DirectorySync(tmp_path, rounds)
        assert directories.sync(folder) is None
        slow_syncs.go_on.clear()
        first = caller.submit(directories.sync, folder)
        for _ in range(3):  # the parent and the folder before, the folder again
            assert slow_syncs.begun.acquire(timeout=10)
        late = [directories.sync(folder) for _ in range(2)]
        folder.rmdir()
        slow_syncs.go_on.set()
        with pytest.raises(FileNotFoundError):
            first.result(10)
        for future in late:
            assert future is not None
            with pytest.raises(FileNotFoundError):
                future.result(10)


def test_the_way_to_a_new_folder_is_synced_once(tmp_path: Path, slow_syncs: SlowSyncs) -> None:
    slow_syncs.go_on.set()
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    with ThreadPoolExecutor(1) as rounds:
        directories = DirectorySync(tmp_path, rounds)
        assert directories.sync(folder) is None
        assert directories.sync(folder) is None
    assert slow_syncs.folders == [tmp_path / "a", tmp_path, folder, folder]


async def test_a_file_in_the_page_cache_is_read_without_waiting(tmp_path: Path) -> None:
    data, buffer = os.urandom(600_000), bytearray(1 << 20)
    async with FilesystemObjectStore(tmp_path / "objects") as store:
        await store.put(KEY, [data])
        await store.get(KEY)
        assert store.read_cached(KEY, buffer) == len(data)
        assert buffer[: len(data)] == data
        assert store.read_cached(KEY, bytearray(len(data) - 1)) is None
        descriptor = os.open(tmp_path / "objects" / KEY, os.O_RDONLY)
        try:
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)
        # A file system that lives in memory has it all the same.
        assert store.read_cached(KEY, buffer) in (None, len(data))
        assert await store.get(KEY) == data
