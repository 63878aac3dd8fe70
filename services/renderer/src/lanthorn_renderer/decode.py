"""From the stored bytes of a frame to its samples: one codec per transfer syntax.

References
----------
DICOM PS3.5 Section 8 and Annexes A, D, G; PS3.3 Section C.7.6.3.
"""

from __future__ import annotations

import warnings
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from io import BytesIO
from struct import pack, unpack_from
from typing import Any, Final

import gdcm
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom import uid
from pydicom.pixels.decoders.base import get_decoder

from lanthorn_core.errors import DecodeFailed, LanthornError, NotRenderable
from lanthorn_renderer.describe import ImageDescription

MAX_DECODED_BYTES: Final = 1 << 29
"""Larger frames are refused before a codec allocates them; a mammogram has 30 MB."""
DEFLATED_IMAGE_FRAME: Final = "1.2.840.10008.1.2.8.1"
_YBR: Final = frozenset({"YBR_FULL", "YBR_FULL_422", "YBR_PARTIAL_422", "YBR_PARTIAL_420"})
_START_OF_FRAME: Final = frozenset({*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC})
"""SOF0 to SOF15, without DHT, JPG and DAC among them, and JPEG-LS's SOF55."""

Samples = NDArray[np.integer[Any]]


@dataclass(frozen=True, slots=True)
class DecodedFrame:
    """Samples of shape (rows, columns), or (rows, columns, 3), and what they mean now.

    Codecs may undo a color transform: `photometric_interpretation` is that of `samples`.
    """

    samples: Samples
    photometric_interpretation: str


Codec = Callable[[ImageDescription, bytes], DecodedFrame]


