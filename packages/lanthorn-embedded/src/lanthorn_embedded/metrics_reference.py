"""Makes ``docs/reference/metrics.md`` from the declarations, so that it cannot lie.

python -m lanthorn_embedded.metrics_reference > docs/reference/metrics.md
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Final

from prometheus_client.metrics import MetricWrapperBase

from lanthorn_core.telemetry import metrics as shared
from lanthorn_core.telemetry import system_metrics
from lanthorn_dimse_gateway import metrics as gateway
from lanthorn_indexer import metrics as indexer
from lanthorn_renderer import metrics as renderer
from lanthorn_rest_api import metrics as rest_api

_INTRODUCTION: Final = """\
# Metrics

<!-- Made by `python -m lanthorn_embedded.metrics_reference`; a test keeps it up to date. -->

Each process tells its own at `GET /metrics`, for Prometheus or anything that reads its format:
[monitor a system](../how-to/monitor.md) says where that is, and what to look at. The interpreter's
and the process's own (`process_resident_memory_bytes`, `process_cpu_seconds_total`,
`process_open_fds`, `python_gc_…`) are there as well.

Durations are histograms in seconds. A histogram `x` is scraped as `x_bucket`, `x_sum` and
`x_count`.
"""

SECTIONS: Final[tuple[tuple[str, str, ModuleType], ...]] = (
    ("Every service", "As far as it does these things.", shared),
    (
        "The whole system",
        "Told by the rest-api, which asks the engines when it is scraped. Every replica tells the\n"
        "same: take the maximum, never the sum.",
        system_metrics,
    ),
    ("dimse-gateway", "", gateway),
    ("indexer", "", indexer),
    ("rest-api", "", rest_api),
    ("renderer", "", renderer),
)


def render() -> str:
    """Write the whole page."""
    return "\n".join(_lines())


def declared(module: ModuleType) -> list[MetricWrapperBase]:
    """List the metrics that a module declares, in their order there."""
    return [
        value
        for name, value in vars(module).items()
        if isinstance(value, MetricWrapperBase) and name.isupper() and not name.startswith("_")
    ]


def name_of(metric: MetricWrapperBase) -> str:
    """Tell the name under which a metric is asked for."""
    (family,) = metric.describe()
    return f"{family.name}_total" if family.type == "counter" else family.name


def _lines() -> Iterator[str]:
    yield _INTRODUCTION
    for title, remark, module in SECTIONS:
        yield f"## {title}\n"
        if remark:
            yield f"{remark}\n"
        yield "| Metric | Kind | Labels | Meaning |"
        yield "|---|---|---|---|"
        for metric in declared(module):
            (family,) = metric.describe()
            labels = ", ".join(f"`{label}`" for label in metric._labelnames)
            yield f"| `{name_of(metric)}` | {family.type} | {labels} | {family.documentation} |"
        yield ""


if __name__ == "__main__":
    sys.stdout.write(render())
