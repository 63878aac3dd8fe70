"""Data sets as they arrive, in memory or in the spool folder."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lanthorn_core.errors import StorageFull, StorageUnavailable
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


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_told_at_the_end_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("lanthorn_dimse_gateway.spool._SYNC_BYTES", 4096)
    monkeypatch.setattr(os, "fdatasync", full)
    spooled = SpooledFile(tmp_path, b"META", in_memory_bytes=10)
    for _ in range(10):
        spooled.write(b"x" * 1000)
    with pytest.raises(StorageFull):
        spooled.finish()
    assert list(tmp_path.iterdir()) == []
