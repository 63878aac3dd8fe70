"""DCMTK's senders before a whole Lanthorn: what they sent is in the index, with its origin."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance.peers import make_study, run
from tests.conformance.servers import Server, lanthorn

pytestmark = pytest.mark.conformance


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with lanthorn() as running:
        yield running


def test_echoscu_in_debug_mode_sees_a_clean_association(server: Server) -> None:
    echo = run("echoscu", "-d", "-aet", "ECHOSCU", "-aec", server.ae_title, *server.address)
    assert echo.returncode == 0, echo.output
    assert "Received Echo Response (Success)" in echo.output
    assert "Accepted Transfer Syntax" in echo.output
    assert "Releasing Association" in echo.output
    # DCMTK says so of every length, item and value that it did not expect.
    assert "W: " not in echo.output
    assert "E: " not in echo.output


def test_storescu_stores_with_the_origin_in_the_metadata(server: Server, tmp_path: Path) -> None:
    study = make_study(tmp_path)
    sent = run("storescu", "-aet", "MY_CT", "-aec", "ARCHIVE", *server.address, *study.files)
    assert sent.returncode == 0, sent.output
    assert server.sop_instance_uids(study.study_instance_uid) == study.sop_instance_uids
    metadata = server.metadata(study.datasets[0].SOPInstanceUID)
    assert metadata["RemoteAET"] == "MY_CT"
    assert metadata["CalledAET"] == "ARCHIVE"
    assert metadata["RemoteIP"] == "127.0.0.1"
    assert metadata["Origin"] == "DicomProtocol"


def test_dcmsend_sends_a_tree_of_folders(server: Server, tmp_path: Path) -> None:
    studies = [make_study(tmp_path) for _ in range(3)]
    sent = run("dcmsend", "-v", "+sd", "+r", *server.address, tmp_path)
    assert sent.returncode == 0, sent.output
    for study in studies:
        assert server.sop_instance_uids(study.study_instance_uid) == study.sop_instance_uids


def test_an_instance_that_is_sent_twice_is_there_once(server: Server, tmp_path: Path) -> None:
    study = make_study(tmp_path, series=1, instances=1)
    for _ in range(2):
        sent = run("storescu", *server.address, *study.files)
        assert sent.returncode == 0, sent.output
    assert len(server.find("Instance", StudyInstanceUID=study.study_instance_uid)) == 1


def test_storescu_that_aborts_leaves_what_was_acknowledged(server: Server, tmp_path: Path) -> None:
    study = make_study(tmp_path, series=1, instances=1)
    run("storescu", "--abort", *server.address, *study.files)
    assert server.sop_instance_uids(study.study_instance_uid) == study.sop_instance_uids
    assert run("echoscu", *server.address).returncode == 0
