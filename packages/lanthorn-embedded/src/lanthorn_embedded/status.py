"""`lanthorn status`: what runs in a data folder, and how it is."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from lanthorn_embedded.datafolder import DataFolder, SystemState
from lanthorn_embedded.readiness import http_get
from lanthorn_embedded.sockets import LOOPBACK

_COUNTS = {
    "CountPatients": "patients",
    "CountStudies": "studies",
    "CountSeries": "series",
    "CountInstances": "instances",
}


def status_report(folder: DataFolder) -> tuple[str, bool]:
    """Describe the system of a data folder.

    Returns
    -------
    report : str
        Lines for a terminal.
    healthy : bool
        Whether it runs and all of it is ready.
    """
    state = folder.read_state()
    if state is None:
        holder = folder.holder()
        if holder is not None:
            return f"lanthorn, process {holder}, works with {folder.root} and is not up yet", False
        return f"nothing runs in {folder.root}", False
    counts = asyncio.run(_read_counts(state.http_port)) if state.ready else "not known yet"
    healthy = state.ready and all(process.ready for process in state.processes)
    return _report(state, folder.root, counts, healthy=healthy), healthy


def _report(state: SystemState, root: Path, counts: str, *, healthy: bool) -> str:
    word = "is ready" if healthy else "starts" if not state.ready else "is not well"
    lines = [
        f"Lanthorn {state.version} {word}: process {state.pid}, since {state.started_at}",
        f"  AE title    {state.ae_title}",
        f"  DICOM       port {state.dicom_port}",
        f"  Web         http://{LOOPBACK}:{state.http_port}/",
        f"  Data        {root}",
        f"  Holds       {counts}",
        "",
        f"  {'process':<12} {'pid':>8}  {'state':<10} {'restarts':>8}  listens on",
    ]
    for process in state.processes:
        condition = "ready" if process.ready else "not ready" if process.pid else "down"
        lines.append(
            f"  {process.name:<12} {process.pid or '-':>8}  {condition:<10} "
            f"{process.restarts:>8}  {process.listens_on}"
        )
    return "\n".join(lines)


async def _read_counts(http_port: int) -> str:
    try:
        answer = await http_get(LOOPBACK, http_port, "/statistics")
    except OSError as exc:
        return f"unknown: no answer ({exc or type(exc).__name__})"
    if answer.status == 401:
        return "not shown: the web interface asks for a password"
    if answer.status != 200:
        return f"unknown: the answer was {answer.status}"
    document: dict[str, Any] = json.loads(answer.body)
    return ", ".join(f"{document[name]} {word}" for name, word in _COUNTS.items())
