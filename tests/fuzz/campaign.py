"""Attacks on a running gateway, and what must hold afterwards."""

from __future__ import annotations

import contextlib
import random
import socket
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import psutil
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from tests.benchmarks.instances import make_instances
from tests.fixtures.dimse_sender import Sender
from tests.fixtures.running_lanthorn import RunningLanthorn
from tests.fuzz.scripts import Script, mutate, well_behaved

_ANSWER_WITHIN_S = 0.05
_CONTEXTS = [(str(CTImageStorage), str(ExplicitVRLittleEndian))]


@dataclass(frozen=True)
class Attack:
    """One spoilt association; `seed` makes it again."""

    seed: int
    name: str
    script: Script


def attacks(first_seed: int) -> Iterator[Attack]:
    """Make attacks without end."""
    (victim,) = make_instances("small", 1, run=70_000)
    scripts = well_behaved(victim.dataset, victim.sop_instance_uid)
    seed = first_seed
    while True:
        chance = random.Random(seed)
        name = chance.choice(sorted(scripts))
        yield Attack(seed, name, mutate(scripts[name], chance))
        seed += 1


def run(attack: Attack, port: int) -> None:
    """Send an attack, read whatever comes back, hang up."""
    chance = random.Random(attack.seed)
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 5) as peer:
        peer.settimeout(_ANSWER_WITHIN_S)
        together = chance.random() < 0.5
        for part in [b"".join(attack.script)] if together else attack.script:
            peer.sendall(part)
            if not together:
                _read(peer)
        if chance.random() < 0.5:
            peer.shutdown(socket.SHUT_WR)
        _read(peer)


def run_together(several: Iterable[Attack], port: int) -> None:
    """Run attacks at once."""
    with ThreadPoolExecutor(32) as pool:
        for _ in pool.map(lambda attack: run(attack, port), several):
            pass


def crashes(system: RunningLanthorn) -> list[str]:
    """Find the log's lines about what nobody expected."""
    return [line for line in system.log_lines() if '"exception"' in line]


def _read(peer: socket.socket) -> None:
    """Take answers until the peer has no more, or closes."""
    with contextlib.suppress(TimeoutError):
        while peer.recv(1 << 16):
            pass


class Witness:
    """A decent sender beside the attacks, and the figures of the gateways they must not move."""

    def __init__(self, system: RunningLanthorn) -> None:
        self._system = system
        self._sender = Sender("127.0.0.1", system.dicom_port, _CONTEXTS)
        self._instances = iter(make_instances("small", 2000, run=71_000))
        self._pids = {name: pid for name, pid in system.pids.items() if name.startswith("gateway")}
        self._memory_bytes = self._memory()

    def check(self) -> None:
        """See that stores go on over the old association and a new one."""
        assert f"{self._sender.store(next(self._instances)):04X}" == "0000"
        with Sender("127.0.0.1", self._system.dicom_port, _CONTEXTS) as newcomer:
            assert f"{newcomer.store(next(self._instances)):04X}" == "0000"

    def close(self, *, growth_bytes: int, settle_s: float = 15.0) -> None:
        """See that nothing stays: no process died, only we are connected, memory is bounded."""
        pids = {name: pid for name, pid in self._system.pids.items() if name in self._pids}
        assert pids == self._pids, "a gateway died"
        give_up_at = time.monotonic() + settle_s
        while self._connections() > 1:
            assert time.monotonic() < give_up_at, f"{self._connections()} connections stayed open"
            time.sleep(0.1)
        grown = self._memory() - self._memory_bytes
        assert grown < growth_bytes, f"memory grew by {grown} bytes"
        self._sender.__exit__()

    def _connections(self) -> int:
        """Count what is connected to the DICOM port and not closed from the gateway's side."""
        return sum(
            connection.laddr.port == self._system.dicom_port and connection.status != "LISTEN"
            for pid in self._pids.values()
            for connection in psutil.Process(pid).net_connections("tcp")
        )

    def _memory(self) -> int:
        return sum(psutil.Process(pid).memory_info().rss for pid in self._pids.values())
