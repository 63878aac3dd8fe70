"""Who may associate, and who may do what: pure decisions over Orthanc's options.

References
----------
DICOM PS3.8 Section 9.3.4 and Table 9-21 (A-ASSOCIATE-RJ); PS3.7 Annex C.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from lanthorn_core.model import RemoteAE
from lanthorn_core.runtime.settings import Settings
from lanthorn_dimse import (
    APPLICATION_CONTEXT_NAME,
    APPLICATION_CONTEXT_NOT_SUPPORTED,
    CALLED_AE_TITLE_NOT_RECOGNIZED,
    CALLING_AE_TITLE_NOT_RECOGNIZED,
    LOCAL_LIMIT_EXCEEDED,
    AssociateRejection,
    Association,
)


class Service(Enum):
    """What a peer can ask for; the names are those of Orthanc's `Allow…` options."""

    ECHO = "Echo"
    STORE = "Store"
    FIND = "Find"
    FIND_WORKLIST = "FindWorklist"
    GET = "Get"
    MOVE = "Move"
    N_ACTION = "NAction"
    EVENT_REPORT = "EventReport"


@dataclass(frozen=True, slots=True)
class Requestor:
    """What is known of the peer when its A-ASSOCIATE-RQ is there."""

    calling_ae_title: str
    called_ae_title: str
    remote_ip: str
    application_context_name: str = APPLICATION_CONTEXT_NAME


def requestor_of(assoc: Association) -> Requestor:
    """Tell who asks on an association: mostly who opened it, else the one that we called."""
    if assoc.is_acceptor:
        return Requestor(assoc.calling_ae_title, assoc.called_ae_title, assoc.remote_ip)
    return Requestor(assoc.called_ae_title, assoc.calling_ae_title, assoc.remote_ip)


@dataclass(frozen=True, slots=True)
class KnownAE:
    """A remote AE with what it is allowed."""

    ae_title: str
    host: str
    allowed: frozenset[Service] = frozenset(Service)


_PERMISSIONS: Final = {
    Service.ECHO: "allow_echo",
    Service.STORE: "allow_store",
    Service.FIND: "allow_find",
    Service.FIND_WORKLIST: "allow_find_worklist",
    Service.GET: "allow_get",
    Service.MOVE: "allow_move",
    Service.N_ACTION: "allow_n_action",
    Service.EVENT_REPORT: "allow_event_report",
}
_OPEN_TO_EVERYBODY: Final = {
    Service.ECHO: "dicom_always_allow_echo",
    Service.STORE: "dicom_always_allow_store",
    Service.FIND: "dicom_always_allow_find",
    Service.FIND_WORKLIST: "dicom_always_allow_find_worklist",
    Service.GET: "dicom_always_allow_get",
    Service.MOVE: "dicom_always_allow_move",
}


def known_aes(remote_aes: Iterable[RemoteAE]) -> tuple[KnownAE, ...]:
    """Tell what remote AEs are allowed."""
    return tuple(
        KnownAE(
            remote.ae_title,
            remote.host,
            frozenset(service for service, name in _PERMISSIONS.items() if getattr(remote, name)),
        )
        for remote in remote_aes
    )


@dataclass(frozen=True, slots=True)
class AccessPolicy:
    """The rules of admission.

    Attributes
    ----------
    ae_title : str
        Our own AE title (`DicomAet`).
    check_called_ae_title : bool
        `DicomCheckCalledAet`: refuse who calls another AE title.
    strict_comparison : bool
        `StrictAetComparison`: upper and lower case differ in AE titles.
    check_host : bool
        `DicomCheckModalityHost`: a known AE must come from its configured address.
    open_to_everybody : frozenset of Service
        The `DicomAlwaysAllow…` options that are on.
    known : tuple of KnownAE
        `DicomModalities`, and those that were put in at run time.
    """

    ae_title: str
    check_called_ae_title: bool = False
    strict_comparison: bool = False
    check_host: bool = False
    open_to_everybody: frozenset[Service] = frozenset({Service.ECHO, Service.STORE})
    known: tuple[KnownAE, ...] = field(default=())

    @classmethod
    def of(cls, settings: Settings) -> AccessPolicy:
        """Make the rules from Orthanc's options, without any known remote AE."""
        return cls(
            ae_title=settings.dicom_aet,
            check_called_ae_title=settings.dicom_check_called_aet,
            strict_comparison=settings.strict_aet_comparison,
            check_host=settings.dicom_check_modality_host,
            open_to_everybody=frozenset(
                service
                for service, option in _OPEN_TO_EVERYBODY.items()
                if getattr(settings, option)
            ),
        )

    def admit(
        self, requestor: Requestor, *, associations: int, limit: int
    ) -> AssociateRejection | None:
        """Decide on an A-ASSOCIATE-RQ.

        Parameters
        ----------
        requestor : Requestor
            Who asks.
        associations : int
            How many associations this process serves already.
        limit : int
            How many it serves at most.

        Returns
        -------
        AssociateRejection or None
            None admits the peer. The permanent reasons come first: a peer that we shall never
            accept must not be told to try again.
        """
        if requestor.application_context_name != APPLICATION_CONTEXT_NAME:
            return APPLICATION_CONTEXT_NOT_SUPPORTED
        if self.check_called_ae_title and not self._same(requestor.called_ae_title, self.ae_title):
            return CALLED_AE_TITLE_NOT_RECOGNIZED
        if not self.open_to_everybody and not self._matching(requestor):
            return CALLING_AE_TITLE_NOT_RECOGNIZED
        if associations >= limit:
            return LOCAL_LIMIT_EXCEEDED
        return None

    def allows(self, requestor: Requestor, service: Service) -> bool:
        """Decide on a request over an association that was admitted."""
        if service in self.open_to_everybody:
            return True
        return any(service in known.allowed for known in self._matching(requestor))

    def _matching(self, requestor: Requestor) -> list[KnownAE]:
        return [
            known
            for known in self.known
            if self._same(known.ae_title, requestor.calling_ae_title)
            and (not self.check_host or _same_address(known.host, requestor.remote_ip))
        ]

    def _same(self, one: str, other: str) -> bool:
        # PS3.5 Section 6.2: leading and trailing spaces of an AE title are not significant.
        one, other = one.strip(" "), other.strip(" ")
        return one == other if self.strict_comparison else one.upper() == other.upper()


def _same_address(host: str, remote_ip: str) -> bool:
    """Compare addresses, not their spelling; a host name matches nothing, as in Orthanc."""
    try:
        return _address(host) == _address(remote_ip)
    except ValueError:
        return False


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address
