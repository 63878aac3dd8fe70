"""The files that we write are read back by others as the same pixels."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from lanthorn_core.errors import NotAcceptable
from lanthorn_renderer.encode import encode_picture

SIDES = st.integers(1, 9)
GREY = st.tuples(SIDES, SIDES)
RGB = st.tuples(SIDES, SIDES, st.just(3))


@given(arrays(np.uint8, GREY | RGB) | arrays(np.uint16, GREY))
def test_a_png_holds_the_pixels(picture: np.ndarray) -> None:
    image = encode_picture(picture, "png", quality=90)
    assert image.media_type == "image/png"
    with Image.open(BytesIO(image.body)) as read:
        assert np.array_equal(np.asarray(read), picture)


@given(arrays(np.int16, GREY))
def test_negative_values_are_written_as_twos_complement(picture: np.ndarray) -> None:
    with Image.open(BytesIO(encode_picture(picture, "png", quality=90).body)) as read:
        assert np.array_equal(np.asarray(read).astype(np.uint16), picture.view(np.uint16))


def test_pam_is_written_as_orthanc_does() -> None:
    image = encode_picture(np.array([[1, 258]], np.uint16), "pam", quality=90)
    assert image.media_type == "image/x-portable-arbitrarymap"
    assert image.body == (
        b"P7\nWIDTH 2\nHEIGHT 1\nDEPTH 1\nMAXVAL 65535\nTUPLTYPE GRAYSCALE\nENDHDR\n\0\1\1\2"
    )
    color = encode_picture(np.array([[[1, 2, 3]]], np.uint8), "pam", quality=90).body
    assert color == b"P7\nWIDTH 1\nHEIGHT 1\nDEPTH 3\nMAXVAL 255\nTUPLTYPE RGB\nENDHDR\n\1\2\3"


@pytest.mark.parametrize("shape", [(40, 60), (40, 60, 3)])
def test_jpeg_of_high_quality_is_close_and_of_low_is_small(shape: tuple[int, ...]) -> None:
    ramp = np.linspace(0, 255, 60).astype(np.uint8).reshape(1, 60, *[1] * (len(shape) - 2))
    picture = np.ascontiguousarray(np.broadcast_to(ramp, shape))
    fine, coarse = (encode_picture(picture, "jpeg", quality=quality) for quality in (100, 5))
    assert fine.media_type == "image/jpeg"
    assert len(coarse.body) < len(fine.body)
    with Image.open(BytesIO(fine.body)) as read:
        assert np.abs(np.asarray(read).astype(int) - picture).max() <= 3


def test_jpeg_of_16_bits_is_refused() -> None:
    with pytest.raises(NotAcceptable):
        encode_picture(np.zeros((2, 2), np.uint16), "jpeg", quality=90)
