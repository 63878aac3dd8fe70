"""Kill a process in the middle of a retrieval: it ends well all the same, and nothing stays."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException
from typing import Any

import asyncpg
import psutil
import pytest
from pydicom import Dataset
from pynetdicom import AE, build_context, build_role, evt
from pynetdicom.events import Event

from tests.fixtures.dicom_files import as_file, make_ct
from tests.fixtures.pynetdicom_peer import SURPRISED_THREADS, closing_connections
from tests.fixtures.remote_application import (
    CT,
    STUDY_ROOT_GET,
    RemoteApplication,
    remote_application,
    towards,
)
from tests.fixtures.retrieving import destination
from tests.fixtures.running_lanthorn import RunningLanthorn, lanthorn_folder, lanthorn_up
from tests.fixtures.unharmed import ask, ask_json, spool_files, upload

pytestmark = SURPRISED_THREADS

EXPLICIT = "1.2.840.10008.1.2.1"
INSTANCES = 6
BEFORE_THE_KILL = 3
PATIENCE_S = 60.0

Noting = tuple[Any, Callable[[Event], None]]


@pytest.fixture(scope="module")
def system() -> Iterator[RunningLanthorn]:
    """Run a system with two gateways, so that one can go on where the other ended."""
    options = {"DicomAlwaysAllowGet": True, "Lanthorn": {"GatewayProcesses": 2}}
    with lanthorn_folder() as folder, lanthorn_up(folder, options) as running:
        yield running


@pytest.fixture
def noting() -> Iterator[Noting]:
    """Note connections of peers; they are closed when nothing of pynetdicom uses them any more."""
    with closing_connections() as noting:
        yield noting


def until(condition: Callable[[], Any]) -> Any:
    """Return what this gives once it is something."""
    give_up_at = time.monotonic() + PATIENCE_S
    while not (found := condition()):
        assert time.monotonic() < give_up_at
        time.sleep(0.05)
    return found


def a_study() -> list[Dataset]:
    first = make_ct()
    study = [first]
    for number in range(1, INSTANCES):
        same = {name: first.get(name) for name in ("PatientID", "StudyInstanceUID")}
        study.append(make_ct(**same, SeriesInstanceUID=first.SeriesInstanceUID))
        study[-1].SOPInstanceUID = f"{first.SOPInstanceUID[:60]}.{number}"
        study[-1].file_meta.MediaStorageSOPInstanceUID = study[-1].SOPInstanceUID
    return study


def post(system: RunningLanthorn, path: str, document: Any) -> Any:
    answer = ask(system, "POST", path, json.dumps(document).encode())
    assert answer.status == 200, answer.body
    return answer.json


def uids_of(system: RunningLanthorn, study: list[Dataset]) -> set[str]:
    """SOP Instance UIDs that the system has of a study."""
    query = {"StudyInstanceUID": study[0].StudyInstanceUID}
    wanted = {"Level": "Instance", "Query": query, "Expand": True}
    found = post(system, "/tools/find", wanted)
    return {each["MainDicomTags"]["SOPInstanceUID"] for each in found}


def worker_of(system: RunningLanthorn, job_id: str) -> int:
    """Id of the process that runs a job, or ran it last."""

    async def ask_database() -> str:
        connection = await asyncpg.connect(system.state.database_url)
        try:
            row = await connection.fetchrow("SELECT * FROM job WHERE job_id = $1", job_id)
            assert row is not None
            return str(row["worker_id"])
        finally:
            await connection.close()

    return int(asyncio.run(ask_database()).rpartition(":")[2])


def gateway_towards(system: RunningLanthorn, port: int) -> int:
    """Id of the gateway that has a connection to this port of a peer."""
    for name, pid in system.pids.items():
        if name.startswith("gateway"):
            connections = psutil.Process(pid).net_connections(kind="tcp")
            if any(each.raddr and each.raddr.port == port for each in connections):
                return pid
    raise AssertionError("no gateway has this connection")


def gauges_of_gateways(system: RunningLanthorn) -> dict[str, float]:
    """Sum of what all gateways hold: associations, jobs, bytes of objects."""
    held = ("lanthorn_dimse_open_associations", "lanthorn_jobs_running", "lanthorn_in_flight_bytes")
    sums = dict.fromkeys(held, 0.0)
    for process in system.state.processes:
        if process.name.startswith("gateway"):
            url = f"http://127.0.0.1:{process.health_port}/metrics"
            with urllib.request.urlopen(url, timeout=10) as answer:
                for line in answer.read().decode().splitlines():
                    name, _, value = line.rpartition(" ")
                    if name.partition("{")[0] in held:
                        sums[name.partition("{")[0]] += float(value)
    return sums


def wait_for_successor(system: RunningLanthorn, killed: int) -> None:
    """Return when another process is ready in the place of this one."""
    until(lambda: killed not in system.pids.values())
    system.wait_until_ready()


def last_words_of_gateways(system: RunningLanthorn) -> str:
    """Give the end of their logs, for who must find out what went wrong."""
    lines = system.log.read_text().splitlines()
    return "\n".join([line for line in lines if "gateway" in line][-60:])


def must_hold_nothing(system: RunningLanthorn) -> None:
    """See that no task, lease, buffer or file is left of what was interrupted."""
    until(lambda: set(gauges_of_gateways(system).values()) == {0.0})
    states = [job["State"] for job in ask_json(system, "/jobs?expand")]
    assert not {"Pending", "Running", "Retry"} & set(states)
    assert spool_files(system) == []


class Peer:
    """Sends a study, to whom it is told to, and pauses in the middle of the first time."""

    def __init__(self, study: list[Dataset], port: int, noting: Noting) -> None:
        self.study = study
        self.port = port
        self.noting = noting
        self.is_in_the_middle = threading.Event()
        self.was_interrupted = threading.Event()

    def _all(self) -> Iterator[tuple[int, Dataset]]:
        for number, dataset in enumerate(self.study):
            if number == BEFORE_THE_KILL and not self.was_interrupted.is_set():
                self.is_in_the_middle.set()
                assert self.was_interrupted.wait(PATIENCE_S)
            yield 0xFF00, dataset

    def move(self, event: Event) -> Iterator[Any]:
        """Answer C-MOVE."""
        host, port, options = towards(self.port)
        yield host, port, {**options, "evt_handlers": [self.noting]}
        yield len(self.study)
        yield from self._all()

    def get(self, event: Event) -> Iterator[Any]:
        """Answer C-GET."""
        yield len(self.study)
        yield from self._all()

    def find(self, event: Event) -> Iterator[Any]:
        """Answer C-FIND."""
        found = Dataset()
        found.QueryRetrieveLevel = "STUDY"
        found.StudyInstanceUID = self.study[0].StudyInstanceUID
        yield 0xFF00, found


def add_peer(system: RunningLanthorn, application: RemoteApplication) -> None:
    modality = {"AET": application.ae_title, "Host": "127.0.0.1", "Port": application.port}
    assert ask(system, "PUT", "/modalities/peer", json.dumps(modality).encode()).status == 200


def start_retrieval(system: RunningLanthorn, route: str, study: list[Dataset]) -> str:
    """Begin it as a job; returns its id."""
    keys = {"StudyInstanceUID": str(study[0].StudyInstanceUID)}
    if route == "query":
        query = post(system, "/modalities/peer/query", {"Level": "Study", "Query": keys})
        path, body = f"/queries/{query['ID']}/retrieve", {}
    else:
        path, body = f"/modalities/peer/{route}", {"Level": "Study", "Resources": [keys]}
    job_id: str = post(system, path, {**body, "Asynchronous": True})["ID"]
    return job_id


@pytest.mark.crash
@pytest.mark.timeout(240)
@pytest.mark.parametrize("route", ["move", "query", "get"])
def test_a_retrieval_goes_on_in_another_gateway_when_its_own_is_killed(
    system: RunningLanthorn, route: str, noting: Noting
) -> None:
    study = a_study()
    peer = Peer(study, system.dicom_port, noting)
    with remote_application(
        find=peer.find, move=peer.move, get=peer.get, storage=[(CT, [EXPLICIT])]
    ) as application:
        add_peer(system, application)
        job_id = start_retrieval(system, route, study)
        assert peer.is_in_the_middle.wait(PATIENCE_S)
        killed = worker_of(system, job_id)
        os.kill(killed, signal.SIGKILL)
        peer.was_interrupted.set()
        job = until(
            lambda: (
                (found := ask_json(system, f"/jobs/{job_id}"))["State"] in {"Success", "Failure"}
                and found
            )
        )
    assert job["State"] == "Success", (job, last_words_of_gateways(system))
    assert worker_of(system, job_id) != killed
    wait_for_successor(system, killed)
    assert uids_of(system, study) == {dataset.SOPInstanceUID for dataset in study}
    must_hold_nothing(system)


@pytest.mark.crash
@pytest.mark.timeout(240)
def test_a_third_gets_every_instance_when_the_gateway_that_asked_is_killed(
    system: RunningLanthorn, noting: Noting
) -> None:
    study = a_study()
    with destination(sop_classes=[CT]) as third:
        peer = Peer(study, third.port, noting)
        with remote_application(move=peer.move) as application:
            add_peer(system, application)
            keys = {"StudyInstanceUID": str(study[0].StudyInstanceUID)}
            body = {"Level": "Study", "Resources": [keys], "TargetAet": "DEST"}
            job = post(system, "/modalities/peer/move", {**body, "Asynchronous": True})
            assert peer.is_in_the_middle.wait(PATIENCE_S)
            os.kill(worker_of(system, job["ID"]), signal.SIGKILL)
            peer.was_interrupted.set()
            until(lambda: ask_json(system, job["Path"])["State"] in {"Success", "Failure"})
        assert ask_json(system, job["Path"])["State"] == "Success"
    sent = {dataset.SOPInstanceUID for dataset in study}
    assert {received.sop_instance_uid for received in third.received} == sent


def test_a_retrieval_goes_on_when_the_rest_api_that_waits_for_it_is_killed(
    system: RunningLanthorn, noting: Noting
) -> None:
    study = a_study()
    peer = Peer(study, system.dicom_port, noting)
    keys = {"StudyInstanceUID": str(study[0].StudyInstanceUID)}
    body = {"Level": "Study", "Resources": [keys], "Synchronous": True}
    with (
        remote_application(move=peer.move) as application,
        ThreadPoolExecutor(1) as client,
    ):
        add_peer(system, application)
        waiting = client.submit(post, system, "/modalities/peer/move", body)
        assert peer.is_in_the_middle.wait(PATIENCE_S)
        killed = system.pids["rest-api"]
        os.kill(killed, signal.SIGKILL)
        with pytest.raises((OSError, HTTPException)):
            waiting.result(PATIENCE_S)
        peer.was_interrupted.set()
        wait_for_successor(system, killed)
        jobs = until(lambda: _final_jobs_of(system, keys))
    states = [job["State"] for job in jobs]
    assert states == ["Success"], (jobs, last_words_of_gateways(system))
    assert uids_of(system, study) == {dataset.SOPInstanceUID for dataset in study}
    must_hold_nothing(system)


def _final_jobs_of(system: RunningLanthorn, keys: dict[str, str]) -> list[Any]:
    jobs = ask_json(system, "/jobs?expand")
    ours = [job for job in jobs if keys["StudyInstanceUID"] in json.dumps(job["Content"])]
    return [job for job in ours if job["State"] in {"Success", "Failure"}]


def test_a_peer_that_fetches_from_a_gateway_that_is_killed_leaves_nothing_behind(
    system: RunningLanthorn,
) -> None:
    study = a_study()
    for dataset in study:
        assert upload(system, as_file(dataset)).status == 200
    sent = {dataset.SOPInstanceUID for dataset in study}

    killed: list[int] = []

    def kill(received: set[str], port: int) -> None:
        if len(received) == BEFORE_THE_KILL and not killed:
            killed.append(gateway_towards(system, port))
            os.kill(killed[0], signal.SIGKILL)

    assert fetch(system, study[0].StudyInstanceUID, kill) < sent
    wait_for_successor(system, *killed)
    must_hold_nothing(system)
    assert fetch(system, study[0].StudyInstanceUID, lambda *_: None) == sent
    must_hold_nothing(system)


def fetch(
    system: RunningLanthorn, study_instance_uid: str, heard: Callable[[set[str], int], None]
) -> set[str]:
    """C-GET a study; returns the SOP Instance UIDs that came before the association ended."""
    received: set[str] = set()

    def store(event: Event) -> int:
        received.add(event.request.AffectedSOPInstanceUID)
        heard(received, event.assoc.requestor.port)
        return 0x0000

    identifier = Dataset()
    identifier.QueryRetrieveLevel = "STUDY"
    identifier.StudyInstanceUID = study_instance_uid
    entity = AE("ASKER")
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = 30
    with closing_connections() as noting:
        assoc = entity.associate(
            "127.0.0.1",
            system.dicom_port,
            contexts=[build_context(STUDY_ROOT_GET), build_context(CT, EXPLICIT)],
            ext_neg=[build_role(CT, scp_role=True)],
            evt_handlers=[(evt.EVT_C_STORE, store), noting],
        )
        assert assoc.is_established
        try:
            list(assoc.send_c_get(identifier, STUDY_ROOT_GET))
        finally:
            if assoc.is_established:
                assoc.release()
            assoc.join(10)
    return received
