"""What the object store on files keeps when its process or its machine dies."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from lanthorn_core.adapters.arriving_files import ARRIVING, ArrivingFiles
from lanthorn_core.adapters.objects_fs import FilesystemObjectStore

KEY = "instances/v1/2026/11/21/08/0193-a.dcm"
SIZES = (1, 9_000, 65_536, 300_001)

_KILLED_BEFORE_THE_RENAME = """
import asyncio, os, signal, sys
from pathlib import Path
from lanthorn_core.adapters.objects_fs import FilesystemObjectStore

async def main():
    async with FilesystemObjectStore(Path(sys.argv[1])) as store:
        os.rename = lambda *names: os.kill(os.getpid(), signal.SIGKILL)
        await store.put(sys.argv[2], [b"DICM" * 1000])

asyncio.run(main())
"""


@contextmanager
def mounted(image: Path, folder: Path) -> Iterator[None]:
    """Mount an image of an ext4; unmounting at the end is what a machine that dies never does."""
    folder.mkdir()
    # Nothing reaches the journal by itself within a minute.
    command = ["mount", "-t", "ext4", "-o", "loop,commit=60", str(image), str(folder)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no right to mount: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


class Machine:
    """A disk that can lose its power: what the mounted file system has not written out is gone."""

    def __init__(self, folder: Path, mounts: ExitStack) -> None:
        self._folder = folder
        self._mounts = mounts
        self._image = folder / "image"
        with self._image.open("wb") as file:
            file.truncate(24 << 20)
        subprocess.run(["mkfs.ext4", "-q", str(self._image)], check=True)
        self.root = self._mount("disk")

    def lose_power(self) -> Path:
        """Return the root of the objects as the machine finds it when it is started again."""
        self._image = Path(shutil.copy(self._image, self._folder / "after"))
        return self._mount("disk-after")

    def _mount(self, name: str) -> Path:
        self._mounts.enter_context(mounted(self._image, self._folder / name))
        return self._folder / name / "objects"


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    with ExitStack() as mounts:
        yield Machine(tmp_path, mounts)


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def arriving(root: Path) -> list[str]:
    """Names of the files that have no key yet."""
    return sorted(path.name for path in (root / ARRIVING).glob("*/*"))


async def keys(store: FilesystemObjectStore) -> list[str]:
    return [info.key async for info in store.list()]


@pytest.fixture
async def store(machine: Machine) -> AsyncIterator[FilesystemObjectStore]:
    async with FilesystemObjectStore(machine.root) as store:
        yield store


async def test_a_power_loss_takes_nothing_that_was_put(
    machine: Machine, store: FilesystemObjectStore
) -> None:
    contents = {f"hour/{n}.dcm": os.urandom(SIZES[n % len(SIZES)]) for n in range(24)}
    await asyncio.gather(*(store.put(key, [content]) for key, content in contents.items()))
    await store.put(KEY, [b"DICM"])  # whose rename nothing after it has made durable
    root = machine.lose_power()
    assert f"4+{KEY.replace('/', '+')}" in arriving(root)
    async with FilesystemObjectStore(root) as after:
        assert await keys(after) == sorted([*contents, KEY])
        for key, content in contents.items():
            assert await after.get(key) == content
        assert await after.get(KEY) == b"DICM"
        assert arriving(root) == []


async def test_a_power_loss_brings_nothing_back_that_was_deleted(
    machine: Machine, store: FilesystemObjectStore
) -> None:
    for number in range(4):
        await store.put(f"hour/{number}.dcm", [bytes(9_000)])
    await store.delete("hour/1.dcm")
    await store.delete("hour/3.dcm")
    async with FilesystemObjectStore(machine.lose_power()) as after:
        assert await keys(after) == ["hour/0.dcm", "hour/2.dcm"]


async def test_what_a_killed_process_had_synced_gets_its_key(tmp_path: Path) -> None:
    script = [sys.executable, "-c", _KILLED_BEFORE_THE_RENAME, str(tmp_path), KEY]
    killed = await asyncio.to_thread(subprocess.run, script, check=False)
    assert killed.returncode == -signal.SIGKILL
    async with FilesystemObjectStore(tmp_path) as store:
        if not (tmp_path / ARRIVING).exists():
            pytest.skip("the temporary folder is on no ext4 or XFS")
        assert await keys(store) == [KEY]
        assert await store.get(KEY) == b"DICM" * 1000


@pytest.mark.parametrize(
    "name",
    ["5+hour+a.dcm", "4+..+..+a.dcm", "4+hour++a.dcm", "4+", "hour+a.dcm", "-4+hour+a.dcm"],
)
async def test_what_is_not_whole_or_not_ours_gets_no_key(tmp_path: Path, name: str) -> None:
    left = tmp_path / "objects" / ARRIVING / "1-dead"
    left.mkdir(parents=True)
    (left / name).write_bytes(b"DICM")
    async with FilesystemObjectStore(tmp_path / "objects") as store:
        assert await keys(store) == []
    assert not left.exists()
    assert names(tmp_path) == ["objects"]


async def test_files_of_a_living_process_are_left_to_it(tmp_path: Path) -> None:
    living = ArrivingFiles(tmp_path)
    living.open()
    path = living.path_for(KEY, 0)
    if path is None:
        pytest.skip("the temporary folder is on no ext4 or XFS")
    os.close(os.open(path, os.O_CREAT))
    async with FilesystemObjectStore(tmp_path) as store:
        assert await keys(store) == []
        assert arriving(tmp_path) == [f"0+{KEY.replace('/', '+')}"]
    living.close()


async def test_names_too_long_for_a_file_are_put_all_the_same(tmp_path: Path) -> None:
    key = "/".join(["a" * 150, "b" * 150, "c.dcm"])
    async with FilesystemObjectStore(tmp_path) as store:
        await store.put(key, [b"DICM"])
        assert await store.get(key) == b"DICM"


async def test_nothing_is_left_of_a_store_that_was_closed(tmp_path: Path) -> None:
    async with FilesystemObjectStore(tmp_path) as store:
        await store.put(KEY, [b"DICM"])
    assert list((tmp_path / ARRIVING).glob("*")) == []
