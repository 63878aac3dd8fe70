"""Uploads in memory and on the disk."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lanthorn_core.errors import StorageFull, StorageUnavailable
from lanthorn_rest_api.upload_spool import SpooledUpload


def test_a_small_upload_stays_in_memory(tmp_path: Path) -> None:
    with SpooledUpload(tmp_path, in_memory_bytes=10) as upload:
        upload.write_all([b"12345", b"67890"])
        assert not upload.on_disk
        assert upload.take() == b"1234567890"
    assert not list(tmp_path.iterdir())


def test_a_large_upload_goes_to_the_spool_folder_and_stays_when_taken(tmp_path: Path) -> None:
    with SpooledUpload(tmp_path, in_memory_bytes=10) as upload:
        assert upload.would_touch_disk(11)
        assert not upload.would_touch_disk(10)
        upload.write_all([b"12345", b"678901", b"x"])
        assert upload.on_disk
        assert upload.size_bytes == 12
        path = upload.take()
    assert isinstance(path, Path)
    assert path.parent == tmp_path
    assert path.read_bytes() == b"12345678901x"


def test_what_was_not_taken_is_gone(tmp_path: Path) -> None:
    with SpooledUpload(tmp_path, in_memory_bytes=1) as upload:
        upload.write(b"12345")
        assert list(tmp_path.iterdir())
    assert not list(tmp_path.iterdir())


def test_what_an_error_interrupts_is_gone(tmp_path: Path) -> None:
    def interrupted() -> None:
        with SpooledUpload(tmp_path, in_memory_bytes=1) as upload:
            upload.write(b"12345")
            raise KeyError

    with pytest.raises(KeyError):
        interrupted()
    assert not list(tmp_path.iterdir())


def test_the_beginning_is_kept_whatever_pieces_it_came_in(tmp_path: Path) -> None:
    data = bytes(range(200))
    with SpooledUpload(tmp_path, in_memory_bytes=50) as upload:
        for byte in data:
            assert not upload.has_beginning or upload.size_bytes >= 132
            upload.write(bytes([byte]))
        assert upload.beginning == data[:132]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_a_full_disk_is_told_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = os.open
    monkeypatch.setattr(os, "open", lambda *_: opened("/dev/full", os.O_RDWR))
    with SpooledUpload(tmp_path, in_memory_bytes=1) as upload, pytest.raises(StorageFull):
        upload.write(bytes(1 << 20))


def test_a_spool_folder_that_is_gone_is_told_as_such(tmp_path: Path) -> None:
    with (
        SpooledUpload(tmp_path / "gone", in_memory_bytes=1) as upload,
        pytest.raises(StorageUnavailable),
    ):
        upload.write(b"12345")
