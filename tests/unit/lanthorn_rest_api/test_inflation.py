"""Gzip bodies: whole, in pieces, broken, and made to burst."""

from __future__ import annotations

import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lanthorn_core.errors import InvalidDataset
from lanthorn_rest_api.inflation import INFLATE_STEP_BYTES, Gunzip, InflationLimits


def inflated(chunks: list[bytes], limits: InflationLimits | None = None) -> bytes:
    gunzip = Gunzip(limits or InflationLimits())
    pieces = [piece for chunk in chunks for piece in gunzip.feed(chunk)]
    gunzip.finish()
    return b"".join(pieces)


@given(st.binary(max_size=2000), st.integers(1, 50))
def test_a_body_inflates_however_it_is_cut(data: bytes, step: int) -> None:
    packed = gzip.compress(data * 20)
    chunks = [packed[at : at + step] for at in range(0, len(packed), step)]
    assert inflated(chunks) == data * 20


def test_members_one_after_the_other_make_one_body() -> None:
    assert inflated([gzip.compress(b"one ") + gzip.compress(b"two")]) == b"one two"
    assert inflated([gzip.compress(b"one "), gzip.compress(b"two")]) == b"one two"


def test_padding_behind_the_body_does_not_count() -> None:
    assert inflated([gzip.compress(b"one") + bytes(10), bytes(5)]) == b"one"


def test_pieces_are_of_bounded_size() -> None:
    gunzip = Gunzip(InflationLimits())
    pieces = list(gunzip.feed(gzip.compress(bytes(3 * INFLATE_STEP_BYTES + 5))))
    assert max(map(len, pieces)) == INFLATE_STEP_BYTES
    assert sum(map(len, pieces)) == 3 * INFLATE_STEP_BYTES + 5


@pytest.mark.parametrize("kept", [0, 1, 9, 10, 15, -9, -1])
def test_a_truncated_body_is_told_from_a_whole_one(kept: int) -> None:
    with pytest.raises(InvalidDataset, match="Truncated gzip input"):
        inflated([gzip.compress(b"some text")[:kept]])


def test_a_second_member_may_not_be_truncated_either() -> None:
    with pytest.raises(InvalidDataset, match="Truncated gzip input"):
        inflated([gzip.compress(b"one") + gzip.compress(b"two")[:-3]])


@pytest.mark.parametrize("body", [b"not gzip at all", zlib.compress(b"zlib's own format")])
def test_what_is_not_gzip_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidDataset, match="broken gzip body"):
        inflated([body])


def test_a_wrong_checksum_is_refused() -> None:
    body = bytearray(gzip.compress(b"some text"))
    body[-6] ^= 1
    with pytest.raises(InvalidDataset, match="broken gzip body"):
        inflated([bytes(body)])


@given(st.binary(max_size=300))
def test_no_bytes_at_all_crash_the_reader(body: bytes) -> None:
    try:
        inflated([b"\x1f\x8b\x08" + body])
    except InvalidDataset:
        return


def test_a_bomb_is_refused_before_it_is_inflated() -> None:
    limits = InflationLimits(free_bytes=1 << 20, ratio=100)
    body = gzip.compress(bytes(64 << 20))
    gunzip = Gunzip(limits)
    pieces: list[bytes] = []
    with pytest.raises(InvalidDataset, match="more than is allowed"):
        pieces.extend(gunzip.feed(body))
    assert sum(map(len, pieces)) <= limits.allowed_bytes(len(body))


def test_a_large_file_that_shrank_a_little_is_no_bomb() -> None:
    limits = InflationLimits(free_bytes=10, ratio=100)
    assert inflated([gzip.compress(b"ab" * 500)], limits) == b"ab" * 500


def test_no_file_exceeds_the_limit_of_one_file() -> None:
    with pytest.raises(InvalidDataset, match="more than is allowed"):
        inflated([gzip.compress(bytes(101))], InflationLimits(file_bytes=100))
