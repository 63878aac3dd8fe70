"""`/tools/metrics-prometheus`: figures under Orthanc's names (reference 2.11.3).

Our own metrics are at `/metrics`; this route is for dashboards that were made for Orthanc. Of its
names those are here that mean something in Lanthorn.
"""

from __future__ import annotations

import time
from typing import Final

from fastapi import APIRouter, Depends
from starlette.responses import Response

from lanthorn_core.ports.jobs import JobState
from lanthorn_rest_api.barrier import current_index
from lanthorn_rest_api.services import ServicesDep

router = APIRouter(dependencies=[Depends(current_index)])

_BYTES_PER_MB: Final = 1 << 20
_STARTED_AT: Final = time.monotonic()


@router.get("/tools/metrics-prometheus")
async def metrics(services: ServicesDep) -> Response:
    """Show the figures, one a line: name, value, milliseconds since epoch."""
    if not services.settings.metrics_enabled:
        return _answer("")
    counts = await services.reader.statistics()
    jobs = await services.jobs.counts()
    last_change = (await services.reader.last_change()).last
    # Objects are stored as they came: what they take is what they are.
    size_mb = f"{counts.size_bytes / _BYTES_PER_MB:.9g}"
    figures = {
        "orthanc_count_instances": counts.instances,
        "orthanc_count_patients": counts.patients,
        "orthanc_count_series": counts.series,
        "orthanc_count_studies": counts.studies,
        "orthanc_disk_size_mb": size_mb,
        "orthanc_jobs_pending": jobs.get(JobState.PENDING, 0),
        "orthanc_jobs_running": jobs.get(JobState.RUNNING, 0),
        "orthanc_last_change": last_change,
        "orthanc_uncompressed_size_mb": size_mb,
        "orthanc_up_time_s": int(time.monotonic() - _STARTED_AT),
    }
    now_ms = int(time.time() * 1000)
    lines = "".join(f"{name} {value} {now_ms}\n" for name, value in figures.items())
    return _answer(lines)


def _answer(lines: str) -> Response:
    # Set by hand: Starlette would add a charset.
    return Response(lines, headers={"Content-Type": "text/plain; version=0.0.4"})
