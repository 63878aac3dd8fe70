"""What one round of a row measures on one server."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from tests.benchmarks.rows import Row
from tests.benchmarks.servers import Server


@dataclass(frozen=True)
class Figure:
    """What one round of a row measured on one server."""

    per_s: float
    p50_ms: float
    p95_ms: float
    cpu_s_per_1000: float
    memory_bytes: int
    settled_s: float


def measure(row: Row, server: Server, number: int) -> Figure:
    """Run one round and check that what was stored is there."""
    target, usage = server.target, server.usage
    before = target.get("/statistics")["CountInstances"]
    cpu_before = usage.cpu_s()
    outcomes = row.run(target, number)
    began_at = min(outcome.began_at for outcome in outcomes)
    ended_at = max(outcome.ended_at for outcome in outcomes)
    done = sum(outcome.done for outcome in outcomes)
    expected = before + (done if row.stores else 0)
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


def median(figures: Sequence[Figure]) -> Figure:
    """Return the round with the median rate."""
    return sorted(figures, key=lambda figure: figure.per_s)[len(figures) // 2]
