"""DICOM files: preamble, File Meta Information, and uploads that lack them.

References
----------
DICOM PS3.10 Chapter 7.
"""

from __future__ import annotations

import struct
import warnings
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from typing import Final

from pydicom import Dataset
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.filereader import data_element_generator

from lanthorn_core.dicom.elements import Buffer
from lanthorn_core.dicom.encodings import (
    EXPLICIT_LITTLE,
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    detect_transfer_syntax,
)
from lanthorn_core.dicom.inflate import InflatedDataset
from lanthorn_core.dicom.reading import make_dataset, raw_elements
from lanthorn_core.dicom.scan import Header, RawElement, scan_dataset
from lanthorn_core.errors import InvalidDataset

IMPLEMENTATION_CLASS_UID: Final = "2.25.93271782337163180559267738987161132108"
"""Made once from a random UUID (PS3.5 Section B.2); identifies this implementation."""
IMPLEMENTATION_VERSION_NAME: Final = "LANTHORN"

MAX_INFLATED_WHOLE_BYTES: Final = 128 << 20
"""What a deflated data set may come to that is read with its pixels, all in memory."""

_PREAMBLE: Final = 128
_MAGIC: Final = b"DICM"

_MEDIA_STORAGE_SOP_CLASS_UID: Final = 0x0002_0002
_MEDIA_STORAGE_SOP_INSTANCE_UID: Final = 0x0002_0003
_TRANSFER_SYNTAX_UID: Final = 0x0002_0010
_IMPLEMENTATION_CLASS_UID: Final = 0x0002_0012
_IMPLEMENTATION_VERSION_NAME: Final = 0x0002_0013
_SOURCE_AE_TITLE: Final = 0x0002_0016
_SENDING_AE_TITLE: Final = 0x0002_0017
_RECEIVING_AE_TITLE: Final = 0x0002_0018
_SOP_CLASS_UID: Final = 0x0008_0016
_SOP_INSTANCE_UID: Final = 0x0008_0018


@dataclass(frozen=True, slots=True)
class FileMeta:
    """What the File Meta Information says (PS3.10 Table 7.1-1); absent values are empty.

    `dataset_offset` is where the data set begins, in bytes from the start of the file.
    """

    transfer_syntax_uid: str
    media_storage_sop_class_uid: str
    media_storage_sop_instance_uid: str
    source_ae_title: str
    sending_ae_title: str
    receiving_ae_title: str
    dataset_offset: int


def is_part10(data: Buffer) -> bool:
    """Whether these bytes begin as a DICOM file does: 128 bytes of preamble, then ``DICM``."""
    return bytes(data[_PREAMBLE : _PREAMBLE + 4]) == _MAGIC


def read_file_meta(data: Buffer) -> FileMeta:
    """Read the File Meta Information.

    Parameters
    ----------
    data : bytes-like
        A DICOM file, or its beginning.

    Returns
    -------
    FileMeta
        A file that does not name its transfer syntax gets the one its data set looks like, as in
        DCMTK and pydicom.

    Raises
    ------
    InvalidDataset
        This is no DICOM file, or its meta information is broken.
    """
    if not is_part10(data):
        raise InvalidDataset("not a DICOM file: no DICM after 128 bytes of preamble")
    elements, offset = _scan_group_2(data)
    if not elements and offset == len(data):
        raise InvalidDataset("the file ends before its meta information")

    def text(tag: int) -> str:
        element = elements.get(tag)
        if element is None:
            return ""
        value = bytes(data[element.start : element.start + element.length])
        return value.decode("ascii", "replace").strip(" \0")

    transfer_syntax_uid = text(_TRANSFER_SYNTAX_UID)
    if not transfer_syntax_uid:
        with memoryview(data) as view, view[offset : offset + 16] as beginning:
            transfer_syntax_uid = detect_transfer_syntax(beginning) or IMPLICIT_VR_LITTLE_ENDIAN
    return FileMeta(
        transfer_syntax_uid=transfer_syntax_uid,
        media_storage_sop_class_uid=text(_MEDIA_STORAGE_SOP_CLASS_UID),
        media_storage_sop_instance_uid=text(_MEDIA_STORAGE_SOP_INSTANCE_UID),
        source_ae_title=text(_SOURCE_AE_TITLE),
        sending_ae_title=text(_SENDING_AE_TITLE),
        receiving_ae_title=text(_RECEIVING_AE_TITLE),
        dataset_offset=offset,
    )


