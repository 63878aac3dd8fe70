"""Makes `dashboard.json` for Grafana; `make docs` runs it.

Rows of panels, panels of queries; everything that Grafana wants besides is said once, here.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from itertools import count
from typing import Any, Final

COLUMNS: Final = 24
HEIGHT: Final = 8
DATA_SOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}
JOB: Final = 'job=~"$job"'
"""In every selector: Prometheus may also scrape another Lanthorn, such as that for tests."""


@dataclass(frozen=True)
class Query:
    """A PromQL expression; `{name}` in the legend is the value of a label."""

    expression: str
    legend: str


@dataclass(frozen=True)
class Panel:
    """A panel of a row; the panels of a row share its width."""

    title: str
    unit: str
    queries: tuple[Query, ...]
    description: str = ""
    kind: str = "timeseries"
    is_stacked: bool = False
    red_from: float | None = None


def rate(metric: str, *by: str, selector: str = "") -> str:
    """Write the rate of a counter, added up over the processes."""
    labels = f"{JOB},{selector}" if selector else JOB
    return f"sum by ({', '.join(by)}) (rate({metric}{{{labels}}}[$__rate_interval]))"


def quantile(share: float, histogram: str, *by: str) -> str:
    """Write a quantile of a histogram."""
    return f"histogram_quantile({share}, {rate(f'{histogram}_bucket', 'le', *by)})"


def quantiles(histogram: str, *by: str) -> tuple[Query, ...]:
    """Ask for the median and the slowest of twenty and of a hundred."""
    names = " ".join(f"{{{{{label}}}}}" for label in by)
    return tuple(
        Query(quantile(share, histogram, *by), f"{names} p{share * 100:.0f}".strip())
        for share in (0.5, 0.95, 0.99)
    )


def slow(histogram: str, *by: str) -> tuple[Query, ...]:
    """Ask for the slowest of twenty only, where there are many lines."""
    names = " ".join(f"{{{{{label}}}}}" for label in by)
    return (Query(quantile(0.95, histogram, *by), names),)


def stat(title: str, unit: str, expression: str, *, red_from: float | None = None) -> Panel:
    """Make a panel of one large figure."""
    return Panel(title, unit, (Query(expression, ""),), kind="stat", red_from=red_from)


def by_service(metric: str, function: str = "{}") -> str:
    """Write a process's figure with the name of its service."""
    value = function.format(f"{metric}{{{JOB}}}")
    return f"{value} * on (job, instance) group_left (service) lanthorn_build_info{{{JOB}}}"


