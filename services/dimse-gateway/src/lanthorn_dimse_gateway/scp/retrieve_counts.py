"""Sub-operations of a C-MOVE or C-GET: how they are counted and what the whole comes to.

References
----------
DICOM PS3.4 Sections C.4.2.1 and C.4.3.1, Tables C.4-2 and C.4-3; PS3.7 Annex C.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Final, TypedDict

from lanthorn_core.dicom.encodings import EXPLICIT_LITTLE, Encoding, encoding_of
from lanthorn_dimse_gateway.store_status import is_failure, is_warning

SUCCESS: Final = 0x0000
CANCELED: Final = 0xFE00
"""Sub-operations terminated due to Cancel indication."""
SOME_FAILED: Final = 0xB000
"""Sub-operations complete, one or more failures or warnings."""
UNABLE_TO_PERFORM: Final = 0xA702
"""Refused: out of resources, unable to perform sub-operations."""

_MOST: Final = 0xFFFF
"""The numbers of sub-operations are US (PS3.7 Tables 9.3-4 and 9.3-7)."""
_FAILED_SOP_INSTANCE_UID_LIST: Final = 0x0008_0058
_LONGEST_SHORT_VALUE: Final = 0xFFFE


class CountFields(TypedDict, total=False):
    """Numbers of sub-operations (0000,1020) to (0000,1023) as a command set has them."""

    remaining: int
    completed: int
    failed: int
    warning: int


@dataclass(slots=True)
class SubOperationCounts:
    """How far a retrieval is; `failed_uids` are the SOP Instance UIDs of what failed."""

    remaining: int
    completed: int = 0
    failed: int = 0
    warning: int = 0
    failed_uids: list[str] = field(default_factory=list)

    def record(self, sop_instance_uid: str, status: int | None) -> None:
        """Count a sub-operation by the status of its C-STORE; None when there was no answer."""
        self.remaining -= 1
        if status is None or is_failure(status):
            self.failed += 1
            self.failed_uids.append(sop_instance_uid)
        elif is_warning(status):
            self.warning += 1
        else:
            self.completed += 1

    @property
    def final_status(self) -> int:
        """Status of the final response when nobody canceled."""
        if not self.failed and not self.warning:
            return SUCCESS
        if not self.completed and not self.warning:
            return UNABLE_TO_PERFORM
        return SOME_FAILED

    def as_fields(self, *, with_remaining: bool) -> CountFields:
        """Give the counts as a command set has them.

        Remaining sub-operations belong to pending and canceled responses only (PS3.4 Section
        C.4.2.1.6).
        """
        fields = CountFields(
            completed=min(self.completed, _MOST),
            failed=min(self.failed, _MOST),
            warning=min(self.warning, _MOST),
        )
        if with_remaining:
            fields["remaining"] = min(self.remaining, _MOST)
        return fields


def encode_failed_list(sop_instance_uids: list[str], transfer_syntax_uid: str) -> bytes:
    """Encode the identifier of a final response: Failed SOP Instance UID List (0008,0058).

    Parameters
    ----------
    sop_instance_uids : list of str
        What failed.
    transfer_syntax_uid : str
        Transfer syntax of the presentation context.

    References
    ----------
    DICOM PS3.5 Section 6.2.2: a value too long for UI in explicit VR is written as UN.
    """
    value = "\\".join(sop_instance_uids).encode("ascii", "replace")
    value += b"\0" * (len(value) % 2)
    return _element_header(encoding_of(transfer_syntax_uid) or EXPLICIT_LITTLE, len(value)) + value


def _element_header(encoding: Encoding, length: int) -> bytes:
    group, number = _FAILED_SOP_INSTANCE_UID_LIST >> 16, _FAILED_SOP_INSTANCE_UID_LIST & 0xFFFF
    if encoding.implicit:
        return encoding.implicit_header.pack(group, number, length)
    order = "<" if encoding.little_endian else ">"
    if length > _LONGEST_SHORT_VALUE:
        return struct.pack(f"{order}HH2sHL", group, number, b"UN", 0, length)
    return struct.pack(f"{order}HH2sH", group, number, b"UI", length)
