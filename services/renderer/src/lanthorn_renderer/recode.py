"""One frame's way from one transfer syntax to another, in a worker process.

References
----------
DICOM PS3.5 Section 8 and Annexes A and G; PS3.3 Section C.7.6.3.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Final

import numpy as np
from PIL import Image
from pydicom import uid
from pydicom.pixels.encoders.base import get_encoder

from lanthorn_core.errors import LanthornError, UnsupportedTransferSyntax
from lanthorn_renderer.decode import DecodedFrame, decode_frame
from lanthorn_renderer.describe import ImageDescription

_WIDEST_PIXELS: Final = 16
"""Bits allocated that the lossless codecs but RLE can take."""


@dataclass(frozen=True, slots=True)
class RecodeJob:
    """All that a worker needs: it reads no object store.

    `transfer_syntax_uid` empty asks for native pixels, little endian, color by pixel.
    """

    image: ImageDescription
    frame: bytes
    transfer_syntax_uid: str
    quality: int


@dataclass(frozen=True, slots=True)
class RecodedFrame:
    """A frame in its new transfer syntax, and what its samples mean there."""

    data: bytes
    photometric_interpretation: str


def recode(job: RecodeJob) -> RecodedFrame:
    """Decode a frame and encode it anew.

    Raises
    ------
    NotRenderable, DecodeFailed
        As decoding does.
    UnsupportedTransferSyntax
        There is no encoder, or it cannot hold these pixels.
    """
    decoded = decode_frame(job.image, job.frame)
    if not job.transfer_syntax_uid:
        return RecodedFrame(_native(job.image, decoded), decoded.photometric_interpretation)
    name = uid.UID(job.transfer_syntax_uid).name
    encode = ENCODERS.get(job.transfer_syntax_uid)
    if encode is None:
        raise UnsupportedTransferSyntax(f"Cannot transcode to {name}")
    if job.image.bits_allocated == 1:
        raise UnsupportedTransferSyntax(f"Pixels of one bit cannot become {name}")
    samples = _stored(job.image, decoded)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return encode(job, samples, decoded.photometric_interpretation)
    except LanthornError:
        raise
    except Exception as exc:  # codecs refuse what they cannot hold in their own ways
        raise UnsupportedTransferSyntax(f"These pixels cannot become {name}: {exc}") from exc


def _stored(image: ImageDescription, decoded: DecodedFrame) -> Any:
    """Return the samples as wide as they are stored, little endian."""
    kind = "i" if image.pixel_representation else "u"
    return decoded.samples.astype(f"<{kind}{image.bits_allocated // 8}", copy=False)


def _native(image: ImageDescription, decoded: DecodedFrame) -> bytes:
    if image.bits_allocated != 1:
        return bytes(_stored(image, decoded).tobytes())
    if image.samples % 8:
        raise UnsupportedTransferSyntax("Frames of one bit a pixel would not end with a byte")
    return np.packbits(decoded.samples.ravel() != 0, bitorder="little").tobytes()


Encode = Callable[[RecodeJob, Any, str], RecodedFrame]


def _pydicom(plugin: str, *, of_rgb: str = "RGB", widest: int = _WIDEST_PIXELS) -> Encode:
    """Make an encoder of one of pydicom's plugins; what it makes of RGB is `of_rgb`."""

    def encode(job: RecodeJob, samples: Any, photometric: str) -> RecodedFrame:
        image = job.image
        if image.bits_allocated > widest:
            raise UnsupportedTransferSyntax(f"Pixels of {image.bits_allocated} bits are too wide")
        if photometric == "RGB":
            photometric = of_rgb
        options: Any = {
            "rows": image.rows,
            "columns": image.columns,
            "samples_per_pixel": image.samples_per_pixel,
            "number_of_frames": 1,
            "bits_allocated": image.bits_allocated,
            "bits_stored": image.bits_stored,
            "pixel_representation": image.pixel_representation,
            "photometric_interpretation": photometric,
            "planar_configuration": 0,
        }
        encoder = get_encoder(job.transfer_syntax_uid)
        return RecodedFrame(encoder.encode(samples, encoding_plugin=plugin, **options), photometric)

    return encode


def _rle(job: RecodeJob, samples: Any, photometric: str) -> RecodedFrame:
    """Encode by GDCM where it can; it aborts on frames of an odd length, and takes no 32 bits."""
    can_gdcm = samples.nbytes % 2 == 0 and samples.itemsize <= 2
    return (_RLE_FAST if can_gdcm else _RLE_ANY)(job, samples, photometric)


def _jpeg_baseline(job: RecodeJob, samples: Any, photometric: str) -> RecodedFrame:
    """Encode by libjpeg-turbo, color with half the CB and CR values."""
    image = job.image
    if image.bits_allocated != 8 or image.pixel_representation:
        raise UnsupportedTransferSyntax("JPEG Baseline has 8 bits per sample, without sign")
    modes = {"MONOCHROME1": "L", "MONOCHROME2": "L", "RGB": "RGB", "YBR_FULL": "YCbCr"}
    mode = modes.get(photometric)
    if mode is None:
        raise UnsupportedTransferSyntax(f"Pixels of {photometric} make no sense in JPEG Baseline")
    out = BytesIO()
    picture = Image.frombytes(mode, (image.columns, image.rows), samples.tobytes())
    picture.save(out, "JPEG", quality=job.quality, subsampling="4:2:2")
    return RecodedFrame(out.getvalue(), photometric if mode == "L" else "YBR_FULL_422")


_RLE_FAST: Final = _pydicom("gdcm")
_RLE_ANY: Final = _pydicom("pydicom", widest=32)

ENCODERS: Final[Mapping[str, Encode]] = {
    uid.RLELossless: _rle,
    uid.JPEGLSLossless: _pydicom("pyjpegls"),
    uid.JPEG2000Lossless: _pydicom("pylibjpeg", of_rgb="YBR_RCT"),
    uid.JPEGBaseline8Bit: _jpeg_baseline,
}
"""Every encapsulated transfer syntax that we write."""

LOSSY_METHODS: Final[Mapping[str, str]] = {uid.JPEGBaseline8Bit: "ISO_10918_1"}
"""The lossy ones of them, and their names in Lossy Image Compression Method (0028,2114)."""
