"""Timers and limits of associations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

LAST_WORDS_S: Final = 1.0
"""For a peer to read an A-ABORT and close, before its connection is cut off."""

TLS_SHUTDOWN_S: Final = 3.0
"""For the peer's close_notify, when an encrypted connection ends in good order."""


@dataclass(frozen=True, slots=True)
class Timers:
    """How long to wait for a peer, in seconds; None means for ever.

    Attributes
    ----------
    artim_s : float
        The Association Request/Reject/Release Timer (PS3.8 Section 9.1.5): from connection to
        A-ASSOCIATE-RQ, and from our last PDU to the end of the connection. Also for the TLS
        handshake of an acceptor.
    connect_s : float
        For a requestor: until the connection (and its TLS handshake) stands.
    associate_s : float
        For a requestor: from A-ASSOCIATE-RQ to its answer.
    release_s : float
        From A-RELEASE-RQ to A-RELEASE-RP; past it the association is aborted.
    dimse_s : float or None
        Until the next response to a request. Whatever arrives on the association counts as life.
    idle_s : float or None
        Without any traffic on an established association on which nothing is asked.
    network_s : float or None
        For a peer that stops in the middle of a message, or does not read what is sent.
    """

    artim_s: float = 30.0
    connect_s: float = 10.0
    associate_s: float = 30.0
    release_s: float = 10.0
    dimse_s: float | None = 30.0
    idle_s: float | None = 600.0
    network_s: float | None = 60.0


@dataclass(frozen=True, slots=True)
class Limits:
    """What a peer may claim.

    Attributes
    ----------
    associate_pdu_bytes : int
        Of an A-ASSOCIATE-RQ or -AC.
    command_bytes : int
        Of a command set.
    identifier_bytes : int
        Of a data set that the library collects: identifiers, responses.
    """

    associate_pdu_bytes: int = 256 * 1024
    command_bytes: int = 64 * 1024
    identifier_bytes: int = 1024 * 1024
