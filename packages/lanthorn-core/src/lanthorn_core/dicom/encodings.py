"""How transfer syntaxes write a data set: byte order, explicit or implicit VR, deflated or not.

References
----------
DICOM PS3.5 Section 7.1 and Annex A.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from mmap import mmap
from typing import Final

IMPLICIT_VR_LITTLE_ENDIAN: Final = "1.2.840.10008.1.2"
EXPLICIT_VR_LITTLE_ENDIAN: Final = "1.2.840.10008.1.2.1"
DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN: Final = "1.2.840.10008.1.2.1.99"
EXPLICIT_VR_BIG_ENDIAN: Final = "1.2.840.10008.1.2.2"
JPIP_REFERENCED_DEFLATE: Final = "1.2.840.10008.1.2.4.95"
JPIP_HTJ2K_REFERENCED_DEFLATE: Final = "1.2.840.10008.1.2.4.205"
GE_PRIVATE_IMPLICIT: Final = "1.2.840.113619.5.2"
"""Implicit VR Little Endian but for its pixels, which are big endian."""

_SHORT_VRS: Final = (
    *("AE", "AS", "AT", "CS", "DA", "DS", "DT", "FL", "FD", "IS", "LO", "LT", "PN", "SH"),
    *("SL", "SS", "ST", "TM", "UI", "UL", "US"),
)
_LONG_VRS: Final = (
    *("OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"),
)
"""PS3.5 Section 7.1.2: two reserved bytes and a length of four."""


@dataclass(frozen=True, slots=True)
class Encoding:
    """The layout of element headers.

    `short` reads tag, VR and a short length; `long` a long length; `implicit_header` tag and long
    length. `vrs` maps the VR as read by `short` to its name and whether its length is long.
    """

    implicit: bool
    little_endian: bool
    short: struct.Struct
    long: struct.Struct
    implicit_header: struct.Struct
    vrs: Mapping[int, tuple[str, bool]]

    @property
    def longest_element_header(self) -> int:
        """Bytes before a value, at most."""
        return 8 if self.implicit else 12


def _encoding(*, implicit: bool, little_endian: bool) -> Encoding:
    order = "<" if little_endian else ">"
    vr_code = struct.Struct(order + "H")
    names = [(vr, False) for vr in _SHORT_VRS] + [(vr, True) for vr in _LONG_VRS]
    return Encoding(
        implicit=implicit,
        little_endian=little_endian,
        short=struct.Struct(order + "HHHH"),
        long=struct.Struct(order + "L"),
        implicit_header=struct.Struct(order + "HHL"),
        vrs={vr_code.unpack(vr.encode())[0]: (vr, is_long) for vr, is_long in names},
    )


EXPLICIT_LITTLE: Final = _encoding(implicit=False, little_endian=True)
IMPLICIT_LITTLE: Final = _encoding(implicit=True, little_endian=True)
EXPLICIT_BIG: Final = _encoding(implicit=False, little_endian=False)

_OTHER_ENCODINGS: Final[Mapping[str, Encoding]] = {
    IMPLICIT_VR_LITTLE_ENDIAN: IMPLICIT_LITTLE,
    GE_PRIVATE_IMPLICIT: IMPLICIT_LITTLE,
    EXPLICIT_VR_BIG_ENDIAN: EXPLICIT_BIG,
}
_DEFLATED: Final = frozenset(
    {DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN, JPIP_REFERENCED_DEFLATE, JPIP_HTJ2K_REFERENCED_DEFLATE}
)


def encoding_of(transfer_syntax_uid: str) -> Encoding | None:
    """Return the encoding of a transfer syntax (once inflated), None for a foreign one.

    All that DICOM defined after 1993 is Explicit VR Little Endian (PS3.5 Section 10.2).
    """
    known = _OTHER_ENCODINGS.get(transfer_syntax_uid)
    if known is None and transfer_syntax_uid.startswith("1.2.840.10008.1.2."):
        return EXPLICIT_LITTLE
    return known


def is_deflated(transfer_syntax_uid: str) -> bool:
    """Whether the data set, not only its pixels, is a deflate stream (PS3.5 Section A.5)."""
    return transfer_syntax_uid in _DEFLATED


def detect_encoding(data: bytes | bytearray | memoryview | mmap) -> Encoding | None:
    """Guess the encoding from the first element of a data set, None when there is none."""
    if len(data) < 8:
        return None
    little_group, _, vr_code, _ = EXPLICIT_LITTLE.short.unpack_from(data)
    big_group, _, big_vr_code, _ = EXPLICIT_BIG.short.unpack_from(data)
    # Data sets begin with a low group: the byte order in which it is low is the right one.
    if big_group < little_group:
        return EXPLICIT_BIG if big_vr_code in EXPLICIT_BIG.vrs else None
    if vr_code in EXPLICIT_LITTLE.vrs:
        return EXPLICIT_LITTLE
    return IMPLICIT_LITTLE if little_group else None


def detect_transfer_syntax(data: bytes | bytearray | memoryview | mmap) -> str | None:
    """Guess the native transfer syntax of a data set that does not tell, None when unlikely."""
    encoding = detect_encoding(data)
    if encoding is EXPLICIT_BIG:
        return EXPLICIT_VR_BIG_ENDIAN
    if encoding is EXPLICIT_LITTLE:
        return EXPLICIT_VR_LITTLE_ENDIAN
    return None if encoding is None else IMPLICIT_VR_LITTLE_ENDIAN
