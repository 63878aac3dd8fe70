"""What the header of an object says of its pixels.

References
----------
DICOM PS3.3 Section C.7.6.3 (Image Pixel), C.11.1 (Modality LUT), C.11.2 (VOI LUT),
C.7.6.16 (Multi-frame Functional Groups).
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from lanthorn_core.dicom.encodings import Encoding
from lanthorn_core.dicom.scan import parse_header
from lanthorn_core.errors import DecodeFailed, InvalidDataset, NotRenderable
from lanthorn_renderer.elements import item_values

SOP_CLASS_UID: Final = 0x0008_0016
SAMPLES_PER_PIXEL: Final = 0x0028_0002
PHOTOMETRIC_INTERPRETATION: Final = 0x0028_0004
PLANAR_CONFIGURATION: Final = 0x0028_0006
NUMBER_OF_FRAMES: Final = 0x0028_0008
ROWS: Final = 0x0028_0010
COLUMNS: Final = 0x0028_0011
BITS_ALLOCATED: Final = 0x0028_0100
BITS_STORED: Final = 0x0028_0101
HIGH_BIT: Final = 0x0028_0102
PIXEL_REPRESENTATION: Final = 0x0028_0103
WINDOW_CENTER: Final = 0x0028_1050
WINDOW_WIDTH: Final = 0x0028_1051
RESCALE_INTERCEPT: Final = 0x0028_1052
RESCALE_SLOPE: Final = 0x0028_1053
PALETTE_DESCRIPTORS: Final = (0x0028_1101, 0x0028_1102, 0x0028_1103)
PALETTE_DATA: Final = (0x0028_1201, 0x0028_1202, 0x0028_1203)
FRAME_VOI_LUT: Final = 0x0028_9132
PIXEL_VALUE_TRANSFORMATION: Final = 0x0028_9145
PER_FRAME_FUNCTIONAL_GROUPS: Final = 0x5200_9230
EXTENDED_OFFSET_TABLE: Final = 0x7FE0_0001
EXTENDED_OFFSET_TABLE_LENGTHS: Final = 0x7FE0_0002

RT_DOSE_STORAGE: Final = "1.2.840.10008.5.1.4.1.1.481.2"

WANTED: Final = frozenset(
    {
        SOP_CLASS_UID,
        SAMPLES_PER_PIXEL,
        PHOTOMETRIC_INTERPRETATION,
        PLANAR_CONFIGURATION,
        NUMBER_OF_FRAMES,
        ROWS,
        COLUMNS,
        BITS_ALLOCATED,
        BITS_STORED,
        HIGH_BIT,
        PIXEL_REPRESENTATION,
        WINDOW_CENTER,
        WINDOW_WIDTH,
        RESCALE_INTERCEPT,
        RESCALE_SLOPE,
        *PALETTE_DESCRIPTORS,
        *PALETTE_DATA,
        PER_FRAME_FUNCTIONAL_GROUPS,
        EXTENDED_OFFSET_TABLE,
        EXTENDED_OFFSET_TABLE_LENGTHS,
    }
)


@dataclass(frozen=True, slots=True)
class Palette:
    """Palette Color Lookup Tables (PS3.3 Section C.7.6.3.1.5 and C.7.6.3.1.6).

    `first` is the stored value of entry 0; `tables` are the red, green and blue entries as they are
    encoded.
    """

    entries: int
    first: int
    little_endian: bool
    tables: tuple[bytes, bytes, bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageDescription:
    """The Image Pixel module and the LUTs of one frame, with defaults where the header is silent.

    `window_center` and `window_width` are the first of their values, None where there is none.
    """

    transfer_syntax_uid: str
    pixel_data_vr: str | None
    sop_class_uid: str
    rows: int
    columns: int
    samples_per_pixel: int
    photometric_interpretation: str
    planar_configuration: int
    bits_allocated: int
    bits_stored: int
    high_bit: int
    pixel_representation: int
    rescale_slope: float | None
    rescale_intercept: float | None
    window_center: float | None
    window_width: float | None
    palette: Palette | None

    @property
    def samples(self) -> int:
        """Samples of one frame."""
        return self.rows * self.columns * self.samples_per_pixel


def describe_image(
    values: Mapping[int, bytes],
    *,
    transfer_syntax_uid: str,
    encoding: Encoding,
    pixel_data_vr: str | None,
) -> ImageDescription:
    """Read the image's attributes from the raw values of its header.

    Raises
    ------
    NotRenderable
        Rows, Columns or Bits Allocated are missing or no numbers.
    """
    little = encoding.little_endian

    def us(tag: int, default: int | None = None) -> int:
        value = values.get(tag, b"")
        if len(value) >= 2:
            return int.from_bytes(value[:2], "little" if little else "big")
        if default is None:
            raise NotRenderable(f"the header lacks ({tag >> 16:04x},{tag & 0xFFFF:04x})")
        return default

    bits_allocated = us(BITS_ALLOCATED)
    bits_stored = us(BITS_STORED, bits_allocated)
    if not 1 <= bits_stored <= bits_allocated:
        bits_stored = bits_allocated
    high_bit = us(HIGH_BIT, bits_stored - 1)
    if not bits_stored - 1 <= high_bit < bits_allocated:
        high_bit = bits_stored - 1
    return ImageDescription(
        transfer_syntax_uid=transfer_syntax_uid,
        pixel_data_vr=pixel_data_vr,
        sop_class_uid=_text(values.get(SOP_CLASS_UID, b"")),
        rows=us(ROWS),
        columns=us(COLUMNS),
        samples_per_pixel=us(SAMPLES_PER_PIXEL, 1),
        photometric_interpretation=_text(values.get(PHOTOMETRIC_INTERPRETATION, b"")).upper(),
        planar_configuration=us(PLANAR_CONFIGURATION, 0),
        bits_allocated=bits_allocated,
        bits_stored=bits_stored,
        high_bit=high_bit,
        pixel_representation=us(PIXEL_REPRESENTATION, 0) & 1,
        rescale_slope=_first_number(values.get(RESCALE_SLOPE, b"")),
        rescale_intercept=_first_number(values.get(RESCALE_INTERCEPT, b"")),
        window_center=_first_number(values.get(WINDOW_CENTER, b"")),
        window_width=_first_number(values.get(WINDOW_WIDTH, b"")),
        palette=_palette(values, little=little),
    )


def number_of_frames(values: Mapping[int, bytes]) -> int:
    """Read Number of Frames (0028,0008); 1 when it is absent or makes no sense."""
    number = _first_number(values.get(NUMBER_OF_FRAMES, b""))
    return int(number) if number is not None and number >= 1 else 1


@dataclass(frozen=True, slots=True)
class PerFrameGroups:
    """Per-frame Functional Groups Sequence (5200,9230): one encoded item a frame."""

    items: tuple[bytes, ...]
    transfer_syntax_uid: str

    @property
    def size_bytes(self) -> int:
        """Bytes held."""
        return sum(map(len, self.items))

    def apply(self, image: ImageDescription, frame_index: int) -> ImageDescription:
        """Fill in what the data set itself leaves to the frame: window and rescale.

        Raises
        ------
        DecodeFailed
            The group is broken.
        """
        if frame_index >= len(self.items):
            return image
        group = self.items[frame_index]
        if image.window_center is None or image.window_width is None:
            center, width = self._numbers(group, FRAME_VOI_LUT, WINDOW_CENTER, WINDOW_WIDTH)
            if center is not None and width is not None:
                image = replace(image, window_center=center, window_width=width)
        if image.rescale_slope is None or image.rescale_intercept is None:
            slope, intercept = self._numbers(
                group, PIXEL_VALUE_TRANSFORMATION, RESCALE_SLOPE, RESCALE_INTERCEPT
            )
            if slope is not None and intercept is not None:
                image = replace(image, rescale_slope=slope, rescale_intercept=intercept)
        return image

    def _numbers(self, group: bytes, macro: int, *tags: int) -> list[float | None]:
        """Read numbers of the only item of a macro's sequence."""
        try:
            header = parse_header(group, self.transfer_syntax_uid)
            sequence = header.elements.get(macro)
            items: list[bytes] = []
            if sequence is not None:
                items = item_values(group, sequence.start, sequence.length, header.encoding)
            if not items:
                return [None] * len(tags)
            item = parse_header(items[0], self.transfer_syntax_uid)
        except InvalidDataset as exc:
            raise DecodeFailed(f"a per-frame functional group is broken: {exc.details}") from exc
        return [_first_number(item.value(tag) or b"") for tag in tags]


def _text(value: bytes) -> str:
    return value.decode("latin-1").strip(" \0")


def _first_number(value: bytes) -> float | None:
    try:
        return _finite(float(_text(value.partition(b"\\")[0])))
    except ValueError:
        return None


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None


def _palette(values: Mapping[int, bytes], *, little: bool) -> Palette | None:
    descriptors = [values.get(tag, b"") for tag in PALETTE_DESCRIPTORS]
    red, green, blue = (values.get(tag, b"") for tag in PALETTE_DATA)
    if len(descriptors[0]) < 6 or not (red and green and blue):
        return None
    order = "<" if little else ">"
    is_signed = int.from_bytes(values.get(PIXEL_REPRESENTATION, b"")[:2], "little") != 0
    entries, first, _ = struct.unpack(f"{order}H{'h' if is_signed else 'H'}H", descriptors[0][:6])
    return Palette(entries or 0x10000, first, little, (red, green, blue))
