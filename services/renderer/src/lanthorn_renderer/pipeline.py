"""From samples to display values: Modality LUT, VOI window, color, size.

The rounding is Orthanc's, exactly: its pictures are what scripts and eyes compare ours with.

References
----------
DICOM PS3.3 Sections C.7.6.3, C.11.1, C.11.2; PS3.4 Annex N.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from lanthorn_core.errors import InvalidParameter, NotRenderable
from lanthorn_core.ports.renderer import RenderRequest
from lanthorn_renderer.decode import DecodedFrame, Samples
from lanthorn_renderer.describe import RT_DOSE_STORAGE, ImageDescription, Palette

MAX_OUTPUT_PIXELS: Final = 1 << 28

_CLAMPS: Final = {
    "image-uint8": (0, 0xFF, np.uint8),
    "image-uint16": (0, 0xFFFF, np.uint16),
    "image-int16": (-0x8000, 0x7FFF, np.int16),
}

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float64]


def make_picture(
    image: ImageDescription, frame: DecodedFrame, request: RenderRequest
) -> NDArray[Any]:
    """Turn a decoded frame into the picture that was asked for.

    Returns
    -------
    ndarray
        Shape (rows, columns) of uint8, uint16 or int16, or (rows, columns, 3) of uint8.

    Raises
    ------
    NotRenderable
        The photometric interpretation is unknown, or does not go with the mode.
    InvalidParameter
        The picture would be unreasonably large.
    """
    if frame.photometric_interpretation not in ("MONOCHROME1", "MONOCHROME2"):
        if request.mode in _CLAMPS:
            raise NotRenderable(f"{request.mode} is for shades of grey, this image has colors")
        picture = to_rgb(image, frame)
    elif frame.samples.ndim != 2:
        raise NotRenderable("a monochrome image has one sample per pixel")
    else:
        picture = _grey(image, frame, request)
    return fit(picture, request) if request.mode == "rendered" else picture


def _grey(image: ImageDescription, frame: DecodedFrame, request: RenderRequest) -> NDArray[Any]:
    values = stored_values(image, frame.samples)
    if request.mode in _CLAMPS:
        low, high, dtype = _CLAMPS[request.mode]
        return np.clip(values, low, high).astype(dtype)
    if request.mode == "preview":
        picture = stretch(values)
    else:
        picture = apply_by_value(values, lambda shades: _windowed(image, shades, request))
    if frame.photometric_interpretation == "MONOCHROME1":
        np.subtract(255, picture, out=picture)
    return picture


def stored_values(image: ImageDescription, samples: Samples) -> Samples:
    """Cut the samples to their stored bits (PS3.5 Section 8.1.1) and extend the sign."""
    unused_above = image.bits_allocated - 1 - image.high_bit
    unused = image.bits_allocated - image.bits_stored
    if unused == 0 or samples.dtype.itemsize * 8 != image.bits_allocated:
        return samples
    return (samples << unused_above) >> unused


def stretch(values: Samples) -> Bytes:
    """Map the range of the values that occur to 0 … 255, rounded to the nearest.

    Parameters
    ----------
    values : ndarray of int, shape (rows, columns)
        Stored values; a constant image becomes black.
    """
    low, high = int(values.min()), int(values.max())
    if low == high:
        return np.zeros(values.shape, np.uint8)
    span = high - low

    def shade(shades: Floats) -> Bytes:
        # First times 255, then divided: the other order misses halves, which Orthanc rounds up.
        return np.floor((shades - low) * 255 / span + 0.5).astype(np.uint8)

    return apply_by_value(values, shade)


def apply_by_value(values: Samples, function: Callable[[Floats], Bytes]) -> Bytes:
    """Apply a function of single values: to a table of them when that is shorter."""
    bits = values.dtype.itemsize * 8
    if bits > 16 or values.size <= 1 << bits:
        return function(values.astype(np.float64))
    low, high = int(values.min()), int(values.max())
    table = function(np.arange(low, high + 1, dtype=np.float64))
    indexes = values if low == 0 else np.subtract(values, low, dtype=np.intp)
    return np.take(table, indexes)


def _windowed(image: ImageDescription, values: Floats, request: RenderRequest) -> Bytes:
    center, width = window_of(image, request)
    return apply_window(apply_modality_lut(image, values), center=center, width=width)


def apply_modality_lut(image: ImageDescription, values: Floats) -> Floats:
    """Rescale stored values (PS3.3 Section C.11.1.1.2).

    Not those of RT Dose: Orthanc shows them as stored, since a dose has no window of its own.
    """
    if image.sop_class_uid == RT_DOSE_STORAGE:
        return values
    if image.rescale_slope is None or image.rescale_intercept is None:
        return values  # one without the other means nothing
    with np.errstate(over="ignore"):
        return values * image.rescale_slope + image.rescale_intercept


def window_of(image: ImageDescription, request: RenderRequest) -> tuple[float, float]:
    """Return center and width: those asked for, else the image's own, else all stored bits."""
    center, width = image.window_center, image.window_width
    if center is None or width is None:
        width = float(1 << image.bits_stored)
        center = width / 2
    if request.window_center is not None:
        center = request.window_center
    if request.window_width is not None:
        width = request.window_width
    return center, width


