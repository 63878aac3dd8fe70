"""DCMTK's movescu and getscu; the receivers are DCMTK's storescp and a second Lanthorn."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pydicom
import pytest

from lanthorn_core.dicom.part10 import read_file_meta
from lanthorn_embedded.sockets import LOOPBACK, ReservedPort
from tests.conformance.peers import make_study, run, storescp
from tests.conformance.servers import Server, lanthorn

pytestmark = pytest.mark.conformance
SAMPLES = Path(__file__).parents[1] / "data" / "pydicom"


@dataclass(frozen=True)
class Retrieved:
    """The server that is asked, another Lanthorn that it knows, and the ports of receivers."""

    server: Server
    other: Server
    receiver_port: ReservedPort
    movescu_port: ReservedPort


@pytest.fixture(scope="module")
def retrieved() -> Iterator[Retrieved]:
    receiver_port, movescu_port, nobody = (ReservedPort() for _ in range(3))
    with lanthorn(DicomAet="OTHER") as other:
        modalities = {
            "receiver": ["STORESCP", LOOPBACK, receiver_port.number],
            "movescu": ["MOVESCU", LOOPBACK, movescu_port.number],
            "away": ["AWAY", LOOPBACK, nobody.number],
            "other": other.as_modality,
        }
        with lanthorn(DicomModalities=modalities) as server:
            yield Retrieved(server, other, receiver_port, movescu_port)


def move(server: Server, destination: str, *keys: str, model: str = "-S") -> list[int]:
    """Run movescu in debug mode; gives the statuses of the responses."""
    options = [option for key in keys for option in ("-k", key)]
    return run("movescu", "-d", model, "-aem", destination, *options, *server.address).statuses()


def test_movescu_to_storescp_sends_a_study_byte_by_byte(
    retrieved: Retrieved, tmp_path: Path
) -> None:
    study = make_study(tmp_path)
    retrieved.server.upload(*study.files)
    with storescp(tmp_path / "got", port=retrieved.receiver_port) as receiver:
        statuses = move(
            retrieved.server,
            receiver.ae_title,
            "QueryRetrieveLevel=STUDY",
            f"StudyInstanceUID={study.study_instance_uid}",
        )
        received = receiver.received
    assert statuses[-1] == 0x0000
    assert set(received) == study.sop_instance_uids
    for dataset, original in zip(study.datasets, study.files, strict=True):
        sent, stored = received[dataset.SOPInstanceUID].read_bytes(), original.read_bytes()
        sent_meta, stored_meta = read_file_meta(sent), read_file_meta(stored)
        assert sent_meta.transfer_syntax_uid == stored_meta.transfer_syntax_uid
        assert sent[sent_meta.dataset_offset :] == stored[stored_meta.dataset_offset :]


def test_movescu_between_two_lanthorns(retrieved: Retrieved, tmp_path: Path) -> None:
    study = make_study(tmp_path)
    retrieved.server.upload(*study.files)
    statuses = move(
        retrieved.server,
        "OTHER",
        "QueryRetrieveLevel=SERIES",
        f"StudyInstanceUID={study.study_instance_uid}",
        f"SeriesInstanceUID={study.series_instance_uids[1]}",
    )
    assert statuses[-1] == 0x0000
    wanted = {
        str(dataset.SOPInstanceUID)
        for dataset in study.datasets
        if dataset.SeriesInstanceUID == study.series_instance_uids[1]
    }
    assert retrieved.other.sop_instance_uids(study.study_instance_uid) == wanted
    metadata = retrieved.other.metadata(next(iter(wanted)))
    assert metadata["RemoteAET"] == retrieved.server.ae_title
    assert metadata["CalledAET"] == "OTHER"


def test_movescu_of_a_patient_to_itself_counts_its_sub_operations(
    retrieved: Retrieved, tmp_path: Path
) -> None:
    study = make_study(tmp_path)
    retrieved.server.upload(*study.files)
    (tmp_path / "got").mkdir()
    done = run(
        "movescu", "-d", "-P", "-aem", "MOVESCU", "+P", str(retrieved.movescu_port.number),
        "-od", tmp_path / "got", "-k", "QueryRetrieveLevel=PATIENT",
        "-k", f"PatientID={study.patient_id}", *retrieved.server.address,
    )  # fmt: skip
    assert done.returncode == 0, done.output
    assert done.statuses()[-1] == 0x0000
    got = {str(pydicom.dcmread(path).SOPInstanceUID) for path in (tmp_path / "got").iterdir()}
    assert got == study.sop_instance_uids
    assert "Completed Suboperations       : 4" in done.output


def test_an_unknown_destination_is_answered_with_its_status(
    retrieved: Retrieved, tmp_path: Path
) -> None:
    study = make_study(tmp_path, series=1, instances=1)
    retrieved.server.upload(*study.files)
    statuses = move(
        retrieved.server,
        "NOBODY",
        "QueryRetrieveLevel=STUDY",
        f"StudyInstanceUID={study.study_instance_uid}",
    )
    assert statuses == [0xA801]  # PS3.4 Table C.4-2: Refused: Move Destination unknown


def test_a_destination_that_is_down_fails_every_sub_operation(
    retrieved: Retrieved, tmp_path: Path
) -> None:
    study = make_study(tmp_path, series=1)
    retrieved.server.upload(*study.files)
    statuses = move(
        retrieved.server,
        "AWAY",
        "QueryRetrieveLevel=STUDY",
        f"StudyInstanceUID={study.study_instance_uid}",
    )
    assert statuses[-1] == 0xA702  # PS3.4 Table C.4-2: unable to perform sub-operations
    assert run("echoscu", *retrieved.server.address).returncode == 0


def test_getscu_receives_a_series(retrieved: Retrieved, tmp_path: Path) -> None:
    study = make_study(tmp_path)
    retrieved.server.upload(*study.files)
    (tmp_path / "got").mkdir()
    done = run(
        "getscu", "-d", "-S", "-od", tmp_path / "got", "-k", "QueryRetrieveLevel=SERIES",
        "-k", f"StudyInstanceUID={study.study_instance_uid}",
        "-k", f"SeriesInstanceUID={study.series_instance_uids[0]}", *retrieved.server.address,
    )  # fmt: skip
    assert done.returncode == 0, done.output
    got = {str(pydicom.dcmread(path).SOPInstanceUID) for path in (tmp_path / "got").iterdir()}
    assert got == {
        str(dataset.SOPInstanceUID)
        for dataset in study.datasets
        if dataset.SeriesInstanceUID == study.series_instance_uids[0]
    }


def test_getscu_that_takes_uncompressed_only_gets_a_compressed_image_decoded(
    retrieved: Retrieved, tmp_path: Path
) -> None:
    sample = SAMPLES / "emri_small_jpeg_2k_lossless.dcm"
    original = pydicom.dcmread(sample)
    retrieved.server.upload(sample)
    (tmp_path / "got").mkdir()
    done = run(
        "getscu", "-P", "+xi", "-od", tmp_path / "got", "-k", "QueryRetrieveLevel=IMAGE",
        "-k", f"StudyInstanceUID={original.StudyInstanceUID}",
        "-k", f"SeriesInstanceUID={original.SeriesInstanceUID}",
        "-k", f"SOPInstanceUID={original.SOPInstanceUID}", *retrieved.server.address,
    )  # fmt: skip
    assert done.returncode == 0, done.output
    (path,) = (tmp_path / "got").iterdir()
    received = pydicom.dcmread(path)
    assert not received.file_meta.TransferSyntaxUID.is_compressed
    assert (received.pixel_array == original.pixel_array).all()
