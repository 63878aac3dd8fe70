"""The loads: each client is a process of its own, ready before the clock starts."""

from __future__ import annotations

import json
import multiprocessing
import socket
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.synchronize import Barrier
from typing import Any

from tests.benchmarks.instances import make_instances
from tests.fixtures.dimse_sender import Sender

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
            status = sender.send(messages[number])
            if status != 0:
                raise RuntimeError(f"{target.name} answered {status:04X}")

        _timed(count, one, barrier, queue)


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
