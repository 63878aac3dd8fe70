"""How one object is written in another transfer syntax: what stands around its pixels.

References
----------
DICOM PS3.5 Section 8 and Annex A; PS3.3 Section C.7.6.1.1.5 (lossy image compression).
"""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Final

from lanthorn_core.dicom.elements import (
    PIXEL_DATA,
    UNDEFINED,
    ElementHeader,
    read_element_header,
    skip_sequence,
)
from lanthorn_core.dicom.encodings import (
    DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
    EXPLICIT_VR_BIG_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    Encoding,
)
from lanthorn_core.dicom.part10 import encode_file_meta
from lanthorn_core.dicom.reencode import element_header, swap_words
from lanthorn_core.errors import DecodeFailed, InvalidDataset
from lanthorn_core.ports.renderer import TranscodeRequest
from lanthorn_renderer.beginning import Beginning
from lanthorn_renderer.describe import (
    EXTENDED_OFFSET_TABLE,
    EXTENDED_OFFSET_TABLE_LENGTHS,
    PHOTOMETRIC_INTERPRETATION,
    PLANAR_CONFIGURATION,
    SOP_CLASS_UID,
    ImageDescription,
)
from lanthorn_renderer.elements import DOUBLE_FLOAT_PIXEL_DATA, FLOAT_PIXEL_DATA
from lanthorn_renderer.frames import OpenedObject
from lanthorn_renderer.places import EncapsulatedFrames, NativeFrames
from lanthorn_renderer.recode import RecodedFrame
from lanthorn_renderer.reencode import ElementsJob
from lanthorn_renderer.sources import read_all

IMAGE_TYPE: Final = 0x0008_0008
SOP_INSTANCE_UID: Final = 0x0008_0018
LOSSY_IMAGE_COMPRESSION: Final = 0x0028_2110
LOSSY_IMAGE_COMPRESSION_RATIO: Final = 0x0028_2112
LOSSY_IMAGE_COMPRESSION_METHOD: Final = 0x0028_2114

NATIVE: Final = frozenset(
    {
        IMPLICIT_VR_LITTLE_ENDIAN,
        EXPLICIT_VR_LITTLE_ENDIAN,
        EXPLICIT_VR_BIG_ENDIAN,
        DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
    }
)
CHUNK_BYTES: Final = 1 << 20
MAX_TRAILER_BYTES: Final = 64 << 20
"""What may stand behind Pixel Data; it is held."""
SEQUENCE_DELIMITATION_ITEM: Final = struct.pack("<HHL", 0xFFFE, 0xE0DD, 0)
_WORD_BYTES: Final = {"OW": 2, "OF": 4, "OD": 8}
_FLOAT_VRS: Final = {FLOAT_PIXEL_DATA: "OF", DOUBLE_FLOAT_PIXEL_DATA: "OD"}


@dataclass(slots=True)
class LossyCompression:
    """What a lossy compression adds to the data set."""

    method: str
    ratio: float
    sop_instance_uid: str


