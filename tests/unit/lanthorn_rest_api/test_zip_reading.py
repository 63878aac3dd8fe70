"""Uploaded ZIP archives: as everybody writes them, and as somebody might to do harm."""

from __future__ import annotations

import struct
import zipfile
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lanthorn_core.errors import InvalidDataset
from lanthorn_rest_api.inflation import InflationLimits
from lanthorn_rest_api.zip_reading import UnreadableEntry, ZipReading, is_zip


def archive(
    files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED, comment: bytes = b""
) -> bytes:
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as writing:
        for name, data in files.items():
            writing.writestr(name, data)
        writing.comment = comment
    return buffer.getvalue()


def contents(data: bytes, limits: InflationLimits | None = None) -> dict[str, bytes]:
    reading = ZipReading(data, limits or InflationLimits())
    return {entry.name: b"".join(reading.inflate(entry)) for entry in reading.entries()}


def patched(data: bytes, magic: bytes, offset: int, layout: str, value: int) -> bytes:
    """Change a field of the first record of a kind."""
    changed = bytearray(data)
    struct.pack_into(layout, changed, data.index(magic) + offset, value)
    return bytes(changed)


CENTRAL, LOCAL, END = b"PK\x01\x02", b"PK\x03\x04", b"PK\x05\x06"
FILES = {"a.dcm": b"first" * 1000, "folder/b.dcm": b"", "c.dcm": bytes(range(256)) * 2000}


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_files_come_out_as_they_went_in(method: int) -> None:
    assert contents(archive(FILES, method)) == FILES


def test_a_comment_and_something_before_the_archive_do_no_harm() -> None:
    assert contents(b"#!/bin/sh\n" * 9 + archive(FILES, comment=b"PK or not")) == FILES


def test_entries_whose_sizes_follow_them_are_read() -> None:
    class NoSeeking(BytesIO):
        def seekable(self) -> bool:
            return False

        def tell(self) -> int:
            raise OSError

    buffer = NoSeeking()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as writing:
        writing.writestr("a.dcm", FILES["a.dcm"])
    assert contents(buffer.getvalue()) == {"a.dcm": FILES["a.dcm"]}


def test_zip64_archives_are_read() -> None:
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as writing, writing.open("a", "w", force_zip64=True) as file:
        file.write(b"data")
    plain = buffer.getvalue()
    end = plain.index(END)
    size, offset = struct.unpack_from("<2L", plain, end + 12)
    end_64 = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, 1, 1, size, offset)
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, end, 1)
    short_end = struct.pack("<4s4H2LH", END, 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    assert contents(plain[:end] + end_64 + locator + short_end) == {"a": b"data"}


def test_an_archive_is_known_by_its_beginning() -> None:
    assert is_zip(archive(FILES))
    assert is_zip(archive({}))
    assert not is_zip(b"PK")
    assert not is_zip(b"PKzip")


@pytest.mark.parametrize(
    "data",
    [
        b"PK\x03\x04",
        b"PK\x03\x04 and nothing of the kind",
        archive(FILES)[:-1],
        archive(FILES)[: len(archive(FILES)) // 2],
        patched(archive(FILES), END, 12, "<L", 0x7FFFFFFF),
        patched(archive(FILES), END, 12, "<L", 50),
        patched(archive(FILES), END, 16, "<L", 0x7FFFFFFF),
        patched(archive(FILES), CENTRAL, 0, "<L", 0),
        patched(archive(FILES), CENTRAL, 28, "<H", 0xFFFF),
        patched(archive(FILES), CENTRAL, 30, "<H", 0xFFFF),
    ],
)
def test_an_archive_that_cannot_be_opened_is_refused_as_a_whole(data: bytes) -> None:
    with pytest.raises(InvalidDataset, match="Cannot open ZIP archive"):
        ZipReading(data, InflationLimits())


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (patched(archive(FILES), CENTRAL, 8, "<H", 1), "encrypted"),
        (patched(archive(FILES), CENTRAL, 10, "<H", 99), "method 99"),
        (patched(archive(FILES), CENTRAL, 16, "<L", 0), "checksum"),
        (patched(archive(FILES), CENTRAL, 24, "<L", 4999), "larger than it says"),
        (patched(archive(FILES), CENTRAL, 24, "<L", 5001), "size"),
        (patched(archive(FILES), CENTRAL, 20, "<L", 5), "truncated"),
        (patched(archive(FILES), CENTRAL, 20, "<L", 0x7FFFFFFF), "exceed the archive"),
        (patched(archive(FILES), CENTRAL, 42, "<L", 0x7FFFFFFF), "outside the archive"),
        (patched(archive(FILES), CENTRAL, 42, "<L", 1), "no local header"),
        (patched(archive(FILES), LOCAL, 26, "<H", 0xFFFF), "exceed the archive"),
    ],
)
def test_a_broken_file_does_not_spoil_the_others(data: bytes, reason: str) -> None:
    reading = ZipReading(data, InflationLimits())
    first, *others = reading.entries()
    with pytest.raises(UnreadableEntry, match=reason):
        b"".join(reading.inflate(first))
    for entry in others:
        assert b"".join(reading.inflate(entry)) == FILES[entry.name]


