"""`deploy/compose.yaml` with real containers: `make test-compose`."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import structlog

from tests.compose.composition import ENGINES, OURS, Composition, composed
from tests.fixtures.dicom_files import as_file, make_ct
from tests.fixtures.dimse_sender import EncodedInstance, Sender, SenderError

log = structlog.get_logger(__name__)

pytestmark = [pytest.mark.compose, pytest.mark.timeout(900)]

SUCCESS = 0x0000
REFUSED = 0x0124
"""Not authorized (PS3.7 Annex C.4)."""
MODALITY = "MODALITY"
MOST_MEGABYTES = {"dimse-gateway": 250, "indexer": 250, "rest-api": 250, "renderer": 450}
OPTIONS = {
    "DicomAlwaysAllowStore": False,
    "DicomModalities": {"modality": [MODALITY, "127.0.0.1", 11112]},
}


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Composition]:
    """Bring the whole system up, once for all tests of this module."""
    began = time.monotonic()
    with composed(tmp_path_factory.mktemp("compose"), OPTIONS) as composition:
        log.info("composition_up", took_s=round(time.monotonic() - began, 1))
        yield composition


@dataclass
class Modality:
    """Sends instance after instance, each again and again until it is acknowledged."""

    system: Composition
    acknowledged: set[str] = field(default_factory=set)
    answers: Counter[str] = field(default_factory=Counter)

    def run(self, stop: threading.Event) -> None:
        """Send until told to stop."""
        while not stop.is_set():
            instance = EncodedInstance.of_file(as_file(make_ct(rows=64, columns=64)))
            while not self._deliver(instance):
                if stop.wait(0.1):
                    return
            self.acknowledged.add(instance.sop_instance_uid)
            stop.wait(0.02)

    def _deliver(self, instance: EncodedInstance) -> bool:
        try:
            status = store_as(MODALITY, self.system, instance)
        except (OSError, SenderError) as error:
            self.answers[type(error).__name__] += 1
            return False
        self.answers[f"{status:04X}"] += 1
        return status == SUCCESS


@contextmanager
def sending(system: Composition, modalities: int = 2) -> Iterator[list[Modality]]:
    """Send without a pause for the length of the block; then see that nothing is missing."""
    stop = threading.Event()
    senders = [Modality(system) for _ in range(modalities)]
    threads = [threading.Thread(target=sender.run, args=(stop,)) for sender in senders]
    for thread in threads:
        thread.start()
    try:
        yield senders
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    acknowledged = set().union(*(sender.acknowledged for sender in senders))
    answers = sum((sender.answers for sender in senders), Counter[str]())
    log.info("load_ended", acknowledged=len(acknowledged), answers=dict(answers))
    assert acknowledged
    assert acknowledged <= found_instances(system)


def found_instances(system: Composition) -> set[str]:
    with system.http() as client:
        answer = client.post("/tools/find", json={"Level": "Instance", "Query": {}, "Expand": True})
    assert answer.status_code == 200, answer.text
    assert "Warning" not in answer.headers
    return {found["MainDicomTags"]["SOPInstanceUID"] for found in answer.json()}


def test_what_storescu_sends_is_found_fetched_and_shown(
    system: Composition, tmp_path: Path
) -> None:
    dataset = make_ct(rows=64, columns=64, PatientID="COMPOSE")
    file = tmp_path / "ct.dcm"
    file.write_bytes(as_file(dataset))
    store(system, file)
    with system.http() as client:
        [instance] = client.post(
            "/tools/find", json={"Level": "Instance", "Query": {"PatientID": "COMPOSE"}}
        ).json()
        fetched = client.get(f"/instances/{instance}/file")
        assert fetched.content.endswith(dataset.PixelData)
        preview = client.get(f"/instances/{instance}/preview")
        assert preview.status_code == 200, preview.text
        assert preview.content.startswith(b"\x89PNG")


def store(system: Composition, file: Path) -> None:
    """Send a file with DCMTK's storescu, where there is one."""
    if storescu := shutil.which("storescu"):
        subprocess.run(
            [storescu, "-aet", MODALITY, "127.0.0.1", str(system.dicom_port), file],
            check=True,
            timeout=60,
        )
        return
    assert store_as(MODALITY, system, EncodedInstance.of_file(file.read_bytes())) == SUCCESS


