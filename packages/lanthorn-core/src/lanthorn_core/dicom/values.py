"""Values as text, in the way of Orthanc.

References
----------
DICOM PS3.5 Section 6.2 (value representations); the rules were observed on Orthanc 1.13.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import Final

from lanthorn_core.dicom.charset import TextDecoder
from lanthorn_core.dicom.tags import format_tag

MAX_TEXT_BYTES: Final = 256
"""Longer text (in UTF-8) is neither kept in the index nor shown unless asked for."""

TEXT_VRS: Final = frozenset(
    "AE AS CS DA DS DT IS LO LT PN SH ST TM UC UI UR UT".split()  # noqa: SIM905
)


def number_text(value: float) -> str:
    """Write a floating point number as C's ``%.17g`` does."""
    return format(value, ".17g")


def _single_text(value: float) -> str:
    return format(value, ".9g")


_Number = int | float
_NUMERIC_VRS: Final[Mapping[str, tuple[str, int, Callable[[_Number], str]]]] = {
    "US": ("H", 2, str),
    "SS": ("h", 2, str),
    "UL": ("L", 4, str),
    "SL": ("l", 4, str),
    "UV": ("Q", 8, str),
    "SV": ("q", 8, str),
    "OL": ("L", 4, str),
    "OV": ("Q", 8, str),
    "FL": ("f", 4, number_text),
    "FD": ("d", 8, number_text),
    "OF": ("f", 4, _single_text),
    "OD": ("d", 8, number_text),
}


_BULK_NUMBER_VRS: Final = frozenset({"OD", "OF", "OL", "OV"})
_NOT_TEXTUAL_VRS: Final = frozenset({"OB", "OW", "SQ", "UN"})

# The tags of VR "US or SS" for which DCMTK, and so Orthanc, looks at Pixel Representation
# (0028,0103). The others of Implicit VR data sets have no text there.
SIGNED_AS_PIXELS: Final = frozenset(
    {
        0x0028_0106,  # Smallest Image Pixel Value
        0x0028_0107,  # Largest Image Pixel Value
        0x0028_0108,  # Smallest Pixel Value in Series
        0x0028_0109,  # Largest Pixel Value in Series
        0x0028_0120,  # Pixel Padding Value
        0x0028_0121,  # Pixel Padding Range Limit
        0x0028_3002,  # LUT Descriptor
        0x0040_9211,  # Real World Value Last Value Mapped
        0x0040_9216,  # Real World Value First Value Mapped
        0x0060_3004,  # Histogram First Bin Value
        0x0060_3006,  # Histogram Last Bin Value
    }
)


def resolve_us_or_ss(tag: int, pixel_representation: str | None) -> str:
    """Choose the VR of an element of an Implicit VR data set that may be signed.

    Parameters
    ----------
    tag : int
        A tag whose VR is `US_OR_SS`.
    pixel_representation : str or None
        Pixel Representation (0028,0103) as text, None when absent.

    Returns
    -------
    str
        ``US`` or ``SS``, ``OW`` when nothing decides.
    """
    if tag not in SIGNED_AS_PIXELS or pixel_representation is None:
        return "OW"
    return "US" if pixel_representation == "0" else "SS"


def is_textual(vr: str) -> bool:
    """Whether values of this VR are shown as text: strings, numbers and tags."""
    return vr in TEXT_VRS or vr in _NUMERIC_VRS or vr == "AT"


def is_known(vr: str) -> bool:
    """Whether PS3.5 knows this VR."""
    return is_textual(vr) or vr in _NOT_TEXTUAL_VRS


def text_of_value(
    vr: str, value: bytes, *, little_endian: bool, decoder: TextDecoder
) -> str | None:
    r"""Write a value as text.

    Parameters
    ----------
    vr : str
        Value representation; of UN elements, the one of the dictionary.
    value : bytes
        The value as it is in the data set, padding included.
    little_endian : bool
        Byte order of the data set.
    decoder : TextDecoder
        The character set of the data set.

    Returns
    -------
    str or None
        Several values are joined by ``\``. None for VRs that have no text (OB, OW, UN, SQ, those
        that nobody knows), and for numbers of which not one is whole.
    """
    if vr in TEXT_VRS:
        end = value.find(b"\0")
        if end >= 0:
            value = value[:end]
        value = value.strip(b" ") if vr == "UI" else value.rstrip(b" ")
        return decoder.decode(value)
    numeric = _NUMERIC_VRS.get(vr)
    order = "<" if little_endian else ">"
    if numeric is not None:
        code, size, write = numeric
        count = len(value) // size
        if not count:
            return "" if vr in _BULK_NUMBER_VRS else None
        numbers = struct.unpack_from(f"{order}{count}{code}", value)
        return "\\".join(map(write, numbers))
    if vr == "AT":
        words = struct.unpack_from(f"{order}{len(value) // 4 * 2}H", value)
        tags = zip(words[::2], words[1::2], strict=True)
        return "\\".join(format_tag(group << 16 | number) for group, number in tags)
    return None
