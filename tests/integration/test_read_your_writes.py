"""A query begun after an acknowledgement sees it: on any protocol, connection and process."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from lanthorn_core.dicom.identifiers import public_id
from tests.fixtures.dicom_files import as_file, make_ct
from tests.fixtures.dimse_sender import EncodedInstance, Sender
from tests.fixtures.running_lanthorn import RunningLanthorn, lanthorn_up

TIMES = 1000
WRITERS = 4


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLanthorn]:
    folder: Path = tmp_path_factory.mktemp("rw")
    # On a busy machine a second may pass between two questions, and more before an answer.
    ours = {"GatewayProcesses": 2, "IndexBarrierTimeout": 25}
    options = {"KeepAliveTimeout": 60, "DicomScpTimeout": 60, "Lanthorn": ours}
    with lanthorn_up(folder, options) as running:
        yield running


def connect(system: RunningLanthorn) -> closing[http.client.HTTPConnection]:
    return closing(http.client.HTTPConnection("127.0.0.1", system.http_port, timeout=30))


def ask(connection: http.client.HTTPConnection, method: str, path: str, body: bytes = b"") -> Any:
    connection.request(method, path, body)
    answer = connection.getresponse()
    text = answer.read()
    assert answer.headers["Warning"] is None
    return (answer.status, json.loads(text) if text else None)


def store_and_ask(system: RunningLanthorn, writer: int) -> int:
    """Store over DIMSE and HTTP in turn, ask at once on another connection; returns the misses."""
    template = make_ct(PatientID=f"RW{writer}", rows=2, columns=2)
    contexts = [(template.SOPClassUID, template.file_meta.TransferSyntaxUID)]
    misses = 0
    with (
        Sender("127.0.0.1", system.dicom_port, contexts) as sender,
        connect(system) as uploads,
        connect(system) as questions,
    ):
        for number in range(TIMES // WRITERS):
            template.StudyInstanceUID = f"1.2.3.{writer}.{number + 1}"
            template.SeriesInstanceUID = f"{template.StudyInstanceUID}.1"
            template.SOPInstanceUID = f"{template.SeriesInstanceUID}.1"
            file = as_file(template)
            if number % 2:
                status, _ = ask(uploads, "POST", "/instances", file)
                assert status == 200
            else:
                assert sender.store(EncodedInstance.of_file(file)) == 0
            study = public_id(template.PatientID, template.StudyInstanceUID)
            query = {"Level": "Study", "Query": {"StudyInstanceUID": template.StudyInstanceUID}}
            status, _ = ask(questions, "GET", f"/studies/{study}")
            found = ask(questions, "POST", "/tools/find", json.dumps(query).encode())
            misses += (status, found) != (200, (200, [study]))
    return misses


@pytest.mark.timeout(300)
def test_a_thousand_queries_right_after_a_store_miss_nothing(system: RunningLanthorn) -> None:
    with ThreadPoolExecutor(WRITERS) as pool:
        misses = list(pool.map(lambda writer: store_and_ask(system, writer), range(WRITERS)))
    assert misses == [0] * WRITERS
    with connect(system) as counts:
        assert ask(counts, "GET", "/statistics")[1]["CountInstances"] == TIMES
