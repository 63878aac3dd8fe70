"""The gateway as processes: one shared listening socket, bounded memory, an orderly end."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset

from lanthorn_embedded.sockets import ReservedPort
from tests.fixtures.gateway import (
    A_ABORT,
    IMPLICIT_VR_LITTLE_ENDIAN,
    RELEASE_REQUEST,
    RunningGateway,
    command_pdu,
    dataset_pdu,
    implicit_dataset,
    read_pdu,
    read_status,
    store_command,
)
from tests.fixtures.pynetdicom_peer import SURPRISED_THREADS

pytestmark = SURPRISED_THREADS

STUDY_ROOT_FIND = "1.2.840.10008.5.1.4.1.2.2.1"
MEBIBYTE = 1 << 20
OBJECT_BYTES = int(os.environ.get("LANTHORN_TEST_LARGE_OBJECT_MIB", "200")) * MEBIBYTE
SENDERS = 8
MEMORY_LIMIT_BYTES = 600 * MEBIBYTE


@dataclass
class GatewayProcesses(RunningGateway):
    """Gateways that share one listening socket, with the addresses of their health."""

    processes: list[subprocess.Popen[bytes]]
    health: list[str]

    @property
    def memory_bytes(self) -> int:
        """Memory of all processes, shared pages counted once (PSS, proc(5))."""
        total = 0
        for process in self.processes:
            rollup = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
            (line,) = (line for line in rollup.splitlines() if line.startswith("Pss:"))
            total += int(line.split()[1]) * 1024
        return total

    def terminate(self) -> list[int]:
        """Send SIGTERM to all and return their exit statuses."""
        for process in self.processes:
            process.send_signal(signal.SIGTERM)
        return [process.wait(60) for process in self.processes]


RunProcesses = Callable[..., AbstractContextManager[GatewayProcesses]]


def answers(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code
    except OSError:
        return 0


@pytest.fixture
def gateway_processes(tmp_path: Path, nats_url: str) -> RunProcesses:
    """Start gateways: ``with gateway_processes(2) as gateways``."""

    @contextlib.contextmanager
    def run(
        count: int, *, file_limit_bytes: int = 0, database_url: str = "", **options: Any
    ) -> Iterator[GatewayProcesses]:
        configuration = tmp_path / "lanthorn.json"
        configuration.write_text(json.dumps(options))

        with (
            socket.create_server(("127.0.0.1", 0), backlog=256) as listening,
            contextlib.ExitStack() as logs,
        ):
            processes, health = [], []
            reserved = [ReservedPort() for _ in range(count)]
            for port in (each.number for each in reserved):
                health.append(f"http://127.0.0.1:{port}")
                processes.append(
                    subprocess.Popen(
                        [sys.executable, "-m", "lanthorn_dimse_gateway"],
                        env={
                            **os.environ,
                            "LANTHORN_CONFIG": str(configuration),
                            "LANTHORN_DATA_DIR": str(tmp_path),
                            "NATS_URL": nats_url,
                            "DATABASE_URL": database_url,
                            "LANTHORN_LISTEN": f"127.0.0.1:{port}",
                            "LANTHORN_DICOM_FD": str(listening.fileno()),
                        },
                        pass_fds=[listening.fileno()],
                        stdout=logs.enter_context((tmp_path / f"gateway-{port}.log").open("wb")),
                    )
                )
                if file_limit_bytes:
                    limits = (file_limit_bytes, file_limit_bytes)
                    resource.prlimit(processes[-1].pid, resource.RLIMIT_FSIZE, limits)
            gateways = GatewayProcesses(
                listening.getsockname()[1],
                tmp_path,
                server=None,  # type: ignore[arg-type]  # in another process
                stop=lambda: None,
                processes=processes,
                health=health,
            )
            try:
                for url in health:
                    give_up_at = time.monotonic() + 90
                    while answers(f"{url}/readyz") != 200:
                        assert time.monotonic() < give_up_at, "a gateway is not ready"
                        time.sleep(0.05)
                yield gateways
            finally:
                for process in processes:
                    process.kill()
                    process.wait()

    return run


def log_events(folder: Path) -> list[dict[str, Any]]:
    return [
        json.loads(line)
        for path in folder.glob("gateway-*.log")
        for line in path.read_text().splitlines()
    ]


def stream_object(gateways: GatewayProcesses, number: int, size_bytes: int) -> int:
    """Send one object in PDUs of 128 KiB without ever holding it; its status."""
    uid = f"1.2.3.{number}"
    beginning = implicit_dataset(uid, pixel_bytes=2)[:-2]
    pixels = size_bytes - len(beginning)
    beginning = beginning[:-4] + pixels.to_bytes(4, "little")
    piece = bytes(131_066)
    with gateways.connected() as connection:
        connection.settimeout(60)
        connection.sendall(command_pdu(store_command(uid)) + dataset_pdu(beginning, last=False))
        whole = dataset_pdu(piece, last=False)
        for _ in range(pixels // len(piece)):
            connection.sendall(whole)
        connection.sendall(dataset_pdu(piece[: pixels % len(piece)], last=True))
        status = read_status(connection)
        connection.sendall(RELEASE_REQUEST)
        read_pdu(connection)
        return status


@pytest.mark.timeout(240)
def test_large_objects_side_by_side_stay_within_bounds(gateway_processes: RunProcesses) -> None:
    processes = min(4, os.cpu_count() or 1)
    with gateway_processes(processes) as gateways:
        at_rest = gateways.memory_bytes
        highest = at_rest
        with ThreadPoolExecutor(SENDERS) as senders:
            sent = [
                senders.submit(stream_object, gateways, number, OBJECT_BYTES)
                for number in range(1, SENDERS + 1)
            ]
            while not all(future.done() for future in sent):
                highest = max(highest, gateways.memory_bytes)
                time.sleep(0.05)
        assert [future.result() for future in sent] == [0] * SENDERS
        assert [path.stat().st_size > OBJECT_BYTES for path in gateways.stored_files] == [
            True
        ] * SENDERS
        assert gateways.spool_files == []
        told = f"{highest >> 20} MiB at most, {at_rest >> 20} MiB at rest"
        assert highest < MEMORY_LIMIT_BYTES, told
        for path in gateways.stored_files:
            path.unlink()


def test_a_full_disk_is_out_of_resources(gateway_processes: RunProcesses) -> None:
    with gateway_processes(1, file_limit_bytes=2 * MEBIBYTE) as gateways:
        assert stream_object(gateways, 1, 3 * MEBIBYTE) == 0xA700
        assert gateways.spool_files == []
        assert gateways.stored_files == []
        assert stream_object(gateways, 2, MEBIBYTE // 2) == 0, "there is room for smaller ones"


def test_processes_that_share_a_socket_serve_every_connection(
    gateway_processes: RunProcesses,
) -> None:
    with gateway_processes(3) as gateways:
        with ThreadPoolExecutor(12) as senders:
            statuses = list(
                senders.map(
                    lambda number: gateways.send(
                        implicit_dataset(f"1.2.{number}"), sop_instance_uid=f"1.2.{number}"
                    ),
                    range(1, 121),
                )
            )
        assert statuses == [0] * 120
        assert len(gateways.stored_files) == 120
        first, *others = gateways.processes
        first.send_signal(signal.SIGTERM)
        assert first.wait(60) == 0
        assert all(gateways.send(implicit_dataset()) == 0 for _ in range(20)), "the others go on"
        assert all(process.poll() is None for process in others)


def test_sigterm_finishes_the_request_in_hand_and_exits_with_success(
    gateway_processes: RunProcesses,
) -> None:
    dataset = implicit_dataset(pixel_bytes=4 * MEBIBYTE)
    with (
        gateway_processes(1) as gateways,
        gateways.connected() as idle,
        gateways.connected() as busy,
    ):
        busy.sendall(command_pdu(store_command("1.2.3.4")))
        sent = 2 * MEBIBYTE  # more than is kept in memory: what came can be seen on the disk
        for pos in range(0, sent, 100_000):
            busy.sendall(dataset_pdu(dataset[pos : min(pos + 100_000, sent)], last=False))
        give_up_at = time.monotonic() + 15
        while not gateways.spool_files:
            assert time.monotonic() < give_up_at, "the request does not arrive"
            time.sleep(0.02)
        statuses: list[int] = []
        ending = threading.Thread(target=lambda: statuses.extend(gateways.terminate()))
        ending.start()
        assert read_pdu(idle)[0] == A_ABORT
        for pos in range(sent, len(dataset), 100_000):
            piece = dataset[pos : pos + 100_000]
            busy.sendall(dataset_pdu(piece, last=pos + 100_000 >= len(dataset)))
        assert read_status(busy) == 0
        assert read_pdu(busy)[0] == A_ABORT
        ending.join()
        assert statuses == [0]
        assert len(gateways.stored_files) == 1
        assert answers(f"{gateways.health[0]}/livez") == 0


def test_sigterm_in_mid_transfer_ends_within_ten_seconds(gateway_processes: RunProcesses) -> None:
    with gateway_processes(1) as gateways, gateways.connected() as busy:
        busy.sendall(command_pdu(store_command("1.2.3.4")))
        for _ in range(30):
            busy.sendall(dataset_pdu(bytes(100_000), last=False))
        started = time.monotonic()
        assert gateways.terminate() == [0]
        assert time.monotonic() - started < 10
        assert gateways.spool_files == []
        assert gateways.stored_files == []


def test_without_its_database_the_gateway_stores_and_says_that_it_cannot_search(
    gateway_processes: RunProcesses,
) -> None:
    nobody = ReservedPort()
    nobody_there = f"postgresql://lanthorn@127.0.0.1:{nobody.number}/lanthorn"
    options = {"DicomAlwaysAllowFind": True, "Lanthorn": {"IndexBarrierTimeout": 1}}
    with gateway_processes(1, database_url=nobody_there, **options) as gateways:
        assert gateways.send(implicit_dataset()) == 0
        with gateways.associated((STUDY_ROOT_FIND, IMPLICIT_VR_LITTLE_ENDIAN)) as association:
            identifier = Dataset()
            identifier.QueryRetrieveLevel = "STUDY"
            identifier.StudyInstanceUID = ""
            (answer,) = association.send_c_find(identifier, STUDY_ROOT_FIND)
            assert answer[0].Status == 0xA700
        assert gateways.send(implicit_dataset("1.2.3.5"), sop_instance_uid="1.2.3.5") == 0
        assert len(gateways.stored_files) == 2
        assert [process.poll() for process in gateways.processes] == [None]


def test_wrong_files_of_tls_end_the_start_by_the_name_of_their_option(
    tmp_path: Path, nats_url: str
) -> None:
    configuration, port = tmp_path / "lanthorn.json", ReservedPort()
    configuration.write_text(
        json.dumps({"DicomTlsEnabled": True, "DicomTlsCertificate": "gone.pem"})
    )
    ended = subprocess.run(
        [sys.executable, "-m", "lanthorn_dimse_gateway"],
        env={
            **os.environ,
            "LANTHORN_CONFIG": str(configuration),
            "LANTHORN_DATA_DIR": str(tmp_path),
            "NATS_URL": nats_url,
            "LANTHORN__DICOM_PORT": str(port.number),
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 2
    assert "DicomTlsCertificate = 'gone.pem'" in ended.stderr


def test_health_metrics_and_logs_tell_what_happened(
    gateway_processes: RunProcesses, tmp_path: Path
) -> None:
    with gateway_processes(1, Lanthorn={"LogLevel": "debug"}) as gateways:
        assert gateways.send(implicit_dataset()) == 0
        assert gateways.send(implicit_dataset()[:-3]) == 0xC000
        (health,) = gateways.health
        assert answers(f"{health}/livez") == 200
        assert answers(f"{health}/readyz") == 200
        with urllib.request.urlopen(f"{health}/metrics", timeout=5) as response:
            metrics = response.read().decode()
        answered = 'lanthorn_dimse_requests_total{operation="C-STORE",status="%s"} 1.0'
        assert answered % "0000" in metrics
        assert answered % "C000" in metrics
        assert 'lanthorn_dimse_associations_accepted_total{direction="in"} 2.0' in metrics
        assert (
            'lanthorn_dimse_associations_ended_total{direction="in",how="released"} 2.0' in metrics
        )
        assert 'lanthorn_stored_instances_total{protocol="dimse"} 1.0' in metrics
        assert gateways.terminate() == [0]
    events = log_events(tmp_path)
    names = [event["event"] for event in events]
    assert names.count("c_store_answered") == 1
    assert names.count("c_store_refused") == 1
    stored = next(event for event in events if event["event"] == "c_store_answered")
    accepted = next(event for event in events if event["event"] == "association_accepted")
    assert stored["association_id"] == accepted["association_id"]
    ended = next(event for event in events if event["event"] == "association_ended")
    assert ended["association_id"] == accepted["association_id"]
    assert (ended["how"], ended["requests"]) == ("released", 1)
    assert ended["bytes_received"] > len(implicit_dataset())
    assert not any("PID1" in json.dumps(event) for event in events), "no patient in the log"
