"""What two application entities agree on before they exchange messages.

References
----------
DICOM PS3.8 Sections 7.1.1 and 9.3.2 to 9.3.4; PS3.7 Annex D.3.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

APPLICATION_CONTEXT_NAME: Final = "1.2.840.10008.3.1.1.1"
"""The DICOM Application Context (PS3.7 Section A.2.1), the only one there is."""

IMPLEMENTATION_CLASS_UID: Final = "2.25.9904606688671706799813200800882224293"
IMPLEMENTATION_VERSION_NAME: Final = "LANTHORN_DIMSE"
"""Of this library; who builds on it names itself in requests and acceptances."""

MAXIMUM_LENGTH: Final = 131072
"""The P-DATA-TF length that is offered by default (PS3.8 Section D.1)."""

MAXIMUM_CONTEXTS: Final = 128
"""Presentation context IDs are the odd numbers of one byte (PS3.8 Section 7.1.1.13)."""


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


@dataclass(frozen=True, slots=True)
class AcceptedContext:
    """A presentation context that both sides may use; the roles are this side's."""

    context_id: int
    abstract_syntax: str
    transfer_syntax: str
    as_scu: bool
    as_scp: bool


@dataclass(frozen=True, slots=True)
class Roles:
    """SCP/SCU Role Selection of one SOP class: what the *requestor* shall be (PS3.7 D.3.3.4)."""

    scu: bool
    scp: bool


@dataclass(frozen=True, slots=True)
class UserIdentity:
    """User Identity Negotiation of a requestor (PS3.7 Section D.3.3.7).

    Parameters
    ----------
    type : int
        1 user name, 2 user name and passcode, 3 Kerberos, 4 SAML, 5 JSON Web Token.
    primary, secondary : bytes
        The name or ticket; the passcode, which only type 2 has.
    response_requested : bool
        Whether the acceptor shall confirm.
    """

    type: int
    primary: bytes = field(repr=False)
    secondary: bytes = field(default=b"", repr=False)
    response_requested: bool = False


@dataclass(frozen=True, slots=True)
class AssociateRequest:
    """An A-ASSOCIATE-RQ, received or to be sent.

    Parameters
    ----------
    calling_ae_title, called_ae_title : str
        At most 16 characters; outer spaces are not significant.
    contexts : tuple of ProposedContext
        At most 128, with odd IDs that are all different.
    roles : mapping of SOP class UID to Roles
        Empty: the requestor is SCU of everything.
    extended : mapping of SOP class UID to bytes
        Service class application information of SOP Class Extended Negotiation.
    user_identity : UserIdentity or None
        Who asks.
    maximum_length : int
        The longest P-DATA-TF (its length field) that the requestor takes, 0 for any.
    asynchronous_operations : (invoked, performed) or None
        The window that a requestor proposed. Never proposed nor granted here: one operation at a
        time each way.
    """

    calling_ae_title: str
    called_ae_title: str
    contexts: tuple[ProposedContext, ...]
    roles: Mapping[str, Roles] = field(default_factory=dict)
    extended: Mapping[str, bytes] = field(default_factory=dict)
    user_identity: UserIdentity | None = None
    maximum_length: int = MAXIMUM_LENGTH
    asynchronous_operations: tuple[int, int] | None = None
    application_context_name: str = APPLICATION_CONTEXT_NAME
    implementation_class_uid: str = IMPLEMENTATION_CLASS_UID
    implementation_version_name: str = IMPLEMENTATION_VERSION_NAME


@dataclass(frozen=True, slots=True)
class AssociateAcceptance:
    """An A-ASSOCIATE-AC: the answer to every proposed context.

    Parameters
    ----------
    contexts : tuple of AnsweredContext
        One for each proposed context.
    roles : mapping of SOP class UID to Roles
        What the requestor may be; only for SOP classes whose roles it proposed.
    extended : mapping of SOP class UID to bytes
        Only for SOP classes for which it was proposed.
    maximum_length : int
        The longest P-DATA-TF (its length field) that the acceptor takes, 0 for any.
    user_identity_response : bytes or None
        Sent only if the requestor asked for it.
    """

    contexts: tuple[AnsweredContext, ...]
    roles: Mapping[str, Roles] = field(default_factory=dict)
    extended: Mapping[str, bytes] = field(default_factory=dict)
    maximum_length: int = MAXIMUM_LENGTH
    user_identity_response: bytes | None = None
    implementation_class_uid: str = IMPLEMENTATION_CLASS_UID
    implementation_version_name: str = IMPLEMENTATION_VERSION_NAME