ROWS: Final[tuple[tuple[str, tuple[Panel, ...]], ...]] = (
    (
        "At a glance",
        (
            stat("Instances stored", "cps", rate("lanthorn_stored_instances_total")),
            stat("Open associations", "none", f"sum(lanthorn_dimse_open_associations{{{JOB}}})"),
            stat("Index lag", "s", f"max(lanthorn_index_lag_seconds{{{JOB}}})", red_from=30),
            stat(
                "Barrier misses, 1 h",
                "none",
                f"sum(increase(lanthorn_index_barrier_misses_total{{{JOB}}}[1h]))",
                red_from=1,
            ),
            stat("Parked events", "none", f"max(lanthorn_parked_events{{{JOB}}})", red_from=1),
            stat("Active indexers", "none", f"sum(lanthorn_indexer_active{{{JOB}}})", red_from=2),
            stat("Processes", "none", f"count(lanthorn_build_info{{{JOB}}})"),
            stat("Instances kept", "short", f'max(lanthorn_resources{{{JOB},level="Instance"}})'),
        ),
    ),
    (
        "Traffic",
        (
            Panel(
                "Instances stored",
                "cps",
                (Query(rate("lanthorn_stored_instances_total", "protocol"), "{{protocol}}"),),
                "Durable and announced; what was refused is under Guarantees.",
                is_stacked=True,
            ),
            Panel(
                "Bytes stored",
                "Bps",
                (Query(rate("lanthorn_stored_bytes_total", "protocol"), "{{protocol}}"),),
                is_stacked=True,
            ),
            Panel(
                "Instances and bytes sent",
                "cps",
                (
                    Query(
                        rate("lanthorn_dimse_sent_instances_total", "status"), "dimse {{status}}"
                    ),
                    Query(
                        rate(
                            "lanthorn_http_requests_total",
                            selector='route=~"/instances/.*/file",status="200"',
                        ),
                        "http files",
                    ),
                ),
                "C-STORE sub-operations and sending jobs, by status; files fetched over HTTP.",
            ),
        ),
    ),
    (
        "",
        (
            Panel(
                "Open associations",
                "none",
                (
                    Query(
                        f"sum by (direction) (lanthorn_dimse_open_associations{{{JOB}}})",
                        "{{direction}}",
                    ),
                ),
            ),
            Panel(
                "Associations",
                "cps",
                (
                    Query(
                        rate("lanthorn_dimse_associations_accepted_total", "direction"),
                        "{{direction}} accepted",
                    ),
                    Query(
                        rate("lanthorn_dimse_associations_rejected_total", "direction", "reason"),
                        "{{direction}} {{reason}}",
                    ),
                    Query(
                        rate(
                            "lanthorn_dimse_associations_ended_total",
                            "direction",
                            "how",
                            selector='how!="released"',
                        ),
                        "{{direction}} {{how}}",
                    ),
                ),
                "Accepted, rejected by reason, and ended otherwise than by release.",
            ),
            Panel(
                "DIMSE requests",
                "cps",
                (Query(rate("lanthorn_dimse_requests_total", "operation"), "{{operation}}"),),
            ),
            Panel(
                "DIMSE, slowest of twenty",
                "s",
                slow("lanthorn_dimse_request_seconds", "operation"),
                "From the complete request to its final response.",
            ),
        ),
    ),
    (
        "",
        (
            Panel(
                "HTTP requests",
                "reqps",
                (
                    Query(
                        f"topk(10, {rate('lanthorn_http_requests_total', 'method', 'route')})",
                        "{{method}} {{route}}",
                    ),
                ),
            ),
            Panel(
                "HTTP, slowest of twenty",
                "s",
                (
                    Query(
                        f"topk(10, {quantile(0.95, 'lanthorn_http_request_seconds', 'route')})",
                        "{{route}}",
                    ),
                ),
            ),
            Panel(
                "HTTP bytes sent",
                "Bps",
                (Query(rate("lanthorn_http_sent_bytes_total", "job"), "{{job}}"),),
            ),
            Panel(
                "Received bytes in memory",
                "bytes",
                (Query(f"lanthorn_in_flight_bytes{{{JOB}}}", "{{instance}}"),),
                "Near `MaximumInFlightBytes`, slow storage holds the senders back.",
            ),
        ),
    ),
    (
        "Guarantees",
        (
            Panel(
                "DIMSE requests that failed",
                "cps",
                (
                    Query(
                        rate(
                            "lanthorn_dimse_requests_total",
                            "operation",
                            "status",
                            selector='status!~"0000|FE00|B..."',
                        ),
                        "{{operation}} {{status}}",
                    ),
                ),
                "A7xx: an engine is unwell and the sender tries again; C001: a bug, see the log.",
            ),
            Panel(
                "HTTP requests that failed",
                "cps",
                (
                    Query(
                        rate(
                            "lanthorn_http_requests_total",
                            "route",
                            "status",
                            selector='status=~"4..|5.."',
                        ),
                        "{{route}} {{status}}",
                    ),
                ),
            ),
            Panel(
                "Wait at the index barrier",
                "s",
                quantiles("lanthorn_index_barrier_wait_seconds"),
                "What queries wait so that they see everything acknowledged before.",
            ),
            Panel(
                "Barrier misses",
                "none",
                (
                    Query(
                        f"sum by (job) (increase(lanthorn_index_barrier_misses_total{{{JOB}}}"
                        "[$__rate_interval]))",
                        "{{job}}",
                    ),
                ),
                "Answers that may have lacked the newest instances; marked as such over HTTP.",
                red_from=1,
            ),
        ),
    ),
    (
        "",
        (
            Panel(
                "Until an event is acknowledged",
                "s",
                quantiles("lanthorn_event_publish_seconds"),
            ),
            Panel(
                "Events not acknowledged",
                "none",
                (
                    Query(
                        f"sum by (job) (increase(lanthorn_event_publish_failures_total{{{JOB}}}"
                        "[$__rate_interval]))",
                        "{{job}}",
                    ),
                    Query(
                        f"sum by (job) (increase(lanthorn_bus_reconnects_total{{{JOB}}}"
                        "[$__rate_interval]))",
                        "{{job}} reconnects",
                    ),
                ),
            ),
            Panel(
                "Events set aside",
                "none",
                (
                    Query(f"max(lanthorn_parked_events{{{JOB}}})", "parked"),
                    Query(f"max(lanthorn_retrying_events{{{JOB}}})", "to be tried again"),
                ),
                red_from=1,
            ),
            Panel(
                "Orphans announced again",
                "none",
                (
                    Query(
                        f"sum(increase(lanthorn_indexer_announced_orphans_total{{{JOB}}}"
                        "[$__rate_interval]))",
                        "objects",
                    ),
                ),
                "What a crash left between object and event, found by the sweep.",
            ),
        ),
    ),
    (
        "Index",
        (
            Panel(
                "Lag",
                "s",
                (Query(f"max(lanthorn_index_lag_seconds{{{JOB}}})", "oldest event not applied"),),
                red_from=30,
            ),
            Panel(
                "Events not applied",
                "none",
                (Query(f"max(lanthorn_index_lag_events{{{JOB}}})", "events"),),
            ),
            Panel(
                "Events applied",
                "cps",
                (
                    Query(rate("lanthorn_indexer_applied_events_total"), "applied"),
                    Query(rate("lanthorn_indexer_set_aside_events_total"), "set aside"),
                    Query(rate("lanthorn_indexer_retries_total", "outcome"), "retry {{outcome}}"),
                ),
            ),
            Panel(
                "Batches",
                "s",
                quantiles("lanthorn_indexer_batch_seconds"),
                "Reading the headers of a batch, and its transaction.",
            ),
            Panel(
                "Events a batch",
                "none",
                (
                    Query(
                        f"{rate('lanthorn_indexer_batch_events_sum')} / "
                        f"{rate('lanthorn_indexer_batch_events_count')}",
                        "on average",
                    ),
                ),
            ),
        ),
    ),
    (
        "Storage",
        (
            Panel(
                "Operations",
                "ops",
                (
                    Query(
                        rate("lanthorn_object_store_operation_seconds_count", "operation"),
                        "{{operation}}",
                    ),
                ),
            ),
            Panel(
                "Operations, slowest of twenty",
                "s",
                slow("lanthorn_object_store_operation_seconds", "operation"),
            ),
            Panel(
                "Errors",
                "cps",
                (
                    Query(
                        rate("lanthorn_object_store_errors_total", "operation", "error"),
                        "{{operation}} {{error}}",
                    ),
                ),
                red_from=0.01,
            ),
            Panel(
                "Bytes",
                "Bps",
                (
                    Query(rate("lanthorn_object_store_written_bytes_total"), "written"),
                    Query(rate("lanthorn_object_store_read_bytes_total"), "read"),
                ),
            ),
            Panel(
                "Kept",
                "bytes",
                (Query(f"max(lanthorn_resources_bytes{{{JOB}}})", "objects of all instances"),),
            ),
            Panel(
                "Objects removed",
                "cps",
                (
                    Query(rate("lanthorn_indexer_removed_objects_total"), "removed"),
                    Query(rate("lanthorn_indexer_refused_removals_total"), "refused by the store"),
                ),
                "Deleted and replaced instances.",
            ),
        ),
    ),
    (
        "Jobs",
        (
            Panel(
                "Jobs kept",
                "none",
                (Query(f"max by (type, state) (lanthorn_jobs{{{JOB}}})", "{{type}} {{state}}"),),
                is_stacked=True,
            ),
            Panel(
                "Running",
                "none",
                (Query(f"sum by (type) (lanthorn_jobs_running{{{JOB}}})", "{{type}}"),),
            ),
            Panel(
                "Submitted",
                "cps",
                (Query(rate("lanthorn_jobs_submitted_total", "type"), "{{type}}"),),
            ),
            Panel(
                "Runs by how they ended",
                "cps",
                (
                    Query(
                        rate("lanthorn_job_runs_total", "type", "outcome"), "{{type}} {{outcome}}"
                    ),
                ),
            ),
        ),
    ),
    (
        "Renderer",
        (
            Panel(
                "Pictures",
                "cps",
                (Query(rate("lanthorn_renderer_frame_seconds_count", "mode"), "{{mode}}"),),
            ),
            Panel(
                "Pictures, slowest of twenty", "s", slow("lanthorn_renderer_frame_seconds", "mode")
            ),
            Panel(
                "Wait for a decoder",
                "s",
                quantiles("lanthorn_renderer_decoder_wait_seconds"),
                "Much of it: more renderers are needed.",
            ),
            Panel(
                "Decoders",
                "none",
                (
                    Query(f"sum(lanthorn_renderer_busy_decoders{{{JOB}}})", "busy"),
                    Query(
                        "sum by (reason) (increase(lanthorn_renderer_decoder_restarts_total"
                        f"{{{JOB}}}[$__rate_interval]))",
                        "replaced: {{reason}}",
                    ),
                ),
            ),
            Panel(
                "Cache hits",
                "percentunit",
                (
                    Query(
                        rate("lanthorn_cache_requests_total", "cache", selector='outcome="hit"')
                        + " / "
                        + rate("lanthorn_cache_requests_total", "cache"),
                        "{{cache}}",
                    ),
                ),
                "Those of the rest-api's files as well.",
            ),
        ),
    ),
    (
        "Processes",
        (
            Panel(
                "CPU",
                "none",
                (
                    Query(
                        by_service("process_cpu_seconds_total", "rate({}[$__rate_interval])"),
                        "{{service}} {{instance}}",
                    ),
                ),
                "In cores. Python's work is done by one core a process; threads wait for disks.",
            ),
            Panel(
                "Memory",
                "bytes",
                (
                    Query(
                        by_service("process_resident_memory_bytes"),
                        "{{service}} {{instance}}",
                    ),
                ),
            ),
            Panel(
                "Open files",
                "percentunit",
                (
                    Query(
                        by_service("process_open_fds", f"{{}} / process_max_fds{{{{{JOB}}}}}"),
                        "{{service}} {{instance}}",
                    ),
                ),
                "Of those that the process may have.",
                red_from=0.8,
            ),
            Panel(
                "Restarts",
                "none",
                (
                    Query(
                        by_service("process_start_time_seconds", "changes({}[$__rate_interval])"),
                        "{{service}} {{instance}}",
                    ),
                ),
            ),
            Panel(
                "Versions",
                "none",
                (
                    Query(
                        f"count by (service, version) (lanthorn_build_info{{{JOB}}})",
                        "{{service}} {{version}}",
                    ),
                ),
            ),
        ),
    ),
)


