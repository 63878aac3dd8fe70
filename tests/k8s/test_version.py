"""What the chart says twice; needs no cluster. Its alerts and dashboard: see `make docs`."""

from __future__ import annotations

import tomllib
from pathlib import Path

_ROOT = Path(__file__).parents[2]


def test_the_chart_installs_the_version_of_the_services() -> None:
    project = tomllib.loads((_ROOT / "services/dimse-gateway/pyproject.toml").read_text())
    chart = (_ROOT / "k8s/charts/lanthorn/Chart.yaml").read_text()
    assert f"\nappVersion: {project['project']['version']}\n" in chart
