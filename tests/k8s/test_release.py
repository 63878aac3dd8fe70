"""A release on a real cluster, from installation to end; the tests are one story, in order."""

from __future__ import annotations

from collections.abc import Iterator

import httpx2
import pytest
import structlog
from pydicom.uid import ExplicitVRLittleEndian

from lanthorn_core.dicom.part10 import read_file_meta
from tests.fixtures.dicom_files import as_file, make_ct
from tests.fixtures.dimse_sender import EncodedInstance, Sender
from tests.k8s.cluster import ENGINES, SERVICES, Release
from tests.k8s.load import Load, assert_all_are_there

pytestmark = [pytest.mark.k8s, pytest.mark.timeout(3600)]
log = structlog.get_logger(__name__)


@pytest.fixture
def load(release: Release) -> Iterator[Load]:
    """Send while the test runs."""
    load = Load(release)
    load.start()
    yield load
    load.remove()


def end_and_check(load: Load, what: str) -> None:
    """End the load; nothing that it was acknowledged may be lost."""
    load.wait_for_more()
    answers = load.stop()
    acknowledged = load.acknowledged()
    log.info("load_ended", during=what, acknowledged=len(acknowledged), answers=answers)
    assert_all_are_there(load.release, acknowledged)


def test_helm_test_stores_and_finds_an_instance(release: Release) -> None:
    out = release.helm("test", release.name, "--logs")
    assert "stored, found, fetched, rendered and removed one instance" in out


def test_an_instance_from_outside_is_found_fetched_and_rendered(release: Release) -> None:
    file = as_file(make_ct(rows=64, columns=64, PatientID="OUTSIDE"))
    instance = EncodedInstance.of_file(file)
    contexts = [(instance.sop_class_uid, ExplicitVRLittleEndian)]
    with (
        release.forwarded(f"service/{release.name}-dimse-gateway", "dicom") as port,
        Sender("127.0.0.1", port, contexts, calling_ae_title="OUTSIDE") as sender,
    ):
        assert sender.store(instance) == 0
    with release.http() as http:
        query = {"Level": "Instance", "Query": {"PatientID": "OUTSIDE"}}
        (found,) = http.post("/tools/find", json=query).json()
        fetched = http.get(f"/instances/{found}/file").content
        assert fetched[read_file_meta(fetched).dataset_offset :] == instance.dataset
        rendered = http.get(f"/instances/{found}/preview")
        assert rendered.headers["content-type"] == "image/png"
        assert rendered.content.startswith(b"\x89PNG")


def test_strangers_neither_store_nor_ask(release: Release) -> None:
    instance = EncodedInstance.of_file(as_file(make_ct()))
    contexts = [(instance.sop_class_uid, ExplicitVRLittleEndian)]
    with (
        release.forwarded(f"service/{release.name}-dimse-gateway", "dicom") as port,
        Sender("127.0.0.1", port, contexts, calling_ae_title="STRANGER") as sender,
    ):
        assert sender.store(instance) != 0
    with release.http() as http:
        assert http.get("/instances", auth=("lanthorn", "guessed")).status_code == 401


def test_the_events_lie_on_three_servers(release: Release) -> None:
    # A server that is killed below takes a copy with it, not the events.
    with release.forwarded(f"pod/{release.name}-nats-0", "monitor") as port:
        url = f"http://127.0.0.1:{port}/jsz?streams=true&config=true"
        (account,) = httpx2.get(url, trust_env=False).json()["account_details"]
    replicas = {each["name"]: each["config"]["num_replicas"] for each in account["stream_detail"]}
    assert replicas
    assert set(replicas.values()) == {3}, replicas


def test_an_upgrade_under_load_loses_nothing(release: Release, load: Load) -> None:
    before = {service: set(release.pods(service)) for service in SERVICES}
    release.upgrade("--set", "configuration.Name=Second")
    for service in SERVICES:
        assert not before[service] & set(release.pods(service)), "its pods are new ones"
    with release.http() as http:
        assert http.get("/system").json()["Name"] == "Second"
    end_and_check(load, "upgrade")


def test_three_gateways_and_two_indexers_share_the_work(release: Release, load: Load) -> None:
    release.upgrade("--set", "dimseGateway.replicas=3,indexer.replicas=2")
    load.wait_for_more(60)
    at_work = [
        pod
        for pod in release.pods("dimse-gateway")
        if any(name.startswith("lanthorn_dimse_requests_total") for name in release.metrics(pod))
    ]
    assert len(at_work) > 1
    active = [release.metrics(pod)["lanthorn_indexer_active"] for pod in release.pods("indexer")]
    assert sorted(active) == [0, 1]
    end_and_check(load, "scaling")


def test_killed_pods_of_every_kind_lose_nothing(release: Release, load: Load) -> None:
    for component in (*SERVICES, *ENGINES):
        release.kill(release.pods(component)[0])
        load.wait_for_more()
        release.wait_until_ready()
    end_and_check(load, "kills")


def test_a_rollback_under_load_loses_nothing(release: Release, load: Load) -> None:
    release.helm("rollback", release.name, "1", "--wait", "--timeout=12m")
    with release.http() as http:
        assert http.get("/system").json()["Name"] == "Lanthorn"
    end_and_check(load, "rollback")


def test_passwords_outlive_upgrades_and_the_release_itself(release: Release) -> None:
    password = release.password
    release.helm("uninstall", release.name, "--wait", "--timeout=5m")
    assert release.password == password
    left = release.kubectl("get", "deployments,statefulsets,services,jobs", "--output=name")
    assert left == ""
    volumes = release.kubectl("get", "persistentvolumeclaims", "--output=name").splitlines()
    assert len(volumes) == 5, "three of NATS, one of PostgreSQL, one of MinIO"
