"""Whole objects in other transfer syntaxes, against what pydicom reads of both."""

from __future__ import annotations

import random
import warnings
from io import BytesIO
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom import Dataset, uid
from pydicom.dataset import FileDataset
from pydicom.encaps import encapsulate_extended
from pydicom.pixels import pixel_array

from lanthorn_core.dicom.part10 import read_file_meta
from lanthorn_core.errors import (
    DecodeFailed,
    LanthornError,
    UnknownResource,
    UnsupportedTransferSyntax,
)
from lanthorn_core.ports.renderer import TranscodeRequest
from lanthorn_renderer.frames import FrameReader
from lanthorn_renderer.transcode import Transcoder
from tests.fixtures.dicom_files import as_file, ct_file, make_ct
from tests.unit.lanthorn_renderer.picturing import MemoryObjects, sample

NATIVE = (
    uid.ImplicitVRLittleEndian,
    uid.ExplicitVRLittleEndian,
    uid.ExplicitVRBigEndian,
    uid.DeflatedExplicitVRLittleEndian,
)
LOSSLESS = (uid.RLELossless, uid.JPEGLSLossless, uid.JPEG2000Lossless)
IMAGES = (
    "CT_small",
    "MR_small_bigendian",
    "MR_small_implicit",
    "MR-SIEMENS-DICOM-WithOverlays",
    "JPEG2000",
    "JPEG-LL",
    "HTJ2KLossless_08_RGB",
    "JLSL_RGB_ILV1",
    "OBXXXX1A_rle_2frame",
    "OT-PAL-8-face",
    "SC_rgb_16bit_2frame",
    "SC_rgb_expb_16bit",
    "SC_rgb_jpeg_dcmtk",
    "SC_ybr_full_uncompressed",
    "US1_J2KI",
    "color-px",
    "emri_small_RLE",
    "emri_small_big_endian",
    "emri_small_jpeg_ls_lossless",
    "image_dfl",
)
OTHERS = ("rtplan", "test-SR", "UN_sequence", "nested_priv_SQ", "bad_sequence", "chrSQEncoding")


class Inline:
    """Runs what the pool of decoders would run, here."""

    async def run(self, function: Any, job: Any) -> Any:
        return function(job)


async def transcoded(data: bytes, target: str, **wishes: Any) -> bytes:
    objects: Any = MemoryObjects(it=data)
    pool: Any = Inline()
    transcode = Transcoder(objects, FrameReader(objects), pool)
    request = TranscodeRequest(object_key="it", transfer_syntax_uid=target, **wishes)
    return b"".join([chunk async for chunk in transcode(request)])


def read(data: bytes) -> FileDataset:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pydicom.dcmread(BytesIO(data), force=True)


def pixels_of(dataset: FileDataset) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pixel_array(dataset)


@pytest.mark.parametrize("target", [*NATIVE, *LOSSLESS])
@pytest.mark.parametrize("name", IMAGES)
async def test_pixels_mean_the_same_in_every_lossless_transfer_syntax(
    name: str, target: str
) -> None:
    data = sample(f"{name}.dcm")
    before = read(data)
    if before.file_meta.TransferSyntaxUID == target:
        return
    after = read(await transcoded(data, target))
    assert after.file_meta.TransferSyntaxUID == target
    assert after.get("SOPInstanceUID") == before.get("SOPInstanceUID")
    if "SOPInstanceUID" in before:
        assert after.file_meta.MediaStorageSOPInstanceUID == before.SOPInstanceUID
    assert np.array_equal(pixels_of(after), pixels_of(before))
    if after.SamplesPerPixel > 1 and target not in NATIVE:
        assert after.PlanarConfiguration == 0


@pytest.mark.filterwarnings("ignore::UserWarning")  # of values that pydicom finds odd
@pytest.mark.parametrize("target", NATIVE)
@pytest.mark.parametrize("name", [*IMAGES, *OTHERS])
async def test_other_elements_stay_what_they_are(name: str, target: str) -> None:
    data = sample(f"{name}.dcm")
    after = read(await transcoded(data, target))
    assert_same(read(data), after, is_implicit=target == uid.ImplicitVRLittleEndian)


def assert_same(before: Dataset, after: Dataset, *, is_implicit: bool) -> None:
    """Compare values as pydicom reads them, where VR and byte order leave them comparable."""
    changed = {0x0028_0004, 0x0028_0006, 0x7FE0_0010}
    tags = [tag for tag in map(int, before.keys()) if tag & 0xFFFF and tag not in changed]
    kept = [tag for tag in map(int, after.keys()) if tag & 0xFFFF and tag not in changed]
    assert kept == tags
    for tag in tags:
        # pydicom reads unknown values in the order of the bytes around them, and private ones
        # without VR in its own way.
        is_opaque = getattr(before.get_item(tag), "VR", None) == "UN" or (
            is_implicit and bool(tag >> 16 & 1)
        )
        if is_opaque:
            continue
        old, new = before[tag], after[tag]
        if old.VR == new.VR == "SQ":
            for old_item, new_item in zip(old.value, new.value, strict=True):
                assert_same(old_item, new_item, is_implicit=is_implicit)
        elif old.VR == new.VR != "OW":
            assert old.value == new.value, old


