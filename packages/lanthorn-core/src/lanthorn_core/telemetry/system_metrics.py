"""Figures of the whole system, which belong to no process.

A rest-api reads them from the engines when it is scraped. All replicas tell the same, so that
queries take the maximum, never the sum. Other processes do not import this module, and so show
none of it.
"""

from __future__ import annotations

from typing import Final

from prometheus_client import Gauge

LAG_EVENTS: Final = Gauge(
    "lanthorn_index_lag_events", "Events published and not yet applied to the index."
)
LAG_SECONDS: Final = Gauge(
    "lanthorn_index_lag_seconds", "Age of the oldest event that is not yet applied, 0 without one."
)
RETRYING_EVENTS: Final = Gauge(
    "lanthorn_retrying_events", "Events that failed in the indexer and wait for another try."
)
PARKED_EVENTS: Final = Gauge("lanthorn_parked_events", "Events that the indexer gave up on.")
JOBS: Final = Gauge("lanthorn_jobs", "Jobs that are kept, by type and state.", ["type", "state"])
RESOURCES: Final = Gauge("lanthorn_resources", "Resources in the index, by level.", ["level"])
RESOURCES_BYTES: Final = Gauge(
    "lanthorn_resources_bytes", "Bytes of the objects of all instances in the index."
)
