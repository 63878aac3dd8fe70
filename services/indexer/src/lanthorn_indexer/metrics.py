"""What the indexer counts beside the shared parts (`lanthorn_core.telemetry`)."""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

from lanthorn_core.telemetry.metrics import LATENCY_BUCKETS_S

ACTIVE: Final = Gauge("lanthorn_indexer_active", "1 while this process is the one that writes.")
APPLIED_EVENTS: Final = Counter(
    "lanthorn_indexer_applied_events_total", "Events of the stream applied to the index."
)
APPLIED_SEQUENCE: Final = Gauge(
    "lanthorn_indexer_applied_sequence", "Number of the newest event applied by this process."
)
BATCH_EVENTS: Final = Histogram(
    "lanthorn_indexer_batch_events",
    "Events that one transaction applied.",
    buckets=(1, 2, 5, 10, 20, 50, 100, 200, 500),
)
BATCH_SECONDS: Final = Histogram(
    "lanthorn_indexer_batch_seconds",
    "How long reading the headers of a batch and its transaction took.",
    buckets=LATENCY_BUCKETS_S,
)
SET_ASIDE: Final = Counter(
    "lanthorn_indexer_set_aside_events_total",
    "Events that failed by themselves and went to the retry subject.",
)
RETRIES: Final = Counter(
    "lanthorn_indexer_retries_total",
    "Further tries of events that had failed (`succeeded`, `failed`, `dropped`: object gone).",
    ["outcome"],
)
REMOVED_OBJECTS: Final = Counter(
    "lanthorn_indexer_removed_objects_total", "Objects that no instance needed any more."
)
REFUSED_OBJECTS: Final = Counter(
    "lanthorn_indexer_refused_removals_total",
    "Times that the object store did not let go of an object that no instance needs.",
)
ANNOUNCED_ORPHANS: Final = Counter(
    "lanthorn_indexer_announced_orphans_total",
    "Objects that the sweep found without an event, and announced again.",
)