@pytest.mark.parametrize(
    "name", ["CT_small", "rtplan", "nested_priv_SQ", "test-SR", "emri_small", "reportsi"]
)
async def test_there_and_back_is_the_same_file(name: str) -> None:
    data = await transcoded(sample(f"{name}.dcm"), uid.ExplicitVRBigEndian)
    start = read_file_meta(data).dataset_offset
    for way in (
        [uid.ExplicitVRLittleEndian],
        [uid.DeflatedExplicitVRLittleEndian, uid.ExplicitVRLittleEndian],
    ):
        there = data
        for target in way:
            there = await transcoded(there, target)
        back = await transcoded(there, uid.ExplicitVRBigEndian)
        assert back[start:] == data[start:]


async def test_what_stands_behind_the_pixels_stays_there() -> None:
    data = sample("CT_small.dcm")
    assert 0xFFFC_FFFC in read(data)
    for target in (uid.ImplicitVRLittleEndian, uid.RLELossless):
        again = await transcoded(data, target)
        assert read(again)[0xFFFC_FFFC].value == read(data)[0xFFFC_FFFC].value
        assert 0xFFFC_FFFC in read(await transcoded(again, uid.ExplicitVRBigEndian))


async def test_a_bare_data_set_is_what_follows_the_file_meta() -> None:
    data = sample("CT_small.dcm")
    whole = await transcoded(data, uid.ImplicitVRLittleEndian)
    bare = await transcoded(data, uid.ImplicitVRLittleEndian, with_file_meta=False)
    assert whole[read_file_meta(whole).dataset_offset :] == bare


async def test_a_deflated_data_set_has_an_even_length() -> None:
    lengths = set()
    for rows in range(4, 30):
        data = await transcoded(ct_file(rows=rows), uid.DeflatedExplicitVRLittleEndian)
        lengths.add((len(data) - read_file_meta(data).dataset_offset) % 2)
        assert read(data).Rows == rows
    assert lengths == {0}


async def test_odd_frames_are_made_even() -> None:
    data = sample("SC_rgb_small_odd.dcm")
    for target in (uid.ImplicitVRLittleEndian, uid.RLELossless):
        after = read(await transcoded(data, target))
        assert len(after.PixelData) % 2 == 0
        assert np.array_equal(pixels_of(after), pixels_of(read(data)))


async def test_offset_tables_go_with_the_compressed_pixels() -> None:
    ct = make_ct(rows=16, columns=16, frames=3)
    frames = [ct.PixelData[n * 512 : n * 512 + 512] for n in range(3)]
    rle = read(await transcoded(as_file(ct), uid.RLELossless))
    pieces = list(pydicom.encaps.generate_frames(rle.PixelData, number_of_frames=3))
    rle.PixelData, table, lengths = encapsulate_extended(pieces)
    rle.ExtendedOffsetTable, rle.ExtendedOffsetTableLengths = table, lengths
    after = read(await transcoded(as_file(rle), uid.ExplicitVRLittleEndian))
    assert "ExtendedOffsetTable" not in after
    assert after.PixelData == b"".join(frames)


async def test_a_lossy_picture_is_a_new_instance_that_says_so() -> None:
    data = sample("SC_rgb.dcm")
    before, after = read(data), read(await transcoded(data, uid.JPEGBaseline8Bit, quality=90))
    assert after.SOPInstanceUID != before.SOPInstanceUID
    assert after.file_meta.MediaStorageSOPInstanceUID == after.SOPInstanceUID
    assert after.LossyImageCompression == "01"
    assert after.LossyImageCompressionMethod == "ISO_10918_1"
    assert 2 < float(after.LossyImageCompressionRatio) < 100
    assert after.ImageType[0] == "DERIVED"
    assert after.PhotometricInterpretation == "YBR_FULL_422"
    difference = np.abs(pixels_of(after).astype(int) - pixels_of(before))
    assert 0 < difference.mean() < 12
    smaller = await transcoded(data, uid.JPEGBaseline8Bit, quality=5)
    assert len(smaller) < len(await transcoded(data, uid.JPEGBaseline8Bit, quality=95))


