"""`lanthorn import orthanc` from a real Orthanc: both servers must hold the same afterwards."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from lanthorn_core.model import LEVELS
from lanthorn_embedded.cli import main
from tests.conformance.servers import Server, lanthorn, orthanc
from tests.fixtures.dicom_files import ct_file

pytestmark = pytest.mark.conformance

PLURALS = ("patients", "studies", "series", "instances")
READ_FROM_FILES = {"IndexInSeries", "MainDicomTagsSignature", "PixelDataOffset", "PixelDataVR"}
"""Metadata that each server makes itself."""

POSTGRESQL_PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancPostgreSQLIndex.so")


@pytest.fixture(scope="module")
def target() -> Iterator[Server]:
    with lanthorn() as running:
        yield running


def fill(server: Server) -> None:
    """Store instances and add what users may add, on all levels."""
    for number in range(3):
        answer = server.post("/instances", ct_file(PatientID=f"{server.http_port}-{number}"))
        ids = (answer[f"Parent{level}"] for level in LEVELS[:3])
        for plural, public_id in zip(PLURALS, [*ids, answer["ID"]], strict=True):
            path = f"/{plural}/{public_id}"
            server.ask("PUT", f"{path}/metadata/1024", f"é{number}".encode())
            server.ask("PUT", f"{path}/attachments/1025", b"attached " * 1000 * number)
            if server.get("/system").get("HasLabels"):
                server.ask("PUT", f"{path}/labels/label-{number}")
    server.ask("PUT", f"/patients/{answer['ParentPatient']}/protected", b"1")


def content(server: Server, path: str) -> bytes:
    with urlopen(f"http://127.0.0.1:{server.http_port}{path}", timeout=60) as answer:
        data: bytes = answer.read()
        return data


def described(server: Server, plural: str, public_id: str) -> dict[str, Any]:
    """Tell everything that an import takes over of a resource."""
    path = f"/{plural}/{public_id}"
    metadata = server.get(f"{path}/metadata?expand")
    try:
        labels = server.get(f"{path}/labels")
    except HTTPError:  # older than 1.12.0
        labels = []
    return {
        "metadata": {k: v for k, v in metadata.items() if k not in READ_FROM_FILES},
        "user metadata": content(server, f"{path}/metadata/1024"),
        "attachment": content(server, f"{path}/attachments/1025/data"),
        "labels": labels,
        "protected": content(server, f"{path}/protected") if plural == "patients" else b"",
        "file": content(server, f"{path}/file") if plural == "instances" else b"",
    }


def everything(server: Server, ids: dict[str, list[str]]) -> dict[str, Any]:
    return {
        public_id: described(server, plural, public_id)
        for plural in PLURALS
        for public_id in ids[plural]
    }


def run_import(target: Server, folder: Path, *source: str) -> int:
    to = ["--to", f"http://127.0.0.1:{target.http_port}", "--verify"]
    return main(["import", "orthanc", *source, *to, "--journal", str(folder / "journal")])


@pytest.mark.parametrize("is_compressed", [False, True], ids=["plain", "compressed"])
@pytest.mark.parametrize("way", ["over REST", "running, from its folder", "stopped"])
def test_all_of_a_real_orthanc_comes_over(
    target: Server, tmp_path: Path, way: str, is_compressed: bool
) -> None:
    with contextlib.ExitStack() as stack:
        source = stack.enter_context(orthanc(tmp_path, StorageCompression=is_compressed))
        fill(source)
        ids = {plural: source.get(f"/{plural}") for plural in PLURALS}
        expected = everything(source, ids)
        if way == "stopped":
            stack.close()
        url = f"http://127.0.0.1:{source.http_port}"
        place = url if way == "over REST" else str(tmp_path / "storage")
        assert run_import(target, tmp_path, place) == 0
    assert everything(target, ids) == expected


def test_all_of_a_real_orthanc_on_postgresql_comes_over(
    target: Server, tmp_path: Path, empty_database_url: str
) -> None:
    plugin = Path(os.environ.get("LANTHORN_TEST_ORTHANC_POSTGRESQL", POSTGRESQL_PLUGIN))
    if not plugin.exists():
        pytest.skip("no PostgreSQL plugin: apt-get install orthanc-postgresql")
    database = {
        "EnableIndex": True,
        "EnableStorage": False,
        "ConnectionUri": empty_database_url,
        "Lock": False,
    }
    with orthanc(tmp_path, Plugins=[str(plugin)], PostgreSQL=database) as source:
        fill(source)
        ids = {plural: source.get(f"/{plural}") for plural in PLURALS}
        expected = everything(source, ids)
        storage = str(tmp_path / "storage")
        assert run_import(target, tmp_path, storage, "--index", empty_database_url) == 0
    assert everything(target, ids) == expected
