"""Messages as P-DATA-TF PDUs: headers between views of the data, nothing is copied.

References
----------
DICOM PS3.8 Section 9.3.5 and Annex E.
"""

from __future__ import annotations

import struct
from collections.abc import AsyncGenerator, AsyncIterable, Iterable, Iterator, Sequence
from typing import Final

from lanthorn_dimse.errors import ProtocolError
from lanthorn_dimse.negotiation import MAXIMUM_LENGTH

BytesLike = bytes | bytearray | memoryview

PDV_HEADER_BYTES: Final = 6
"""Item length, presentation context ID, message control header."""

COMMAND: Final = 1
LAST: Final = 2
"""Bits of the message control header (PS3.8 Annex E.2)."""

BATCH_BYTES: Final = 512 * 1024
"""How much is given to the transport before it is asked whether the peer reads."""

_HEADER: Final = struct.Struct(">BxLLBB")


def fragment_room(peer_maximum_length: int) -> int:
    """Return how many bytes of a message one PDU takes; an even number, as all fragments are.

    Raises
    ------
    ProtocolError
        Not even two bytes, so that nothing can be sent to this peer.
    """
    length = min(peer_maximum_length or MAXIMUM_LENGTH, MAXIMUM_LENGTH)
    room = (length - PDV_HEADER_BYTES) & ~1
    if room <= 0:
        raise ProtocolError("the peer's maximum length leaves no room for a fragment")
    return room


def frame_command(context_id: int, encoded: bytes, room: int) -> bytes:
    """Frame a command set; small as it is, header and command become one buffer."""
    if len(encoded) <= room:
        size = len(encoded)
        return _HEADER.pack(4, size + 6, size + 2, context_id, COMMAND | LAST) + encoded
    batches = _frames(context_id, COMMAND, [memoryview(encoded)], room)
    return b"".join(buffer for batch in batches for buffer in batch)


def frame_small(context_id: int, data_set: BytesLike, room: int) -> Sequence[BytesLike]:
    """Frame a data set that is all there and mostly fits into one PDU."""
    size = memoryview(data_set).nbytes
    if size <= room:
        return (_HEADER.pack(4, size + 6, size + 2, context_id, LAST), data_set)
    return [buffer for batch in frame_data(context_id, (data_set,), room) for buffer in batch]


def frame_data(
    context_id: int, pieces: Sequence[BytesLike], room: int
) -> Iterator[list[BytesLike]]:
    """Frame a data set that is all there; yields what may be given to a transport at once."""
    views = [_bytes_view(piece) for piece in pieces]
    return _frames(context_id, 0, views, room)


async def frame_stream(
    context_id: int, pieces: AsyncIterable[BytesLike], room: int
) -> AsyncGenerator[list[BytesLike], None]:
    """Frame a data set that comes piece by piece; full PDUs are passed on as they fill."""
    waiting: list[memoryview] = []
    size = 0
    async for piece in pieces:
        view = _bytes_view(piece)
        if not len(view):
            continue
        waiting.append(view)
        size += len(view)
        # The last fragment is marked: one byte at least is kept until there is another.
        if size > room:
            count = (size - 1) // room
            ready, waiting = _split(waiting, count * room)
            size -= count * room
            for batch in _frames(context_id, 0, ready, room, ends=False):
                yield batch
    for batch in _frames(context_id, 0, waiting, room):
        yield batch


def _bytes_view(piece: BytesLike) -> memoryview:
    view = memoryview(piece)
    return view if view.format == "B" and view.ndim == 1 else view.cast("B")


def _split(views: Iterable[memoryview], at: int) -> tuple[list[memoryview], list[memoryview]]:
    before: list[memoryview] = []
    after: list[memoryview] = []
    for view in views:
        if at >= len(view):
            before.append(view)
            at -= len(view)
        else:
            if at:
                before.append(view[:at])
            after.append(view[at:])
            at = 0
    return before, after


def _frames(
    context_id: int, control: int, views: list[memoryview], room: int, *, ends: bool = True
) -> Iterator[list[BytesLike]]:
    left = sum(map(len, views))
    source = iter(views)
    view = memoryview(b"")
    batch: list[BytesLike] = []
    batched = 0
    while True:
        size = min(room, left)
        left -= size
        last = not left
        bits = control | LAST if last and ends else control
        batch.append(_HEADER.pack(4, size + 6, size + 2, context_id, bits))
        batched += size
        while size:
            if not view:
                view = next(source)
            elif len(view) <= size:
                batch.append(view)
                size -= len(view)
                view = view[:0]
            else:
                batch.append(view[:size])
                view = view[size:]
                size = 0
        if last:
            yield batch
            return
        if batched >= BATCH_BYTES:
            yield batch
            batch, batched = [], 0