@dataclass(slots=True)
class Writing:
    """One object on its way: what is known of it, and how it is written."""

    request: TranscodeRequest
    beginning: Beginning
    target: Encoding
    opened: OpenedObject
    recoded: list[RecodedFrame] = field(default_factory=list)
    lossy: LossyCompression | None = None

    @property
    def image(self) -> ImageDescription:
        """The image, where there is one."""
        if self.opened.image is None:
            raise DecodeFailed(self.opened.why_not)
        return self.opened.image

    @property
    def frame_bytes(self) -> int:
        """Bytes of a frame in native pixels, color by pixel."""
        return self.image.samples * self.image.bits_allocated // 8

    @property
    def native_length(self) -> int:
        """Bytes of all frames in native pixels, made even."""
        length = self.opened.number_of_frames * self.frame_bytes
        return length + length % 2

    @property
    def word_bytes(self) -> int:
        """What the byte order of `target` applies to in native pixels."""
        if self.target.little_endian or self.native_vr == "OB":
            return 1
        return 4 if self.image.bits_allocated == 32 else 2

    def in_byte_order(self, data: bytes) -> bytes:
        """Write little endian pixels as `target` has them."""
        return swap_words(data, self.word_bytes) if self.word_bytes > 1 else data

    def file_meta(self) -> bytes:
        """Write the beginning of the file."""
        meta = self.beginning.meta
        sop_instance_uid = self._text(SOP_INSTANCE_UID) or meta.media_storage_sop_instance_uid
        return encode_file_meta(
            sop_class_uid=self._text(SOP_CLASS_UID) or meta.media_storage_sop_class_uid,
            sop_instance_uid=self.lossy.sop_instance_uid if self.lossy else sop_instance_uid,
            transfer_syntax_uid=self.request.transfer_syntax_uid,
            source_ae_title=meta.source_ae_title,
            receiving_ae_title=meta.receiving_ae_title,
        )

    def header(self) -> ElementsJob:
        """Tell how to write the data set up to Pixel Data."""
        beginning = self.beginning
        elements = beginning.elements if beginning.pixels is None else beginning.elements[:-1]
        end = elements[-1].start + elements[-1].length if elements else beginning.start
        return ElementsJob(
            beginning.data[:end],
            beginning.start,
            elements,
            beginning.meta.transfer_syntax_uid,
            self.request.transfer_syntax_uid,
            dict(self._replacements()),
        )

    def pixel_header(self) -> bytes:
        """Write the header of recoded Pixel Data."""
        if self.request.transfer_syntax_uid not in NATIVE:
            return element_header(PIXEL_DATA, "OB", UNDEFINED, self.target)
        return element_header(PIXEL_DATA, self.native_vr, self.native_length, self.target)

    @property
    def native_vr(self) -> str:
        """The VR of native pixels (PS3.5 Section 8.1.2)."""
        return "OW" if self.image.bits_allocated > 8 else "OB"

    def _replacements(self) -> Iterator[tuple[int, tuple[str, bytes] | None]]:
        if not self.recoded:
            return
        yield EXTENDED_OFFSET_TABLE, None
        yield EXTENDED_OFFSET_TABLE_LENGTHS, None
        photometric = self.recoded[0].photometric_interpretation
        if photometric != self.image.photometric_interpretation:
            yield PHOTOMETRIC_INTERPRETATION, ("CS", _even(photometric))
        if self.image.samples_per_pixel > 1:
            yield PLANAR_CONFIGURATION, ("US", bytes(2))
        if self.lossy is not None:
            methods = self._with(LOSSY_IMAGE_COMPRESSION_METHOD, self.lossy.method)
            ratios = self._with(LOSSY_IMAGE_COMPRESSION_RATIO, f"{self.lossy.ratio:.5g}")
            kinds = self._text(IMAGE_TYPE).split("\\")
            yield IMAGE_TYPE, ("CS", _even("\\".join(["DERIVED", *kinds[1:]])))
            yield SOP_INSTANCE_UID, ("UI", _even(self.lossy.sop_instance_uid, b"\0"))
            yield LOSSY_IMAGE_COMPRESSION, ("CS", b"01")
            yield LOSSY_IMAGE_COMPRESSION_RATIO, ("DS", _even(ratios))
            yield LOSSY_IMAGE_COMPRESSION_METHOD, ("CS", _even(methods))

    def _with(self, tag: int, value: str) -> str:
        present = self._text(tag)
        return f"{present}\\{value}" if present else value

    def _text(self, tag: int) -> str:
        for element in self.beginning.elements:
            if element.tag == tag:
                return self.beginning.value(element).decode("latin-1").strip(" \0")
        return ""


async def native_pixels(writing: Writing, pixels: ElementHeader) -> AsyncIterator[bytes]:
    """Write native pixels as native ones, in pieces; only their byte order may change."""
    beginning, target = writing.beginning, writing.target
    if pixels.tag == PIXEL_DATA and writing.opened.image is not None:
        frames = writing.opened.frames
        source_words = frames.word_bytes if isinstance(frames, NativeFrames) else 1
        target_words, vr = writing.word_bytes, writing.native_vr
    else:
        vr = _FLOAT_VRS.get(pixels.tag) or pixels.vr or "OW"
        words = _WORD_BYTES.get(vr, 1)
        source_words = 1 if beginning.encoding.little_endian else words
        target_words = 1 if target.little_endian else words
    yield element_header(pixels.tag, vr, pixels.length + pixels.length % 2, target)
    for start in range(0, pixels.length, CHUNK_BYTES):
        length = min(CHUNK_BYTES, pixels.length - start)
        chunk = await read_all(beginning.source, pixels.start + start, length)
        if source_words != target_words:
            for words in (source_words, target_words):
                chunk = swap_words(chunk, words) if words > 1 else chunk
        yield chunk
    if pixels.length % 2:
        yield b"\0"


async def trailer(writing: Writing, pixels: ElementHeader) -> ElementsJob | None:
    """Tell how to write what stands behind Pixel Data, such as Data Set Trailing Padding."""
    beginning = writing.beginning
    end = pixels.start + pixels.length
    frames = writing.opened.frames
    if isinstance(frames, EncapsulatedFrames):
        places = [place for frame in frames.frames for place in frame]
        end = max((start + length + length % 2 for start, length in places), default=0)
        if await beginning.source.read(end, 8) != SEQUENCE_DELIMITATION_ITEM:
            return None  # an offset table led to some frames, and to no end
        end += 8
    elif pixels.length == UNDEFINED:
        return None
    data = await beginning.source.read(end, MAX_TRAILER_BYTES + 1)
    if len(data) > MAX_TRAILER_BYTES:
        raise DecodeFailed(f"more than {MAX_TRAILER_BYTES} bytes stand behind the pixels")
    elements = []
    pos = 0
    try:
        while len(data) - pos >= 8:
            header = read_element_header(data, pos, len(data), beginning.encoding)
            after = header.start + header.length
            if header.length == UNDEFINED:
                after = skip_sequence(data, header, len(data), beginning.encoding)
            if after > len(data):
                break
            elements.append(header._replace(length=after - header.start))
            pos = after
    except InvalidDataset as exc:
        raise DecodeFailed(exc.details) from exc
    source_uid = beginning.meta.transfer_syntax_uid
    target_uid = writing.request.transfer_syntax_uid
    return ElementsJob(data, 0, tuple(elements), source_uid, target_uid, {})


def _even(text: str, padding: bytes = b" ") -> bytes:
    value = text.encode("latin-1")
    return value + padding * (len(value) % 2)
