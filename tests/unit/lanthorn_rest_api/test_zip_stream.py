"""ZIP archives as we write them, read by Python's own reader."""

from __future__ import annotations

import zipfile
from datetime import datetime
from io import BytesIO
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from lanthorn_rest_api.zip_stream import ZipStream

NOW_S = datetime(2024, 5, 17, 13, 44, 58).astimezone().timestamp()


def in_pieces(stream: ZipStream, name: str, pieces: list[bytes], size_bytes: int) -> list[bytes]:
    written = stream.begin(name, size_bytes)
    for piece in pieces:
        written += stream.write(piece)
    return written + stream.end()


def read(pieces: list[bytes]) -> dict[str, bytes]:
    with zipfile.ZipFile(BytesIO(b"".join(pieces))) as reading:
        assert reading.testzip() is None
        return {entry.filename: reading.read(entry) for entry in reading.infolist()}


@given(st.lists(st.tuples(st.booleans(), st.lists(st.binary(max_size=500), max_size=4))))
def test_what_was_written_is_read(files: list[tuple[bool, list[bytes]]]) -> None:
    stream = ZipStream(NOW_S)
    written: list[bytes] = []
    for number, (is_whole, pieces) in enumerate(files):
        data = b"".join(pieces)
        if is_whole:
            written += stream.whole_file(str(number), data)
        else:
            written += in_pieces(stream, str(number), pieces, len(data))
    expected = {str(number): b"".join(pieces) for number, (_, pieces) in enumerate(files)}
    assert read([*written, *stream.finish()]) == expected


def test_what_compresses_becomes_smaller() -> None:
    stream = ZipStream(NOW_S)
    assert sum(map(len, stream.whole_file("a", bytes(100_000)))) < 2_000


def test_an_archive_says_who_made_it_and_when() -> None:
    stream = ZipStream(NOW_S)
    pieces = [*stream.whole_file("a", b"b"), *stream.finish()]
    with zipfile.ZipFile(BytesIO(b"".join(pieces))) as reading:
        assert reading.comment == b"Created by Lanthorn"
        assert reading.infolist()[0].date_time == (2024, 5, 17, 13, 44, 58)


def test_names_that_are_not_ascii_survive() -> None:
    stream = ZipStream(NOW_S)
    assert read([*stream.whole_file("日本/ä.dcm", b"b"), *stream.finish()]) == {"日本/ä.dcm": b"b"}


def test_a_file_that_may_exceed_four_gigabytes_is_written_with_zip64() -> None:
    stream = ZipStream(NOW_S)
    written = in_pieces(stream, "large", [b"only", b" said", b" so"], 5 << 30)
    written += stream.whole_file("after", b"it")
    assert read([*written, *stream.finish()]) == {"large": b"only said so", "after": b"it"}


def test_files_behind_four_gigabytes_are_found(tmp_path: Path) -> None:
    """A hole in a sparse file stands for 5 GB of other files."""
    hole_bytes = 5 << 30
    stream = ZipStream(NOW_S)
    stream._offset = hole_bytes
    pieces = [*stream.whole_file("a", b"far away"), *stream.finish()]
    path = tmp_path / "large.zip"
    with path.open("wb") as file:
        file.seek(hole_bytes)
        file.writelines(pieces)
    with zipfile.ZipFile(path) as reading:
        assert reading.read("a") == b"far away"
        assert reading.infolist()[0].header_offset == hole_bytes


def test_more_files_than_sixteen_bits_count() -> None:
    stream = ZipStream(NOW_S)
    written: list[bytes] = []
    for number in range(65_540):
        written += stream.whole_file(str(number), b"")
    with zipfile.ZipFile(BytesIO(b"".join([*written, *stream.finish()]))) as reading:
        assert len(reading.namelist()) == 65_540
        assert reading.namelist()[-1] == "65539"


def test_an_empty_archive_is_an_archive() -> None:
    assert read(list(ZipStream(NOW_S).finish())) == {}
