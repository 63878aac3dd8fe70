"""``make bench``: measures Lanthorn and, in the same run, Orthanc; prints the ratios.

Each row runs in rounds, Lanthorn and Orthanc in turn, and first checks that the answer is right.
The figure is the median round; the ratio is the median of the rounds' ratios, so that a slow
moment of the machine falls on both.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.benchmarks import loads
from tests.benchmarks.loads import Outcome, Target
from tests.benchmarks.servers import Usage, lanthorn, orthanc

RESULTS = Path("bench-results")


@dataclass(frozen=True)
class Row:
    """One line of the table: a load, and how many items it handles on one client."""

    name: str
    unit: str
    clients: int
    run: Callable[[Target, int], list[Outcome]]


@dataclass(frozen=True)
class Figure:
    """What one round of a row measured on one server."""

    per_s: float
    p50_ms: float
    p95_ms: float
    cpu_s_per_1000: float
    memory_bytes: int
    settled_s: float


def store_row(kind: str, count: int, clients: int) -> Row:
    """C-STORE of `count` instances on each association; the index must keep up."""

    def run(target: Target, number: int) -> list[Outcome]:
        return loads.store(target, kind, count, number, clients)

    noun = "association" if clients == 1 else "associations"
    return Row(f"C-STORE {kind}, {clients} {noun}", "instances/s", clients, run)


def fetch_row(name: str, suffix: str, requests: int, clients: int) -> Row:
    """GET requests over a hundred instances that are stored already."""

    def run(target: Target, _number: int) -> list[Outcome]:
        ids = target.get("/instances?limit=100&since=0")
        return loads.fetch(target, [f"/instances/{id_}/{suffix}" for id_ in ids], requests, clients)

    return Row(f"{name}, {clients} client{'s' * (clients > 1)}", "requests/s", clients, run)


def rows(scale: float) -> list[Row]:
    """Return the rows in their order: slices are stored first, to be fetched then."""

    def n(count: int) -> int:
        return max(20, int(count * scale))

    return [
        store_row("ct", n(250), 1),
        store_row("ct", n(125), 4),
        fetch_row("GET file (0.5 MB)", "file", n(1000), 1),
        fetch_row("GET file (0.5 MB)", "file", n(250), 8),
        fetch_row("preview PNG 512x512", "preview", n(100), 1),
        fetch_row("preview PNG 512x512", "preview", n(25), 8),
        store_row("small", n(1000), 1),
        store_row("small", n(500), 4),
    ]


def measure(row: Row, target: Target, usage: Usage, number: int) -> Figure:
    """Run one round and check that what was stored is there."""
    before = target.get("/statistics")["CountInstances"]
    cpu_before = usage.cpu_s()
    outcomes = row.run(target, number)
    began_at = min(outcome.began_at for outcome in outcomes)
    ended_at = max(outcome.ended_at for outcome in outcomes)
    done = sum(outcome.done for outcome in outcomes)
    expected = before + (done if row.unit == "instances/s" else 0)
    while target.get("/statistics")["CountInstances"] != expected:
        if time.monotonic() > ended_at + 60:
            raise RuntimeError(f"{target.name}: instances are missing after {row.name}")
        time.sleep(0.005)
    settled_s = time.monotonic() - ended_at
    latencies = sorted(latency for outcome in outcomes for latency in outcome.latencies_s)
    return Figure(
        per_s=done / (ended_at - began_at),
        p50_ms=latencies[len(latencies) // 2] * 1000,
        p95_ms=latencies[int(len(latencies) * 0.95)] * 1000,
        cpu_s_per_1000=(usage.cpu_s() - cpu_before) / done * 1000,
        memory_bytes=usage.memory_bytes(),
        settled_s=settled_s,
    )


def median(figures: list[Figure]) -> Figure:
    """Return the round with the median rate."""
    return sorted(figures, key=lambda figure: figure.per_s)[len(figures) // 2]


def main() -> None:
    """Measure all rows, print the table, write the figures as JSON."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scale", type=float, default=1.0, help="share of the usual counts")
    parser.add_argument("--only", default="", help="rows whose name contains this")
    options = parser.parse_args()
    table: list[dict[str, Any]] = []
    with lanthorn() as ours, orthanc() as theirs:
        servers = [ours, theirs] if theirs else [ours]
        versions = {target.name: target.get("/system")["Version"] for target, _ in servers}
        print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, {versions}")
        print("| load | Lanthorn | Orthanc | ratio | p50 / p95 ms | CPU s/1000 | memory MB |")
        print("|---|---|---|---|---|---|---|")
        number = 1
        for row in rows(options.scale):
            if row.unit != "instances/s" and options.only not in row.name:
                continue
            figures: dict[str, list[Figure]] = {target.name: [] for target, _ in servers}
            for _ in range(options.rounds):
                for target, usage in servers:
                    figures[target.name].append(measure(row, target, usage, number))
                number += 1
            table.append(line(row, figures))
    RESULTS.mkdir(exist_ok=True)
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    ).stdout.strip()
    document = {"versions": versions, "commit": commit, "cores": os.cpu_count(), "rows": table}
    (RESULTS / f"{time.strftime('%Y%m%dT%H%M%S')}.json").write_text(json.dumps(document, indent=2))


def line(row: Row, figures: dict[str, list[Figure]]) -> dict[str, Any]:
    """Print one line of the table; returns it for the JSON file."""
    ours = median(figures["lanthorn"])
    theirs = median(figures["orthanc"]) if "orthanc" in figures else None
    ratio = None
    if theirs:
        pairs = zip(figures["lanthorn"], figures["orthanc"], strict=True)
        ratio = statistics.median(mine.per_s / other.per_s for mine, other in pairs)

    def both(form: Callable[[Figure], str]) -> str:
        return f"{form(ours)} vs {form(theirs)}" if theirs else form(ours)

    print(
        f"| {row.name} | {ours.per_s:,.0f} {row.unit} | "
        f"{f'{theirs.per_s:,.0f}' if theirs else '-'} | {f'{ratio:.2f}x' if ratio else '-'} | "
        f"{both(lambda f: f'{f.p50_ms:.1f} / {f.p95_ms:.1f}')} | "
        f"{both(lambda f: f'{f.cpu_s_per_1000:.1f}')} | "
        f"{both(lambda f: f'{f.memory_bytes / 1e6:.0f}')} |",
        flush=True,
    )
    return {
        "row": row.name,
        "ratio": ratio,
        **{name: [vars(figure) for figure in each] for name, each in figures.items()},
    }


if __name__ == "__main__":
    main()
