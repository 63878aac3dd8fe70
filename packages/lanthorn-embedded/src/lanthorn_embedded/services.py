"""Lanthorn's services as children of the supervisor: the process contract, written down once.

A service gets everything by its environment (see `lanthorn_core.runtime.settings`). Those of
stage 2 face clients and are stopped before those of stage 1, on which they lean.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from lanthorn_embedded.child import ChildSpec
from lanthorn_embedded.readiness import service_ready
from lanthorn_embedded.sockets import LOOPBACK, private_port

# The services promise to drain within 10 s of SIGTERM; what they had in hand then is resent.
_STOP_DEADLINE_S = 12.0
# "The configuration is wrong" (`lanthorn_core.runtime.settings_error.EXIT_CODE`).
_WRONG_CONFIGURATION = 2


@dataclass(frozen=True, kw_only=True)
class Faces:
    """Where the system meets its clients.

    Attributes
    ----------
    dicom_descriptor : int
        Listening socket that all gateways share.
    gateway_processes : int
        How many gateways share it.
    http_port : int
        Where the rest-api answers.
    """

    dicom_descriptor: int
    gateway_processes: int
    http_port: int


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
    renderer_port, indexer_port, *gateway_ports = _distinct_ports(faces.gateway_processes + 2)
    shared = {
        **environment,
        "RENDERER_URL": f"http://{LOOPBACK}:{renderer_port}",
        "PYTHONUNBUFFERED": "1",
    }
    private = {
        "renderer": ("lanthorn_renderer", renderer_port, 1),
        "indexer": ("lanthorn_indexer", indexer_port, 1),
    }
    for number, port in enumerate(gateway_ports, start=1):
        private[f"gateway-{number}"] = ("lanthorn_dimse_gateway", port, 2)
    specs = [
        _spec(
            name,
            module,
            {**shared, "LANTHORN_LISTEN": f"{LOOPBACK}:{port}"},
            ready=service_ready(port),
            listens_on=f"{LOOPBACK}:{port}",
            stage=stage,
            dicom_descriptor=faces.dicom_descriptor if name.startswith("gateway") else None,
        )
        for name, (module, port, stage) in private.items()
    ]
    specs.append(
        _spec(
            "rest-api",
            "lanthorn_rest_api",
            shared,
            ready=service_ready(faces.http_port),
            listens_on=f"{LOOPBACK}:{faces.http_port}",
            stage=2,
        )
    )
    return tuple(specs), shared


def _spec(
    name: str,
    module: str,
    environment: Mapping[str, str],
    *,
    ready: Callable[[], Awaitable[None]],
    listens_on: str,
    stage: int,
    dicom_descriptor: int | None = None,
) -> ChildSpec:
    inherited: tuple[int, ...] = ()
    if dicom_descriptor is not None:
        inherited = (dicom_descriptor,)
        environment = {**environment, "LANTHORN_DICOM_FD": str(dicom_descriptor)}
    return ChildSpec(
        name=name,
        # -P: the working folder is no place to import from.
        command=(sys.executable, "-P", "-m", module),
        environment=environment,
        is_ready=ready,
        stage=stage,
        stop_steps=((signal.SIGTERM, _STOP_DEADLINE_S),),
        hopeless_exit_codes=frozenset({_WRONG_CONFIGURATION}),
        inherited=inherited,
        listens_on=listens_on,
    )


def _distinct_ports(count: int) -> list[int]:
    ports: set[int] = set()
    while len(ports) < count:
        ports.add(private_port())
    return sorted(ports)