def test_a_broken_deflate_stream_is_an_unreadable_entry() -> None:
    data = archive({"a": bytes(5000)})
    start = struct.calcsize("<4s5H3L2H") + 1
    reading = ZipReading(data[:start] + b"\xff" * 4 + data[start + 4 :], InflationLimits())
    (entry,) = reading.entries()
    with pytest.raises(UnreadableEntry, match="cannot be inflated"):
        b"".join(reading.inflate(entry))


def test_a_bomb_is_refused_before_anything_is_inflated() -> None:
    limits = InflationLimits(free_bytes=1 << 20, ratio=100)
    with pytest.raises(InvalidDataset, match="inflates to more"):
        ZipReading(archive({"a": bytes(8 << 20)}), limits)
    with pytest.raises(InvalidDataset, match="inflates to more"):
        ZipReading(archive({str(n): bytes(200_000) for n in range(8)}), limits)


def test_a_bomb_that_lies_about_its_size_stops_at_what_it_said() -> None:
    data = patched(archive({"a": bytes(8 << 20)}), CENTRAL, 24, "<L", 300_000)
    reading = ZipReading(data, InflationLimits(free_bytes=1 << 20, ratio=100))
    (entry,) = reading.entries()
    pieces: list[bytes] = []
    with pytest.raises(UnreadableEntry, match="larger than it says"):
        pieces.extend(reading.inflate(entry))
    assert sum(map(len, pieces)) <= 300_000


def test_entries_that_share_their_bytes_count_each() -> None:
    """The bomb of many names for one deflated stream (Fifield, 2019)."""
    data = archive({"a": bytes(900_000)})
    start, end = data.index(CENTRAL), data.index(END)
    central = data[start:end] * 50
    fields = struct.pack("<4s4H2LH", END, 0, 0, 50, 50, len(central), start, 0)
    with pytest.raises(InvalidDataset, match="inflates to more"):
        ZipReading(data[:start] + central + fields, InflationLimits(free_bytes=1 << 20, ratio=100))


def test_too_many_files_are_refused() -> None:
    files = {str(number): b"" for number in range(11)}
    assert len(contents(archive(files), InflationLimits(entries=11))) == 11
    with pytest.raises(InvalidDataset, match="more files than are allowed"):
        ZipReading(archive(files), InflationLimits(entries=10))


def test_folders_are_known_by_their_names() -> None:
    reading = ZipReading(archive({"d/": b"", "d/f": b"", "w\\": b""}), InflationLimits())
    assert [entry.is_folder for entry in reading.entries()] == [True, False, True]


@given(st.data())
def test_no_change_of_a_byte_crashes_the_reader(data: st.DataObject) -> None:
    changed = bytearray(archive({"a.dcm": b"first" * 20, "b.dcm": b"second"}))
    for _ in range(data.draw(st.integers(1, 4))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    try:
        reading = ZipReading(bytes(changed), InflationLimits(entries=10))
    except InvalidDataset:
        return
    for entry in reading.entries():
        try:
            assert sum(map(len, reading.inflate(entry))) == entry.size_bytes
        except UnreadableEntry:
            continue