def decode_frame(image: ImageDescription, frame: bytes) -> DecodedFrame:
    """Decode one frame.

    Parameters
    ----------
    image : ImageDescription
        What the header says of it.
    frame : bytes
        The frame as it is stored, its fragments joined.

    Returns
    -------
    DecodedFrame
        Integer samples: 8, 16 or 32 bits wide, native byte order. 1-bit samples become 0 and 255.

    Raises
    ------
    NotRenderable
        No codec is there for the transfer syntax, or the layout is none that we know.
    DecodeFailed
        The bytes are broken, too few, or the frame is too large.
    """
    if image.samples_per_pixel not in (1, 3):
        raise NotRenderable(f"{image.samples_per_pixel} samples per pixel are not rendered")
    if image.samples == 0:
        raise NotRenderable(f"an image of {image.columns} x {image.rows} pixels has none")
    if image.samples * -(-image.bits_allocated // 8) > MAX_DECODED_BYTES:
        raise DecodeFailed(f"{image.columns} x {image.rows} pixels are too many to decode")
    codec = CODECS.get(image.transfer_syntax_uid)
    if codec is None:
        raise NotRenderable(f"no codec for transfer syntax {image.transfer_syntax_uid}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # codecs warn of oddities that they cope with
            return codec(image, frame)
    except LanthornError:
        raise
    except MemoryError:
        raise DecodeFailed("the frame needs more memory than a decoder may take") from None
    except Exception as exc:  # codecs raise whatever hostile bytes ran them into
        raise DecodeFailed(f"{uid.UID(image.transfer_syntax_uid).name}: {exc}") from exc


def unpack_bits(image: ImageDescription, frame: bytes) -> Samples:
    """Unpack 1-bit samples, the first in the lowest bit (PS3.5 Section 8.1.1), to 0 and 255.

    Full white, as in Orthanc, and not 1: a mask is to be seen without a window.
    """
    packed = np.frombuffer(frame, np.uint8, -(-image.samples // 8))
    bits = np.unpackbits(packed, count=image.samples, bitorder="little")
    return np.negative(bits, out=bits)


def _native(image: ImageDescription, frame: bytes) -> DecodedFrame:
    photometric = image.photometric_interpretation
    if image.bits_allocated == 1:
        return DecodedFrame(_shaped(image, unpack_bits(image, frame)), photometric)
    dtype = _stored_dtype(image)
    if photometric == "YBR_FULL_422" and dtype.itemsize == 1:
        return DecodedFrame(_upsample_422(image, frame), "YBR_FULL")
    if len(frame) < image.samples * dtype.itemsize:
        raise DecodeFailed(
            f"{image.samples * dtype.itemsize} bytes of pixels are needed, {len(frame)} are there"
        )
    return DecodedFrame(_shaped(image, np.frombuffer(frame, dtype, image.samples)), photometric)


def _stored_dtype(image: ImageDescription) -> np.dtype[Any]:
    if image.bits_allocated not in (8, 16, 32):
        raise NotRenderable(f"{image.bits_allocated} bits allocated are not rendered")
    return np.dtype(f"<{'i' if image.pixel_representation else 'u'}{image.bits_allocated // 8}")


def _shaped(image: ImageDescription, samples: Samples) -> Samples:
    if image.samples_per_pixel == 1:
        return samples.reshape(image.rows, image.columns)
    if image.planar_configuration == 1:
        planes = samples.reshape(3, image.rows, image.columns)
        return np.ascontiguousarray(planes.transpose(1, 2, 0))
    return samples.reshape(image.rows, image.columns, 3)


def _upsample_422(image: ImageDescription, frame: bytes) -> Samples:
    """Repeat each CB and CR for two pixels of a row (PS3.3 Section C.7.6.3.1.2)."""
    groups = np.frombuffer(frame, np.uint8, image.rows * image.columns * 2)
    groups = groups.reshape(image.rows, image.columns // 2, 4)
    pixels = np.empty((image.rows, image.columns // 2, 2, 3), np.uint8)
    pixels[..., 0] = groups[..., :2]
    pixels[..., 1:] = groups[:, :, np.newaxis, 2:]
    return pixels.reshape(image.rows, image.columns, 3)


def _deflated(image: ImageDescription, frame: bytes) -> DecodedFrame:
    """Deflated Image Frame Compression (PS3.5 Section A.4.13): a native frame, deflated."""
    size = -(-image.samples * image.bits_allocated // 8)
    inflated = zlib.decompressobj(-zlib.MAX_WBITS).decompress(frame, size + 1)
    return _native(image, inflated)


def _pydicom(plugin: str) -> Codec:
    """Make a codec of one of pydicom's decoding plugins."""

    def decode(image: ImageDescription, frame: bytes) -> DecodedFrame:
        fragment = frame + b"\0" * (len(frame) % 2)
        encapsulated = b"".join(
            (b"\xfe\xff\x00\xe0\0\0\0\0\xfe\xff\x00\xe0", pack("<L", len(fragment)), fragment)
        )
        options: Any = {  # pydicom annotates its keyword arguments wrongly
            "pixel_keyword": "PixelData",
            "number_of_frames": 1,
            "rows": image.rows,
            "columns": image.columns,
            "samples_per_pixel": image.samples_per_pixel,
            "photometric_interpretation": image.photometric_interpretation,
            "planar_configuration": image.planar_configuration,
            "bits_allocated": image.bits_allocated,
            "bits_stored": image.bits_stored,
            "pixel_representation": image.pixel_representation,
        }
        samples, properties = get_decoder(image.transfer_syntax_uid).as_array(
            encapsulated, index=0, raw=True, decoding_plugin=plugin, **options
        )
        return DecodedFrame(samples, str(properties["photometric_interpretation"]))

    return decode


def _rle(image: ImageDescription, frame: bytes) -> DecodedFrame:
    if image.bits_allocated != 1:
        return _RLE(image, frame)
    packed_bytes = replace(
        image, rows=1, columns=-(-image.samples // 8), bits_allocated=8, bits_stored=8, high_bit=7
    )
    return _native(image, _RLE(packed_bytes, frame).samples.tobytes())


def _of_claimed_size(codec: Codec) -> Codec:
    """Guard a JPEG codec against streams of another size: some decode those for minutes."""

    def decode(image: ImageDescription, frame: bytes) -> DecodedFrame:
        size = jpeg_size(frame)
        if size is not None and size != (image.columns, image.rows):
            raise DecodeFailed(
                f"the header says {image.columns} x {image.rows} pixels, "
                f"the JPEG stream {size[0]} x {size[1]}"
            )
        return codec(image, frame)

    return decode


def jpeg_size(frame: bytes) -> tuple[int, int] | None:
    """Read columns and rows from a JPEG or JPEG-LS stream, None where it does not tell.

    References
    ----------
    ITU-T T.81 Section B.2.2; ITU-T T.87 Section C.2.2.
    """
    pos = 2
    while pos + 9 <= len(frame) and frame[pos] == 0xFF:
        marker = frame[pos + 1]
        if marker in _START_OF_FRAME:
            rows, columns = unpack_from(">HH", frame, pos + 5)
            return columns, rows
        pos += 2 + int.from_bytes(frame[pos + 2 : pos + 4], "big")
    return None


def _jpeg(image: ImageDescription, frame: bytes) -> DecodedFrame:
    """Decode Baseline and Extended; the 8-bit ones by libjpeg-turbo, which converts YCbCr fast."""
    if image.bits_stored > 8:
        return _gdcm(image, frame)
    with Image.open(BytesIO(frame), formats=("JPEG",)) as picture:
        if image.samples_per_pixel == 1:
            return DecodedFrame(np.asarray(picture.convert("L")), image.photometric_interpretation)
        if image.photometric_interpretation not in _YBR and "adobe_transform" not in picture.info:
            picture.draft("YCbCr", picture.size)  # libjpeg takes it for YCbCr: leave it as it is
        return DecodedFrame(np.asarray(picture), "RGB")


def _gdcm(image: ImageDescription, frame: bytes) -> DecodedFrame:
    """Decode by GDCM itself: pydicom's plugin for it refuses 12-bit JPEG, which it can do."""
    fragment = gdcm.Fragment()
    fragment.SetByteStringValue(frame)
    fragments = gdcm.SequenceOfFragments.New()
    fragments.AddFragment(fragment)
    element = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
    element.SetValue(fragments.__ref__())
    picture = gdcm.Image()
    picture.SetNumberOfDimensions(2)
    picture.SetDimensions((image.columns, image.rows, 1))
    picture.SetDataElement(element)
    photometric = gdcm.PhotometricInterpretation.GetPIType(image.photometric_interpretation)
    picture.SetPhotometricInterpretation(gdcm.PhotometricInterpretation(photometric))
    picture.SetPlanarConfiguration(image.planar_configuration)
    syntax = gdcm.TransferSyntax.GetTSType(image.transfer_syntax_uid)
    picture.SetTransferSyntax(gdcm.TransferSyntax(syntax))
    picture.SetPixelFormat(
        gdcm.PixelFormat(
            image.samples_per_pixel,
            image.bits_allocated,
            image.bits_stored,
            image.bits_stored - 1,
            image.pixel_representation,
        )
    )
    decoded = picture.GetBuffer().encode("utf-8", "surrogateescape")
    kind = "i" if image.pixel_representation else "u"
    samples = np.frombuffer(decoded, f"{kind}{image.bits_allocated // 8}", image.samples)
    return DecodedFrame(_shaped(image, samples), image.photometric_interpretation)


_RLE: Final = _pydicom("pydicom")
_JPEG: Final = _of_claimed_size(_jpeg)
_JPEG_LOSSLESS: Final = _of_claimed_size(_pydicom("gdcm"))
_JPEG_LS: Final = _of_claimed_size(_pydicom("pyjpegls"))
_JPEG_2000: Final = _pydicom("pylibjpeg")

CODECS: Final[Mapping[str, Codec]] = {
    uid.ImplicitVRLittleEndian: _native,
    uid.ExplicitVRLittleEndian: _native,
    uid.DeflatedExplicitVRLittleEndian: _native,
    uid.ExplicitVRBigEndian: _native,
    DEFLATED_IMAGE_FRAME: _deflated,
    uid.RLELossless: _rle,
    uid.JPEGBaseline8Bit: _JPEG,
    uid.JPEGExtended12Bit: _JPEG,
    uid.JPEGLossless: _JPEG_LOSSLESS,
    uid.JPEGLosslessSV1: _JPEG_LOSSLESS,
    uid.JPEGLSLossless: _JPEG_LS,
    uid.JPEGLSNearLossless: _JPEG_LS,
    uid.JPEG2000Lossless: _JPEG_2000,
    uid.JPEG2000: _JPEG_2000,
    uid.HTJ2KLossless: _JPEG_2000,
    uid.HTJ2KLosslessRPCL: _JPEG_2000,
    uid.HTJ2K: _JPEG_2000,
}
"""Every transfer syntax that we decode; video is not among them."""
