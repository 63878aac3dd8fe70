"""Metrics: Prometheus' default registry, one per process.

Every metric is made where it is counted, with `prometheus_client`'s own classes, at module level:

    INSTANCES_STORED: Final = Counter("lanthorn_instances_stored", "…", ["protocol"])

Names start with ``lanthorn_``, carry their unit (``_seconds``, ``_bytes``), and labels take few
values: never an AE title, a UID or a path. The registry also holds the interpreter's and the
process's own figures (``python_gc_…``, ``process_resident_memory_bytes``, …).
"""

from __future__ import annotations

from typing import Final

from prometheus_client import REGISTRY
from prometheus_client.exposition import choose_encoder

LATENCY_BUCKETS_S: Final = (
    *(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)
"""For histograms of durations in seconds, so that all services' can be added up."""

SIZE_BUCKETS_BYTES: Final = tuple(1 << exponent for exponent in range(10, 32, 2))
"""For histograms of sizes: 1 KiB to 1 GiB."""


def exposition(accept: str = "") -> tuple[bytes, str]:
    """Write all metrics of this process.

    Parameters
    ----------
    accept : str
        The request's Accept header: OpenMetrics is written for who asks, else Prometheus' text.

    Returns
    -------
    tuple of bytes and str
        Body and content type.
    """
    encode, content_type = choose_encoder(accept)
    return encode(REGISTRY), content_type
