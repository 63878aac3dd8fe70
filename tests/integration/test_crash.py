"""Kill anything, lose nothing: what was answered 0000 is there, once, with the same bytes."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import os
import random
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import structlog

from lanthorn_core.dicom.identifiers import public_id
from lanthorn_core.dicom.part10 import read_file_meta
from tests.fixtures.dicom_files import as_file, make_ct
from tests.fixtures.dimse_sender import EncodedInstance, Sender, SenderError
from tests.fixtures.running_lanthorn import RunningLanthorn, lanthorn_up

log = structlog.get_logger(__name__)

VICTIMS = ("gateway-1", "gateway-2", "indexer", "rest-api", "nats", "postgres")
SENDERS = 4
SUCCESS = 0x0000


@dataclass
class Modality:
    """Sends instance after instance, each again and again until it is acknowledged."""

    name: str
    system: RunningLanthorn
    acknowledged: dict[str, str] = field(default_factory=dict)
    """SHA-256 of the data set by public id of the instance."""
    answers: Counter[str] = field(default_factory=Counter)

    def run(self, stop: threading.Event) -> None:
        """Send until told to stop."""
        while not stop.is_set():
            study = make_ct(PatientID=self.name, rows=64, columns=64)
            for number in range(20):
                study.SOPInstanceUID = f"{study.SeriesInstanceUID[:50]}.{number + 1}"
                study.InstanceNumber = number + 1
                instance = EncodedInstance.of_file(as_file(study))
                while not self._deliver(instance):
                    if stop.is_set():
                        return
                    time.sleep(0.05)
                ids = (self.name, study.StudyInstanceUID, study.SeriesInstanceUID)
                key = public_id(*ids, study.SOPInstanceUID)
                self.acknowledged[key] = hashlib.sha256(instance.dataset).hexdigest()
                time.sleep(0.05)  # what matters is the number of kills, not of instances

    def _deliver(self, instance: EncodedInstance) -> bool:
        contexts = [(instance.sop_class_uid, instance.transfer_syntax_uid)]
        try:
            with Sender("127.0.0.1", self.system.dicom_port, contexts) as sender:
                status = sender.store(instance)
        except (OSError, SenderError) as error:
            self.answers[type(error).__name__] += 1
            return False
        self.answers[f"{status:04X}"] += 1
        return status == SUCCESS


def get(system: RunningLanthorn, path: str) -> bytes:
    with urllib.request.urlopen(f"{system.http_url}{path}", timeout=30) as answer:
        assert answer.headers["Warning"] is None, "the index is behind the stream"
        return answer.read()


def get_json(system: RunningLanthorn, path: str) -> Any:
    return json.loads(get(system, path))


def assert_same_bytes(system: RunningLanthorn, acknowledged: Mapping[str, str]) -> None:
    """Read everything over one connection: a long run leaves many thousands."""
    connection = http.client.HTTPConnection("127.0.0.1", system.http_port, timeout=30)
    with contextlib.closing(connection):
        for key, sha in acknowledged.items():
            connection.request("GET", f"/instances/{key}/file")
            answer = connection.getresponse()
            file = answer.read()
            assert answer.status == 200, (key, file)
            dataset = file[read_file_meta(file).dataset_offset :]
            assert hashlib.sha256(dataset).hexdigest() == sha


def kill_at_random(system: RunningLanthorn, kills: int, seed: int) -> Counter[str]:
    """Kill each of the processes in turn, in an order that changes from round to round."""
    chance = random.Random(seed)
    killed: Counter[str] = Counter()
    while killed.total() < kills:
        for victim in chance.sample(VICTIMS, len(VICTIMS)):
            time.sleep(chance.uniform(0.3, 1.0))
            before = system.pids[victim]
            system.kill(victim)
            killed[victim] += 1
            # On a busy machine the supervisor needs a while to see that somebody is dead.
            while system.pids.get(victim, before) == before:
                assert system.process.poll() is None, "the supervisor has ended"
                time.sleep(0.02)
            system.wait_until_ready()
    return killed


def must_survive_kills(folder: Path, kills: int) -> None:
    seed = random.SystemRandom().randrange(1 << 32)
    options = {"GatewayProcesses": 2, "SweepInterval": 5, "IndexBarrierTimeout": 25}
    with lanthorn_up(folder, {"Lanthorn": options}) as system:
        stop = threading.Event()
        modalities = [Modality(f"M{number}", system) for number in range(SENDERS)]
        threads = [threading.Thread(target=each.run, args=(stop,)) for each in modalities]
        for thread in threads:
            thread.start()
        try:
            killed = kill_at_random(system, kills, seed)
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        acknowledged = {key: sha for each in modalities for key, sha in each.acknowledged.items()}
        log.info(
            "crash_test_ended",
            seed=seed,
            killed=dict(killed),
            acknowledged=len(acknowledged),
            answers=dict(sum((each.answers for each in modalities), Counter())),
        )
        assert killed.total() >= kills
        assert len(acknowledged) >= kills

        listed = get_json(system, "/instances")
        assert acknowledged.keys() <= set(listed)
        assert len(listed) == len(set(listed))
        assert get_json(system, "/statistics")["CountInstances"] == len(listed)
        assert_same_bytes(system, acknowledged)
        changes = get_json(system, "/changes?limit=1000000")["Changes"]
        arrivals = Counter(c["ID"] for c in changes if c["ChangeType"] == "NewInstance")
        assert arrivals.keys() == set(listed)
        assert set(arrivals.values()) == {1}


@pytest.mark.timeout(600)
def test_nothing_acknowledged_is_lost_when_any_process_is_killed(tmp_path: Path) -> None:
    must_survive_kills(tmp_path, 24)


@pytest.mark.crash
@pytest.mark.timeout(3600)
def test_nothing_acknowledged_is_lost_in_a_long_run(tmp_path: Path) -> None:
    must_survive_kills(tmp_path, int(os.environ.get("LANTHORN_CRASH_KILLS", "120")))
