"""Figures of the whole system for who watches it: read from the engines when they are asked for."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from prometheus_client import Gauge

from lanthorn_core.model import Level
from lanthorn_core.ports.bus import EventBacklog
from lanthorn_core.ports.index import IndexReader
from lanthorn_core.telemetry import system_metrics as figures
from lanthorn_core.usecases.job_registry import JobRegistry

_UNKNOWN: Final = math.nan
"""Better no figure than the last one, while nobody can tell it."""

_BACKLOG: Final = (
    figures.LAG_EVENTS,
    figures.LAG_SECONDS,
    figures.RETRYING_EVENTS,
    figures.PARKED_EVENTS,
)


async def refresh_backlog(backlog: EventBacklog, reader: IndexReader) -> None:
    """Tell how far the index is behind, and what waits beside the stream.

    Raises
    ------
    BusUnavailable, IndexUnavailable
        The stream or the database does not answer.
    """
    with _unknown_on_failure(*_BACKLOG):
        found = await backlog.measure(await reader.progress())
        figures.LAG_EVENTS.set(found.waiting)
        figures.LAG_SECONDS.set(found.oldest_age_s)
        figures.RETRYING_EVENTS.set(found.retrying)
        figures.PARKED_EVENTS.set(found.parked)


async def refresh_jobs(jobs: JobRegistry) -> None:
    """Tell how many jobs there are.

    Raises
    ------
    IndexUnavailable
        The database does not answer.
    """
    figures.JOBS.clear()  # what is not counted below has become none
    for (job_type, state), count in (await jobs.counts_by_type()).items():
        figures.JOBS.labels(job_type, state.value).set(count)


async def refresh_resources(reader: IndexReader) -> None:
    """Tell how much the index holds.

    Raises
    ------
    IndexUnavailable
        The database does not answer.
    """
    with _unknown_on_failure(figures.RESOURCES_BYTES):
        counts = await reader.statistics()
        figures.RESOURCES_BYTES.set(counts.size_bytes)
        for level, count in (
            (Level.PATIENT, counts.patients),
            (Level.STUDY, counts.studies),
            (Level.SERIES, counts.series),
            (Level.INSTANCE, counts.instances),
        ):
            figures.RESOURCES.labels(level.value).set(count)


@contextmanager
def _unknown_on_failure(*gauges: Gauge) -> Iterator[None]:
    try:
        yield
    except BaseException:  # a time-out as well
        for gauge in gauges:
            gauge.set(_UNKNOWN)
        raise
