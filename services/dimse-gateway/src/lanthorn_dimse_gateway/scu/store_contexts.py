"""Which presentation contexts a sender proposes, and which one carries an instance.

References
----------
DICOM PS3.4 Section B.3.1; PS3.8 Section 7.1.1.13. The groups are Orthanc's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from lanthorn_core.dicom.encodings import (
    EXPLICIT_VR_BIG_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
)
from lanthorn_core.errors import UnsupportedTransferSyntax
from lanthorn_core.ports.index import StoredInstance
from lanthorn_dimse import AcceptedContext
from lanthorn_dimse_gateway.scu.associations import Proposal

MAXIMUM_CONTEXTS: Final = 128
"""Presentation context IDs are the odd numbers of one byte (PS3.8 Section 7.1.1.13)."""

UNCOMPRESSED: Final = (
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    EXPLICIT_VR_BIG_ENDIAN,
)
_UID: Final = re.compile(r"[0-9][0-9.]{0,63}")


def is_uid(text: str) -> bool:
    """Whether a stored text can go out as a UID (PS3.5 Section 9.1)."""
    return _UID.fullmatch(text) is not None


class Encoded(NamedTuple):
    """A SOP class in one transfer syntax: what decides on the context of an instance."""

    sop_class_uid: str
    transfer_syntax_uid: str


def encoded_as(instance: StoredInstance) -> Encoded:
    """Tell SOP class and stored transfer syntax of an instance."""
    return Encoded(instance.sop_class_uid, instance.transfer_syntax_uid)


def uncompressed_in_order(preferred: str) -> tuple[str, ...]:
    """List the native transfer syntaxes, the preferred one first.

    `preferred` is `DicomScuPreferredTransferSyntax`; a compressed one is no target of ours.
    """
    return tuple(sorted(UNCOMPRESSED, key=lambda uid: uid != preferred))


def propose_storage(
    wanted: Iterable[Encoded], *, preferred: str, transcoding: bool
) -> list[tuple[Proposal, ...]]:
    """Say what to propose so that instances can be sent.

    Parameters
    ----------
    wanted : iterable of Encoded
        What there is to send, in the order of sending. What has no valid UIDs is left out: no
        association can carry it.
    preferred : str
        `DicomScuPreferredTransferSyntax`.
    transcoding : bool
        Whether native transfer syntaxes are proposed beside the stored ones.

    Returns
    -------
    list of tuple of (abstract syntax, transfer syntaxes)
        One tuple for each association that is needed: 128 contexts fit in one. Of each SOP class,
        every stored transfer syntax has a context of its own, so that the peer can accept all of
        them; the preferred one has another, the rest of the native ones share one.
    """
    stored: dict[str, list[str]] = {}
    for sop_class_uid, transfer_syntax_uid in dict.fromkeys(wanted):
        if is_uid(sop_class_uid) and is_uid(transfer_syntax_uid):
            stored.setdefault(sop_class_uid, []).append(transfer_syntax_uid)
    native = uncompressed_in_order(preferred) if transcoding else ()
    associations: list[list[Proposal]] = [[]]
    for sop_class_uid, transfer_syntaxes in stored.items():
        fallback = _fallback(native, transfer_syntaxes)
        room = MAXIMUM_CONTEXTS - len(fallback)
        for start in range(0, len(transfer_syntaxes), room):
            groups = [(uid,) for uid in transfer_syntaxes[start : start + room]] + fallback
            if len(associations[-1]) + len(groups) > MAXIMUM_CONTEXTS:
                associations.append([])
            associations[-1] += [(sop_class_uid, group) for group in groups]
    return [tuple(association) for association in associations if association]


def _fallback(native: Sequence[str], stored: Sequence[str]) -> list[tuple[str, ...]]:
    """Group the native transfer syntaxes that are not proposed as stored ones already."""
    preferred = tuple(uid for uid in native[:1] if uid not in stored)
    others = tuple(uid for uid in native[1:] if uid not in stored)
    return [group for group in (preferred, others) if group]


class ContextChoice:
    """Which context carries an instance: as it is stored, else in a native transfer syntax.

    Parameters
    ----------
    contexts : iterable of AcceptedContext
        Those of an association.
    preferred : str
        `DicomScuPreferredTransferSyntax`: of the native transfer syntaxes the first to be tried.
    transcoding : bool
        Whether native transfer syntaxes will do where the stored one was not accepted.
    """

    def __init__(
        self, contexts: Iterable[AcceptedContext], *, preferred: str, transcoding: bool
    ) -> None:
        self._usable = {
            Encoded(context.abstract_syntax, context.transfer_syntax): context
            for context in contexts
            if context.as_scu
        }
        self._native = uncompressed_in_order(preferred) if transcoding else ()

    def __call__(self, encoded: Encoded) -> AcceptedContext:
        """Choose the context of an instance.

        Raises
        ------
        UnsupportedTransferSyntax
            The peer takes it in no transfer syntax in which we may send it.
        """
        as_stored = self._usable.get(encoded)
        if as_stored is not None:
            return as_stored
        for transfer_syntax_uid in self._native:
            context = self._usable.get(Encoded(encoded.sop_class_uid, transfer_syntax_uid))
            if context is not None:
                return context
        raise UnsupportedTransferSyntax("The peer accepted no presentation context for it")