async def test_a_second_lossy_compression_is_added_to_the_first() -> None:
    before = read(sample("SC_rgb_gdcm2k_uncompressed.dcm"))
    after = read(await transcoded(as_file(before), uid.JPEGBaseline8Bit))
    assert list(after.LossyImageCompressionMethod) == ["ISO_15444_1", "ISO_10918_1"]
    assert len(after.LossyImageCompressionRatio) == 2


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("CT_small", "1.2.840.10008.1.2.4.100"),  # MPEG2
        ("CT_small", uid.JPEGBaseline8Bit),  # 16 bits
        ("OT-PAL-8-face", uid.JPEGBaseline8Bit),  # indices
        ("liver", uid.JPEGLSLossless),  # 1 bit
        ("rtdose", uid.JPEG2000Lossless),  # 32 bits
        ("parametric_map_float", uid.RLELossless),
        ("SC_rgb_small_odd", uid.JPEG2000Lossless),  # 3 x 3 pixels
    ],
)
async def test_what_cannot_be_is_refused(name: str, target: str) -> None:
    with pytest.raises(UnsupportedTransferSyntax) as caught:
        await transcoded(sample(f"{name}.dcm"), target)
    assert caught.value.details


async def test_compressed_icons_are_not_torn_out_of_their_sequence() -> None:
    ct = make_ct(rows=16, columns=16)
    rle = read(await transcoded(as_file(ct), uid.RLELossless))
    icon = Dataset()
    icon.Rows = icon.Columns = 16
    icon.PixelData = rle.PixelData
    icon["PixelData"].VR = "OB"
    icon["PixelData"].is_undefined_length = True
    rle.IconImageSequence = [icon]
    data = as_file(rle)
    with pytest.raises(UnsupportedTransferSyntax):
        await transcoded(data, uid.ImplicitVRLittleEndian)
    after = read(await transcoded(data, uid.JPEGLSLossless))
    assert after.IconImageSequence[0].PixelData == icon.PixelData


async def test_an_object_that_is_not_there_is_unknown() -> None:
    objects: Any = MemoryObjects()
    pool: Any = Inline()
    transcode = Transcoder(objects, FrameReader(objects), pool)
    request = TranscodeRequest(object_key="it", transfer_syntax_uid=uid.RLELossless)
    with pytest.raises(UnknownResource):
        await anext(transcode(request))


async def test_a_broken_sequence_is_told_before_the_first_byte() -> None:
    item = Dataset()
    item.PatientID = "x" * 20
    data = bytearray(ct_file(ReferencedImageSequence=[item]))
    place = data.index(b"\x10\x00\x20\x00LO\x14\x00")
    data[place + 6] = 0xFF
    objects: Any = MemoryObjects(it=bytes(data))
    pool: Any = Inline()
    transcode = Transcoder(objects, FrameReader(objects), pool)
    request = TranscodeRequest(object_key="it", transfer_syntax_uid=uid.ImplicitVRLittleEndian)
    with pytest.raises(DecodeFailed):
        await anext(transcode(request))


async def test_headers_of_any_size_are_written() -> None:
    items = []
    for number in range(3000):
        item = Dataset()
        item.InstanceNumber = number
        item.ImagePositionPatient = [number, 0.5, -1]
        items.append(item)
    data = ct_file(SharedFunctionalGroupsSequence=items)
    after = read(await transcoded(data, uid.ExplicitVRBigEndian))
    assert [item.InstanceNumber for item in after.SharedFunctionalGroupsSequence] == list(
        range(3000)
    )


@pytest.mark.parametrize("bits", [8, 16, 32, 64])
async def test_native_pixels_of_every_width_turn_around_and_back(bits: int) -> None:
    data = ct_file(BitsAllocated=bits, PixelData=bytes(range(256)) * 2)
    big = await transcoded(data, uid.ExplicitVRBigEndian)
    back = read(await transcoded(big, uid.ExplicitVRLittleEndian))
    assert back.PixelData == bytes(range(256)) * 2
    assert (read(big).PixelData == back.PixelData) == (bits == 8)


async def test_too_few_pixels_are_told_before_the_first_byte() -> None:
    data = ct_file(rows=64, columns=64, frames=2, NumberOfFrames=9)
    objects: Any = MemoryObjects(it=data)
    pool: Any = Inline()
    transcode = Transcoder(objects, FrameReader(objects), pool)
    request = TranscodeRequest(object_key="it", transfer_syntax_uid=uid.RLELossless)
    with pytest.raises(DecodeFailed):
        await anext(transcode(request))


@pytest.mark.parametrize("name", ["CT_small", "nested_priv_SQ", "emri_small_RLE", "reportsi"])
async def test_broken_files_raise_nothing_but_our_errors(name: str) -> None:
    data = sample(f"{name}.dcm")
    dice = random.Random(name)
    start = read_file_meta(data).dataset_offset
    for _ in range(150):
        broken = bytearray(data[: dice.choice([len(data), dice.randrange(start, len(data))])])
        for _ in range(dice.randrange(4)):
            broken[dice.randrange(start, min(len(broken), start + 2000))] = dice.randrange(256)
        target = dice.choice([*NATIVE, uid.RLELossless])
        try:
            await transcoded(bytes(broken), target)
        except LanthornError:
            continue