def dashboard() -> dict[str, Any]:
    """Make the document that Grafana imports."""
    return {
        "uid": "lanthorn",
        "title": "Lanthorn",
        "tags": ["dicom", "lanthorn"],
        "schemaVersion": 39,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "templating": {"list": [_data_source_variable(), _job_variable()]},
        "panels": _panels(),
    }


def _data_source_variable() -> dict[str, Any]:
    return {"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Data"}


def _job_variable() -> dict[str, Any]:
    query = "label_values(lanthorn_build_info, job)"
    return {
        "name": "job",
        "type": "query",
        "label": "Job",
        "datasource": DATA_SOURCE,
        "definition": query,
        "query": {"query": query, "refId": "jobs"},
        "refresh": 2,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
    }


def _panels() -> list[dict[str, Any]]:
    numbers = count(1)
    made: list[dict[str, Any]] = []
    top = 0
    for title, panels in ROWS:
        if title:
            place = {"h": 1, "w": COLUMNS, "x": 0, "y": top}
            made.append(
                {"id": next(numbers), "type": "row", "title": title, "gridPos": place, "panels": []}
            )
            top += 1
        height = HEIGHT // 2 if panels[0].kind == "stat" else HEIGHT
        width = COLUMNS // len(panels)
        for column, panel in enumerate(panels):
            place = {"h": height, "w": width, "x": column * width, "y": top}
            made.append({"id": next(numbers), "gridPos": place, **_panel(panel)})
        top += height
    return made


