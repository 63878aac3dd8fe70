"""What only the object store on files promises."""

from __future__ import annotations

import asyncio
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
from lanthorn_core.errors import StorageFull, StorageUnavailable, UnknownResource

KEY = "instances/v1/2026/11/21/08/0193-a.dcm"


@pytest.fixture
def small_disk(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """Mount a small file system with the options of the parameter; needs the right to mount."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", request.param, "lanthorn-test", str(folder)],
        check=False,
        capture_output=True,
        text=True,
    )
    if mounted.returncode:
        pytest.skip(f"no right to mount: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.parametrize("small_disk", ["size=1m"], indirect=True)
async def test_a_full_disk_leaves_nothing_behind_and_the_store_usable(small_disk: Path) -> None:
    async with FilesystemObjectStore(small_disk / "objects") as store:
        await store.put("first.dcm", [bytes(600_000)])
        with pytest.raises(StorageFull):
            await store.put(KEY, [bytes(600_000)])
        with pytest.raises(UnknownResource):
            await store.stat(KEY)
        assert list(store.spool_folder.iterdir()) == []
        await store.delete("first.dcm")
        await store.put(KEY, [bytes(600_000)])
        assert len(await store.get(KEY)) == 600_000


@pytest.mark.parametrize("small_disk", ["nr_inodes=8"], indirect=True)
async def test_no_room_for_folders_is_a_full_store_too(small_disk: Path) -> None:
    async with FilesystemObjectStore(small_disk / "objects") as store:
        arriving = store.spool_folder / "arriving"
        arriving.write_bytes(b"DICM")
        with pytest.raises(StorageFull):
            await store.put(KEY, arriving)
        assert list(store.spool_folder.iterdir()) == []
        assert [info async for info in store.list()] == []


async def test_opening_removes_what_crashes_left_and_not_what_others_write(tmp_path: Path) -> None:
    spool = tmp_path / ".spool"
    spool.mkdir()
    old, young = spool / "old", spool / "young"
    old.write_bytes(b"x")
    young.write_bytes(b"x")
    long_ago = time.time() - LEFTOVER_AGE_S - 60
    os.utime(old, (long_ago, long_ago))
    async with FilesystemObjectStore(tmp_path) as store:
        assert list(spool.iterdir()) == [young]
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
