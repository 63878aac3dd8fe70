"""The servers of the conformance tests: Lanthorns, a real Orthanc, and how to ask them."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import pytest

from lanthorn_embedded.sockets import LOOPBACK, ReservedPort
from tests.fixtures.running_lanthorn import lanthorn_folder, lanthorn_up

_ANSWER_WITHIN_S = 60.0
_READY_WITHIN_S = 60.0


@dataclass(frozen=True)
class Failure:
    """An error answer of Orthanc's REST API."""

    http_status: int
    orthanc_status: int
    details: str


@dataclass(frozen=True)
class Server:
    """A DICOM server with Orthanc's REST API.

    Attributes
    ----------
    ae_title : str
        Its own AE title.
    dicom_port, http_port : int
        Where it listens on the loopback.
    log : Path
        What it printed.
    """

    ae_title: str
    dicom_port: int
    http_port: int
    log: Path = field(repr=False)

    @property
    def address(self) -> tuple[str, str]:
        """Host and port as the command lines of DICOM tools want them."""
        return LOOPBACK, str(self.dicom_port)

    @property
    def as_modality(self) -> dict[str, Any]:
        """The entry of `DicomModalities` for this server."""
        return {"AET": self.ae_title, "Host": LOOPBACK, "Port": self.dicom_port}

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """Give the JSON of a successful answer, None if it is empty; `HTTPError` otherwise."""
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        request = Request(f"http://{LOOPBACK}:{self.http_port}{path}", data=data, method=method)
        with urlopen(request, timeout=_ANSWER_WITHIN_S) as answer:
            content = answer.read()
        return json.loads(content) if content else None

    def get(self, path: str) -> Any:
        """Give the JSON of a route."""
        return self.ask("GET", path)

    def post(self, path: str, body: Any) -> Any:
        """Post JSON, or bytes as they are."""
        return self.ask("POST", path, body)

    def failure(self, path: str, body: Any) -> Failure:
        """Post what must fail, and tell how it did."""
        try:
            answer = self.post(path, body)
        except HTTPError as error:
            with error:
                content = json.loads(error.read())
            return Failure(error.code, content["OrthancStatus"], content.get("Details", ""))
        pytest.fail(f"{path} did not fail, it answered {answer}")

    def find(self, level: str, **query: str) -> list[str]:
        """Give the Orthanc identifiers of what matches."""
        found: list[str] = self.post("/tools/find", {"Level": level, "Query": query})
        return found

    def sop_instance_uids(self, study_instance_uid: str) -> set[str]:
        """Give what the server's index holds of a study."""
        found = self.post(
            "/tools/find",
            {
                "Level": "Instance",
                "Expand": True,
                "Query": {"StudyInstanceUID": study_instance_uid},
            },
        )
        return {instance["MainDicomTags"]["SOPInstanceUID"] for instance in found}

    def metadata(self, sop_instance_uid: str) -> dict[str, str]:
        """Give the metadata of one instance."""
        (identifier,) = self.find("Instance", SOPInstanceUID=sop_instance_uid)
        found: dict[str, str] = self.get(f"/instances/{identifier}/metadata?expand")
        return found

    def upload(self, *files: Path) -> list[str]:
        """Store files over HTTP; gives their Orthanc identifiers."""
        return [self.post("/instances", path.read_bytes())["ID"] for path in files]


@contextlib.contextmanager
def lanthorn(**options: Any) -> Iterator[Server]:
    """Run a whole Lanthorn with options as in a configuration file, open to every AE title."""
    opened = {
        "DicomAlwaysAllowFind": True,
        "DicomAlwaysAllowFindWorklist": True,
        "DicomAlwaysAllowGet": True,
        "DicomAlwaysAllowMove": True,
        "JobsHistorySize": 100,
    }
    with lanthorn_folder() as folder, lanthorn_up(folder, opened | options) as running:
        yield Server(running.ae_title, running.dicom_port, running.http_port, running.log)


@contextlib.contextmanager
def orthanc(folder: Path, **options: Any) -> Iterator[Server]:
    """Run a real Orthanc: `LANTHORN_TEST_ORTHANC`, or the one that Debian installed.

    Parameters
    ----------
    folder : Path
        Empty; for its configuration, storage and log.
    **options
        On top of the configuration that opens every service to every AE title.
    """
    program = os.environ.get("LANTHORN_TEST_ORTHANC") or shutil.which(
        "Orthanc", path=f"{os.environ.get('PATH', '')}:/usr/sbin"
    )
    if program is None:
        pytest.fail("Orthanc is not installed: apt-get install orthanc")
    http, dicom = ReservedPort(), ReservedPort()
    server = Server("ORTHANC", dicom.number, http.number, folder / "orthanc.log")
    configuration = {
        "DicomAet": server.ae_title,
        "DicomPort": server.dicom_port,
        "HttpPort": server.http_port,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "storage"),
        "Plugins": [],
        "DicomAlwaysAllowEcho": True,
        "DicomAlwaysAllowStore": True,
        "DicomAlwaysAllowFind": True,
        "DicomAlwaysAllowGet": True,
        "DicomAlwaysAllowMove": True,
    } | options
    path = folder / "orthanc.json"
    path.write_text(json.dumps(configuration))
    with server.log.open("wb") as output:
        process = subprocess.Popen(
            [program, path], stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        _wait_for_http(server, process)
        yield server
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_for_http(server: Server, process: subprocess.Popen[bytes]) -> None:
    give_up_at = time.monotonic() + _READY_WITHIN_S
    while True:
        with contextlib.suppress(URLError, ConnectionError):
            server.get("/system")
            return
        assert process.poll() is None, server.log.read_text()
        assert time.monotonic() < give_up_at, server.log.read_text()
        time.sleep(0.05)
