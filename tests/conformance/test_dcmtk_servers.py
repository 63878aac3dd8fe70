"""Lanthorn asks DCMTK's servers: dcmqrscp for queries and retrievals, wlmscpfs for worklists."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from lanthorn_embedded.sockets import LOOPBACK, ReservedPort
from tests.conformance.peers import Study, listening, make_study, run, storescp
from tests.conformance.servers import Server, lanthorn

pytestmark = pytest.mark.conformance


@dataclass(frozen=True)
class Asking:
    """A Lanthorn that knows an archive, a worklist and a receiver of DCMTK."""

    server: Server
    archive: tuple[str, str]
    worklist_port: ReservedPort
    receiver_port: ReservedPort


@pytest.fixture(scope="module")
def asking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asking]:
    archive, worklist, receiver, nobody = (ReservedPort() for _ in range(4))
    modalities = {
        "archive": ["DCMQRSCP", LOOPBACK, archive.number],
        "worklist": ["WLMSCPFS", LOOPBACK, worklist.number],
        "receiver": ["STORESCP", LOOPBACK, receiver.number],
        "away": ["AWAY", LOOPBACK, nobody.number],
    }
    with (
        lanthorn(DicomModalities=modalities) as server,
        dcmqrscp(tmp_path_factory.mktemp("archive"), archive, server),
    ):
        yield Asking(server, (LOOPBACK, str(archive.number)), worklist, receiver)


@contextlib.contextmanager
def dcmqrscp(folder: Path, port: ReservedPort, server: Server) -> Iterator[None]:
    storage = folder / "storage"
    storage.mkdir()
    configuration = folder / "dcmqrscp.cfg"
    configuration.write_text(
        f"NetworkTCPPort = {port.number}\n"
        "MaxPDUSize = 16384\n"
        "MaxAssociations = 16\n"
        "HostTable BEGIN\n"
        f"lanthorn = ({server.ae_title}, {LOOPBACK}, {server.dicom_port})\n"
        "HostTable END\n"
        "VendorTable BEGIN\n"
        "VendorTable END\n"
        "AETable BEGIN\n"
        f"DCMQRSCP {storage} RW (200, 1024mb) ANY\n"
        "AETable END\n"
    )
    with listening("dcmqrscp", ["-c", configuration], port.number, folder=folder):
        yield


def archived(asking: Asking, study: Study) -> Study:
    """Put a study into the archive, past Lanthorn."""
    sent = run("storescu", "-aec", "DCMQRSCP", *asking.archive, *study.files)
    assert sent.returncode == 0, sent.output
    return study


def test_echo(asking: Asking) -> None:
    assert asking.server.post("/modalities/archive/echo", {}) == {}
    assert asking.server.post("/modalities/archive/echo", {"CheckFind": True}) == {}


def test_echo_of_who_is_away_fails_with_orthancs_words(asking: Asking) -> None:
    failure = asking.server.failure("/modalities/away/echo", {})
    assert (failure.http_status, failure.orthanc_status) == (500, 9)
    assert failure.details == (
        'DicomAssociation - connecting to AET "AWAY": TCP Initialization Error: Connection refused'
    )


def test_store_sends_to_storescp_every_instance_of_a_study(asking: Asking, tmp_path: Path) -> None:
    study = make_study(tmp_path)
    asking.server.upload(*study.files)
    (identifier,) = asking.server.find("Study", StudyInstanceUID=study.study_instance_uid)
    with storescp(tmp_path / "got", port=asking.receiver_port) as receiver:
        answer = asking.server.post("/modalities/receiver/store", [identifier])
        assert set(receiver.received) == study.sop_instance_uids
    assert answer["InstancesCount"] == len(study.files)
    assert answer["FailedInstancesCount"] == 0
    assert answer["RemoteAet"] == "STORESCP"


def test_store_straight_sends_bytes_that_we_do_not_keep(asking: Asking, tmp_path: Path) -> None:
    study = make_study(tmp_path, series=1, instances=1)
    with storescp(tmp_path / "got", port=asking.receiver_port) as receiver:
        answer = asking.server.post(
            "/modalities/receiver/store-straight", study.files[0].read_bytes()
        )
        assert set(receiver.received) == study.sop_instance_uids
    assert answer == {
        "SOPClassUID": str(study.datasets[0].SOPClassUID),
        "SOPInstanceUID": str(study.datasets[0].SOPInstanceUID),
    }
    assert asking.server.sop_instance_uids(study.study_instance_uid) == set()


def test_query_and_retrieve_by_c_move(asking: Asking, tmp_path: Path) -> None:
    study = archived(asking, make_study(tmp_path))
    asked = {"Level": "Study", "Query": {"PatientID": study.patient_id, "PatientName": ""}}
    query = asking.server.post("/modalities/archive/query", asked)
    assert asking.server.get(f"{query['Path']}/answers") == ["0"]
    answer = asking.server.get(f"{query['Path']}/answers/0/content?simplify")
    assert answer["StudyInstanceUID"] == study.study_instance_uid
    assert answer["PatientName"] == f"Conformance^{study.patient_id}"
    retrieved = asking.server.post(
        f"{query['Path']}/answers/0/retrieve",
        {"TargetAet": asking.server.ae_title, "RetrieveMethod": "C-MOVE"},
    )
    assert retrieved["RemoteAet"] == "DCMQRSCP"
    stored = asking.server.sop_instance_uids(study.study_instance_uid)
    assert stored == study.sop_instance_uids
    (detail,) = retrieved["Details"]
    identifiers = asking.server.find("Instance", StudyInstanceUID=study.study_instance_uid)
    assert sorted(detail["ReceivedInstancesIds"]) == sorted(identifiers)
    metadata = asking.server.metadata(study.datasets[0].SOPInstanceUID)
    assert metadata["RemoteAET"] == "DCMQRSCP"


@pytest.mark.parametrize("level", ["Series", "Instance"])
def test_queries_at_lower_levels(asking: Asking, tmp_path: Path, level: str) -> None:
    study = archived(asking, make_study(tmp_path))
    keys = {"PatientID": study.patient_id, "StudyInstanceUID": study.study_instance_uid}
    wanted = set(study.series_instance_uids)
    name = "SeriesInstanceUID"
    if level == "Instance":
        keys["SeriesInstanceUID"] = study.series_instance_uids[0]
        wanted = {str(dataset.SOPInstanceUID) for dataset in study.datasets[:2]}
        name = "SOPInstanceUID"
    asked = {"Level": level, "Query": keys | {name: keys.get(name, "")}}
    query = asking.server.post("/modalities/archive/query", asked)
    answers = asking.server.get(f"{query['Path']}/answers?expand&simplify")
    assert {answer[name] for answer in answers} == wanted


def test_move_of_a_series(asking: Asking, tmp_path: Path) -> None:
    study = archived(asking, make_study(tmp_path))
    resource = {
        "StudyInstanceUID": study.study_instance_uid,
        "SeriesInstanceUID": study.series_instance_uids[0],
    }
    asking.server.post("/modalities/archive/move", {"Level": "Series", "Resources": [resource]})
    assert asking.server.sop_instance_uids(study.study_instance_uid) == {
        str(dataset.SOPInstanceUID) for dataset in study.datasets[:2]
    }


def test_get_of_a_study_receives_on_the_same_association(asking: Asking, tmp_path: Path) -> None:
    study = archived(asking, make_study(tmp_path))
    resource = {"StudyInstanceUID": study.study_instance_uid}
    answer = asking.server.post(
        "/modalities/archive/get", {"Level": "Study", "Resources": [resource]}
    )
    stored = asking.server.sop_instance_uids(study.study_instance_uid)
    assert stored == study.sop_instance_uids
    identifiers = asking.server.find("Instance", StudyInstanceUID=study.study_instance_uid)
    (detail,) = answer["Details"]
    assert sorted(detail["ReceivedInstancesIds"]) == sorted(identifiers)


def test_a_move_to_an_unknown_destination_fails_with_the_archives_status(
    asking: Asking, tmp_path: Path
) -> None:
    study = archived(asking, make_study(tmp_path, series=1, instances=1))
    body = {
        "Level": "Study",
        "TargetAet": "NOBODY",
        "Resources": [{"StudyInstanceUID": study.study_instance_uid}],
    }
    failure = asking.server.failure("/modalities/archive/move", body)
    assert (failure.http_status, failure.orthanc_status) == (500, 9)
    assert failure.details.startswith(
        'C-MOVE SCU to AET "DCMQRSCP" has failed with DIMSE status 0xA801'
    )


def test_worklists_of_wlmscpfs_are_found(asking: Asking, tmp_path: Path) -> None:
    folder = tmp_path / "WLMSCPFS"
    folder.mkdir()
    (folder / "lockfile").touch()
    dump = tmp_path / "entry.txt"
    dump.write_text(
        "(0008,0005) CS [ISO_IR 100]\n(0008,0050) SH [A1]\n(0010,0010) PN [Noether^Emmy]\n"
        "(0010,0020) LO [1882]\n(0010,0030) DA [18820323]\n(0010,0040) CS [F]\n"
        "(0020,000d) UI [1.2.276.0.7230010.3.2.101]\n(0032,1060) LO [EXAM]\n"
        "(0040,0100) SQ\n(fffe,e000) na\n(0008,0060) CS [MR]\n(0040,0001) AE [ROOM]\n"
        "(0040,0002) DA [20240102]\n(0040,0003) TM [1000]\n(0040,0009) SH [SPD1]\n"
        "(fffe,e00d) na\n(fffe,e0dd) na\n(0040,1001) SH [RP1]\n"
    )
    made = run("dump2dcm", dump, folder / "entry.wl")
    assert made.returncode == 0, made.output
    port = asking.worklist_port.number
    arguments = ["-dfr", "-dfp", tmp_path, str(port)]
    with listening("wlmscpfs", arguments, port, folder=tmp_path):
        answers = asking.server.post(
            "/modalities/worklist/find-worklist",
            {
                "PatientID": "",
                "PatientName": "Noether*",
                "ScheduledProcedureStepSequence": [
                    {"Modality": "MR", "ScheduledProcedureStepStartDate": ""}
                ],
            },
        )
    (answer,) = answers
    assert answer["PatientID"] == "1882"
    (step,) = answer["ScheduledProcedureStepSequence"]
    assert step["ScheduledProcedureStepStartDate"] == "20240102"
