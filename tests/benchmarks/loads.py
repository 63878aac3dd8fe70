"""The loads: each client is a process of its own, ready before the clock starts."""

from __future__ import annotations

import json
import multiprocessing
import os
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from tests.benchmarks.instances import make_files, make_instances
from tests.fixtures.dimse_requestor import STUDY_ROOT_FIND, STUDY_ROOT_GET, Requestor
from tests.fixtures.dimse_sender import EncodedInstance, Sender

_context = multiprocessing.get_context("spawn")


@dataclass(frozen=True)
class Target:
    """A server under test."""

    name: str
    http_port: int
    dicom_port: int
    ae_title: str

    def get(self, path: str) -> Any:
        """Fetch JSON."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http_port}{path}") as answer:
            return json.load(answer)

    def lookup(self, text: str) -> list[str]:
        """Find the public ids of resources by UID."""
        url = f"http://127.0.0.1:{self.http_port}/tools/lookup"
        with urllib.request.urlopen(url, data=text.encode()) as answer:
            return [found["ID"] for found in json.load(answer)]


@dataclass(frozen=True)
class Outcome:
    """What one client did, in seconds of the monotonic clock that all processes share."""

    began_at: float
    ended_at: float
    done: int
    latencies_s: tuple[float, ...]


def store(target: Target, kind: str, count: int, run: int, clients: int) -> list[Outcome]:
    """Send `count` instances on each of `clients` associations."""
    arguments = [(target, kind, count, run * 10 + client) for client in range(clients)]
    return _together(_store_client, arguments)


def fetch(target: Target, paths: list[str], requests: int, clients: int) -> list[Outcome]:
    """Make `requests` GET requests on each of `clients` connections, going round the paths."""
    arguments = [(target, paths[client:] + paths[:client], requests) for client in range(clients)]
    return _together(_fetch_client, arguments)


def find(
    target: Target, identifier: Dataset, matches: int, requests: int, clients: int
) -> list[Outcome]:
    """Make `requests` C-FIND requests on each of `clients` associations."""
    arguments = [(target, identifier, matches, requests)] * clients
    return _together(_find_client, arguments)


def retrieve(
    target: Target, model: str, study_instance_uid: str, instances: int, requests: int
) -> list[Outcome]:
    """Retrieve a study `requests` times over one association, by C-GET or C-MOVE."""
    return _together(_retrieve_client, [(target, model, study_instance_uid, instances, requests)])


def storescu(target: Target, kind: str, count: int, run: int) -> list[Outcome]:
    """Send files with DCMTK's storescu as it is installed: Nagle's algorithm on."""
    with tempfile.TemporaryDirectory(prefix="lanthorn-bench-") as folder:
        for number, file in enumerate(make_files(kind, count, run=run)):
            (Path(folder) / f"{number}.dcm").write_bytes(file)
        environment = {name: value for name, value in os.environ.items() if name != "TCP_NODELAY"}
        command = ["storescu", "-aec", target.ae_title, "127.0.0.1", str(target.dicom_port)]
        began_at = time.monotonic()
        subprocess.run([*command, "+sd", folder], check=True, env=environment)
        ended_at = time.monotonic()
    return [Outcome(began_at, ended_at, count, ((ended_at - began_at) / count,))]


def keep(target: Target, instances: list[EncodedInstance]) -> None:
    """Store instances before anything is measured."""
    contexts = [(CTImageStorage, ExplicitVRLittleEndian)]
    with Sender(
        "127.0.0.1", target.dicom_port, contexts, called_ae_title=target.ae_title
    ) as sender:
        for instance in instances:
            _must_succeed(target, sender.store(instance))


def _must_succeed(target: Target, status: int) -> None:
    if status != 0:
        raise RuntimeError(f"{target.name} answered {status:04X}")


def _together(work: Callable[..., None], arguments: list[tuple[Any, ...]]) -> list[Outcome]:
    barrier = _context.Barrier(len(arguments))
    queue = _context.Queue()
    processes = [
        _context.Process(target=work, args=(*each, barrier, queue), daemon=True)
        for each in arguments
    ]
    for process in processes:
        process.start()
    outcomes = [queue.get(timeout=300) for _ in processes]
    for process in processes:
        process.join()
    failures = [outcome for outcome in outcomes if isinstance(outcome, str)]
    if failures:
        raise RuntimeError(failures[0])
    return outcomes


def _timed(count: int, one: Callable[[int], None], barrier: Barrier, queue: Any) -> None:
    latencies = []
    barrier.wait(120)
    began_at = time.monotonic()
    before = began_at
    try:
        for number in range(count):
            one(number)
            now = time.monotonic()
            latencies.append(now - before)
            before = now
    except Exception as error:
        queue.put(f"{type(error).__name__}: {error}")
        raise
    queue.put(Outcome(began_at, time.monotonic(), count, tuple(latencies)))


def _store_client(
    target: Target, kind: str, count: int, run: int, barrier: Barrier, queue: Any
) -> None:
    instances = make_instances(kind, count, run=run)
    contexts = [(instances[0].sop_class_uid, instances[0].transfer_syntax_uid)]
    with Sender(
        "127.0.0.1", target.dicom_port, contexts, called_ae_title=target.ae_title
    ) as sender:
        messages = [sender.encode(instance) for instance in instances]

        def one(number: int) -> None:
            _must_succeed(target, sender.send(messages[number]))

        _timed(count, one, barrier, queue)


def _find_client(
    target: Target,
    identifier: Dataset,
    matches: int,
    requests: int,
    barrier: Barrier,
    queue: Any,
) -> None:
    contexts = [(STUDY_ROOT_FIND, ImplicitVRLittleEndian)]
    with Requestor(
        "127.0.0.1", target.dicom_port, contexts, called_ae_title=target.ae_title
    ) as requestor:
        request = requestor.encode(STUDY_ROOT_FIND, identifier)

        def one(_number: int) -> None:
            found = requestor.find(request)
            if found != matches:
                raise RuntimeError(f"{target.name} found {found} of {matches}")

        _timed(requests, one, barrier, queue)


def _retrieve_client(
    target: Target,
    model: str,
    study_instance_uid: str,
    instances: int,
    requests: int,
    barrier: Barrier,
    queue: Any,
) -> None:
    identifier = Dataset()
    identifier.QueryRetrieveLevel = "STUDY"
    identifier.StudyInstanceUID = study_instance_uid
    contexts = [(model, ImplicitVRLittleEndian)]
    is_get = model == STUDY_ROOT_GET
    if is_get:
        contexts.append((CTImageStorage, ExplicitVRLittleEndian))
    with Requestor(
        "127.0.0.1",
        target.dicom_port,
        contexts,
        called_ae_title=target.ae_title,
        scp_roles=[CTImageStorage] if is_get else [],
    ) as requestor:
        destination = "" if is_get else "RECEIVER"
        request = requestor.encode(model, identifier, destination=destination)

        def one(_number: int) -> None:
            completed = requestor.retrieve(request)
            if completed != instances:
                raise RuntimeError(f"{target.name} sent {completed} of {instances}")

        _timed(requests, one, barrier, queue)


def _fetch_client(
    target: Target, paths: list[str], requests: int, barrier: Barrier, queue: Any
) -> None:
    connection = socket.create_connection(("127.0.0.1", target.http_port), 60)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    wanted = [f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode() for path in paths]

    def one(number: int) -> None:
        connection.sendall(wanted[number % len(wanted)])
        head = b""
        while b"\r\n\r\n" not in head:
            part = connection.recv(1 << 18)
            if not part:
                raise RuntimeError(f"{target.name} closed the connection")
            head += part
        head, _, body = head.partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(f"{target.name}: {head[:60]!r}")
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
        left = length - len(body)
        while left > 0:
            left -= len(connection.recv(min(left, 1 << 20)))

    _timed(requests, one, barrier, queue)
