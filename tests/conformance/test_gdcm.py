"""GDCM's gdcmscu: echo, store, find and move.

It throws after every release ("ProtocolStream as nullptr is invalid"), before it shows what it
found, and cannot receive by C-MOVE what it asked for: what it printed before, and the states of
server and receiver, tell how it went.
"""

from __future__ import annotations

import contextlib
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from lanthorn_embedded.sockets import LOOPBACK, ReservedPort
from tests.conformance.peers import Ran, installed, make_study, run, storescp, unused_port
from tests.conformance.servers import Server, lanthorn

pytestmark = pytest.mark.conformance

_RECEIVED_WITHIN_S = 30.0


@dataclass(frozen=True)
class Asked:
    """A server that knows a receiver."""

    server: Server
    receiver_port: ReservedPort

    def command(self, *arguments: str | Path, calling_ae_title: str = "GDCMSCU") -> list[str]:
        """Make the arguments of gdcmscu."""
        host, port = self.server.address
        names = ["--aetitle", calling_ae_title, "--call", self.server.ae_title]
        return ["-D", *map(str, arguments), *names, "-H", host, "-p", port]

    def gdcmscu(self, *arguments: str | Path) -> Ran:
        """Run gdcmscu to its unhappy end, which nobody else notices."""
        done = run("gdcmscu", *self.command(*arguments))
        assert done.returncode in {0, -signal.SIGABRT}, done.output
        assert run("echoscu", *self.server.address).returncode == 0
        return done


def statuses(done: Ran) -> list[int]:
    """Give the statuses of the responses; gdcmscu prints each command set twice."""
    found = re.findall(r"\(0000,0900\) \?\? \(US\) (\d+)", done.output)
    return [int(status) for status in found[::2]]


@pytest.fixture(scope="module")
def asked() -> Iterator[Asked]:
    port = ReservedPort()
    with lanthorn(DicomModalities={"receiver": ["STORESCP", LOOPBACK, port.number]}) as server:
        yield Asked(server, port)


def test_echo(asked: Asked) -> None:
    assert set(statuses(asked.gdcmscu("--echo"))) == {0x0000}


def test_store_of_a_folder(asked: Asked, tmp_path: Path) -> None:
    study = make_study(tmp_path)
    asked.gdcmscu("--store", "-r", "-i", study.files[0].parents[1])
    assert asked.server.sop_instance_uids(study.study_instance_uid) == study.sop_instance_uids
    assert asked.server.metadata(study.datasets[0].SOPInstanceUID)["RemoteAET"] == "GDCMSCU"


@pytest.mark.parametrize(
    ("model", "level"), [("--patientroot", "--patient"), ("--studyroot", "--study")]
)
def test_find(asked: Asked, tmp_path: Path, model: str, level: str) -> None:
    study = make_study(tmp_path)
    asked.server.upload(*study.files)
    one = asked.gdcmscu("--find", model, level, "--key", f"10,20={study.patient_id}")
    assert statuses(one) == [0xFF00, 0x0000]
    assert "C-Find was successful." in one.output
    none = asked.gdcmscu("--find", model, level, "--key", "10,20=nobody")
    assert statuses(none) == [0x0000]


def test_move_of_a_study_to_a_third(asked: Asked, tmp_path: Path) -> None:
    study = make_study(tmp_path)
    asked.server.upload(*study.files)
    with storescp(tmp_path / "got", port=asked.receiver_port) as receiver:
        # Its destination is whom it says it is; it then waits for what the receiver gets.
        command = asked.command(
            "--move", "--studyroot", "--study", "--key", f"20,d={study.study_instance_uid}",
            "--port-scp", str(unused_port()), "-o", tmp_path,
            calling_ae_title=receiver.ae_title,
        )  # fmt: skip
        with waiting(["gdcmscu", *command]):
            give_up_at = time.monotonic() + _RECEIVED_WITHIN_S
            while set(receiver.received) != study.sop_instance_uids:
                assert time.monotonic() < give_up_at, receiver.received
                time.sleep(0.05)
    assert run("echoscu", *asked.server.address).returncode == 0


@contextlib.contextmanager
def waiting(command: list[str]) -> Iterator[None]:
    """Run a tool until the block ends."""
    process = subprocess.Popen(
        [installed(command[0]), *command[1:]],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        process.kill()
        process.wait()
