"""Locating frames: no more is read than needed, and nothing hostile is believed."""

from __future__ import annotations

import struct

import numpy as np
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.encaps import encapsulate, encapsulate_extended
from pydicom.uid import JPEGBaseline8Bit

from lanthorn_core.dicom.encodings import EXPLICIT_LITTLE
from lanthorn_core.errors import DecodeFailed, InvalidParameter, NotRenderable, UnknownResource
from lanthorn_renderer.beginning import FIRST_READ_BYTES
from lanthorn_renderer.elements import MoreNeeded, elements_to_pixel_data
from lanthorn_renderer.frames import FrameReader
from tests.fixtures.dicom_files import as_file, ct_file, make_ct
from tests.unit.lanthorn_renderer.picturing import DATA, MemoryObjects, sample

JPEGS = [b"\xff\xd8" + bytes([number]) * (100 + 2 * number) for number in range(5)]


async def fetched(data: bytes, frame_index: int = 0) -> bytes:
    reader = FrameReader(MemoryObjects(it=data))
    return await reader.fetch(await reader.open("it"), frame_index)


def encapsulated_file(pixel_data: bytes, *, frames: int = len(JPEGS), **elements: object) -> bytes:
    dataset = make_ct(frames=frames, transfer_syntax=JPEGBaseline8Bit, **elements)
    dataset.PixelData = pixel_data
    dataset["PixelData"].VR = "OB"
    return as_file(dataset)


async def test_of_a_large_native_object_only_header_and_frame_are_read() -> None:
    data = ct_file(rows=512, columns=512, frames=8)
    objects = MemoryObjects(it=data)
    reader = FrameReader(objects)
    frame = await reader.fetch(await reader.open("it"), 6)
    assert frame == data[-2 * 512 * 512 * 2 : -512 * 512 * 2]
    assert objects.reads == [(0, FIRST_READ_BYTES), (len(data) - 2 * len(frame), len(frame))]


async def test_a_second_frame_needs_no_second_header() -> None:
    objects = MemoryObjects(it=ct_file(rows=512, columns=512, frames=8))
    reader = FrameReader(objects)
    for frame_index in (0, 1, 2):
        await reader.fetch(await reader.open("it"), frame_index)
    assert [length for _, length in objects.reads] == [FIRST_READ_BYTES] + 3 * [512 * 512 * 2]


async def test_a_header_larger_than_the_first_read_is_read_on() -> None:
    comments = "x" * (3 * FIRST_READ_BYTES)
    dataset = make_ct()
    dataset.add_new(0x0021_0010, "UT", comments)
    frame = await fetched(as_file(dataset))
    assert frame == dataset.PixelData


@pytest.mark.parametrize("has_offsets", [True, False])
@pytest.mark.parametrize("fragments", [1, 3])
async def test_encapsulated_frames_are_found(has_offsets: bool, fragments: int) -> None:
    data = encapsulated_file(encapsulate(JPEGS, fragments, has_offsets))
    for frame_index, jpeg in enumerate(JPEGS):
        assert (await fetched(data, frame_index)).startswith(jpeg)


async def test_a_single_frame_owns_all_fragments() -> None:
    data = encapsulated_file(encapsulate(JPEGS[:1], 4), frames=1)
    assert (await fetched(data)).startswith(JPEGS[0])


async def test_an_extended_offset_table_saves_the_walk() -> None:
    pixel_data, offsets, lengths = encapsulate_extended([jpeg * 9999 for jpeg in JPEGS])
    tables = {"ExtendedOffsetTable": offsets, "ExtendedOffsetTableLengths": lengths}
    objects = MemoryObjects(it=encapsulated_file(pixel_data, **tables))
    reader = FrameReader(objects)
    assert await reader.fetch(await reader.open("it"), 3) == JPEGS[3] * 9999
    assert len(objects.reads) == 3  # header, the empty basic table, the frame


async def test_fragments_that_cannot_be_told_apart_are_refused() -> None:
    data = encapsulated_file(encapsulate([b"??" * 9] * 5, 3, has_bot=False), frames=5)
    with pytest.raises(DecodeFailed, match="15 fragments"):
        await fetched(data)


