"""Lanthorn's services as children of the supervisor: the process contract, written down once.

A service gets everything by its environment (see `lanthorn_core.runtime.settings`). Those of
stage 2 face clients and are stopped before those of stage 1, on which they lean.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace

from lanthorn_embedded.child import ChildSpec
from lanthorn_embedded.loglines import LogRecord, Severity, read_service_line
from lanthorn_embedded.readiness import service_ready
from lanthorn_embedded.sockets import LOOPBACK, ReservedPort

# The services promise to drain within 10 s of SIGTERM; what they had in hand then is resent.
_STOP_DEADLINE_S = 12.0
# "The configuration is wrong" (`lanthorn_core.runtime.settings_error.EXIT_CODE`).
_WRONG_CONFIGURATION = 2
# Each service doubts the same settings; `lanthorn up` has said so itself.
_SAID_ONCE = "setting_questioned"


@dataclass(frozen=True, kw_only=True)
class Faces:
    """Where the system meets its clients.

    Attributes
    ----------
    dicom_descriptor : int or None
        Listening socket that all gateways share; None when DICOM is not served.
    gateway_processes : int
        How many gateways share it.
    http_port : int or None
        Where the rest-api answers; None when HTTP is not served, and then there is none.
    """

    dicom_descriptor: int | None
    gateway_processes: int
    http_port: int | None


def service_specs(
    environment: Mapping[str, str], faces: Faces
) -> tuple[tuple[ChildSpec, ...], dict[str, str]]:
    """Describe the services' processes.

    Parameters
    ----------
    environment : mapping
        The process contract's variables as far as they are the same for all.
    faces : Faces
        Ports and sockets towards clients.

    Returns
    -------
    specs : tuple of ChildSpec
        One for each process.
    shared : dict
        The environment that they share, now with ``RENDERER_URL``.
    """
    renderer_port = ReservedPort()
    shared = {**environment, "RENDERER_URL": f"http://{LOOPBACK}:{renderer_port.number}"}
    specs = [
        _listening("renderer", "lanthorn_renderer", shared, renderer_port, stage=1),
        indexer_spec(shared),
    ]
    for number in range(1, faces.gateway_processes + 1):
        gateway = _listening(
            f"gateway-{number}", "lanthorn_dimse_gateway", shared, ReservedPort(), stage=2
        )
        specs.append(_with_socket(gateway, faces.dicom_descriptor))
    if faces.http_port is not None:
        # Health and metrics have a port of their own, which asks for no password.
        rest_api = _listening("rest-api", "lanthorn_rest_api", shared, ReservedPort(), stage=2)
        specs.append(replace(rest_api, listens_on=f"port {faces.http_port}"))
    return tuple(specs), shared


def indexer_spec(environment: Mapping[str, str]) -> ChildSpec:
    """Describe the indexer's process, which needs nothing but the engines."""
    return _listening("indexer", "lanthorn_indexer", environment, ReservedPort(), stage=1)


def _listening(
    name: str, module: str, environment: Mapping[str, str], port: ReservedPort, *, stage: int
) -> ChildSpec:
    """Describe a service that listens for HTTP on a port of the loopback."""
    address = f"{LOOPBACK}:{port.number}"
    spec = _spec(
        name,
        module,
        {**environment, "LANTHORN_LISTEN": address},
        health_port=port.number,
        listens_on=address,
        stage=stage,
    )
    return replace(spec, keeps=(port,))


def _spec(
    name: str,
    module: str,
    environment: Mapping[str, str],
    *,
    health_port: int,
    listens_on: str,
    stage: int,
) -> ChildSpec:
    return ChildSpec(
        name=name,
        # -P: the working folder is no place to import from.
        command=(sys.executable, "-P", "-m", module),
        environment={
            **environment,
            "PYTHONUNBUFFERED": "1",
            # Whatever the configuration says of the log's form, we are the one who reads it.
            "LANTHORN__LANTHORN__LOG_FORMAT": "json",
        },
        is_ready=service_ready(health_port),
        stage=stage,
        stop_steps=((signal.SIGTERM, _STOP_DEADLINE_S),),
        hopeless_exit_codes=frozenset({_WRONG_CONFIGURATION}),
        read_line=_read_line,
        listens_on=listens_on,
        health_port=health_port,
    )


def _with_socket(spec: ChildSpec, descriptor: int | None) -> ChildSpec:
    if descriptor is None:
        return spec
    environment = {**spec.environment, "LANTHORN_DICOM_FD": str(descriptor)}
    return replace(spec, environment=environment, inherited=(descriptor,))


def _read_line(service: str, line: str) -> LogRecord:
    record = read_service_line(service, line)
    if record.event == _SAID_ONCE:
        return replace(record, severity=Severity.DEBUG)
    return record