def apply_window(values: Floats, *, center: float, width: float) -> Bytes:
    """Map modality values to display values as Orthanc does: linear, truncated.

    Parameters
    ----------
    values : ndarray of float
        Pixels after the Modality LUT, in its output unit (HU for CT).
    center, width : float
        Window Center (0028,1050) and Window Width (0028,1051), same unit. A width below 1 is
        taken for 1.

    Returns
    -------
    ndarray of uint8
        0 is darkest; MONOCHROME1 is inverted later, not here.

    References
    ----------
    Between LINEAR and LINEAR_EXACT of DICOM PS3.3 Section C.11.2.1.2 and C.11.2.1.3.2.
    """
    width = max(width, 1.0)
    with np.errstate(over="ignore"):  # a hostile window may be near the largest of numbers
        shades: Floats = (values - center + width / 2) * 255 / width
    return np.clip(shades, 0, 255).astype(np.uint8)


def to_rgb(image: ImageDescription, frame: DecodedFrame) -> Bytes:
    """Convert color samples to 8-bit RGB.

    Raises
    ------
    NotRenderable
        The photometric interpretation is unknown, or its palette is missing.
    """
    photometric = frame.photometric_interpretation
    if photometric == "PALETTE COLOR" and frame.samples.ndim == 2:
        if image.palette is None:
            raise NotRenderable("the palette of a PALETTE COLOR image is missing")
        return apply_palette(stored_values(image, frame.samples), image.palette)
    if frame.samples.ndim != 3 or photometric not in _COLOR:
        raise NotRenderable(f"photometric interpretation {photometric or '(none)'} is not rendered")
    samples = frame.samples
    if samples.dtype.itemsize > 2:
        raise NotRenderable("color of 32 bits per sample is not rendered")
    if samples.dtype.itemsize == 2:
        samples = (samples.view(np.uint16) >> max(image.bits_stored - 8, 0)).astype(np.uint8)
    pixels = samples.view(np.uint8)
    if photometric == "RGB":
        return pixels
    return ybr_full_to_rgb(pixels)


_COLOR: Final = frozenset({"RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT"})


def ybr_full_to_rgb(pixels: Bytes) -> Bytes:
    """Convert YBR_FULL of 8 bits (PS3.3 Section C.7.6.3.1.2) to RGB, both (rows, columns, 3)."""
    y, cb, cr = np.moveaxis(pixels.astype(np.float32), -1, 0)
    cb -= 128
    cr -= 128
    channels = (y + 1.402 * cr, y - 0.344136 * cb - 0.714136 * cr, y + 1.772 * cb)
    rgb: Bytes = np.clip(np.rint(np.stack(channels, axis=-1)), 0, 255).astype(np.uint8)
    return rgb


def apply_palette(values: Samples, palette: Palette) -> Bytes:
    """Look colors up; values beyond the palette take its first or last entry."""
    table = np.stack([_palette_bytes(palette, entries) for entries in palette.tables], axis=-1)
    indexes = np.clip(values.astype(np.int64) - palette.first, 0, len(table) - 1)
    return np.take(table, indexes, axis=0)


def _palette_bytes(palette: Palette, encoded: bytes) -> Bytes:
    """Take the upper byte of 16-bit entries, however they are written."""
    if len(encoded) < 2 * palette.entries:  # one byte an entry
        if len(encoded) < palette.entries:
            raise NotRenderable(f"a palette lacks {palette.entries - len(encoded)} of its entries")
        return np.frombuffer(encoded, np.uint8, palette.entries)
    words = np.frombuffer(encoded, "<u2" if palette.little_endian else ">u2", palette.entries)
    if words.max() > 0xFF:
        words = words >> 8
    return words.astype(np.uint8)


def fit(picture: Bytes, request: RenderRequest) -> Bytes:
    """Scale a picture into the box of the request, its ratio kept, by nearest neighbour.

    `smooth` blurs before it shrinks, and does nothing to what grows.
    """
    rows, columns = picture.shape[:2]
    if not request.width and not request.height:
        return picture
    scale = min(
        request.width / columns if request.width else np.inf,
        request.height / rows if request.height else np.inf,
    )
    height, width = max(int(rows * scale + 0.5), 1), max(int(columns * scale + 0.5), 1)
    if height * width > MAX_OUTPUT_PIXELS:
        raise InvalidParameter(f"a picture of {width} x {height} pixels is too large")
    if request.smooth and scale < 1:
        picture = blur(picture)
    from_rows = ((np.arange(height) + 0.5) * rows / height).astype(np.intp)
    from_columns = ((np.arange(width) + 0.5) * columns / width).astype(np.intp)
    fitted: Bytes = picture[from_rows][:, from_columns]
    return fitted


def blur(picture: Bytes) -> Bytes:
    """Convolve with the 5 x 5 binomial kernel, the border repeated."""
    sums = picture.astype(np.uint32)
    for axis in (0, 1):
        pads = [(2, 2) if axis == dimension else (0, 0) for dimension in range(picture.ndim)]
        padded = np.pad(sums, pads, mode="edge")
        length = picture.shape[axis]
        one, four, six, four_more, one_more = (
            padded.take(range(shift, shift + length), axis) for shift in range(5)
        )
        sums = one + one_more + 4 * (four + four_more) + 6 * six
    return (sums >> 8).astype(np.uint8)
