"""pyorthanc's `Modality` against a whole Lanthorn, which is its own remote application entity."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom.data import get_testdata_file
from pyorthanc import Modality, Orthanc

from tests.fixtures.running_lanthorn import RunningLanthorn

MR = "2f859814-2cf8fe4f-c7963e7d-d32c018d-66fc8cfa"
STUDY_UID = "1.3.6.1.4.1.5962.1.2.4.20040826185059.5457"


@pytest.fixture
def modality(running_lanthorn: RunningLanthorn) -> Iterator[Modality]:
    """Give the test a Lanthorn that knows itself, with one MR image."""
    with Orthanc(running_lanthorn.http_url) as client:
        address = {
            "AET": running_lanthorn.ae_title,
            "Host": "127.0.0.1",
            "Port": running_lanthorn.dicom_port,
        }
        client.put_modalities_id("pyorthanc", json=address)
        client.post_instances(content=Path(str(get_testdata_file("MR_small.dcm"))).read_bytes())
        yield Modality(client, "pyorthanc")
        client.delete_modalities_id("pyorthanc")


def test_a_modality_answers_an_echo(modality: Modality) -> None:
    assert modality.echo()
    assert "pyorthanc" in modality.client.get_modalities()
    assert not Modality(modality.client, "nobody").echo()


def test_what_was_found_can_be_moved(modality: Modality) -> None:
    found = modality.find({"Level": "Study", "Query": {"PatientID": "4MR1", "StudyDate": ""}})
    [answer] = found["answers"]
    assert answer["StudyInstanceUID"] == STUDY_UID
    assert answer["StudyDate"] == "20040826"
    moved = modality.move(found["ID"])
    assert moved["Details"][0]["DimseErrorStatus"] == 0
    assert moved["TargetAet"] == "LANTHORN"
    asynchronous = modality.move(found["ID"], {"TargetAet": "LANTHORN", "Synchronous": False})
    assert asynchronous["Path"] == f"/jobs/{asynchronous['ID']}"
    modality.client.delete_queries_id(found["ID"])
    assert found["ID"] not in modality.client.get_queries()


def test_what_is_named_can_be_fetched(modality: Modality) -> None:
    fetched = modality.get("Study", {"StudyInstanceUID": STUDY_UID})
    assert fetched["Details"][0]["DimseErrorStatus"] == 0
    assert fetched["Details"][0]["ReceivedInstancesIds"] == [MR]


def test_a_resource_can_be_stored(modality: Modality) -> None:
    stored = modality.store(MR)
    assert (stored["InstancesCount"], stored["FailedInstancesCount"]) == (1, 0)
    assert stored["Resources"] == [{"ID": MR, "Type": "Instance"}]
