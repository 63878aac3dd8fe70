"""Display values: Orthanc's rounding, windows, colors, sizes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from lanthorn_core.errors import InvalidParameter, NotRenderable
from lanthorn_core.ports.renderer import RenderRequest
from lanthorn_renderer.pipeline import apply_window, blur, fit, stretch
from tests.fixtures.dicom_files import as_file, ct_file, make_ct
from tests.unit.lanthorn_renderer.picturing import picture, sample

RAMP = np.array([[0, 50, 100, 200]], np.uint8)
NUMBERS = st.floats(-1e9, 1e9)


def ramp_file(**elements: object) -> bytes:
    ramp = {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7, "PixelData": RAMP.tobytes()}
    return ct_file(rows=1, columns=4, **(ramp | elements))


def color_file(pixels: np.ndarray, photometric_interpretation: str, **elements: object) -> bytes:
    bits = 8 * pixels.itemsize
    dataset = make_ct(
        rows=pixels.shape[0],
        columns=pixels.shape[1],
        SamplesPerPixel=3,
        PhotometricInterpretation=photometric_interpretation,
        PlanarConfiguration=0,
        **({"BitsAllocated": bits, "BitsStored": bits, "HighBit": bits - 1} | elements),
    )
    dataset.PixelData = pixels.tobytes() + bytes(pixels.nbytes % 2)
    return as_file(dataset)


async def test_a_preview_is_rounded_to_nearest() -> None:
    assert (await picture(ramp_file())).tolist() == [[0, 64, 128, 255]]


async def test_a_rendered_picture_is_truncated() -> None:
    assert (await picture(ramp_file(), "rendered")).tolist() == [[0, 49, 99, 199]]


async def test_a_constant_preview_is_black() -> None:
    assert not (await picture(ramp_file(PixelData=b"\7\7\7\7"))).any()


async def test_halves_are_rounded_up() -> None:
    assert stretch(np.array([[0, 1, 2, 3, 510]], np.uint16)).tolist() == [[0, 1, 1, 2, 255]]


@pytest.mark.parametrize("mode", ["preview", "rendered"])
async def test_monochrome1_is_inverted(mode: str) -> None:
    light = await picture(ramp_file(), mode)
    dark = await picture(ramp_file(PhotometricInterpretation="MONOCHROME1"), mode)
    assert np.array_equal(dark, 255 - light)


async def test_stored_values_of_monochrome1_stay_as_they_are() -> None:
    data = ramp_file(PhotometricInterpretation="MONOCHROME1")
    assert np.array_equal(await picture(data, "image-uint8"), RAMP)


async def test_the_first_window_of_several_is_used() -> None:
    data = ramp_file(WindowCenter=[100, 1], WindowWidth=[100, 2])
    assert (await picture(data, "rendered")).tolist() == [[0, 0, 127, 255]]


async def test_a_window_in_the_request_wins_over_the_images() -> None:
    data = ramp_file(WindowCenter=1, WindowWidth=2)
    rendered = await picture(data, "rendered", window_center=100.0, window_width=100.0)
    assert rendered.tolist() == [[0, 0, 127, 255]]


@pytest.mark.parametrize("width", [0, -5, 0.5, 1])
async def test_a_width_below_one_is_one(width: float) -> None:
    rendered = await picture(ramp_file(), "rendered", window_center=50.0, window_width=float(width))
    assert rendered.tolist() == [[0, 127, 255, 255]]


async def test_rescaling_needs_slope_and_intercept() -> None:
    window = {"WindowCenter": 100, "WindowWidth": 200}
    both = await picture(ramp_file(RescaleSlope=2, RescaleIntercept=-50, **window), "rendered")
    assert both.tolist() == [[0, 63, 191, 255]]
    plain = await picture(ramp_file(**window), "rendered")
    assert np.array_equal(await picture(ramp_file(RescaleSlope=2, **window), "rendered"), plain)


async def test_a_dose_is_not_rescaled() -> None:
    rescale = {"RescaleSlope": 2, "RescaleIntercept": -50}
    dose = ramp_file(SOPClassUID="1.2.840.10008.5.1.4.1.1.481.2", **rescale)
    assert np.array_equal(await picture(dose, "rendered"), await picture(ramp_file(), "rendered"))


async def test_a_frame_without_window_uses_that_of_its_functional_group() -> None:
    groups = []
    for center in (100, 1000):
        voi, rescale, group = Dataset(), Dataset(), Dataset()
        voi.WindowCenter, voi.WindowWidth = center, 200
        rescale.RescaleSlope, rescale.RescaleIntercept, rescale.RescaleType = 1, 0, "US"
        group.FrameVOILUTSequence = [voi]
        group.PixelValueTransformationSequence = [rescale]
        groups.append(group)
    data = ramp_file(
        NumberOfFrames=2, PerFrameFunctionalGroupsSequence=groups, PixelData=RAMP.tobytes() * 2
    )
    assert (await picture(data, "rendered", frame_index=0)).tolist() == [[0, 63, 127, 255]]
    assert not (await picture(data, "rendered", frame_index=1)).any()


async def test_stored_values_are_clamped_to_the_type_asked_for() -> None:
    values = np.array([[-40000, -5, 300, 70000]], np.int32)
    signed = ct_file(
        rows=1, columns=4, BitsAllocated=32, BitsStored=32, HighBit=31, PixelRepresentation=1,
        PixelData=values.tobytes(),
    )  # fmt: skip
    assert (await picture(signed, "image-uint8")).tolist() == [[0, 0, 255, 255]]
    assert (await picture(signed, "image-uint16")).tolist() == [[0, 0, 300, 65535]]
    assert (await picture(signed, "image-int16")).tolist() == [[-32768, -5, 300, 32767]]


@pytest.mark.parametrize(
    ("elements", "expected"),
    [
        ({"BitsStored": 12, "HighBit": 15}, [0x123, 0xFFF]),
        ({"BitsStored": 12, "HighBit": 11}, [0x23F, 0xFF0]),
        ({"BitsStored": 12, "HighBit": 11, "PixelRepresentation": 1}, [0x23F, -16]),
    ],
)
async def test_bits_that_are_not_stored_are_left_out(elements: dict, expected: list[int]) -> None:
    pixels = np.array([0x123F, 0xFFF0], "<u2").tobytes()
    data = ct_file(rows=1, columns=2, PixelData=pixels, **elements)
    assert (await picture(data, "image-int16")).tolist() == [expected]


@pytest.mark.parametrize("mode", ["image-uint8", "image-uint16", "image-int16"])
async def test_colors_have_no_stored_grey_values(mode: str) -> None:
    with pytest.raises(NotRenderable, match="colors"):
        await picture(sample("SC_rgb.dcm"), mode)


@pytest.mark.parametrize("photometric_interpretation", [None, "HSV", "RGB"])
async def test_an_unknown_meaning_of_samples_is_not_rendered(
    photometric_interpretation: str | None,
) -> None:
    with pytest.raises(NotRenderable, match="photometric interpretation"):
        await picture(ramp_file(PhotometricInterpretation=photometric_interpretation))


async def test_monochrome_with_three_samples_is_not_rendered() -> None:
    with pytest.raises(NotRenderable, match="one sample"):
        await picture(color_file(np.zeros((2, 2, 3), np.uint8), "MONOCHROME2"))


async def test_color_of_16_bits_keeps_the_upper_byte() -> None:
    pixels = np.array([[[0x1234, 0xFFFF, 0x00FF]]], "<u2")
    assert (await picture(color_file(pixels, "RGB"))).tolist() == [[[0x12, 0xFF, 0]]]


async def test_color_of_12_bits_stored_is_scaled_by_those() -> None:
    pixels = np.array([[[0x0123, 0x0FFF, 0x000F]]], "<u2")
    data = color_file(pixels, "RGB", BitsStored=12, HighBit=11)
    assert (await picture(data)).tolist() == [[[0x12, 0xFF, 0]]]


async def test_color_of_32_bits_is_not_rendered() -> None:
    with pytest.raises(NotRenderable, match="32 bits"):
        await picture(color_file(np.zeros((2, 2, 3), "<u4"), "RGB"))


async def test_ybr_full_becomes_rgb() -> None:
    pixels = np.array([[[76, 85, 255], [255, 128, 128], [0, 128, 128]]], np.uint8)
    rgb = await picture(color_file(pixels, "YBR_FULL"))
    assert rgb.tolist() == [[[254, 0, 0], [255, 255, 255], [0, 0, 0]]]


async def test_ybr_full_422_repeats_its_chroma() -> None:
    full = await picture(sample("SC_ybr_full_uncompressed.dcm"))
    halved = await picture(sample("SC_ybr_full_422_uncompressed.dcm"))
    assert halved.shape == full.shape
    assert np.abs(full[:, 4::2].astype(int) - halved[:, 4::2]).mean() < 4


@pytest.mark.parametrize("word", ["u1", "<u2"])
async def test_a_palette_is_looked_up_and_clamped_at_its_ends(word: str) -> None:
    scale = 1 if word == "u1" else 257
    bits = 8 * np.dtype(word).itemsize
    data = {}
    for channel, entries in {"Red": [1, 2], "Green": [10, 20], "Blue": [100, 200]}.items():
        table = (np.array(entries) * scale).astype(word).tobytes()
        data[f"{channel}PaletteColorLookupTableData"] = table
    dataset = make_ct(
        rows=1, columns=4, PhotometricInterpretation="PALETTE COLOR", BitsAllocated=8,
        BitsStored=8, HighBit=7, PixelData=RAMP.tobytes(), **data,
    )  # fmt: skip
    for channel in ("Red", "Green", "Blue"):
        keyword = f"{channel}PaletteColorLookupTableDescriptor"
        dataset.add_new(keyword, "US", [2, 50, bits])
    rgb = await picture(as_file(dataset))
    assert rgb.tolist() == [[[1, 10, 100], [1, 10, 100], [2, 20, 200], [2, 20, 200]]]


async def test_a_palette_image_without_palette_is_not_rendered() -> None:
    with pytest.raises(NotRenderable, match="palette"):
        await picture(ramp_file(PhotometricInterpretation="PALETTE COLOR"))


async def test_float_pixels_are_not_rendered() -> None:
    with pytest.raises(NotRenderable, match="floating point"):
        await picture(sample("parametric_map_float.dcm"))


@pytest.mark.parametrize("name", ["rtplan.dcm", "test-SR.dcm"])
async def test_what_has_no_pixels_is_not_rendered(name: str) -> None:
    with pytest.raises(NotRenderable, match="no pixel data"):
        await picture(sample(name))


@pytest.mark.parametrize("missing", ["Rows", "Columns", "BitsAllocated"])
async def test_an_image_without_its_dimensions_is_not_rendered(missing: str) -> None:
    with pytest.raises(NotRenderable, match="header lacks"):
        await picture(ct_file(**{missing: None}))


@pytest.mark.parametrize(
    ("box", "shape"),
    [
        ({"width": 15}, (10, 15)),
        ({"height": 10}, (10, 15)),
        ({"width": 17, "height": 5}, (5, 8)),
        ({"width": 60, "height": 100}, (40, 60)),
        ({"width": 13}, (9, 13)),
        ({"width": 3, "height": 3}, (2, 3)),
        ({"width": 0}, (20, 30)),
        ({}, (20, 30)),
    ],
)
def test_a_picture_fits_its_box_and_keeps_its_ratio(box: dict, shape: tuple[int, int]) -> None:
    request = RenderRequest(object_key="it", mode="rendered", **box)
    assert fit(np.zeros((20, 30), np.uint8), request).shape == shape


def test_the_nearest_pixel_is_taken() -> None:
    shades = np.arange(6, dtype=np.uint8).reshape(1, 6)
    narrow = RenderRequest(object_key="it", mode="rendered", width=3)
    assert fit(shades, narrow).tolist() == [[1, 3, 5]]


def test_smooth_blurs_what_shrinks_only() -> None:
    dots = np.zeros((16, 16), np.uint8)
    dots[::2, ::2] = 255
    smooth = {"object_key": "it", "mode": "rendered", "smooth": True}
    assert np.array_equal(fit(dots, RenderRequest(width=8, **smooth)), blur(dots)[1::2, 1::2])
    assert np.array_equal(fit(dots, RenderRequest(width=32, **smooth))[::2, ::2], dots)


def test_a_blur_keeps_what_is_even() -> None:
    even = np.full((7, 5, 3), 99, np.uint8)
    assert np.array_equal(blur(even), even)


def test_a_picture_of_unreasonable_size_is_refused() -> None:
    request = RenderRequest(object_key="it", mode="rendered", width=65536, height=65536)
    with pytest.raises(InvalidParameter, match="too large"):
        fit(np.zeros((20, 30), np.uint8), request)


@given(
    values=st.lists(NUMBERS, min_size=2, max_size=50),
    center=NUMBERS,
    width=st.floats(-10, 1e9),
)
def test_a_brighter_value_is_never_darker(values: list[float], center: float, width: float) -> None:
    shades = apply_window(np.sort(np.array(values)), center=center, width=width)
    assert (np.diff(shades.astype(int)) >= 0).all()


@given(center=st.floats(allow_nan=False, allow_infinity=False), width=st.floats(1, 1.7e308))
def test_no_finite_window_breaks_the_arithmetic(center: float, width: float) -> None:
    assert apply_window(np.array([-3e4, 0.0, 3e4]), center=center, width=width).dtype == np.uint8


@given(low=st.integers(-32768, 32000), span=st.integers(1, 700))
def test_a_table_and_the_formula_agree(low: int, span: int) -> None:
    shades = (np.arange(70000) % (span + 1) + low).clip(-32768, 32767).astype(np.int16)
    by_table = stretch(shades.reshape(100, 700)).ravel()
    by_formula = stretch(shades.astype(np.int32).reshape(100, 700)).ravel()
    assert np.array_equal(by_table, by_formula)
