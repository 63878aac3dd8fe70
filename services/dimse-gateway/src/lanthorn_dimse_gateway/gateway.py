"""What the gateway does on an association, told without any upper layer.

A carrier (today pynetdicom's threads) brings A-ASSOCIATE-RQs and DIMSE requests here and sends what
comes back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from lanthorn_dimse_gateway.access import AccessPolicy, Rejection, Requestor
from lanthorn_dimse_gateway.contexts import (
    AnsweredContext,
    ContextPolicy,
    ContextResult,
    ProposedContext,
)
from lanthorn_dimse_gateway.scp.answer import Answer
from lanthorn_dimse_gateway.scp.echo import answer_echo
from lanthorn_dimse_gateway.scp.store import IncomingStore, StoreCommand, StoreScp


@dataclass(frozen=True, slots=True)
class Roles:
    """SCP/SCU role selection of one SOP class (PS3.7 Section D.3.3.4)."""

    scu: bool
    scp: bool


@dataclass(frozen=True, slots=True)
class AssociationLimits:
    """What one process lets its peers have.

    Attributes
    ----------
    maximum_pdu_length : int
        Offered to the peer, in bytes of P-DATA-TF content (PS3.8 Annex D.1).
    timeout_s : float or None
        Silence after which a peer is given up (`DicomScpTimeout`), None for never.
    associations : int
        Established at the same time.
    """

    maximum_pdu_length: int = 128 * 1024
    timeout_s: float | None = 30.0
    associations: int = 100


@dataclass(frozen=True, slots=True)
class Negotiated:
    """The acceptance of an association."""

    contexts: tuple[AnsweredContext, ...]
    roles: Mapping[str, Roles]


@dataclass(frozen=True, slots=True)
class Gateway:
    """The services and policies that all associations of this process share."""

    access: AccessPolicy
    contexts: ContextPolicy
    limits: AssociationLimits
    store: StoreScp

    def negotiate(
        self,
        requestor: Requestor,
        proposed: Iterable[ProposedContext],
        roles: Mapping[str, Roles],
        *,
        associations: int,
    ) -> Negotiated | Rejection:
        """Answer an A-ASSOCIATE-RQ; `associations` counts those established already.

        Role selection is accepted as proposed, as Orthanc does: C-GET needs it.
        """
        rejection = self.access.admit(
            requestor, associations=associations, limit=self.limits.associations
        )
        if rejection is not None:
            return rejection
        answered = self.contexts.answer(proposed)
        accepted = {
            context.abstract_syntax
            for context in answered
            if context.result is ContextResult.ACCEPTANCE
        }
        return Negotiated(answered, {uid: role for uid, role in roles.items() if uid in accepted})

    def answer_echo(self, requestor: Requestor) -> Answer:
        """Answer a C-ECHO request."""
        return answer_echo(self.access, requestor)

    def begin_store(self, command: StoreCommand, requestor: Requestor) -> IncomingStore:
        """Begin to receive the data set of a C-STORE request."""
        return self.store.begin(command, requestor)
