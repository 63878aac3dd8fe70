"""The servers: a fresh Lanthorn, and beside it the real Orthancs that can be had."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from tests.benchmarks.loads import Target
from tests.fixtures.running_lanthorn import lanthorn_up

_TOOL = Path(__file__).parents[3] / "shared" / "tools" / "orthanc"
_RELEASES = ("sid", "bookworm")
"""Debian releases whose Orthanc the tool can unpack: the newest, and 1.10.1."""

RECEIVER_AE_TITLE = "RECEIVER"


class Usage:
    """CPU seconds and memory of one or more trees of processes."""

    def __init__(self, *roots: psutil.Process) -> None:
        self._roots = roots

    def _tree(self) -> list[psutil.Process]:
        return [
            process for root in self._roots for process in (root, *root.children(recursive=True))
        ]

    def cpu_s(self) -> float:
        """Return user and system seconds so far, of living and waited-for processes."""
        total = 0.0
        for process in self._tree():
            times = process.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
        return total

    def memory_bytes(self) -> int:
        """Return memory that is these processes' share, shared pages divided."""
        return sum(process.memory_full_info().pss for process in self._tree())


@dataclass(frozen=True)
class Server:
    """A running server; only ours tells where its database is."""

    target: Target
    usage: Usage
    database_url: str = ""


def free_port() -> int:
    """Return a TCP port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def receiver() -> Iterator[int]:
    """Run the Storage SCP that C-MOVE sends to; gives its port."""
    port = free_port()
    command = [sys.executable, "-m", "tests.fixtures.dimse_receiver", str(port)]
    process = subprocess.Popen(command)
    try:
        yield port
    finally:
        process.kill()
        process.wait()


def _options(receiver_port: int) -> dict[str, Any]:
    return {
        **{f"DicomAlwaysAllow{service}": True for service in ("Find", "Get", "Move")},
        "DicomModalities": {"receiver": [RECEIVER_AE_TITLE, "127.0.0.1", receiver_port]},
    }


@contextmanager
def lanthorn(
    receiver_port: int,
    name: str = "lanthorn",
    *,
    gateways: int | None = None,
    environment: Mapping[str, str] | None = None,
    engines: Sequence[psutil.Process] = (),
) -> Iterator[Server]:
    """Run `lanthorn up` on free ports and an empty data folder.

    Parameters
    ----------
    name : str
        What its column is called.
    gateways : int, optional
        How many gateway processes; by default as many as it takes by itself.
    environment : mapping, optional
        Variables that name engines to be used instead of its own.
    engines : sequence of psutil.Process
        These engines: their CPU and memory count as Lanthorn's.
    """
    options = _options(receiver_port)
    if gateways:
        options["Lanthorn"] = {"GatewayProcesses": gateways}
    with (
        tempfile.TemporaryDirectory(prefix="lanthorn-bench-", ignore_cleanup_errors=True) as folder,
        lanthorn_up(Path(folder), options, environment=environment) as running,
    ):
        target = Target(name, running.http_port, running.dicom_port, running.ae_title)
        usage = Usage(psutil.Process(running.process.pid), *engines)
        yield Server(target, usage, running.state.database_url)


@contextmanager
def orthancs(receiver_port: int) -> Iterator[list[Server]]:
    """Run every Orthanc of this machine; the list is empty where there is none."""
    with ExitStack() as stack:
        servers = []
        if _TOOL.exists():
            for release in _RELEASES:
                servers.append(stack.enter_context(_unpacked_orthanc(release, receiver_port)))
        elif shutil.which("Orthanc"):
            servers.append(stack.enter_context(_installed_orthanc(receiver_port)))
        yield servers


@contextmanager
def _unpacked_orthanc(release: str, receiver_port: int) -> Iterator[Server]:
    environment = os.environ | {"ORTHANC_RELEASE": release}
    with _orthanc_folder(_options(receiver_port)) as (folder, target, configuration):
        ports = ["--http", str(target.http_port), "--dicom", str(target.dicom_port)]
        start = [str(_TOOL), "start", *ports, "--storage", folder, "--config", str(configuration)]
        subprocess.run(start, check=True, stdout=2, env=environment)
        try:
            yield Server(target, _usage_of(target))
        finally:
            subprocess.run([str(_TOOL), "stop", *ports[:2]], check=False, stdout=2, env=environment)


@contextmanager
def _installed_orthanc(receiver_port: int) -> Iterator[Server]:
    options = _options(receiver_port) | {"AuthenticationEnabled": False}
    with _orthanc_folder(options, embedded=True) as (_, target, configuration):
        # Else DCMTK leaves Nagle's algorithm on.
        environment = os.environ | {"TCP_NODELAY": "1"}
        command = ["Orthanc", str(configuration)]
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL, env=environment)
        try:
            yield Server(target, _usage_of(target))
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()


@contextmanager
def _orthanc_folder(
    options: dict[str, Any], *, embedded: bool = False
) -> Iterator[tuple[str, Target, Path]]:
    target = Target("orthanc", free_port(), free_port(), "ORTHANC")
    with (
        tempfile.TemporaryDirectory(prefix="orthanc-bench-", ignore_cleanup_errors=True) as storage,
        tempfile.TemporaryDirectory(prefix="orthanc-bench-") as folder,
    ):
        if embedded:
            options = options | {
                "HttpPort": target.http_port,
                "DicomPort": target.dicom_port,
                "StorageDirectory": storage,
            }
        configuration = Path(folder) / "orthanc.json"
        configuration.write_text(json.dumps(options))
        yield storage, target, configuration


def _usage_of(target: Target) -> Usage:
    _await_http(target)
    return Usage(psutil.Process(_listener(target.http_port)))


def _listener(port: int) -> int:
    for connection in psutil.net_connections("tcp"):
        if connection.laddr and connection.laddr.port == port and connection.status == "LISTEN":
            return int(connection.pid or 0)
    raise RuntimeError(f"nobody listens on port {port}")


def _await_http(target: Target) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{target.http_port}/system"):
                return
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.1)
    raise RuntimeError(f"{target.name} does not answer")