def scan_file(data: Buffer) -> tuple[FileMeta, Header]:
    """Check a whole DICOM file: its meta information, then its data set.

    Raises
    ------
    InvalidDataset
        As `read_file_meta` and `lanthorn_core.dicom.scan.scan_dataset` do.
    """
    meta = read_file_meta(data)
    with memoryview(data) as view, view[meta.dataset_offset :] as dataset:
        header = scan_dataset(dataset, meta.transfer_syntax_uid, base_offset=meta.dataset_offset)
    return meta, header


def encode_file_meta(
    *,
    sop_class_uid: str,
    sop_instance_uid: str,
    transfer_syntax_uid: str,
    source_ae_title: str = "",
    receiving_ae_title: str = "",
) -> bytes:
    """Write preamble, ``DICM`` and File Meta Information, ready to be followed by a data set.

    Parameters
    ----------
    sop_class_uid, sop_instance_uid, transfer_syntax_uid : str
        What the file holds and how.
    source_ae_title : str
        Who sent it (Source Application Entity Title (0002,0016)); left out if empty.
    receiving_ae_title : str
        Who received it (Receiving Application Entity Title (0002,0018)); left out if empty.
    """
    group = [
        b"\x02\x00\x01\x00OB\x00\x00\x02\x00\x00\x00\x00\x01",  # File Meta Information Version 1
        _meta_element(_MEDIA_STORAGE_SOP_CLASS_UID, b"UI", sop_class_uid),
        _meta_element(_MEDIA_STORAGE_SOP_INSTANCE_UID, b"UI", sop_instance_uid),
        _meta_element(_TRANSFER_SYNTAX_UID, b"UI", transfer_syntax_uid),
        _meta_element(_IMPLEMENTATION_CLASS_UID, b"UI", IMPLEMENTATION_CLASS_UID),
        _meta_element(_IMPLEMENTATION_VERSION_NAME, b"SH", IMPLEMENTATION_VERSION_NAME),
    ]
    if source_ae_title:
        group.append(_meta_element(_SOURCE_AE_TITLE, b"AE", source_ae_title))
    if receiving_ae_title:
        group.append(_meta_element(_RECEIVING_AE_TITLE, b"AE", receiving_ae_title))
    body = b"".join(group)
    group_length = struct.pack("<HH2sHL", 0x0002, 0x0000, b"UL", 4, len(body))
    return bytes(_PREAMBLE) + _MAGIC + group_length + body


def normalize_upload(data: bytes) -> bytes:
    """Make a DICOM file of what a client uploaded.

    A file comes back as it is. File Meta Information without a preamble gets one; a bare data set
    (without either) in one of the three native transfer syntaxes gets both. A real Orthanc accepts
    all of these.

    Raises
    ------
    InvalidDataset
        It is neither, or the bare data set is broken.
    """
    if is_part10(data):
        return data
    transfer_syntax_uid = detect_transfer_syntax(data)
    if transfer_syntax_uid == EXPLICIT_VR_LITTLE_ENDIAN and data.startswith(b"\x02\x00"):
        return bytes(_PREAMBLE) + _MAGIC + data
    if transfer_syntax_uid is None:
        raise InvalidDataset(f"not a DICOM file (size: {len(data)} bytes)")
    header = scan_dataset(data, transfer_syntax_uid)

    def uid(tag: int) -> str:
        return (header.value(tag) or b"").decode("ascii", "replace").strip(" \0")

    return (
        encode_file_meta(
            sop_class_uid=uid(_SOP_CLASS_UID),
            sop_instance_uid=uid(_SOP_INSTANCE_UID),
            transfer_syntax_uid=transfer_syntax_uid,
        )
        + data
    )


