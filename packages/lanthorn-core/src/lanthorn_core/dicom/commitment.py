"""The data sets of the Storage Commitment Push Model: requests and reports.

References
----------
DICOM PS3.4 Annex J: Tables J.3-1 (N-ACTION) and J.3-2 (N-EVENT-REPORT); failure reasons, PS3.3
Section C.14.1.1.
"""

from __future__ import annotations

import re
import secrets
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from lanthorn_core.dicom.elements import (
    ITEM,
    ITEM_END,
    SEQUENCE_END,
    UNDEFINED,
    ElementHeader,
    read_element_header,
    skip_sequence,
    too_long,
)
from lanthorn_core.dicom.encodings import Encoding, encoding_of
from lanthorn_core.dicom.scan import Header, scan_dataset
from lanthorn_core.dicom.tags import format_tag
from lanthorn_core.errors import InvalidDataset

PUSH_MODEL: Final = "1.2.840.10008.1.20.1"
"""Storage Commitment Push Model SOP Class."""

PUSH_MODEL_INSTANCE: Final = "1.2.840.10008.1.20.1.1"
"""Its well-known SOP Instance."""

REQUEST_STORAGE_COMMITMENT: Final = 1
"""The only Action Type ID (PS3.4 Section J.3.2)."""

ALL_COMMITTED: Final = 1
FAILURES_EXIST: Final = 2
"""Event Type IDs (PS3.4 Section J.3.3)."""

PROCESSING_FAILURE: Final = 0x0110
NO_SUCH_OBJECT_INSTANCE: Final = 0x0112
CLASS_INSTANCE_CONFLICT: Final = 0x0119

FAILURE_DESCRIPTIONS: Final[Mapping[int, str]] = MappingProxyType(
    {
        PROCESSING_FAILURE: "A general failure in processing the operation was encountered",
        NO_SUCH_OBJECT_INSTANCE: (
            "One or more of the elements in the Referenced SOP Instance Sequence was not available"
        ),
        CLASS_INSTANCE_CONFLICT: (
            "The SOP Class of an element in the Referenced SOP Instance Sequence did not "
            "correspond to the SOP class registered for this SOP Instance at the SCP"
        ),
        0x0122: (
            "Storage Commitment has been requested for a SOP Instance with a SOP Class that is not "
            "supported by the SCP"
        ),
        0x0131: "The Transaction UID of the Storage Commitment Request is already in use",
        0x0213: (
            "The SCP does not currently have enough resources to store the requested SOP "
            "Instance(s)"
        ),
    }
)
"""Failure Reason (0008,1197) in Orthanc's words, which are those of PS3.3 Section C.14.1.1."""

UNKNOWN_FAILURE: Final = "Unknown failure reason"

_UID: Final = re.compile(r"[0-9.]{1,64}")
_TRANSACTION_UID: Final = 0x0008_1195
_REFERENCED_SOP_SEQUENCE: Final = 0x0008_1199
_FAILED_SOP_SEQUENCE: Final = 0x0008_1198
_REFERENCED_SOP_CLASS_UID: Final = 0x0008_1150
_REFERENCED_SOP_INSTANCE_UID: Final = 0x0008_1155
_FAILURE_REASON: Final = 0x0008_1197


@dataclass(frozen=True, slots=True)
class SopReference:
    """One instance, by SOP Class and Instance UID."""

    sop_class_uid: str
    sop_instance_uid: str


@dataclass(frozen=True, slots=True)
class CommitmentFailure:
    """An instance that is not committed, and Failure Reason (0008,1197)."""

    reference: SopReference
    reason: int

    @property
    def description(self) -> str:
        """The reason in words."""
        return FAILURE_DESCRIPTIONS.get(self.reason, UNKNOWN_FAILURE)


@dataclass(frozen=True, slots=True)
class CommitmentRequest:
    """Action Information of an N-ACTION request."""

    transaction_uid: str
    references: tuple[SopReference, ...]


@dataclass(frozen=True, slots=True)
class CommitmentResult:
    """Event Information of an N-EVENT-REPORT request."""

    transaction_uid: str
    committed: tuple[SopReference, ...]
    failures: tuple[CommitmentFailure, ...]

    @property
    def event_type_id(self) -> int:
        """Which event tells this."""
        return FAILURES_EXIST if self.failures else ALL_COMMITTED


def new_transaction_uid() -> str:
    """Make a Transaction UID from a random number of 128 bits (PS3.5 Section B.2)."""
    return f"2.25.{secrets.randbits(128)}"


def encode_request(request: CommitmentRequest, transfer_syntax_uid: str) -> bytes:
    """Write the Action Information of a request."""
    write = _Writer(transfer_syntax_uid)
    return write.uid(_TRANSACTION_UID, request.transaction_uid) + write.sequence(
        _REFERENCED_SOP_SEQUENCE, (write.reference(one) for one in request.references)
    )