@pytest.mark.parametrize("name", ["liver.dcm", "emri_small_RLE.dcm", "emri_small_big_endian.dcm"])
async def test_raw_frames_have_the_bytes_of_the_little_endian_file(name: str) -> None:
    dataset = pydicom.dcmread(DATA / "pydicom" / name)
    frame = await fetched(sample(name), 2)
    if dataset.file_meta.TransferSyntaxUID.is_encapsulated:
        assert frame == pydicom.encaps.get_frame(dataset.PixelData, 2, number_of_frames=10)
    else:
        length = len(frame)
        stored = dataset.PixelData[2 * length : 3 * length]
        if not dataset.file_meta.TransferSyntaxUID.is_little_endian:
            stored = np.frombuffer(stored, ">u2").byteswap().tobytes()
        assert frame == stored


async def test_one_bit_frames_that_share_bytes_are_parted() -> None:
    bits = np.random.default_rng(2).integers(0, 2, (3, 3 * 5), dtype=np.uint8)
    dataset = make_ct(rows=3, columns=5, frames=3, BitsAllocated=1, BitsStored=1, HighBit=0)
    dataset.PixelData = np.packbits(bits, bitorder="little").tobytes()
    data = as_file(dataset)
    for frame_index in range(3):
        packed = np.frombuffer(await fetched(data, frame_index), np.uint8)
        unpacked = np.unpackbits(packed, bitorder="little")[:15]
        assert np.array_equal(unpacked, bits[frame_index])


@pytest.mark.parametrize("frame_index", [-1, 1, 10**9])
async def test_a_frame_that_is_not_there_is_out_of_range(frame_index: int) -> None:
    with pytest.raises(InvalidParameter, match="out of range"):
        await fetched(sample("CT_small.dcm"), frame_index)


async def test_an_object_that_is_not_there_is_unknown() -> None:
    with pytest.raises(UnknownResource):
        await FrameReader(MemoryObjects()).open("it")


async def test_raw_frames_need_pixels() -> None:
    with pytest.raises(NotRenderable):
        await fetched(sample("rtplan.dcm"))


async def test_a_truncated_deflated_object_fails() -> None:
    with pytest.raises(DecodeFailed, match="truncated"):
        await fetched(sample("image_dfl.dcm")[:-100])


@pytest.mark.parametrize("data", [b"", b"DICM", bytes(128) + b"DICM", b"<html>" * 99])
async def test_what_is_no_dicom_file_fails(data: bytes) -> None:
    reader = FrameReader(MemoryObjects(it=data))
    with pytest.raises((DecodeFailed, NotRenderable)):
        (await reader.open("it")).describe_frame(0)


async def test_more_frames_claimed_than_there_are_fail_only_where_they_lack() -> None:
    dataset = make_ct(NumberOfFrames=1000)
    data = as_file(dataset)
    assert await fetched(data, 0) == dataset.PixelData
    with pytest.raises(DecodeFailed, match="would end at"):
        await fetched(data, 1)


async def test_an_offset_table_beyond_the_object_fails() -> None:
    tables = {
        "ExtendedOffsetTable": struct.pack("<Q", 1 << 63),
        "ExtendedOffsetTableLengths": struct.pack("<Q", 1 << 62),
    }
    dataset = make_ct(transfer_syntax=JPEGBaseline8Bit, **tables)
    dataset.PixelData = encapsulate(JPEGS[:1])
    dataset["PixelData"].VR = "OB"
    with pytest.raises(DecodeFailed):
        await fetched(as_file(dataset))


@given(cut=st.integers(0, 6000))
def test_a_walk_over_part_of_a_file_says_so(cut: int) -> None:
    data = sample("CT_small.dcm")
    meta = pydicom.filereader.read_file_meta_info(DATA / "pydicom" / "CT_small.dcm")
    start = 144 + meta.FileMetaInformationGroupLength
    whole = list(elements_to_pixel_data(data, start, EXPLICIT_LITTLE, complete=True))
    header_length = whole[-1].start
    if cut >= header_length:
        part = elements_to_pixel_data(data[:cut], start, EXPLICIT_LITTLE, complete=False)
        assert list(part) == whole
        return
    with pytest.raises(MoreNeeded) as more:
        list(elements_to_pixel_data(data[:cut], start, EXPLICIT_LITTLE, complete=False))
    assert cut < more.value.size_bytes <= header_length


@given(damage=st.lists(st.tuples(st.integers(132, 6000), st.integers(0, 255)), max_size=8))
async def test_a_damaged_header_fails_in_our_own_words(damage: list[tuple[int, int]]) -> None:
    data = bytearray(sample("emri_small_RLE.dcm"))
    for position, value in damage:
        data[position] = value
    reader = FrameReader(MemoryObjects(it=bytes(data)))
    try:
        opened = await reader.open("it")
        opened.describe_frame(0)
        await reader.fetch(opened, 0)
    except (DecodeFailed, NotRenderable):
        pass
