"""From pixels to files: PNG, JPEG, PAM.

References
----------
ISO/IEC 15948 (PNG) Clauses 5, 9 and 11; Netpbm's PAM.
"""

from __future__ import annotations

import struct
import zlib
from io import BytesIO
from typing import Any, Final

import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray
from PIL import Image

from lanthorn_core.errors import NotAcceptable
from lanthorn_core.ports.renderer import ImageFormat, RenderedImage

MEDIA_TYPES: Final = {
    "png": "image/png",
    "jpeg": "image/jpeg",
    "pam": "image/x-portable-arbitrarymap",
}
_DEFLATE_LEVEL: Final = 1
_PNG_GREY: Final = 0
_PNG_RGB: Final = 2
_FILTER_UP: Final = 2


def encode_picture(
    picture: NDArray[Any], image_format: ImageFormat, *, quality: int
) -> RenderedImage:
    """Encode a picture.

    Parameters
    ----------
    picture : ndarray
        Shape (rows, columns) of uint8, uint16 or int16 (written as its two's complement, as Orthanc
        does), or (rows, columns, 3) of uint8.
    image_format : ImageFormat
        What to write.
    quality : int
        1 to 100, for JPEG.

    Raises
    ------
    NotAcceptable
        JPEG of 16-bit pixels is asked for.
    """
    if image_format == "jpeg":
        body = _encode_jpeg(picture, quality)
    else:
        big_endian = picture.astype(picture.dtype.newbyteorder(">"), copy=False)
        rows = np.ascontiguousarray(big_endian).view(np.uint8).reshape(len(picture), -1)
        body = (_encode_png if image_format == "png" else _encode_pam)(picture, rows)
    return RenderedImage(MEDIA_TYPES[image_format], body)


def _encode_jpeg(picture: NDArray[Any], quality: int) -> bytes:
    if picture.dtype != np.uint8:
        raise NotAcceptable("JPEG has 8 bits per sample; ask for PNG or PAM")
    out = BytesIO()
    Image.fromarray(picture).save(out, "JPEG", quality=quality)
    return out.getvalue()


def _encode_png(picture: NDArray[Any], rows: NDArray[np.uint8]) -> bytes:
    """Filter each row by the one above it: nearly as small as a choice by row, and far faster."""
    filtered = np.empty((rows.shape[0], rows.shape[1] + 1), np.uint8)
    filtered[:, 0] = _FILTER_UP
    filtered[0, 1:] = rows[0]
    np.subtract(rows[1:], rows[:-1], out=filtered[1:, 1:])
    height, width = picture.shape[:2]
    color_type = _PNG_GREY if picture.ndim == 2 else _PNG_RGB
    header = struct.pack(">LLBBBBB", width, height, picture.itemsize * 8, color_type, 0, 0, 0)
    return b"".join(
        (
            b"\x89PNG\r\n\x1a\n",
            _chunk(b"IHDR", header),
            _chunk(b"IDAT", isal_zlib.compress(filtered, _DEFLATE_LEVEL)),
            _chunk(b"IEND", b""),
        )
    )


def _chunk(kind: bytes, data: bytes) -> bytes:
    checksum = zlib.crc32(data, zlib.crc32(kind))
    return b"".join((struct.pack(">L", len(data)), kind, data, struct.pack(">L", checksum)))


def _encode_pam(picture: NDArray[Any], rows: NDArray[np.uint8]) -> bytes:
    height, width = picture.shape[:2]
    depth, tuple_type = (1, "GRAYSCALE") if picture.ndim == 2 else (3, "RGB")
    header = (
        f"P7\nWIDTH {width}\nHEIGHT {height}\nDEPTH {depth}\n"
        f"MAXVAL {(1 << 8 * picture.itemsize) - 1}\nTUPLTYPE {tuple_type}\nENDHDR\n"
    )
    return header.encode() + rows.tobytes()
