from __future__ import annotations

import struct
from collections.abc import AsyncIterator, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pynetdicom.pdu import P_DATA_TF

from lanthorn_dimse import ProtocolError
from lanthorn_dimse.framing import (
    BATCH_BYTES,
    BytesLike,
    fragment_room,
    frame_command,
    frame_data,
    frame_stream,
)

PIECES = st.lists(st.binary(max_size=60), max_size=8)


def fragments(framed: bytes, room: int) -> list[tuple[int, int, bytes]]:
    """Take P-DATA-TF PDUs apart by pynetdicom: context ID, control, content."""
    found = []
    place = 0
    while place < len(framed):
        length = struct.unpack_from(">L", framed, place + 2)[0]
        assert length <= room + 6
        pdu = P_DATA_TF()
        pdu.decode(framed[place : place + 6 + length])
        [item] = pdu.presentation_data_value_items
        value = item.presentation_data_value
        found.append((item.presentation_context_id, value[0], value[1:]))
        place += 6 + length
    return found


def joined(batches: Sequence[Sequence[BytesLike]]) -> bytes:
    return b"".join(bytes(buffer) for batch in batches for buffer in batch)


def check(framed: bytes, content: bytes, room: int) -> None:
    found = fragments(framed, room)
    assert b"".join(part for _, _, part in found) == content
    assert [number for number, _, _ in found] == [5] * len(found)
    assert [control for _, control, _ in found] == [0] * (len(found) - 1) + [2]
    # Only the last may be shorter.
    assert all(len(part) == room for _, _, part in found[:-1])


@settings(max_examples=50, deadline=None)
@given(PIECES, st.integers(1, 40).map(lambda half: 2 * half))
def test_a_data_set_in_pieces_arrives_whole(pieces: list[bytes], room: int) -> None:
    check(joined(list(frame_data(5, pieces, room))), b"".join(pieces), room)


@settings(max_examples=50, deadline=None)
@given(PIECES, st.integers(1, 40).map(lambda half: 2 * half))
async def test_a_data_set_that_comes_piece_by_piece_arrives_whole(
    pieces: list[bytes], room: int
) -> None:
    async def source() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece

    batches = [batch async for batch in frame_stream(5, source(), room)]
    check(joined(batches), b"".join(pieces), room)


@settings(max_examples=50, deadline=None)
@given(st.binary(min_size=1, max_size=100), st.integers(1, 40).map(lambda half: 2 * half))
def test_a_command_set_is_marked_as_one(encoded: bytes, room: int) -> None:
    found = fragments(frame_command(5, encoded, room), room)
    assert b"".join(part for _, _, part in found) == encoded
    assert [control for _, control, _ in found] == [1] * (len(found) - 1) + [3]


def test_nothing_is_copied() -> None:
    content = bytes(1000)
    [batch] = frame_data(1, [content], 400)
    views = [buffer for buffer in batch if isinstance(buffer, memoryview)]
    assert [len(view) for view in views] == [400, 400, 200]
    assert all(view.obj is content for view in views)


def test_what_is_large_comes_in_batches() -> None:
    batches = list(frame_data(1, [bytes(5 * BATCH_BYTES)], 16382))
    assert len(batches) == 5
    assert joined(batches).count(bytes(1000)) > 0


def test_arrays_of_other_items_are_bytes() -> None:
    words = memoryview(b"abcdefgh").cast("H")
    assert joined(list(frame_data(1, [words], 100))).endswith(b"abcdefgh")


@pytest.mark.parametrize(
    ("maximum_length", "room"),
    [(0, 131066), (16384, 16378), (131072, 131066), (1 << 30, 131066), (9, 2), (4097, 4090)],
)
def test_fragments_are_even_and_fit_the_peer(maximum_length: int, room: int) -> None:
    assert fragment_room(maximum_length) == room


@pytest.mark.parametrize("maximum_length", [1, 6, 7])
def test_a_peer_that_takes_nothing_breaks_the_protocol(maximum_length: int) -> None:
    with pytest.raises(ProtocolError):
        fragment_room(maximum_length)
