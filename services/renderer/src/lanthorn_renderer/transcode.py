"""Whole objects in another transfer syntax, written as they are read."""

from __future__ import annotations

import asyncio
import struct
import uuid
from collections.abc import AsyncIterator
from typing import Final

from isal import isal_zlib

from lanthorn_core.dicom.elements import UNDEFINED
from lanthorn_core.dicom.encodings import DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN, encoding_of
from lanthorn_core.errors import DecodeFailed, UnsupportedTransferSyntax
from lanthorn_core.ports.object_store import ObjectStore
from lanthorn_core.ports.renderer import TranscodeRequest
from lanthorn_renderer.beginning import Beginning, read_beginning
from lanthorn_renderer.frames import FrameReader, describe_object
from lanthorn_renderer.places import NativeFrames
from lanthorn_renderer.pool import DecoderPool
from lanthorn_renderer.recode import ENCODERS, LOSSY_METHODS, RecodedFrame, RecodeJob, recode
from lanthorn_renderer.reencode import written
from lanthorn_renderer.writing import (
    NATIVE,
    SEQUENCE_DELIMITATION_ITEM,
    LossyCompression,
    Writing,
    native_pixels,
    trailer,
)

MAX_LOSSY_BYTES: Final = 256 << 20
"""What all frames may come to where the ratio of compression stands before them."""
FRAMES_AT_ONCE: Final = 2
_LONGEST_VALUE: Final = UNDEFINED - 1
_DEFLATE_LEVEL: Final = 2


