"""Decoding: one reference per transfer syntax, what Orthanc cannot do, and hostile frames."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO

import numpy as np
import pydicom
import pytest
from pydicom.encaps import encapsulate

from lanthorn_core.errors import DecodeFailed, NotRenderable
from lanthorn_renderer.decode import CODECS, decode_frame, jpeg_size
from lanthorn_renderer.frames import FrameReader
from tests.fixtures.dicom_files import as_file, ct_file, make_ct
from tests.unit.lanthorn_renderer.picturing import DATA, MemoryObjects, decoded, sample

ALSO_LOSSLESS = {
    "emri_small_RLE.dcm": "emri_small.dcm",
    "emri_small_big_endian.dcm": "emri_small.dcm",
    "emri_small_jpeg_2k_lossless.dcm": "emri_small.dcm",
    "emri_small_jpeg_ls_lossless.dcm": "emri_small.dcm",
    "MR_small_bigendian.dcm": "MR_small.dcm",
    "MR_small_implicit.dcm": "MR_small.dcm",
    "MR_small_padded.dcm": "MR_small.dcm",
    "liver_rle.dcm": "liver.dcm",
    "liver_deflate.dcm": "liver.dcm",
}


@pytest.mark.parametrize("name", ALSO_LOSSLESS)
async def test_lossless_encodings_of_the_same_image_decode_alike(name: str) -> None:
    native = await decoded(sample(ALSO_LOSSLESS[name]))
    assert np.array_equal((await decoded(sample(name))).samples, native.samples)


@pytest.mark.parametrize(
    "name",
    [
        "CT_small.dcm",
        "HTJ2KLossless_08_RGB.dcm",
        "JLSL_16_15_1_1F.dcm",
        "JLSL_RGB_ILV1.dcm",
        "JPEG-LL.dcm",
        "JPGLosslessP14SV1_1s_1f_8b.dcm",
        "SC_rgb_expb_16bit.dcm",
        "SC_rgb_small_odd.dcm",
        "693_J2KR.dcm",
        "image_dfl.dcm",
        "rtdose.dcm",
    ],
)
async def test_samples_are_those_that_pydicom_decodes(name: str) -> None:
    dataset = pydicom.dcmread(BytesIO(sample(name)))
    reference = dataset.pixel_array
    if dataset.get("NumberOfFrames", 1) > 1:
        reference = reference[0]
    assert np.array_equal((await decoded(sample(name))).samples, reference)


async def test_each_frame_of_a_multi_frame_image_is_its_own() -> None:
    reference = pydicom.dcmread(DATA / "pydicom" / "emri_small.dcm").pixel_array
    for name in ("emri_small.dcm", "emri_small_RLE.dcm", "emri_small_jpeg_2k_lossless.dcm"):
        for frame_index in (0, 4, 9):
            samples = (await decoded(sample(name), frame_index)).samples
            assert np.array_equal(samples, reference[frame_index])


async def test_twelve_bit_jpeg_decodes_beyond_eight_bits() -> None:
    frame = await decoded(sample("JPEG-lossy.dcm"))
    assert frame.samples.shape == (1024, 256)
    assert frame.samples.max() == 264  # as Orthanc 1.13.0 has it


async def test_planar_samples_become_pixels() -> None:
    planes = np.arange(3 * 4 * 5, dtype=np.uint8).reshape(3, 4, 5)
    dataset = make_ct(rows=4, columns=5, SamplesPerPixel=3, PhotometricInterpretation="RGB")
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit, dataset.PlanarConfiguration = 7, 1
    dataset.PixelData = planes.tobytes()
    assert np.array_equal((await decoded(as_file(dataset))).samples, planes.transpose(1, 2, 0))


async def test_one_bit_samples_are_black_and_white() -> None:
    bits = np.random.default_rng(1).integers(0, 2, (8, 12), dtype=np.uint8)
    dataset = make_ct(rows=8, columns=12, BitsAllocated=1, BitsStored=1, HighBit=0)
    dataset.PixelData = np.packbits(bits, bitorder="little").tobytes()
    assert np.array_equal((await decoded(as_file(dataset))).samples, bits * 255)


async def test_pixel_data_shorter_than_claimed_is_told_with_both_lengths() -> None:
    with pytest.raises(DecodeFailed, match=r"100 bytes long, frame 0 would end at 128"):
        await decoded(ct_file(PixelData=bytes(100)))


async def test_hostile_dimensions_fail_before_anything_is_allocated() -> None:
    with pytest.raises(DecodeFailed, match="10 bytes long"):
        await decoded(ct_file(Rows=65535, Columns=65535, PixelData=b"0123456789"))
    dataset = make_ct(Rows=65535, Columns=65535, transfer_syntax=pydicom.uid.JPEG2000)
    dataset.PixelData = encapsulate([b"\xff\x4f\xff\x51 nothing"])
    dataset["PixelData"].VR = "OB"
    with pytest.raises(DecodeFailed, match="65535 x 65535 pixels are too many"):
        await decoded(as_file(dataset))


@pytest.mark.parametrize("transfer_syntax", sorted(set(CODECS) - {"1.2.840.10008.1.2.2"}))
async def test_garbage_is_a_failure_in_every_transfer_syntax(transfer_syntax: str) -> None:
    reader = FrameReader(MemoryObjects(it=sample("CT_small.dcm")))
    image = (await reader.open("it")).describe_frame(0)
    garbage = b"\xff\xd8\xff\xee not an image at all \xff\xd9"
    with pytest.raises(DecodeFailed):
        decode_frame(replace(image, transfer_syntax_uid=transfer_syntax), garbage)


@pytest.mark.parametrize(
    "name",
    ["SC_rgb_jpeg_dcmtk.dcm", "JPEG-lossy.dcm", "JPEG-LL.dcm", "emri_small_jpeg_ls_lossless.dcm"],
)
async def test_a_jpeg_stream_of_another_size_is_refused(name: str) -> None:
    reader = FrameReader(MemoryObjects(it=sample(name)))
    opened = await reader.open("it")
    image, frame = opened.describe_frame(0), await reader.fetch(opened, 0)
    assert jpeg_size(frame) == (image.columns, image.rows)
    with pytest.raises(DecodeFailed, match=f"99 x {image.rows} pixels, the JPEG stream"):
        decode_frame(replace(image, columns=99), frame)


async def test_video_has_no_codec() -> None:
    dataset = make_ct(transfer_syntax=pydicom.uid.MPEG4HP41)
    dataset.PixelData = encapsulate([b"not shown"])
    dataset["PixelData"].VR = "OB"
    with pytest.raises(NotRenderable, match="no codec"):
        await decoded(as_file(dataset))


@pytest.mark.parametrize("bits_allocated", [12, 24, 64])
async def test_odd_bits_allocated_are_not_rendered(bits_allocated: int) -> None:
    data = ct_file(BitsAllocated=bits_allocated, BitsStored=8, HighBit=7, PixelData=bytes(600))
    with pytest.raises(NotRenderable, match="bits allocated"):
        await decoded(data)
