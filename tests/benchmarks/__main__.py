"""``make bench``: measures Lanthorn and, in the same run, Orthanc; prints the ratios.

Each row runs in rounds, the servers in turn, and first checks that the answer is right. The figure
is the median round; the ratio is the median of the rounds' ratios to the better Orthanc, so that a
slow moment of the machine falls on all.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tests.benchmarks.crowd import measure_crowd
from tests.benchmarks.figures import Figure, measure, median
from tests.benchmarks.object_stores import measure_object_stores
from tests.benchmarks.rows import Row, prepare, rows
from tests.benchmarks.servers import lanthorn, orthancs, receiver

RESULTS = Path("bench-results")


def main() -> None:
    """Measure all rows, print the table, write the figures as JSON."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scale", type=float, default=1.0, help="share of the usual counts")
    parser.add_argument("--only", default="", help="rows whose name contains this")
    parser.add_argument("--crowd", type=int, default=100_000, help="studies of the last table")
    options = parser.parse_args()
    table: list[dict[str, Any]] = []
    with (
        receiver() as receiver_port,
        lanthorn(receiver_port) as ours,
        orthancs(receiver_port) as theirs,
    ):
        servers = [ours, *theirs]
        names = [
            f"{server.target.name} {server.target.get('/system')['Version']}" for server in servers
        ]
        print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores")
        header = f"| load | {' | '.join(names)} | ratio | p50 / p95 ms | CPU s/1000 | memory MB |"
        print(header, "|" + "---|" * (len(names) + 5), sep="\n")
        for server in servers:
            prepare(server.target)
        number = 1
        for row in rows(options.scale):
            if options.only not in row.name:
                continue
            figures: list[list[Figure]] = [[] for _ in servers]
            for _ in range(options.rounds):
                for server, measured in zip(servers, figures, strict=True):
                    measured.append(measure(row, server, number))
                number += 1
            table.append(line(row, names, figures))
        crowd = []
        if options.crowd and options.only in "C-FIND crowd":
            crowd = asyncio.run(measure_crowd(ours, options.crowd))
    stores = []
    if options.only in "C-STORE ct S3":
        with receiver() as receiver_port:
            stores = measure_object_stores(receiver_port, options.rounds, options.scale)
    RESULTS.mkdir(exist_ok=True)
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    ).stdout.strip()
    document = {
        "commit": commit,
        "cores": os.cpu_count(),
        "rows": table,
        "crowd": crowd,
        "object_stores": stores,
    }
    (RESULTS / f"{time.strftime('%Y%m%dT%H%M%S')}.json").write_text(json.dumps(document, indent=2))


def line(row: Row, names: Sequence[str], figures: Sequence[list[Figure]]) -> dict[str, Any]:
    """Print one line of the table, Lanthorn's figures first; returns it for the JSON file."""
    medians = [median(each) for each in figures]
    ratio = None
    if len(figures) > 1:
        rounds = zip(*figures, strict=True)
        ratio = statistics.median(
            mine.per_s / max(other.per_s for other in others) for mine, *others in rounds
        )

    def each(form: Callable[[Figure], str]) -> str:
        return " vs ".join(form(figure) for figure in medians)

    rates = " | ".join(f"{figure.per_s:,.{1 if figure.per_s < 100 else 0}f}" for figure in medians)
    print(
        f"| {row.name}, {row.unit} | {rates} | {f'{ratio:.2f}x' if ratio else '-'} | "
        f"{each(lambda f: f'{f.p50_ms:.1f} / {f.p95_ms:.1f}')} | "
        f"{each(lambda f: f'{f.cpu_s_per_1000:.1f}')} | "
        f"{each(lambda f: f'{f.memory_bytes / 1e6:.0f}')} |",
        flush=True,
    )
    measured = {
        name: [vars(figure) for figure in each_round]
        for name, each_round in zip(names, figures, strict=True)
    }
    return {"row": row.name, "ratio": ratio, **measured}


if __name__ == "__main__":
    main()