class Transcoder:
    """Writes objects in other transfer syntaxes.

    Parameters
    ----------
    objects : ObjectStore
        Where the objects are.
    frames : FrameReader
        Reads their frames.
    pool : DecoderPool
        Decodes and encodes.
    """

    def __init__(self, objects: ObjectStore, frames: FrameReader, pool: DecoderPool) -> None:
        self._objects = objects
        self._frames = frames
        self._pool = pool

    async def __call__(self, request: TranscodeRequest) -> AsyncIterator[bytes]:
        """Write an object anew; what cannot be is told before the first bytes.

        Raises
        ------
        UnknownResource, StorageUnavailable
            As the object store says.
        UnsupportedTransferSyntax
            There is no encoder for it, or none for these pixels.
        NotRenderable, DecodeFailed
            The object is broken, or nobody decodes it.
        """
        target_uid = request.transfer_syntax_uid
        if target_uid not in NATIVE and target_uid not in ENCODERS:
            raise UnsupportedTransferSyntax(f"Cannot transcode to {target_uid}")
        beginning = await read_beginning(self._objects, request.object_key)
        if beginning.meta.transfer_syntax_uid == target_uid:
            async for chunk in self._as_it_is(request, beginning):
                yield chunk
            return
        writing = await self._begin(request, beginning)
        body = self._body(writing, await written(writing.header(), self._pool))
        if request.with_file_meta:
            yield writing.file_meta()
        if target_uid == DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN:
            body = _deflated(body)
        async for chunk in body:
            yield chunk

    async def _as_it_is(
        self, request: TranscodeRequest, beginning: Beginning
    ) -> AsyncIterator[bytes]:
        skip = 0 if request.with_file_meta else beginning.meta.dataset_offset
        async for chunk in self._objects.stream(request.object_key):
            if skip < len(chunk):
                yield chunk[skip:]
            skip = max(skip - len(chunk), 0)

    async def _begin(self, request: TranscodeRequest, beginning: Beginning) -> Writing:
        """Find out how to write the object, and recode its first frames."""
        target_uid = request.transfer_syntax_uid
        target = encoding_of(target_uid)
        if target is None:
            raise UnsupportedTransferSyntax(f"Cannot transcode to {target_uid}")
        opened = await describe_object(beginning)
        writing = Writing(request, beginning, target, opened)
        pixels = beginning.pixels
        is_native = target_uid in NATIVE
        if pixels is None or (is_native and pixels.length != UNDEFINED):
            return writing
        if opened.image is None or opened.frames is None:
            raise UnsupportedTransferSyntax(f"Cannot be transcoded: {opened.why_not}")
        if is_native and writing.native_length > _LONGEST_VALUE:
            raise UnsupportedTransferSyntax("The pixels are too many for one native element")
        if isinstance(opened.frames, NativeFrames):
            opened.frames.byte_range(opened.number_of_frames - 1)  # while it can still be told
        writing.recoded += await self._recoded(writing, 0)
        if target_uid in LOSSY_METHODS:
            while len(writing.recoded) < opened.number_of_frames:
                if sum(len(frame.data) for frame in writing.recoded) > MAX_LOSSY_BYTES:
                    raise UnsupportedTransferSyntax("The frames are too many to be compressed")
                writing.recoded += await self._recoded(writing, len(writing.recoded))
            encoded_bytes = sum(len(frame.data) for frame in writing.recoded)
            ratio = opened.number_of_frames * writing.frame_bytes / max(encoded_bytes, 1)
            writing.lossy = LossyCompression(
                LOSSY_METHODS[target_uid], ratio, f"2.25.{uuid.uuid4().int}"
            )
        return writing

    async def _body(self, writing: Writing, header: bytes) -> AsyncIterator[bytes]:
        yield header
        pixels = writing.beginning.pixels
        if pixels is None:
            return
        if not writing.recoded:
            async for chunk in native_pixels(writing, pixels):
                yield chunk
        else:
            async for chunk in self._recoded_pixels(writing):
                yield chunk
        behind = await trailer(writing, pixels)
        if behind is not None:
            yield await written(behind, self._pool)

    async def _recoded_pixels(self, writing: Writing) -> AsyncIterator[bytes]:
        """Write all frames, native or one fragment each with an empty Basic Offset Table."""
        is_native = writing.request.transfer_syntax_uid in NATIVE
        yield writing.pixel_header()
        if not is_native:
            yield _fragment(b"")
        done, written_bytes = 0, 0
        frames = writing.recoded
        photometric = frames[0].photometric_interpretation
        while frames:
            for frame in frames:
                if frame.photometric_interpretation != photometric:
                    raise DecodeFailed("the frames differ in their photometric interpretation")
                data = writing.in_byte_order(frame.data) if is_native else _fragment(frame.data)
                written_bytes += len(data)
                yield data
            done += len(frames)
            frames = []
            if done < writing.opened.number_of_frames:
                frames = await self._recoded(writing, done)
        if not is_native:
            yield SEQUENCE_DELIMITATION_ITEM
        elif written_bytes % 2:
            yield b"\0"

    async def _recoded(self, writing: Writing, first: int) -> list[RecodedFrame]:
        """Recode a few frames at a time, as many as there are workers to do it."""
        last = min(first + FRAMES_AT_ONCE, writing.opened.number_of_frames)
        return await asyncio.gather(*(self._recode(writing, index) for index in range(first, last)))

    async def _recode(self, writing: Writing, frame_index: int) -> RecodedFrame:
        image = writing.opened.describe_frame(frame_index)
        frame = await self._frames.fetch(writing.opened, frame_index)
        target_uid = writing.request.transfer_syntax_uid
        native = target_uid in NATIVE
        job = RecodeJob(image, frame, "" if native else target_uid, writing.request.quality)
        recoded = await self._pool.run(recode, job)
        if native and len(recoded.data) != writing.frame_bytes:
            raise DecodeFailed(f"a frame of {writing.frame_bytes} bytes became another size")
        return recoded


async def _deflated(body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Deflate a data set, and make its length even (PS3.5 Section A.5)."""
    compressor = isal_zlib.compressobj(_DEFLATE_LEVEL, isal_zlib.DEFLATED, -15)
    written_bytes = 0
    async for chunk in body:
        compressed = compressor.compress(chunk)
        if compressed:
            written_bytes += len(compressed)
            yield compressed
    last = compressor.flush()
    yield last + b"\0" * ((written_bytes + len(last)) % 2)


def _fragment(data: bytes) -> bytes:
    padding = b"\0" * (len(data) % 2)
    return struct.pack("<HHL", 0xFFFE, 0xE000, len(data) + len(padding)) + data + padding
