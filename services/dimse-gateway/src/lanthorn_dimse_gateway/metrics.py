"""What the gateway counts beside the shared parts (`lanthorn_core.telemetry.metrics`)."""

from __future__ import annotations

from functools import cache
from typing import Final

from prometheus_client import Counter, Gauge, Histogram

from lanthorn_core.telemetry.metrics import LATENCY_BUCKETS_S
from lanthorn_dimse import (
    APPLICATION_CONTEXT_NOT_SUPPORTED,
    CALLED_AE_TITLE_NOT_RECOGNIZED,
    CALLING_AE_TITLE_NOT_RECOGNIZED,
    DECISION_FAILED,
    LOCAL_LIMIT_EXCEEDED,
    AssociationAborted,
    AssociationRejected,
    CommandField,
    ConnectionFailed,
    DimseError,
    Ended,
    TimedOut,
)

ACCEPTED_ASSOCIATIONS: Final = Counter(
    "lanthorn_dimse_associations_accepted_total",
    "Associations established: `in` that peers opened, `out` that we did.",
    ["direction"],
)
REJECTED_ASSOCIATIONS: Final = Counter(
    "lanthorn_dimse_associations_rejected_total",
    "Associations asked for and not established, by why.",
    ["direction", "reason"],
)
OPEN_ASSOCIATIONS: Final = Gauge(
    "lanthorn_dimse_open_associations", "Associations that are established now.", ["direction"]
)
ENDED_ASSOCIATIONS: Final = Counter(
    "lanthorn_dimse_associations_ended_total",
    "Established associations that ended, by how (`released`, `aborted`, `closed`, `timed-out`).",
    ["direction", "how"],
)
REQUESTS: Final = Counter(
    "lanthorn_dimse_requests_total",
    "Requests of peers that were answered, by operation and final status in hexadecimal.",
    ["operation", "status"],
)
REQUEST_SECONDS: Final = Histogram(
    "lanthorn_dimse_request_seconds",
    "From a complete request of a peer, data set included, to its final response.",
    ["operation"],
    buckets=LATENCY_BUCKETS_S,
)
FOUND: Final = Counter("lanthorn_dimse_find_answers_total", "Matches told to C-FIND requests.")
SENT_INSTANCES: Final = Counter(
    "lanthorn_dimse_sent_instances_total",
    "C-STORE requests of ours (C-GET, C-MOVE and sending jobs), by status in hexadecimal.",
    ["status"],
)
SENT_BYTES: Final = Counter(
    "lanthorn_dimse_sent_bytes_total", "Bytes, as stored, of the instances that these carried."
)

REJECTED_BY_US: Final = {
    rejection.text: REJECTED_ASSOCIATIONS.labels("in", rejection.text)
    for rejection in (
        LOCAL_LIMIT_EXCEEDED,
        APPLICATION_CONTEXT_NOT_SUPPORTED,
        CALLING_AE_TITLE_NOT_RECOGNIZED,
        CALLED_AE_TITLE_NOT_RECOGNIZED,
        DECISION_FAILED,
    )
}
ENDED_BY: Final = {
    (direction, how): ENDED_ASSOCIATIONS.labels(direction, how.value)
    for direction in ("in", "out")
    for how in Ended
}
_REASONS: Final = {
    AssociationRejected: "rejected by the peer",
    AssociationAborted: "aborted by the peer",
    ConnectionFailed: "no connection",
    TimedOut: "no answer in time",
}


@cache
def operation_of(field: CommandField) -> str:
    """Name an operation as the Standard does: ``C-STORE`` of ``C_STORE_RQ``."""
    return field.name.removesuffix("_RQ").replace("_", "-")


@cache
def answered(field: CommandField, status: int) -> Counter:
    """Find the counter of requests that were answered so."""
    return REQUESTS.labels(operation_of(field), f"{status:04X}")


@cache
def request_seconds(field: CommandField) -> Histogram:
    """Find the histogram of an operation's durations."""
    return REQUEST_SECONDS.labels(operation_of(field))


@cache
def sent(status: int) -> Counter:
    """Find the counter of our C-STORE requests that were answered so."""
    return SENT_INSTANCES.labels(f"{status:04X}")


def reason_of(error: DimseError) -> str:
    """Tell in few words why an association was not established; few different ones."""
    return _REASONS.get(type(error), "protocol violated")
