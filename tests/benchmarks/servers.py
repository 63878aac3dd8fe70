"""The servers: a fresh Lanthorn, and beside it a real Orthanc where one can be had."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from tests.benchmarks.loads import Target
from tests.fixtures.running_lanthorn import lanthorn_up

_TOOL = Path(__file__).parents[3] / "shared" / "tools" / "orthanc"


def free_port() -> int:
    """Return a TCP port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Usage:
    """CPU seconds and peak memory of a tree of processes."""

    def __init__(self, root: psutil.Process) -> None:
        self._root = root

    def _tree(self) -> list[psutil.Process]:
        return [self._root, *self._root.children(recursive=True)]

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


@contextmanager
def lanthorn() -> Iterator[tuple[Target, Usage]]:
    """Run `lanthorn up` on free ports and an empty data folder."""
    with (
        tempfile.TemporaryDirectory(prefix="lanthorn-bench-", ignore_cleanup_errors=True) as folder,
        lanthorn_up(Path(folder)) as running,
    ):
        target = Target("lanthorn", running.http_port, running.dicom_port, running.ae_title)
        yield target, Usage(psutil.Process(running.process.pid))


@contextmanager
def orthanc() -> Iterator[tuple[Target, Usage] | None]:
    """Run the newest Orthanc that this machine has; None where it has none."""
    folder = tempfile.mkdtemp(prefix="orthanc-bench-")
    target = Target("orthanc", free_port(), free_port(), "ORTHANC")
    if _TOOL.exists():
        ports = ["--http", str(target.http_port), "--dicom", str(target.dicom_port)]
        subprocess.run([_TOOL, "start", *ports, "--storage", folder], check=True, stdout=2)
        stop = [str(_TOOL), "stop", "--http", str(target.http_port)]
    elif shutil.which("Orthanc"):
        configuration = Path(folder) / "orthanc.json"
        configuration.write_text(
            f'{{"HttpPort": {target.http_port}, "DicomPort": {target.dicom_port},'
            f'"StorageDirectory": "{folder}", "AuthenticationEnabled": false}}'
        )
        subprocess.Popen(["Orthanc", str(configuration)], stderr=subprocess.DEVNULL)
        stop = []
    else:
        yield None
        return
    try:
        _await_http(target)
        root = psutil.Process(_listener(target.http_port))
        yield target, Usage(root)
    finally:
        if stop:
            subprocess.run(stop, check=False, stdout=2)
        else:
            os.kill(_listener(target.http_port), signal.SIGTERM)
        shutil.rmtree(folder, ignore_errors=True)


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