def encode_result(result: CommitmentResult, transfer_syntax_uid: str) -> bytes:
    """Write the Event Information of a report; a sequence without items is left out (type 1C)."""
    write = _Writer(transfer_syntax_uid)
    encoded = write.uid(_TRANSACTION_UID, result.transaction_uid)
    if result.failures:
        encoded += write.sequence(
            _FAILED_SOP_SEQUENCE,
            (
                write.reference(failure.reference) + write.number(_FAILURE_REASON, failure.reason)
                for failure in result.failures
            ),
        )
    if result.committed or not result.failures:
        encoded += write.sequence(
            _REFERENCED_SOP_SEQUENCE, (write.reference(one) for one in result.committed)
        )
    return encoded


def decode_request(encoded: bytes, transfer_syntax_uid: str) -> CommitmentRequest:
    """Read Action Information.

    Raises
    ------
    InvalidDataset
        It is broken, or a UID is missing or none.
    """
    header = scan_dataset(encoded, transfer_syntax_uid)
    return CommitmentRequest(
        _uid(_TRANSACTION_UID, header.value(_TRANSACTION_UID)),
        tuple(_reference(item) for item in _items(header, _REFERENCED_SOP_SEQUENCE)),
    )


def decode_result(encoded: bytes, transfer_syntax_uid: str) -> CommitmentResult:
    """Read Event Information.

    Raises
    ------
    InvalidDataset
        It is broken, or a UID is missing or none.
    """
    header = scan_dataset(encoded, transfer_syntax_uid)
    return CommitmentResult(
        _uid(_TRANSACTION_UID, header.value(_TRANSACTION_UID)),
        tuple(_reference(item) for item in _items(header, _REFERENCED_SOP_SEQUENCE)),
        tuple(
            CommitmentFailure(_reference(item), _reason(item, header.encoding))
            for item in _items(header, _FAILED_SOP_SEQUENCE)
        ),
    )


class _Writer:
    """Writes elements in Explicit or Implicit VR Little Endian; thousands of items are usual."""

    def __init__(self, transfer_syntax_uid: str) -> None:
        encoding = encoding_of(transfer_syntax_uid)
        self._is_implicit = encoding is not None and encoding.implicit

    def uid(self, tag: int, text: str) -> bytes:
        value = text.encode("ascii", "replace")
        return self._element(tag, b"UI", value + bytes(len(value) % 2))

    def number(self, tag: int, value: int) -> bytes:
        return self._element(tag, b"US", struct.pack("<H", value))

    def reference(self, reference: SopReference) -> bytes:
        return self.uid(_REFERENCED_SOP_CLASS_UID, reference.sop_class_uid) + self.uid(
            _REFERENCED_SOP_INSTANCE_UID, reference.sop_instance_uid
        )

    def sequence(self, tag: int, items: Iterable[bytes]) -> bytes:
        group, number = tag >> 16, tag & 0xFFFF
        content = b"".join(
            struct.pack("<HHL", ITEM >> 16, ITEM & 0xFFFF, len(item)) + item for item in items
        )
        if self._is_implicit:
            return struct.pack("<HHL", group, number, len(content)) + content
        return struct.pack("<HH2sHL", group, number, b"SQ", 0, len(content)) + content

    def _element(self, tag: int, vr: bytes, value: bytes) -> bytes:
        group, number = tag >> 16, tag & 0xFFFF
        if self._is_implicit:
            return struct.pack("<HHL", group, number, len(value)) + value
        return struct.pack("<HH2sH", group, number, vr, len(value)) + value


def _items(header: Header, tag: int) -> Iterator[dict[int, bytes]]:
    """Yield the plain elements of each item of a sequence that was scanned."""
    element = header.elements.get(tag)
    if element is None:
        return
    data, encoding = header.encoded, header.encoding
    pos, end = element.start, element.start + element.length
    item: dict[int, bytes] | None = None
    while end - pos >= 8:
        group, number, length = encoding.implicit_header.unpack_from(data, pos)
        inner = group << 16 | number
        if inner == SEQUENCE_END:
            break
        if inner in (ITEM, ITEM_END):
            if inner == ITEM:
                if item is not None:
                    yield item
                item = {}
            pos += 8
            continue
        if item is None:
            raise InvalidDataset("a sequence of references has something else than items")
        inner, vr, start, length = read_element_header(data, pos, end, encoding)
        if vr == "SQ" or length == UNDEFINED:
            pos = skip_sequence(data, ElementHeader(inner, vr, start, length), end, encoding)
            continue
        if length > end - start:
            raise too_long(inner, pos, length, end - start)
        item[inner] = data[start : start + length]
        pos = start + length
    if item is not None:
        yield item


def _reference(item: Mapping[int, bytes]) -> SopReference:
    return SopReference(
        *(
            _uid(tag, item.get(tag))
            for tag in (_REFERENCED_SOP_CLASS_UID, _REFERENCED_SOP_INSTANCE_UID)
        )
    )


def _uid(tag: int, value: bytes | None) -> str:
    text = (value or b"").decode("ascii", "replace").strip(" \0")
    if not _UID.fullmatch(text):
        raise InvalidDataset(f"({format_tag(tag)}) is missing or no UID")
    return text


def _reason(item: Mapping[int, bytes], encoding: Encoding) -> int:
    value = item.get(_FAILURE_REASON, b"")
    if len(value) != 2:
        return PROCESSING_FAILURE
    return int.from_bytes(value, "little" if encoding.little_endian else "big")
