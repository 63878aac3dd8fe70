"""Data sets written by hand, so that they can be wrong on purpose."""

from __future__ import annotations

import struct
from pathlib import Path

from lanthorn_core.dicom.part10 import encode_file_meta

SAMPLES = Path(__file__).parents[3] / "data" / "pydicom"
ANSWERS = Path(__file__).parents[3] / "data" / "orthanc"

EXPLICIT = "1.2.840.10008.1.2.1"
IMPLICIT = "1.2.840.10008.1.2"
BIG_ENDIAN = "1.2.840.10008.1.2.2"
DEFLATED = "1.2.840.10008.1.2.1.99"
JPEG_BASELINE = "1.2.840.10008.1.2.4.50"
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"

UNDEFINED = 0xFFFFFFFF
ITEM_END = struct.pack("<HHL", 0xFFFE, 0xE00D, 0)
SEQUENCE_END = struct.pack("<HHL", 0xFFFE, 0xE0DD, 0)
LONG_VRS = {"OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV", "ZZ"}


def element(
    tag: int, vr: str, value: bytes = b"", length: int | None = None, *, order: str = "<"
) -> bytes:
    """Write an element with Explicit VR; `length` may lie."""
    count = len(value) if length is None else length
    head = struct.pack(f"{order}HH2s", tag >> 16, tag & 0xFFFF, vr.encode("latin-1"))
    if vr in LONG_VRS:
        return head + struct.pack(f"{order}HL", 0, count) + value
    return head + struct.pack(f"{order}H", count) + value


def implicit(tag: int, value: bytes = b"", length: int | None = None) -> bytes:
    count = len(value) if length is None else length
    return struct.pack("<HHL", tag >> 16, tag & 0xFFFF, count) + value


def item(content: bytes = b"", length: int | None = None) -> bytes:
    return implicit(0xFFFEE000, content, length)


def uid(tag: int, text: str) -> bytes:
    return element(tag, "UI", text.encode() + b"\0" * (len(text) % 2))


IDENTIFIERS = {
    0x00080016: uid(0x00080016, SECONDARY_CAPTURE),
    0x00080018: uid(0x00080018, "1.2.3.4"),
    0x00100020: element(0x00100020, "LO", b"P1"),
    0x0020000D: uid(0x0020000D, "1.2.3"),
    0x0020000E: uid(0x0020000E, "1.2.3.1"),
}


def dataset(*elements: bytes, without: int | None = None, tail: bytes = b"") -> bytes:
    """Write a complete little data set with Explicit VR; what is given replaces the same tag."""
    given = {_tag(one): one for one in elements}
    merged = IDENTIFIERS | given
    return b"".join(merged[tag] for tag in sorted(merged) if tag != without) + tail


def file(encoded: bytes, transfer_syntax_uid: str = EXPLICIT) -> bytes:
    meta = encode_file_meta(
        sop_class_uid=SECONDARY_CAPTURE,
        sop_instance_uid="1.2.3.4",
        transfer_syntax_uid=transfer_syntax_uid,
    )
    return meta + encoded


def nested(depth: int, *, defined: bool) -> bytes:
    """Write a sequence in a sequence in a sequence ..."""
    inner = b""
    for _ in range(depth):
        if defined:
            inner = element(0x00081140, "SQ", item(inner))
        else:
            content = item(inner, UNDEFINED) + ITEM_END + SEQUENCE_END
            inner = element(0x00081140, "SQ", content, UNDEFINED)
    return inner


def _tag(encoded: bytes) -> int:
    group, number = struct.unpack_from("<HH", encoded)
    return int(group << 16 | number)
