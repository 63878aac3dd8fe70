"""Which presentation contexts the gateway accepts: pure policy, no transport.

References
----------
DICOM PS3.8 Sections 7.1.1.13, 7.1.1.14 and Table 9-18; PS3.4 Annexes A and B; PS3.5 Section 10.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from pydicom._uid_dict import UID_dictionary
from pynetdicom.sop_class import _STORAGE_CLASSES

from lanthorn_core.runtime.settings import Settings
from lanthorn_dimse import AnsweredContext, ContextResult, ProposedContext, Roles

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


_NO_ROLES: Final[Mapping[str, Roles]] = MappingProxyType({})


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


_KNOWN_STORAGE: Final = frozenset(STORAGE_SOP_CLASSES)
_ALL_TRANSFER_SYNTAXES: Final = frozenset(TRANSFER_SYNTAXES)


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
    services : mapping of str to sequence of str
        SOP classes of the other services with their transfer syntaxes, the preferred first.
    """

    def __init__(
        self,
        *,
        accepted_transfer_syntaxes: Sequence[str],
        accepted_sop_classes: Sequence[str] = (),
        rejected_sop_classes: Sequence[str] = (),
        unknown_sop_class_accepted: bool = False,
        services: Mapping[str, Sequence[str]] = MappingProxyType({}),
    ) -> None:
        self._services = services
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

    @classmethod
    def of(cls, settings: Settings, services: Mapping[str, Sequence[str]]) -> ContextPolicy:
        """Make the policy from Orthanc's options; `ReadOnly` takes nothing by C-STORE."""
        return cls(
            accepted_transfer_syntaxes=settings.accepted_transfer_syntaxes,
            accepted_sop_classes=settings.accepted_sop_classes,
            rejected_sop_classes=("*",) if settings.read_only else settings.rejected_sop_classes,
            unknown_sop_class_accepted=settings.unknown_sop_class_accepted,
            services=services,
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

    def answer(
        self, proposed: Iterable[ProposedContext], roles: Mapping[str, Roles] = _NO_ROLES
    ) -> tuple[AnsweredContext, ...]:
        """Answer every proposed context, in the order in which they were proposed.

        Of storage, the first acceptable transfer syntax in the requestor's order is taken; of the
        other services, the first in ours. A requestor that proposes to be SCP of a storage class
        wants it by C-GET: what we may send is acceptable then, whatever we take ourselves.
        """
        return tuple(
            self._answer_one(context, roles.get(context.abstract_syntax)) for context in proposed
        )

    def agreed_roles(self, proposed: Mapping[str, Roles]) -> dict[str, Roles]:
        """Answer proposed roles: as proposed, but nobody is SCU of what is not taken here."""
        return {
            uid: Roles(
                scu=role.scu and (uid in self._services or self.accepts_storage_of(uid)),
                scp=role.scp,
            )
            for uid, role in proposed.items()
        }

    def _answer_one(self, context: ProposedContext, roles: Roles | None) -> AnsweredContext:
        uid = context.abstract_syntax
        offered = self._services.get(uid)
        if offered is not None:
            chosen = next((one for one in offered if one in context.transfer_syntaxes), None)
        else:
            taken = self.accepts_storage_of(uid) and (roles is None or roles.scu)
            sent = roles is not None and roles.scp and _is_storage(uid)
            if not taken and not sent:
                return _refuse(context, ContextResult.ABSTRACT_SYNTAX_NOT_SUPPORTED)
            acceptable = self.transfer_syntaxes if taken else _ALL_TRANSFER_SYNTAXES
            chosen = next((one for one in context.transfer_syntaxes if one in acceptable), None)
        if chosen is None:
            return _refuse(context, ContextResult.TRANSFER_SYNTAXES_NOT_SUPPORTED)
        return AnsweredContext(context.context_id, uid, ContextResult.ACCEPTANCE, chosen)

    def _is_rejected(self, sop_class_uid: str) -> bool:
        return any(pattern.fullmatch(sop_class_uid) for pattern in self._rejected)


def _is_storage(sop_class_uid: str) -> bool:
    """Whether instances of it may be here: of the Standard's storage classes, or a private one."""
    return sop_class_uid in _KNOWN_STORAGE or sop_class_uid not in UID_dictionary


def _refuse(context: ProposedContext, result: ContextResult) -> AnsweredContext:
    # PS3.8 Table 9-18: a transfer syntax must be there, its value shall not be tested.
    transfer_syntax = (*context.transfer_syntaxes, _IMPLICIT_VR_LITTLE_ENDIAN)[0]
    return AnsweredContext(context.context_id, context.abstract_syntax, result, transfer_syntax)
