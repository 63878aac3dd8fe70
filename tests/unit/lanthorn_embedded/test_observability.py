"""What an operator is given agrees with the code: reference page, dashboard, alerts, runbooks."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.metrics import Histogram, MetricWrapperBase

from lanthorn_embedded.metrics_reference import SECTIONS, declared, name_of, render

ROOT = Path(__file__).parents[3]
OBSERVABILITY = ROOT / "deploy" / "observability"
RUNBOOKS = ROOT / "docs" / "how-to" / "monitor.md"
METRICS = [metric for _, _, module in SECTIONS for metric in declared(module)]
OF_EVERY_PYTHON_PROCESS = {
    *("process_cpu_seconds_total", "process_resident_memory_bytes", "process_start_time_seconds"),
    *("process_open_fds", "process_max_fds"),
}
NAME = re.compile(r"\b(?:lanthorn|process|python)_\w+")
SELECTOR = re.compile(r"\b(lanthorn_\w+)\{([^}]*)\}")
LABEL = re.compile(r"(\w+)\s*(?:=|!=|=~|!~)\s*\"")
TOLD_BY_PROMETHEUS = {"job", "instance", "le"}


def scraped(metric: MetricWrapperBase) -> list[str]:
    name = name_of(metric)
    parts = ("_bucket", "_sum", "_count") if isinstance(metric, Histogram) else ("",)
    return [f"{name}{part}" for part in parts]


LABELS = {name: set(metric._labelnames) for metric in METRICS for name in scraped(metric)}


def expressions_of_dashboard() -> Iterator[str]:
    dashboard = json.loads((OBSERVABILITY / "dashboard.json").read_text())
    for panel in dashboard["panels"]:
        for target in panel.get("targets", ()):
            yield target["expr"].replace("$__rate_interval", "5m")


def alerts() -> list[dict[str, Any]]:
    rules = yaml.safe_load((OBSERVABILITY / "alerts.yaml").read_text())
    return [rule for group in rules["groups"] for rule in group["rules"]]


EXPRESSIONS = [*expressions_of_dashboard(), *(rule["expr"] for rule in alerts())]


def test_the_reference_page_is_up_to_date() -> None:
    page = ROOT / "docs" / "reference" / "metrics.md"
    assert page.read_text(encoding="utf-8") == render(), "run `make docs`"


def test_the_dashboard_is_what_its_program_makes() -> None:
    made = subprocess.run(
        [sys.executable, OBSERVABILITY / "dashboard.py"], capture_output=True, check=True
    )
    assert (OBSERVABILITY / "dashboard.json").read_bytes() == made.stdout, "run `make docs`"


@pytest.mark.parametrize("metric", METRICS, ids=name_of)
def test_a_metric_is_named_as_prometheus_wants_it(metric: MetricWrapperBase) -> None:
    (family,) = metric.describe()
    assert re.fullmatch(r"lanthorn(_[a-z0-9]+)+", family.name)
    assert family.documentation.endswith((".", "`).")), "its meaning is a sentence"
    assert family.type != "histogram" or family.name.endswith(("_seconds", "_events"))
    assert not re.search(r"_(ms|milliseconds|mb|kb)$", family.name), "base units only"
    assert not set(metric._labelnames) & {"job", "instance", "le"}, "Prometheus' own labels"


def test_metrics_are_declared_in_the_modules_of_the_reference_page_only() -> None:
    sources = (*ROOT.glob("packages/*/src/**/*.py"), *ROOT.glob("services/*/src/**/*.py"))
    known = {Path(str(module.__file__)) for _, _, module in SECTIONS}
    declaration = re.compile(r"= (?:Counter|Gauge|Histogram|Summary|Info)\(\s*\"lanthorn")
    elsewhere = [each for each in sources if declaration.search(each.read_text())]
    assert set(elsewhere) == known


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_what_dashboard_and_alerts_ask_for_exists(expression: str) -> None:
    names = set(NAME.findall(expression))
    assert names, "it asks for nothing"
    assert names <= LABELS.keys() | OF_EVERY_PYTHON_PROCESS
    for name, selector in SELECTOR.findall(expression):
        assert set(LABEL.findall(selector)) <= LABELS[name] | TOLD_BY_PROMETHEUS
    for grouped in re.findall(r"\bby \(([^)]*)\)", expression):
        labels = set(filter(None, re.split(r",\s*", grouped)))
        assert labels <= set().union(*(LABELS.get(name, set()) for name in names)) | (
            TOLD_BY_PROMETHEUS
        )


@pytest.mark.parametrize("rule", alerts(), ids=lambda rule: str(rule["alert"]))
def test_an_alert_says_what_to_do(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert rule["annotations"]["summary"]
    assert rule["annotations"]["description"]
    page, _, anchor = rule["annotations"]["runbook_url"].partition("#")
    assert ROOT / page == RUNBOOKS
    assert anchor == rule["alert"].lower()
    assert f"\n### {rule['alert']}\n" in RUNBOOKS.read_text()


def test_every_runbook_has_its_alert() -> None:
    sections = re.findall(r"^### (Lanthorn\w+)$", RUNBOOKS.read_text(), re.MULTILINE)
    assert sections == [rule["alert"] for rule in alerts()]


def test_the_chart_brings_the_same_files() -> None:
    files = ROOT / "k8s" / "charts" / "lanthorn" / "files"
    for ours, copy in (("alerts.yaml", "alerts"), ("dashboard.json", "dashboards")):
        name = f"lanthorn{Path(ours).suffix}"
        assert (files / copy / name).read_bytes() == (OBSERVABILITY / ours).read_bytes(), (
            "run `make docs`"
        )


def test_the_example_configuration_names_files_that_exist() -> None:
    configuration = yaml.safe_load((OBSERVABILITY / "prometheus.yml").read_text())
    assert [(OBSERVABILITY / name).is_file() for name in configuration["rule_files"]] == [True]