@dataclass(frozen=True, slots=True)
class AssociateRejection:
    """An A-ASSOCIATE-RJ (PS3.8 Table 9-21).

    Parameters
    ----------
    result : int
        1 permanent, 2 transient.
    source : int
        1 service user, 2 service provider (ACSE), 3 service provider (presentation).
    reason : int
        What it means depends on the source.
    text : str
        For logs; it is not sent.
    """

    result: int
    source: int
    reason: int
    text: str = ""


Decision = AssociateAcceptance | AssociateRejection

LOCAL_LIMIT_EXCEEDED: Final = AssociateRejection(2, 3, 2, "too many associations")
DECISION_FAILED: Final = AssociateRejection(2, 1, 1, "the decision failed")
PROTOCOL_VERSION_NOT_SUPPORTED: Final = AssociateRejection(
    1, 2, 2, "protocol version is not supported"
)
APPLICATION_CONTEXT_NOT_SUPPORTED: Final = AssociateRejection(
    1, 1, 2, "application context name is not supported"
)
CALLING_AE_TITLE_NOT_RECOGNIZED: Final = AssociateRejection(
    1, 1, 3, "calling AE title is not recognized"
)
CALLED_AE_TITLE_NOT_RECOGNIZED: Final = AssociateRejection(
    1, 1, 7, "called AE title is not recognized"
)


def propose(
    wanted: Iterable[tuple[str, Iterable[str]]],
) -> tuple[ProposedContext, ...]:
    """Give presentation contexts the IDs 1, 3, 5, … in the order given.

    Parameters
    ----------
    wanted : iterable of (abstract_syntax, transfer_syntaxes)
        An abstract syntax may come more than once.

    Raises
    ------
    ValueError
        There are more than 128, or one has no transfer syntax.
    """
    contexts = tuple(
        ProposedContext(2 * place + 1, abstract_syntax, tuple(transfer_syntaxes))
        for place, (abstract_syntax, transfer_syntaxes) in enumerate(wanted)
    )
    if len(contexts) > MAXIMUM_CONTEXTS:
        raise ValueError(f"{len(contexts)} presentation contexts, an association has at most 128")
    for context in contexts:
        if not context.transfer_syntaxes:
            raise ValueError(f"no transfer syntax for {context.abstract_syntax}")
    return contexts


def agreed_contexts(
    request: AssociateRequest, acceptance: AssociateAcceptance, *, is_acceptor: bool
) -> dict[int, AcceptedContext]:
    """Return the presentation contexts that may be used, by ID, with this side's roles.

    What was not proposed is left out, whatever the answer says of it: an unknown ID, a transfer
    syntax of somebody else's choice.

    References
    ----------
    DICOM PS3.7 Section D.3.3.4.2: without an answer the default roles apply.
    """
    proposed = {context.context_id: context for context in request.contexts}
    agreed: dict[int, AcceptedContext] = {}
    for answer in acceptance.contexts:
        context = proposed.get(answer.context_id)
        if (
            context is None
            or answer.result is not ContextResult.ACCEPTANCE
            or answer.transfer_syntax not in context.transfer_syntaxes
        ):
            continue
        requestor_is = Roles(scu=True, scp=False)
        wanted = request.roles.get(context.abstract_syntax)
        granted = acceptance.roles.get(context.abstract_syntax)
        if wanted is not None and granted is not None:
            requestor_is = Roles(
                scu=wanted.scu and granted.scu,
                scp=wanted.scp and granted.scp,
            )
        agreed[context.context_id] = AcceptedContext(
            context.context_id,
            context.abstract_syntax,
            answer.transfer_syntax,
            as_scu=requestor_is.scp if is_acceptor else requestor_is.scu,
            as_scp=requestor_is.scu if is_acceptor else requestor_is.scp,
        )
    return agreed
