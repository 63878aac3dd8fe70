"""What the gateway counts, on Prometheus' default registry."""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

from lanthorn_core.runtime.metrics import LATENCY_BUCKETS_S

ASSOCIATIONS: Final = Counter(
    "lanthorn_dimse_associations",
    "Association requests, by what became of them.",
    ["outcome"],
)
OPEN_ASSOCIATIONS: Final = Gauge(
    "lanthorn_dimse_open_associations", "Associations that are established now."
)
ENDED_ASSOCIATIONS: Final = Counter(
    "lanthorn_dimse_ended_associations", "Established associations that ended, by how.", ["how"]
)
ECHOES: Final = Counter(
    "lanthorn_dimse_echo_requests", "C-ECHO requests, by status in hexadecimal.", ["status"]
)
STORES: Final = Counter(
    "lanthorn_dimse_store_requests", "C-STORE requests, by status in hexadecimal.", ["status"]
)
RECEIVED_BYTES: Final = Counter(
    "lanthorn_dimse_received_bytes", "Bytes of data sets that C-STORE requests brought."
)
STORE_SECONDS: Final = Histogram(
    "lanthorn_dimse_store_seconds",
    "From the last fragment of a data set to its C-STORE response.",
    buckets=LATENCY_BUCKETS_S,
)
REFUSED: Final = Counter(
    "lanthorn_dimse_refused_requests",
    "Requests that failed before their service answered, by operation and status in hexadecimal.",
    ["operation", "status"],
)
FOUND: Final = Counter("lanthorn_dimse_find_answers", "Answers to C-FIND requests.")
FIND_SECONDS: Final = Histogram(
    "lanthorn_dimse_find_seconds",
    "From a C-FIND request to its final response.",
    buckets=LATENCY_BUCKETS_S,
)
