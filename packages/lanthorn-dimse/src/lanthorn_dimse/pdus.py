"""The PDUs of fixed length, and the codes of all.

References
----------
DICOM PS3.8 Section 9.3.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from lanthorn_dimse.negotiation import AssociateRejection


class PduType(IntEnum):
    """PDU-type (PS3.8 Section 9.3)."""

    A_ASSOCIATE_RQ = 0x01
    A_ASSOCIATE_AC = 0x02
    A_ASSOCIATE_RJ = 0x03
    P_DATA_TF = 0x04
    A_RELEASE_RQ = 0x05
    A_RELEASE_RP = 0x06
    A_ABORT = 0x07


class AbortReason(IntEnum):
    """Reason of an A-ABORT whose source is the service provider (PS3.8 Table 9-26)."""

    NOT_SPECIFIED = 0
    UNRECOGNIZED_PDU = 1
    UNEXPECTED_PDU = 2
    UNRECOGNIZED_PDU_PARAMETER = 4
    UNEXPECTED_PDU_PARAMETER = 5
    INVALID_PDU_PARAMETER = 6


SERVICE_USER: Final = 0
SERVICE_PROVIDER: Final = 2
"""Sources of an A-ABORT (PS3.8 Table 9-26)."""

A_RELEASE_RQ: Final = bytes([PduType.A_RELEASE_RQ, 0, 0, 0, 0, 4, 0, 0, 0, 0])
A_RELEASE_RP: Final = bytes([PduType.A_RELEASE_RP, 0, 0, 0, 0, 4, 0, 0, 0, 0])


def abort_pdu(source: int, reason: int) -> bytes:
    """Encode an A-ABORT (PS3.8 Section 9.3.8)."""
    return bytes([PduType.A_ABORT, 0, 0, 0, 0, 4, 0, 0, source, reason])


def rejection_pdu(rejection: AssociateRejection) -> bytes:
    """Encode an A-ASSOCIATE-RJ (PS3.8 Section 9.3.4)."""
    what = (rejection.result, rejection.source, rejection.reason)
    return bytes([PduType.A_ASSOCIATE_RJ, 0, 0, 0, 0, 4, 0, *what])


def decode_rejection(body: bytes | memoryview) -> AssociateRejection:
    """Decode the four bytes after the length of an A-ASSOCIATE-RJ."""
    return AssociateRejection(body[1], body[2], body[3])
