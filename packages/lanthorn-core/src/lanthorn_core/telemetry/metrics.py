"""What the shared parts count, on Prometheus' default registry.

Each service that counts more has a module `metrics` of its own; nothing is declared anywhere else
(`docs/reference/metrics.md` is made of these modules). Names begin with ``lanthorn_``, carry their
unit (``_seconds``, ``_bytes``) and end in ``_total`` where they only grow. Labels take few values:
never an AE title, a UID or a path. What is counted often is bound to its label values once, at
import, which also shows it as 0 before it first happens.
"""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter, Gauge, Histogram, disable_created_metrics

# A series beside each counter and histogram that says when it began, which Prometheus knows.
disable_created_metrics()  # type: ignore[no-untyped-call]

LATENCY_BUCKETS_S: Final = (
    *(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)
"""For histograms of durations in seconds, so that all services' can be added up."""

BUILD: Final = Gauge(
    "lanthorn_build_info", "1; its labels tell what runs here.", ["service", "version"]
)

STORED_INSTANCES: Final = Counter(
    "lanthorn_stored_instances_total",
    "Instances made durable, object and event, by how they came (`dimse`, `http`).",
    ["protocol"],
)
STORED_BYTES: Final = Counter(
    "lanthorn_stored_bytes_total", "Bytes of the instances made durable.", ["protocol"]
)
IN_FLIGHT: Final = Gauge(
    "lanthorn_in_flight_bytes", "Bytes of received objects held in memory by this process."
)

OBJECT_STORE_SECONDS: Final = Histogram(
    "lanthorn_object_store_operation_seconds",
    "How long the object store took, by operation; of `stream` and `list`, up to the first part.",
    ["operation"],
    buckets=LATENCY_BUCKETS_S,
)
OBJECT_STORE_ERRORS: Final = Counter(
    "lanthorn_object_store_errors_total",
    "Operations that the object store failed, by error (docs/reference/errors.md).",
    ["operation", "error"],
)
OBJECT_STORE_READ_BYTES: Final = Counter(
    "lanthorn_object_store_read_bytes_total", "Bytes read from the object store."
)
OBJECT_STORE_WRITTEN_BYTES: Final = Counter(
    "lanthorn_object_store_written_bytes_total", "Bytes written to the object store."
)

PUBLISH_SECONDS: Final = Histogram(
    "lanthorn_event_publish_seconds",
    "From an event to its acknowledgement by the stream, further tries included.",
    buckets=LATENCY_BUCKETS_S,
)
PUBLISH_FAILURES: Final = Counter(
    "lanthorn_event_publish_failures_total", "Events that the stream did not acknowledge in time."
)
BUS_RECONNECTS: Final = Counter(
    "lanthorn_bus_reconnects_total", "How often the connection to NATS was lost and came back."
)
BARRIER_SECONDS: Final = Histogram(
    "lanthorn_index_barrier_wait_seconds",
    "How long readers waited for the index to catch up with what was acknowledged before.",
    buckets=LATENCY_BUCKETS_S,
)
BARRIER_MISSES: Final = Counter(
    "lanthorn_index_barrier_misses_total",
    "Answers given from an index that was behind when `IndexBarrierTimeout` was over.",
)

JOBS_SUBMITTED: Final = Counter(
    "lanthorn_jobs_submitted_total", "Jobs made by this process.", ["type"]
)
JOBS_RUNNING: Final = Gauge("lanthorn_jobs_running", "Jobs that this process runs.", ["type"])
JOB_RUNS: Final = Counter(
    "lanthorn_job_runs_total",
    "Runs of jobs by this process, by how each ended (`succeeded`, `failed`, `put_off`, `paused`, "
    "`gone`, `given_back`).",
    ["type", "outcome"],
)

CACHE_REQUESTS: Final = Counter(
    "lanthorn_cache_requests_total",
    "Look-ups in the caches of this process, by cache and outcome (`hit`, `miss`).",
    ["cache", "outcome"],
)
CACHE_BYTES: Final = Gauge(
    "lanthorn_cache_held_bytes", "Bytes held by the caches of this process.", ["cache"]
)

HTTP_REQUESTS: Final = Counter(
    "lanthorn_http_requests_total",
    "HTTP requests, by route and status of the answer; probes and scrapes are not counted.",
    ["method", "route", "status"],
)
HTTP_SECONDS: Final = Histogram(
    "lanthorn_http_request_seconds",
    "From an HTTP request to the end of its answer.",
    ["method", "route"],
    buckets=LATENCY_BUCKETS_S,
)
HTTP_OPEN: Final = Gauge(
    "lanthorn_http_open_requests", "HTTP requests that are being answered now."
)
HTTP_SENT_BYTES: Final = Counter(
    "lanthorn_http_sent_bytes_total", "Bytes of bodies of HTTP answers."
)


def count_look_ups(cache: str) -> tuple[Counter, Counter]:
    """Bind the counters of a cache's hits and misses."""
    return CACHE_REQUESTS.labels(cache, "hit"), CACHE_REQUESTS.labels(cache, "miss")
