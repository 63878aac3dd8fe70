"""What can go wrong on an association, as the caller of this library sees it."""

from __future__ import annotations

from typing import Final

_REJECT_RESULTS: Final = {1: "rejected permanently", 2: "rejected for the moment"}

_REJECT_REASONS: Final = {
    # PS3.8 Table 9-21: (source, reason)
    (1, 1): "no reason given",
    (1, 2): "application context name not supported",
    (1, 3): "calling AE title not recognized",
    (1, 7): "called AE title not recognized",
    (2, 1): "no reason given by the peer's upper layer",
    (2, 2): "protocol version not supported",
    (3, 1): "temporary congestion",
    (3, 2): "local limit exceeded",
}

_ABORT_REASONS: Final = {
    # PS3.8 Table 9-26, of the service provider
    0: "no reason given",
    1: "unrecognized PDU",
    2: "unexpected PDU",
    4: "unrecognized PDU parameter",
    5: "unexpected PDU parameter",
    6: "invalid PDU parameter value",
}


class DimseError(Exception):
    """Base of every failure that this library raises on purpose."""


class ConnectionFailed(DimseError):
    """No connection to the peer: name, route, refusal, TLS."""


class TimedOut(DimseError):
    """The peer did not connect, answer, read or write in time; the association is aborted."""


class AssociationRejected(DimseError):
    """The peer answered A-ASSOCIATE-RJ (PS3.8 Section 9.3.4).

    Parameters
    ----------
    result, source, reason : int
        As in the PDU, Table 9-21.
    """

    def __init__(self, result: int, source: int, reason: int) -> None:
        self.result = result
        self.source = source
        self.reason = reason
        how = _REJECT_RESULTS.get(result, f"rejected with result {result}")
        why = _REJECT_REASONS.get((source, reason), f"source {source}, reason {reason}")
        super().__init__(f"association {how}: {why}")


class AssociationAborted(DimseError):
    """The peer sent A-ABORT (PS3.8 Section 9.3.8).

    Parameters
    ----------
    source, reason : int
        As in the PDU, Table 9-26; a reason means something for source 2 only.
    """

    def __init__(self, source: int, reason: int) -> None:
        self.source = source
        self.reason = reason
        if source == 0:
            text = "association aborted by the peer"
        else:
            why = _ABORT_REASONS.get(reason, f"reason {reason}")
            text = f"association aborted by the peer's upper layer: {why}"
        super().__init__(text)


class AssociationClosed(DimseError):
    """The association is over: released, aborted by this side, or its connection was lost."""


class NoAcceptedContext(DimseError):
    """No presentation context was accepted for what shall be sent."""


class ProtocolError(DimseError):
    """The peer broke PS3.7 or PS3.8; the association was aborted.

    Parameters
    ----------
    text : str
        What was wrong; never a value from the wire that could name a patient.
    reason : int
        Reason of the A-ABORT of the service provider (PS3.8 Table 9-26).
    """

    def __init__(self, text: str, reason: int = 0) -> None:
        self.reason = reason
        super().__init__(text)


class InvalidCommand(ProtocolError):
    """The bytes are no command set (PS3.7 Section 6.3)."""
