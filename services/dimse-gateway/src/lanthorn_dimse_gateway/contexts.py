"""Which presentation contexts the gateway accepts: pure policy, no transport.

References
----------
DICOM PS3.8 Sections 7.1.1.13, 7.1.1.14 and Table 9-18; PS3.4 Annexes A and B; PS3.5 Section 10.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from pydicom._uid_dict import UID_dictionary
from pynetdicom.sop_class import _STORAGE_CLASSES

VERIFICATION: Final = "1.2.840.10008.1.1"
_IMPLICIT_VR_LITTLE_ENDIAN: Final = "1.2.840.10008.1.2"

GE_PRIVATE_IMPLICIT: Final = "1.2.840.113619.5.2"
"""Implicit VR Little Endian with big endian pixels, sent by older GE devices."""

_NOT_A_BINARY_DATA_SET: Final = frozenset(
    {
        "1.2.840.10008.1.2.6.1",  # RFC 2557 MIME encapsulation
        "1.2.840.10008.1.2.6.2",  # XML Encoding
    }
)
"""Retired transfer syntaxes of documents on media: what they encode is no data set."""

_VERIFICATION_TRANSFER_SYNTAXES: Final = frozenset(
    {
        _IMPLICIT_VR_LITTLE_ENDIAN,
        "1.2.840.10008.1.2.1",  # Explicit VR Little Endian
        "1.2.840.10008.1.2.2",  # Explicit VR Big Endian
    }
)

_NOT_PATIENT_STORAGE: Final = frozenset(
    {
        "1.2.840.10008.1.3.10",  # Media Storage Directory Storage: lives on media only
        "1.2.840.10008.1.20.1",  # Storage Commitment Push Model
        "1.2.840.10008.1.20.2",  # Storage Commitment Pull Model
        "1.2.840.10008.5.1.4.1.1.200.1",  # CT Defined Procedure Protocol Storage
        "1.2.840.10008.5.1.4.1.1.200.3",  # Protocol Approval Storage
        "1.2.840.10008.5.1.4.1.1.200.7",  # XA Defined Procedure Protocol Storage
        "1.2.840.10008.5.1.4.1.1.201.1",  # Inventory Storage
        "1.2.840.10008.5.1.4.38.1",  # Hanging Protocol Storage
        "1.2.840.10008.5.1.4.39.1",  # Color Palette Storage
        "1.2.840.10008.5.1.4.43.1",  # Generic Implant Template Storage
        "1.2.840.10008.5.1.4.44.1",  # Implant Assembly Template Storage
        "1.2.840.10008.5.1.4.45.1",  # Implant Template Group Storage
    }
)
"""Named Storage, but without patient and study: Non-Patient Object Storage (PS3.4 Annex GG)."""

TRANSFER_SYNTAXES: Final[tuple[str, ...]] = (
    *(
        uid
        for uid, entry in UID_dictionary.items()
        if entry[1] == "Transfer Syntax" and uid not in _NOT_A_BINARY_DATA_SET
    ),
    GE_PRIVATE_IMPLICIT,
)
"""Every transfer syntax in which a data set can cross an association, retired ones included."""

STORAGE_SOP_CLASSES: Final[tuple[str, ...]] = tuple(
    dict.fromkeys(
        [
            *(
                uid
                for uid, entry in UID_dictionary.items()
                if entry[1] == "SOP Class"
                and "Storage" in entry[0]
                and uid not in _NOT_PATIENT_STORAGE
            ),
            *(str(uid) for uid in _STORAGE_CLASSES.values()),
        ]
    )
)
"""Every SOP class of the Storage Service Class, retired ones and DICOS and DICONDE included."""


class ContextResult(IntEnum):
    """Result/Reason of a presentation context (PS3.8 Table 9-18)."""

    ACCEPTANCE = 0
    USER_REJECTION = 1
    NO_REASON = 2
    ABSTRACT_SYNTAX_NOT_SUPPORTED = 3
    TRANSFER_SYNTAXES_NOT_SUPPORTED = 4


@dataclass(frozen=True, slots=True)
class ProposedContext:
    """One presentation context of an A-ASSOCIATE-RQ; syntaxes in the requestor's order."""

    context_id: int
    abstract_syntax: str
    transfer_syntaxes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AnsweredContext:
    """The answer to one proposed context; `transfer_syntax` has no meaning in a refusal."""

    context_id: int
    abstract_syntax: str
    result: ContextResult
    transfer_syntax: str


