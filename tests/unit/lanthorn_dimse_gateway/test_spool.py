"""Data sets as they arrive, in memory or in the spool folder."""

from __future__ import annotations

import os
import random
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lanthorn_core.errors import StorageFull, StorageUnavailable
from lanthorn_dimse_gateway.aligned_file import AlignedFile
from lanthorn_dimse_gateway.spool import SpooledFile


def whole(spooled: SpooledFile) -> bytes:
    source = spooled.finish()
    if isinstance(source, Path):
        data = source.read_bytes()
        source.unlink()
        return data
    return b"".join(source)


@given(fragments=st.lists(st.binary(max_size=300), max_size=30), limit=st.integers(1, 4000))
def test_the_bytes_come_out_as_they_went_in(
    tmp_path_factory: pytest.TempPathFactory, fragments: list[bytes], limit: int
) -> None:
    spooled = SpooledFile(tmp_path_factory.getbasetemp(), b"META", in_memory_bytes=limit)
    for fragment in fragments:
        spooled.write(fragment)
    assert spooled.size_bytes == 4 + sum(map(len, fragments))
    assert whole(spooled) == b"META" + b"".join(fragments)


def test_a_small_one_never_touches_the_disk(tmp_path: Path) -> None:
    spooled = SpooledFile(tmp_path / "does-not-exist", b"META", in_memory_bytes=100)
    spooled.write(b"x" * 96)
    assert not isinstance(spooled.finish(), Path)


def test_a_large_one_is_a_file_in_the_folder(tmp_path: Path) -> None:
    spooled = SpooledFile(tmp_path, b"META", in_memory_bytes=100)
    spooled.write(b"x" * 97)
    source = spooled.finish()
    assert isinstance(source, Path)
    assert source.parent == tmp_path
    assert source.read_bytes() == b"META" + b"x" * 97


def test_many_tiny_fragments_go_to_the_disk(tmp_path: Path) -> None:
    spooled = SpooledFile(tmp_path, b"META")
    for _ in range(1000):
        spooled.write(b"x")
    assert isinstance(spooled.finish(), Path)


def test_discarding_removes_the_file(tmp_path: Path) -> None:
    spooled = SpooledFile(tmp_path, b"META", in_memory_bytes=10)
    spooled.write(b"x" * 1000)
    assert list(tmp_path.iterdir())
    spooled.discard()
    spooled.discard()
    assert list(tmp_path.iterdir()) == []


def test_discarding_leaves_a_finished_file_to_its_new_owner(tmp_path: Path) -> None:
    spooled = SpooledFile(tmp_path, b"META", in_memory_bytes=10)
    spooled.write(b"x" * 1000)
    source = spooled.finish()
    spooled.discard()
    assert isinstance(source, Path)
    assert source.exists()


def test_a_missing_folder_is_told_at_the_end(tmp_path: Path) -> None:
    spooled = SpooledFile(tmp_path / "gone", b"META", in_memory_bytes=10)
    for _ in range(3):
        spooled.write(b"x" * 1000)
    with pytest.raises(StorageUnavailable):
        spooled.finish()


@pytest.fixture
def files_of_two_mebibytes() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2 << 20, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.usefixtures("files_of_two_mebibytes")
@pytest.mark.parametrize("size_bytes", [(2 << 20) + 5000, 9 << 20])
def test_a_full_disk_is_told_at_the_end_and_leaves_nothing(tmp_path: Path, size_bytes: int) -> None:
    spooled = SpooledFile(tmp_path, b"META")
    for _ in range(9):
        spooled.write(bytes(size_bytes // 9 + 1))
    with pytest.raises(StorageFull):
        spooled.finish()
    assert list(tmp_path.iterdir()) == []


@given(pieces=st.lists(st.integers(0, 3 << 19), max_size=3), seed=st.integers(0, 1 << 30))
@settings(max_examples=15, deadline=None)
def test_aligned_files_hold_what_was_written(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[int], seed: int
) -> None:
    data = [random.Random(seed).randbytes(size_bytes) for size_bytes in pieces]
    path = tmp_path_factory.getbasetemp() / "aligned"
    path.unlink(missing_ok=True)
    file = AlignedFile(path)
    for piece in data:
        file.write(piece)
    file.close()
    assert path.read_bytes() == b"".join(data)
    assert path.stat().st_mode & 0o077 == 0, "nobody else may read it"


@pytest.mark.skipif(not os.access("/dev/shm", os.W_OK), reason="needs a memory file system")
def test_aligned_files_do_without_direct_writing_where_there_is_none() -> None:
    path = Path("/dev/shm") / f"lanthorn-test-{os.getpid()}"
    file = AlignedFile(path)
    try:
        file.write(b"x" * 5000)
        file.close()
        assert path.read_bytes() == b"x" * 5000
    finally:
        path.unlink()


def test_an_existing_file_is_not_written_over(tmp_path: Path) -> None:
    path = tmp_path / "there"
    path.write_bytes(b"before")
    with pytest.raises(FileExistsError):
        AlignedFile(path)
    assert path.read_bytes() == b"before"
