"""C-STORE of slices into files and into S3, with one, two and four gateway processes.

The S3 server is MinIO on the same two cores: what it costs falls on the rate, and is counted.
"""

from __future__ import annotations

import os
import statistics
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil

from tests.benchmarks.figures import Figure, measure, median
from tests.benchmarks.rows import store_row
from tests.benchmarks.servers import Usage, lanthorn
from tests.fixtures.s3 import MINIO_VARIABLE, S3Server, minio_over

GATEWAYS = (1, 2, 4)
_BUILT = Path(__file__).parents[2] / ".venv" / "minio" / "minio"
"""Where `make test-minio` puts it."""
_FIRST_RUN = 60_000
"""Numbers of these runs do not meet those of the other tables."""


def measure_object_stores(receiver_port: int, rounds: int, scale: float) -> list[dict[str, Any]]:
    """Measure and print; the list is empty where there is no MinIO."""
    binary = os.environ.get(MINIO_VARIABLE) or (str(_BUILT) if _BUILT.exists() else "")
    if not binary:
        print(f"\nNo MinIO: S3 is not measured (make test-minio builds one, or {MINIO_VARIABLE})")
        return []
    os.environ[MINIO_VARIABLE] = binary
    print(
        "\n| C-STORE ct, instances/s | gateways | files | S3 (MinIO) | ratio | CPU s/1000 "
        "| of it MinIO's | p50 ms |",
        "|---|---|---|---|---|---|---|---|",
        sep="\n",
    )
    return [
        line
        for gateways in GATEWAYS
        for line in _with_gateways(gateways, receiver_port, rounds, scale)
    ]


def _with_gateways(
    gateways: int, receiver_port: int, rounds: int, scale: float
) -> Iterator[dict[str, Any]]:
    with (
        _minio() as (minio, engine),
        lanthorn(receiver_port, "files", gateways=gateways) as files,
        lanthorn(
            receiver_port,
            "S3",
            gateways=gateways,
            environment=minio.variables,
            engines=[engine],
        ) as s3,
    ):
        for associations in (1, 4):
            row = store_row("ct", max(20, int(200 * scale) // associations), associations)
            in_files: list[Figure] = []
            in_s3: list[Figure] = []
            share = Share(Usage(engine), s3.usage)
            for number in range(rounds):
                run = _FIRST_RUN + associations * 100 + number
                in_files.append(measure(row, files, run))
                with share.measured():
                    in_s3.append(measure(row, s3, run))
            yield _line(associations, gateways, in_files, in_s3, share.value)


class Share:
    """What one part has of the CPU seconds of all, while they are measured."""

    def __init__(self, part: Usage, whole: Usage) -> None:
        self._usages = (part, whole)
        self._sums = [0.0, 0.0]

    @contextmanager
    def measured(self) -> Iterator[None]:
        """Measure for the length of the block."""
        before = [usage.cpu_s() for usage in self._usages]
        yield
        for place, usage in enumerate(self._usages):
            self._sums[place] += usage.cpu_s() - before[place]

    @property
    def value(self) -> float:
        """The part's share, from 0 to 1."""
        part, whole = self._sums
        return part / whole


def _line(
    associations: int,
    gateways: int,
    in_files: list[Figure],
    in_s3: list[Figure],
    engine_share: float,
) -> dict[str, Any]:
    ratio = statistics.median(
        s3.per_s / files.per_s for files, s3 in zip(in_files, in_s3, strict=True)
    )
    files, s3 = median(in_files), median(in_s3)
    print(
        f"| {associations} association{'s' * (associations > 1)} | {gateways} "
        f"| {files.per_s:,.0f} | {s3.per_s:,.0f} | {ratio:.2f}x "
        f"| {files.cpu_s_per_1000:.1f} vs {s3.cpu_s_per_1000:.1f} | {engine_share:.0%} "
        f"| {files.p50_ms:.1f} vs {s3.p50_ms:.1f} |",
        flush=True,
    )
    return {
        "associations": associations,
        "gateways": gateways,
        "ratio": ratio,
        "engine_share": engine_share,
        "files": [vars(figure) for figure in in_files],
        "s3": [vars(figure) for figure in in_s3],
    }


@contextmanager
def _minio() -> Iterator[tuple[S3Server, psutil.Process]]:
    with tempfile.TemporaryDirectory(prefix="minio-bench-", ignore_cleanup_errors=True) as folder:
        server = replace(minio_over(Path(folder)), bucket="bench")
        with server.running() as process:
            yield server, psutil.Process(process.pid)