def select_by_pattern(patterns: Iterable[str], known: Iterable[str]) -> frozenset[str]:
    """Return the UIDs that patterns name: `*` and `?` match known ones, the rest is verbatim."""
    known = tuple(known)
    selected: set[str] = set()
    for pattern in patterns:
        if "*" in pattern or "?" in pattern:
            matches = _compile(pattern)
            selected.update(uid for uid in known if matches.fullmatch(uid))
        else:
            selected.add(pattern)
    return frozenset(selected)


def _compile(pattern: str) -> re.Pattern[str]:
    return re.compile(re.escape(pattern).replace(r"\*", ".*").replace(r"\?", "."))


class ContextPolicy:
    """Answers proposed presentation contexts by Orthanc's options.

    Parameters
    ----------
    accepted_transfer_syntaxes : sequence of str
        `AcceptedTransferSyntaxes`: UIDs or wildcards over `TRANSFER_SYNTAXES`.
    accepted_sop_classes : sequence of str
        `AcceptedSopClasses`: UIDs, or wildcards over `STORAGE_SOP_CLASSES`; empty means all of
        these. A UID may be one that we do not know.
    rejected_sop_classes : sequence of str
        `RejectedSopClasses`: UIDs or wildcards; these win over everything else.
    unknown_sop_class_accepted : bool
        `UnknownSopClassAccepted`: take any abstract syntax that the Standard does not define for
        a storage SOP class.
    """

    def __init__(
        self,
        *,
        accepted_transfer_syntaxes: Sequence[str],
        accepted_sop_classes: Sequence[str] = (),
        rejected_sop_classes: Sequence[str] = (),
        unknown_sop_class_accepted: bool = False,
    ) -> None:
        self._rejected = tuple(_compile(pattern) for pattern in rejected_sop_classes)
        self._unknown_sop_class_accepted = unknown_sop_class_accepted
        self.transfer_syntaxes: Final = select_by_pattern(
            accepted_transfer_syntaxes, TRANSFER_SYNTAXES
        )
        self.sop_classes: Final = frozenset(
            uid
            for uid in select_by_pattern(accepted_sop_classes or ("*",), STORAGE_SOP_CLASSES)
            if not self._is_rejected(uid)
        )

    def accepts_storage_of(self, sop_class_uid: str) -> bool:
        """Whether instances of this SOP class may be stored."""
        if sop_class_uid in self.sop_classes:
            return True
        return (
            self._unknown_sop_class_accepted
            and sop_class_uid not in UID_dictionary
            and not self._is_rejected(sop_class_uid)
        )

    def answer(self, proposed: Iterable[ProposedContext]) -> tuple[AnsweredContext, ...]:
        """Answer every proposed context, in the order in which they were proposed.

        The first acceptable transfer syntax in the requestor's order is taken.
        """
        return tuple(self._answer_one(context) for context in proposed)

    def _answer_one(self, context: ProposedContext) -> AnsweredContext:
        if context.abstract_syntax == VERIFICATION:
            acceptable = _VERIFICATION_TRANSFER_SYNTAXES
        elif self.accepts_storage_of(context.abstract_syntax):
            acceptable = self.transfer_syntaxes
        else:
            return _refuse(context, ContextResult.ABSTRACT_SYNTAX_NOT_SUPPORTED)
        for transfer_syntax in context.transfer_syntaxes:
            if transfer_syntax in acceptable:
                return AnsweredContext(
                    context.context_id,
                    context.abstract_syntax,
                    ContextResult.ACCEPTANCE,
                    transfer_syntax,
                )
        return _refuse(context, ContextResult.TRANSFER_SYNTAXES_NOT_SUPPORTED)

    def _is_rejected(self, sop_class_uid: str) -> bool:
        return any(pattern.fullmatch(sop_class_uid) for pattern in self._rejected)


def _refuse(context: ProposedContext, result: ContextResult) -> AnsweredContext:
    # PS3.8 Table 9-18: a transfer syntax must be there, its value shall not be tested.
    transfer_syntax = (*context.transfer_syntaxes, _IMPLICIT_VR_LITTLE_ENDIAN)[0]
    return AnsweredContext(context.context_id, context.abstract_syntax, result, transfer_syntax)
