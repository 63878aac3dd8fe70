"""What the gateway counts, on Prometheus' default registry."""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

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
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0),
)
