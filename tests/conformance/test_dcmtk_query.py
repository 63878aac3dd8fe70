"""DCMTK's findscu at every level and in every model, and worklists."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset

from tests.conformance.peers import Study, make_study, run
from tests.conformance.servers import Server, lanthorn

pytestmark = pytest.mark.conformance


@dataclass(frozen=True)
class Queried:
    """A server, what it holds, and the folder of its worklists."""

    server: Server
    first: Study
    second: Study
    worklists: Path


@pytest.fixture(scope="module")
def queried(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Queried]:
    folder = tmp_path_factory.mktemp("studies")
    first = make_study(folder, StudyDate="20210304", PatientName="Curie^Marie")
    second = make_study(
        folder, series=1, StudyDate="20220506", PatientName="Meitner^Lise", StudyTime="101500"
    )
    with (
        tempfile.TemporaryDirectory(prefix="worklists-") as worklists,
        lanthorn(Worklists={"Enable": True, "Database": worklists}) as server,
    ):
        Path(worklists).chmod(0o755)
        server.upload(*first.files, *second.files)
        yield Queried(server, first, second, Path(worklists))


def find(
    server: Server, folder: Path, *arguments: str | Path, keys: tuple[str, ...] = ()
) -> list[Dataset]:
    """Run findscu; gives its answers after it ended well."""
    options = [option for key in keys for option in ("-k", key)]
    answers = folder / "answers"
    answers.mkdir(exist_ok=True)
    for old in answers.iterdir():
        old.unlink()
    done = run("findscu", "-X", "-od", answers, *options, *server.address, *arguments)
    assert done.returncode == 0, done.output
    assert "E: " not in done.output
    return [pydicom.dcmread(path, force=True) for path in sorted(answers.iterdir())]


def test_patient_root_at_patient_level(queried: Queried, tmp_path: Path) -> None:
    keys = ("QueryRetrieveLevel=PATIENT", "PatientName=curie*", "PatientID")
    (answer,) = find(queried.server, tmp_path, "-P", keys=keys)
    assert answer.PatientID == queried.first.patient_id
    assert answer.PatientName == "Curie^Marie"
    assert answer.QueryRetrieveLevel == "PATIENT"
    assert answer.RetrieveAETitle == queried.server.ae_title


def test_study_root_at_study_level_with_counted_attributes(
    queried: Queried, tmp_path: Path
) -> None:
    keys = (
        "QueryRetrieveLevel=STUDY",
        "StudyDate=20210101-20211231",
        "StudyInstanceUID",
        "ModalitiesInStudy",
        "NumberOfStudyRelatedSeries",
        "NumberOfStudyRelatedInstances",
    )
    (answer,) = find(queried.server, tmp_path, "-S", keys=keys)
    assert answer.StudyInstanceUID == queried.first.study_instance_uid
    assert answer.ModalitiesInStudy == "CT"
    assert answer.NumberOfStudyRelatedSeries == 2
    assert answer.NumberOfStudyRelatedInstances == 4


@pytest.mark.parametrize("model", ["-P", "-S"])
def test_series_and_image_levels(queried: Queried, tmp_path: Path, model: str) -> None:
    study = queried.first
    unique = (f"PatientID={study.patient_id}", f"StudyInstanceUID={study.study_instance_uid}")
    series = find(
        queried.server,
        tmp_path,
        model,
        keys=("QueryRetrieveLevel=SERIES", *unique, "SeriesInstanceUID", "Modality"),
    )
    assert {str(answer.SeriesInstanceUID) for answer in series} == set(study.series_instance_uids)
    image_keys = (
        "QueryRetrieveLevel=IMAGE",
        *unique,
        f"SeriesInstanceUID={study.series_instance_uids[0]}",
        "SOPInstanceUID",
        "InstanceNumber",
    )
    images = find(queried.server, tmp_path, model, keys=image_keys)
    assert {str(answer.SOPInstanceUID): int(answer.InstanceNumber) for answer in images} == {
        str(dataset.SOPInstanceUID): int(dataset.InstanceNumber)
        for dataset in study.datasets
        if dataset.SeriesInstanceUID == study.series_instance_uids[0]
    }


def test_a_query_file_made_by_dump2dcm(queried: Queried, tmp_path: Path) -> None:
    dump, query = tmp_path / "query.txt", tmp_path / "query.dcm"
    dump.write_text(
        "(0008,0052) CS [STUDY]\n"
        "(0008,0020) DA [20220101-]\n"
        "(0008,0030) TM [1000-1030]\n"
        "(0010,0010) PN [MEITNER*]\n"
        "(0010,0020) LO\n"
        "(0020,000d) UI\n"
    )
    made = run("dump2dcm", dump, query)
    assert made.returncode == 0, made.output
    (answer,) = find(queried.server, tmp_path, "-S", query)
    assert answer.StudyInstanceUID == queried.second.study_instance_uid
    assert answer.PatientID == queried.second.patient_id


def test_a_list_of_uids_finds_each_of_them(queried: Queried, tmp_path: Path) -> None:
    wanted = [queried.first.study_instance_uid, queried.second.study_instance_uid]
    keys = ("QueryRetrieveLevel=STUDY", "StudyInstanceUID=" + "\\".join([*wanted, "1.2.3"]))
    answers = find(queried.server, tmp_path, "-S", keys=keys)
    assert {str(answer.StudyInstanceUID) for answer in answers} == set(wanted)


def test_what_is_not_there_is_answered_by_success_alone(queried: Queried, tmp_path: Path) -> None:
    keys = ("QueryRetrieveLevel=STUDY", "PatientID=nobody at all", "StudyInstanceUID")
    assert find(queried.server, tmp_path, "-S", keys=keys) == []


def test_a_query_without_level_fails_in_the_protocols_words(queried: Queried) -> None:
    done = run("findscu", "-d", "-S", "-k", "PatientID", *queried.server.address)
    final = done.statuses()[-1]
    assert final == 0xC000, done.output  # PS3.4 Table C.4-1: unable to process, as Orthanc says
    assert run("echoscu", *queried.server.address).returncode == 0


def test_findscu_that_cancels_gets_the_status_of_cancellation(
    queried: Queried, tmp_path: Path
) -> None:
    # Past a few PDUs, so that the request to cancel meets a query that still answers.
    many = make_study(tmp_path, series=1, instances=300)
    queried.server.upload(*many.files)
    keys = [
        *("-k", "QueryRetrieveLevel=IMAGE", "-k", "SOPInstanceUID"),
        *("-k", f"StudyInstanceUID={many.study_instance_uid}"),
    ]
    done = run("findscu", "-d", "--cancel", "1", "-S", *keys, *queried.server.address)
    statuses = done.statuses()
    assert statuses[-1] in {0xFE00, 0x0000}, done.output  # all may have been sent by then
    assert set(statuses[:-1]) == {0xFF00}
    assert done.returncode == 0
    assert run("echoscu", *queried.server.address).returncode == 0


WORKLIST = """
(0008,0005) CS [ISO_IR 100]
(0008,0050) SH [{accession}]
(0010,0010) PN [{name}]
(0010,0020) LO [{patient}]
(0020,000d) UI [1.2.276.0.7230010.3.2.{patient}]
(0032,1060) LO [EXAM]
(0040,0100) SQ
(fffe,e000) na
(0008,0060) CS [{modality}]
(0040,0001) AE [{station}]
(0040,0002) DA [20240102]
(0040,0003) TM [1000]
(0040,0009) SH [SPD1]
(fffe,e00d) na
(fffe,e0dd) na
(0040,1001) SH [RP1]
"""


def test_worklists_are_found_by_their_scheduled_step(queried: Queried, tmp_path: Path) -> None:
    entries = {
        "1001": ("Hahn^Otto", "MR", "MR_ROOM"),
        "1002": ("Curie^Eve", "CT", "CT_ROOM"),
        "1003": ("Bohr^Niels", "CT", "OTHER_CT"),
    }
    for patient, (name, modality, station) in entries.items():
        dump = tmp_path / f"{patient}.txt"
        dump.write_text(
            WORKLIST.format(
                accession=f"A{patient}", name=name, patient=patient, modality=modality,
                station=station,
            )
        )  # fmt: skip
        made = run("dump2dcm", dump, queried.worklists / f"{patient}.wl")
        assert made.returncode == 0, made.output
    step = "ScheduledProcedureStepSequence[0]."
    keys = (
        "PatientName",
        "PatientID",
        "AccessionNumber",
        f"{step}Modality=CT",
        f"{step}ScheduledStationAETitle",
        f"{step}ScheduledProcedureStepStartDate=20240101-20240131",
    )
    answers = find(queried.server, tmp_path, "-W", keys=keys)
    assert {str(answer.PatientID) for answer in answers} == {"1002", "1003"}
    by_name = find(queried.server, tmp_path, "-W", keys=("PatientID", "PatientName=Hahn*"))
    assert [str(answer.PatientID) for answer in by_name] == ["1001"]
    by_station = find(
        queried.server, tmp_path, "-W", keys=("PatientID", f"{step}ScheduledStationAETitle=CT_ROOM")
    )
    assert [str(answer.PatientID) for answer in by_station] == ["1002"]