def test_strangers_are_kept_out(system: Composition) -> None:
    with system.http() as client:
        assert client.get("/system", auth=("lanthorn", "guessed")).status_code == 401
        client.auth = None
        assert client.get("/system").status_code == 401
    assert store_as("STRANGER", system, EncodedInstance.of_file(as_file(make_ct()))) == REFUSED


def store_as(ae_title: str, system: Composition, instance: EncodedInstance) -> int:
    """Send an instance in an association of its own; returns the status."""
    contexts = [(instance.sop_class_uid, instance.transfer_syntax_uid)]
    port = system.dicom_port
    with Sender("127.0.0.1", port, contexts, calling_ae_title=ae_title) as sender:
        return sender.store(instance)


def test_the_engines_are_not_published(system: Composition) -> None:
    for service in (*OURS, *ENGINES):
        for container in system.containers(service):
            ports = system.inspect(container)["NetworkSettings"]["Ports"] or {}
            assert not any(ports.values()), service


def test_the_renderer_reaches_the_object_store_and_no_other_engine(system: Composition) -> None:
    [renderer] = system.containers("renderer")
    connect = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 5)"

    def reaches(host: str, port: int) -> bool:
        command = ["docker", "exec", renderer, "python", "-c", connect, host, str(port)]
        done = subprocess.run(command, env=system.environment, capture_output=True, check=False)
        return done.returncode == 0

    assert reaches("minio", 9000)
    assert not reaches("postgres", 5432)
    assert not reaches("nats", 4222)


@pytest.mark.parametrize("service", OURS)
def test_an_image_is_small_closed_and_holds_no_secret(system: Composition, service: str) -> None:
    [container] = system.containers(service)
    told = system.inspect(container)
    image = json.loads(system.docker("image", "inspect", told["Image"]))[0]
    log.info("image_measured", service=service, megabytes=image["Size"] // 1_000_000)
    assert image["Size"] < MOST_MEGABYTES[service] * 1e6
    assert image["Config"]["User"] == "10001:10001"
    assert image["Config"]["Labels"]["org.opencontainers.image.title"] == f"lanthorn {service}"

    host = told["HostConfig"]
    assert host["ReadonlyRootfs"]
    assert host["CapDrop"] == ["ALL"]
    assert "no-new-privileges:true" in host["SecurityOpt"]
    whoami = "import os; print(os.getuid())"
    assert system.docker("exec", container, "python", "-c", whoami).strip() == "10001"

    shown = json.dumps(told) + system.logs(container)
    shown += system.docker("history", "--no-trunc", told["Image"])
    for name in ("first_password", "database_password", "nats_password", "s3_secret_key"):
        assert (system.secrets / name).read_text().strip() not in shown, name


@pytest.mark.parametrize("service", ["ports", *OURS, *ENGINES])
def test_restarting_a_container_loses_nothing_acknowledged(
    system: Composition, service: str
) -> None:
    with sending(system):
        time.sleep(1)
        system.compose("restart", "--timeout", "30", service)
        system.wait_until_ready()
        time.sleep(1)


def test_two_gateways_and_two_rest_apis_share_the_ports(system: Composition) -> None:
    system.up("--scale", "dimse-gateway=2", "--scale", "rest-api=2")
    gateways = system.containers("dimse-gateway")
    assert len(gateways) == 2
    assert len(system.containers("rest-api")) == 2
    with sending(system, modalities=4):
        time.sleep(3)
        system.docker("restart", gateways[0])
        system.wait_until_ready()
        time.sleep(3)
    assert all(served(system, gateway) > 0 for gateway in gateways)


def served(system: Composition, gateway: str) -> int:
    """Count the instances that a gateway has stored since it started, by its own metrics."""
    ask = (
        "import urllib.request as r;"
        "print(r.urlopen('http://127.0.0.1:8043/metrics', timeout=5).read().decode())"
    )
    lines = system.docker("exec", gateway, "python", "-c", ask).splitlines()
    prefix = "lanthorn_stored_instances_total"
    return int(sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(prefix)))
