"""A real Orthanc as modality, in both directions; the state of both servers counts."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.peers import Study, make_study
from tests.conformance.servers import Server, lanthorn, orthanc

pytestmark = pytest.mark.conformance

_WAIT_S = 30.0


@dataclass(frozen=True)
class Pair:
    """Two servers that know each other as `lanthorn` and `orthanc`."""

    lanthorn: Server
    orthanc: Server


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with (
        orthanc(tmp_path_factory.mktemp("orthanc")) as there,
        lanthorn(DicomModalities={"orthanc": there.as_modality}) as here,
    ):
        there.ask("PUT", "/modalities/lanthorn", here.as_modality)
        yield Pair(here, there)


Direction = tuple[Server, str, Server]


@pytest.fixture(params=["Lanthorn asks", "Orthanc asks"])
def direction(request: pytest.FixtureRequest, pair: Pair) -> Direction:
    """Give who asks, the name it has for the other, and the other."""
    if request.param == "Lanthorn asks":
        return pair.lanthorn, "orthanc", pair.orthanc
    return pair.orthanc, "lanthorn", pair.lanthorn


def uploaded(server: Server, study: Study) -> Study:
    """Put a study into a server over HTTP."""
    server.upload(*study.files)
    return study


def await_condition(holds: Any) -> Any:
    """Return what is true at last."""
    give_up_at = time.monotonic() + _WAIT_S
    while not (found := holds()):
        assert time.monotonic() < give_up_at
        time.sleep(0.05)
    return found


def test_echo(direction: Direction) -> None:
    asking, name, _ = direction
    assert asking.post(f"/modalities/{name}/echo", {}) == {}
    assert asking.post(f"/modalities/{name}/echo", {"CheckFind": True}) == {}


def test_store(direction: Direction, tmp_path: Path) -> None:
    asking, name, other = direction
    study = uploaded(asking, make_study(tmp_path))
    (identifier,) = asking.find("Study", StudyInstanceUID=study.study_instance_uid)
    answer = asking.post(f"/modalities/{name}/store", {"Resources": [identifier]})
    assert answer["InstancesCount"] == 4
    assert answer["FailedInstancesCount"] == 0
    assert answer["RemoteAet"] == other.ae_title
    assert answer["ParentResources"] == [identifier]
    assert other.sop_instance_uids(study.study_instance_uid) == study.sop_instance_uids
    metadata = other.metadata(study.datasets[0].SOPInstanceUID)
    assert metadata["RemoteAET"] == asking.ae_title


def test_query_and_retrieve(direction: Direction, tmp_path: Path) -> None:
    asking, name, other = direction
    study = uploaded(other, make_study(tmp_path))
    query = asking.post(
        f"/modalities/{name}/query",
        {"Level": "Study", "Query": {"PatientID": study.patient_id, "StudyDescription": ""}},
    )
    (answer,) = asking.get(f"{query['Path']}/answers?expand&simplify")
    assert answer["StudyInstanceUID"] == study.study_instance_uid
    assert answer["RetrieveAETitle"] == other.ae_title
    retrieved = asking.post(f"{query['Path']}/retrieve", {"TargetAet": asking.ae_title})
    assert retrieved["RemoteAet"] == other.ae_title
    assert asking.sop_instance_uids(study.study_instance_uid) == study.sop_instance_uids


@pytest.mark.parametrize("level", ["Patient", "Study", "Series", "Instance"])
def test_query_at_every_level(direction: Direction, tmp_path: Path, level: str) -> None:
    asking, name, other = direction
    study = uploaded(other, make_study(tmp_path))
    keys = {
        "Patient": {"PatientID": study.patient_id},
        "Study": {"StudyInstanceUID": study.study_instance_uid},
        "Series": {"SeriesInstanceUID": study.series_instance_uids[1]},
        "Instance": {"SOPInstanceUID": str(study.datasets[3].SOPInstanceUID)},
    }
    names = list(keys)
    asked: dict[str, str] = {}
    for upper in names[: names.index(level) + 1]:
        asked |= keys[upper]
    query = asking.post(f"/modalities/{name}/query", {"Level": level, "Query": asked})
    (answer,) = asking.get(f"{query['Path']}/answers?expand&simplify")
    assert answer["QueryRetrieveLevel"] == {"Instance": "IMAGE"}.get(level, level.upper())
    assert keys[level].items() <= answer.items()


def test_move_of_one_series_of_a_study(direction: Direction, tmp_path: Path) -> None:
    asking, name, other = direction
    study = uploaded(other, make_study(tmp_path))
    asking.post(
        f"/modalities/{name}/move",
        {
            "Level": "Series",
            "Resources": [
                {
                    "PatientID": study.patient_id,
                    "StudyInstanceUID": study.study_instance_uid,
                    "SeriesInstanceUID": study.series_instance_uids[0],
                }
            ],
        },
    )
    assert asking.sop_instance_uids(study.study_instance_uid) == {
        str(dataset.SOPInstanceUID) for dataset in study.datasets[:2]
    }


def test_lanthorn_gets_from_orthanc(pair: Pair, tmp_path: Path) -> None:
    study = uploaded(pair.orthanc, make_study(tmp_path))
    answer = pair.lanthorn.post(
        "/modalities/orthanc/get",
        {"Level": "Study", "Resources": [{"StudyInstanceUID": study.study_instance_uid}]},
    )
    stored = pair.lanthorn.sop_instance_uids(study.study_instance_uid)
    assert stored == study.sop_instance_uids
    (detail,) = answer["Details"]
    assert len(detail["ReceivedInstancesIds"]) == 4


def test_storage_commitment(direction: Direction, tmp_path: Path) -> None:
    asking, name, other = direction
    study = make_study(tmp_path)
    uploaded(asking, study)
    uploaded(other, study)
    identifiers = asking.find("Study", StudyInstanceUID=study.study_instance_uid)
    committed = asking.post(f"/modalities/{name}/storage-commitment", {"Resources": identifiers})
    report = await_condition(
        lambda: [
            found
            for found in [asking.get(f"/storage-commitment/{committed['ID']}")]
            if found["Status"] != "Pending"
        ]
    )[0]
    assert report["Status"] == "Success"
    assert report["RemoteAET"] == other.ae_title
    assert {success["SOPInstanceUID"] for success in report["Success"]} == study.sop_instance_uids


def test_a_job_that_stores_asynchronously_ends_in_success(
    direction: Direction, tmp_path: Path
) -> None:
    asking, name, other = direction
    study = uploaded(asking, make_study(tmp_path))
    identifiers = asking.find("Study", StudyInstanceUID=study.study_instance_uid)
    job = asking.post(f"/modalities/{name}/store", {"Resources": identifiers, "Asynchronous": True})
    done = await_condition(
        lambda: [
            found for found in [asking.get(job["Path"])] if found["State"] in {"Success", "Failure"}
        ]
    )[0]
    assert done["State"] == "Success"
    assert done["Type"] == "DicomModalityStore"
    assert done["Progress"] == 100
    assert other.sop_instance_uids(study.study_instance_uid) == study.sop_instance_uids
