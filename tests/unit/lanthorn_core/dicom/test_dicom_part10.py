"""DICOM files: meta information, uploads without it, reading with pydicom."""

from __future__ import annotations

from io import BytesIO

import pytest
from pydicom import dcmread

from lanthorn_core.dicom import part10
from lanthorn_core.errors import InvalidDataset
from tests.unit.lanthorn_core.dicom.dataset_bytes import (
    BIG_ENDIAN,
    EXPLICIT,
    IMPLICIT,
    SAMPLES,
    SECONDARY_CAPTURE,
    dataset,
    element,
    file,
    implicit,
)


def test_what_is_written_is_read_again() -> None:
    content = part10.encode_file_meta(
        sop_class_uid=SECONDARY_CAPTURE,
        sop_instance_uid="1.2.3",
        transfer_syntax_uid=IMPLICIT,
        source_ae_title="SENDER",
        receiving_ae_title="LANTHORN",
    )
    assert part10.read_file_meta(content) == part10.FileMeta(
        transfer_syntax_uid=IMPLICIT,
        media_storage_sop_class_uid=SECONDARY_CAPTURE,
        media_storage_sop_instance_uid="1.2.3",
        source_ae_title="SENDER",
        sending_ae_title="",
        receiving_ae_title="LANTHORN",
        dataset_offset=len(content),
    )


def test_pydicom_reads_the_meta_information_we_write() -> None:
    reference = dcmread(BytesIO(file(dataset(), EXPLICIT)))
    assert reference.file_meta.MediaStorageSOPInstanceUID == "1.2.3.4"
    assert reference.file_meta.ImplementationClassUID == part10.IMPLEMENTATION_CLASS_UID
    length = reference.file_meta.FileMetaInformationGroupLength
    assert part10.read_file_meta(file(b"")).dataset_offset == 128 + 4 + 12 + length
    assert "SourceApplicationEntityTitle" not in reference.file_meta


@pytest.mark.parametrize("content", [b"", b"hello", bytes(200), b"DICM" * 50])
def test_what_is_no_dicom_file_is_refused(content: bytes) -> None:
    assert not part10.is_part10(content[:130])
    with pytest.raises(InvalidDataset):
        part10.read_file_meta(content[:130])


@pytest.mark.parametrize(
    "group_2",
    [
        element(0x00020010, "UI", b"1.2", 5000),
        element(0x00020001, "OB", b"ab", 3_000_000_000),
        element(0x00020001, "OB")[:9],
        element(0x00020010, "\0\0", b"1.2"),
    ],
)
def test_broken_meta_information_is_refused(group_2: bytes) -> None:
    with pytest.raises(InvalidDataset, match=r"0002|truncated"):
        part10.read_file_meta(bytes(128) + b"DICM" + group_2)


def test_a_wrong_group_length_does_not_matter() -> None:
    content = (SAMPLES / "no_meta_group_length.dcm").read_bytes()
    assert part10.read_file_meta(content).transfer_syntax_uid == IMPLICIT


@pytest.mark.parametrize(
    ("encoded", "uid"),
    [
        (dataset(), EXPLICIT),
        (implicit(0x00080018, b"1.2\0"), IMPLICIT),
        (element(0x00080018, "UI", b"1.2\0", order=">"), BIG_ENDIAN),
    ],
)
def test_a_file_that_does_not_name_its_transfer_syntax_is_read_as_it_looks(
    encoded: bytes, uid: str
) -> None:
    meta = part10.read_file_meta(file(encoded, ""))
    assert meta.transfer_syntax_uid == uid


@pytest.mark.parametrize(
    ("encoded", "uid"),
    [
        (dataset(), EXPLICIT),
        (implicit(0x00080016, b"1.2\0") + implicit(0x00080018, b"1.2.3\0"), IMPLICIT),
        (element(0x00080018, "UI", b"1.2\0", order=">"), BIG_ENDIAN),
    ],
)
def test_an_upload_of_a_bare_data_set_becomes_a_file(encoded: bytes, uid: str) -> None:
    content = part10.normalize_upload(encoded)
    meta, header = part10.scan_file(content)
    assert meta.transfer_syntax_uid == uid
    assert content[meta.dataset_offset :] == encoded
    assert (header.value(0x00080018) or b"").decode().strip("\0") == (
        meta.media_storage_sop_instance_uid
    )


def test_an_upload_without_preamble_keeps_its_meta_information() -> None:
    content = part10.normalize_upload((SAMPLES / "JLSL_RGB_ILV1.dcm").read_bytes())
    assert part10.read_file_meta(content).transfer_syntax_uid == "1.2.840.10008.1.2.4.80"


def test_an_upload_of_a_file_comes_back_as_it_is() -> None:
    content = file(dataset())
    assert part10.normalize_upload(content) is content


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"PK\x03\x04",
        bytes(8),
        bytes(1000),
        b"This is a text, and quite a long one.",
        b"{}" * 99,
    ],
)
def test_an_upload_of_something_else_is_refused(content: bytes) -> None:
    with pytest.raises(InvalidDataset):
        part10.normalize_upload(content)


def test_reading_until_the_pixels_leaves_them_out_and_reading_all_does_not() -> None:
    content = (SAMPLES / "MR_small.dcm").read_bytes()
    assert "PixelData" not in part10.read_dataset(content)
    whole = part10.read_dataset(content, until_pixels=False)
    assert whole.pixel_array.tobytes() == dcmread(SAMPLES / "MR_small.dcm").pixel_array.tobytes()
    assert whole.file_meta.TransferSyntaxUID == EXPLICIT


@pytest.mark.parametrize(
    "name", ["image_dfl", "JPEG2000", "MR_small_bigendian", "rtdose", "MR_small_padded"]
)
@pytest.mark.filterwarnings("ignore:Invalid value for VR:UserWarning")
def test_reading_all_finds_what_pydicom_finds(name: str) -> None:
    content = (SAMPLES / f"{name}.dcm").read_bytes()
    assert part10.read_dataset(content, until_pixels=False) == dcmread(BytesIO(content))


def test_text_is_decoded_by_the_character_set_of_the_file() -> None:
    read = part10.read_dataset((SAMPLES / "chrX1.dcm").read_bytes())
    assert str(read.PatientName) == "Wang^XiaoDong=王^小東"


def test_a_broken_character_set_is_no_crash() -> None:
    odd = element(0x00080005, "CS", b"\xff\xfe\\ISO 2022 IR 87\\nonsense")
    read = part10.read_dataset(file(dataset(odd)))
    assert read.PatientID == "P1"