def read_dataset(data: Buffer, *, until_pixels: bool = True) -> FileDataset:
    """Read a DICOM file for use with pydicom.

    Parameters
    ----------
    data : bytes-like
        A DICOM file.
    until_pixels : bool
        Whether to stop before Pixel Data (7fe0,0010), and not to copy it.

    Returns
    -------
    pydicom.FileDataset
        Values are converted when they are asked for, and may raise what pydicom raises then.

    Raises
    ------
    InvalidDataset
        As `scan_file` does, or pydicom cannot read what is there, or a deflated data set that is
        wanted with its pixels exceeds `MAX_INFLATED_WHOLE_BYTES`.
    """
    meta, header = scan_file(data)
    encoding = header.encoding
    elements = raw_elements(header.encoded, header.elements, encoding)
    if not until_pixels and header.has_pixel_data:
        rest = _from_pixels_on(data, meta, header)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                for element in data_element_generator(
                    BytesIO(rest), encoding.implicit, encoding.little_endian
                ):
                    elements.setdefault(element.tag, element)
        except Exception as exc:
            # pydicom raises what its parts raise: EOFError, ValueError, NotImplementedError, ...
            raise InvalidDataset(f"pydicom cannot read the data set: {exc}") from exc
    group_2, _ = _scan_group_2(data)
    beginning = bytes(data[: meta.dataset_offset])
    dataset = make_dataset(elements, encoding)
    read = FileDataset(
        BytesIO(),
        dataset,
        preamble=beginning[:_PREAMBLE],
        file_meta=FileMetaDataset(Dataset(raw_elements(beginning, group_2, EXPLICIT_LITTLE))),
    )
    read.set_original_encoding(
        encoding.implicit, encoding.little_endian, dataset.original_character_set
    )
    return read


def _from_pixels_on(data: Buffer, meta: FileMeta, header: Header) -> bytes:
    if header.pixel_data_offset is not None:
        return bytes(data[header.pixel_data_offset :])
    with memoryview(data) as view, view[meta.dataset_offset :] as deflated:
        inflated = InflatedDataset(
            deflated,
            limit_bytes=MAX_INFLATED_WHOLE_BYTES,
            held_limit_bytes=MAX_INFLATED_WHOLE_BYTES,
        )
        inflated.inflate_all()
    return inflated.held[len(header.encoded) :]


@lru_cache(maxsize=256)  # all but the UID of the instance are the same for a whole association
def _meta_element(tag: int, vr: bytes, text: str) -> bytes:
    value = text.encode("ascii", "replace")
    if len(value) % 2:
        value += b"\0" if vr == b"UI" else b" "
    return struct.pack("<HH2sH", tag >> 16, tag & 0xFFFF, vr, len(value)) + value


def _scan_group_2(data: Buffer) -> tuple[dict[int, RawElement], int]:
    """Read elements while they are of group 2; group length is not relied upon."""
    elements: dict[int, RawElement] = {}
    pos, end = _PREAMBLE + len(_MAGIC), len(data)
    while end - pos >= 8:
        group, number, vr_code, length = EXPLICIT_LITTLE.short.unpack_from(data, pos)
        if group != 0x0002:
            break
        known = EXPLICIT_LITTLE.vrs.get(vr_code)
        if known is None:
            raise InvalidDataset(f"(0002,{number:04x}) at byte {pos} has no known VR")
        vr, is_long = known
        start = pos + 8
        if is_long:
            if end - pos < 12:
                raise InvalidDataset("the file meta information is truncated")
            (length,) = EXPLICIT_LITTLE.long.unpack_from(data, pos + 8)
            start = pos + 12
        if length > end - start:
            raise InvalidDataset(
                f"(0002,{number:04x}) at byte {pos} says it is {length} bytes long, "
                f"but {end - start} are left"
            )
        elements[group << 16 | number] = RawElement(vr, start, length)
        pos = start + length
    return elements, pos