def _panel(panel: Panel) -> dict[str, Any]:
    thresholds: list[dict[str, Any]] = [{"color": "green", "value": None}]
    if panel.red_from is not None:
        thresholds.append({"color": "red", "value": panel.red_from})
    return {
        "type": panel.kind,
        "title": panel.title,
        "description": panel.description,
        "datasource": DATA_SOURCE,
        "fieldConfig": {
            "defaults": {
                "unit": panel.unit,
                "min": 0,
                "thresholds": {"mode": "absolute", "steps": thresholds},
                "custom": _drawing(panel) if panel.kind == "timeseries" else {},
            },
            "overrides": [],
        },
        "options": _options(panel),
        "targets": [
            {
                "refId": chr(ord("A") + number),
                "datasource": DATA_SOURCE,
                "expr": query.expression,
                "legendFormat": query.legend,
            }
            for number, query in enumerate(panel.queries)
        ],
    }


def _drawing(panel: Panel) -> dict[str, Any]:
    return {
        "fillOpacity": 25 if panel.is_stacked else 5,
        "stacking": {"mode": "normal" if panel.is_stacked else "none"},
        "thresholdsStyle": {"mode": "off" if panel.red_from is None else "dashed"},
        "showPoints": "never",
    }


def _options(panel: Panel) -> dict[str, Any]:
    if panel.kind == "stat":
        return {
            "colorMode": "value" if panel.red_from is None else "background",
            "graphMode": "area",
            "reduceOptions": {"calcs": ["lastNotNull"]},
        }
    return {
        "legend": {"displayMode": "list", "placement": "bottom"},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(dashboard(), indent=1) + "\n")
