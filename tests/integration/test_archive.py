"""Archives of resources over HTTP."""

from __future__ import annotations

import zipfile
from io import BytesIO
from typing import Any

import pytest
from pydicom.uid import generate_uid

from lanthorn_core.model import Level
from lanthorn_rest_api.archive_contents import archived_files, archived_series
from tests.fixtures.dicom_files import ct_file
from tests.fixtures.rest_api import RestApi

PATIENT = {"PatientID": "P1", "PatientName": "Doe^Jane"}


async def store(rest_api: RestApi, **elements: Any) -> tuple[bytes, Any]:
    file = ct_file(**{**PATIENT, **elements})
    return file, (await rest_api.store(file)).public_ids


async def archive(rest_api: RestApi, path: str) -> dict[str, bytes]:
    answer = await rest_api.client.get(path)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/zip"
    assert "content-length" not in answer.headers
    with zipfile.ZipFile(BytesIO(answer.content)) as reading:
        assert reading.testzip() is None
        return {entry.filename: reading.read(entry) for entry in reading.infolist()}


async def test_a_patient_is_laid_out_by_study_and_series(rest_api: RestApi) -> None:
    study = {
        "StudyInstanceUID": generate_uid(),
        "AccessionNumber": "7",
        "StudyDescription": "Head/Neck",
    }
    series = {"SeriesInstanceUID": generate_uid(), "SeriesNumber": 3, "SeriesDescription": "ax"}
    first, ids = await store(rest_api, **study, **series, InstanceNumber=2)
    second, _ = await store(rest_api, **study, **series, InstanceNumber=12)
    third, _ = await store(
        rest_api,
        AccessionNumber="",
        Modality="US",
        InstanceNumber=None,
        SOPClassUID="1.2.840.10008.5.1.4.1.1.6.1",
    )
    everything = {
        "P1 - Doe^Jane/7 - Head Neck/3 - CT - ax/CT000002.dcm": first,
        "P1 - Doe^Jane/7 - Head Neck/3 - CT - ax/CT000012.dcm": second,
        "P1 - Doe^Jane/Unknown Study/US/US000000.dcm": third,
    }
    assert await archive(rest_api, f"/patients/{ids.patient}/archive") == everything
    of_study = {name: everything[name] for name in everything if "Head" in name}
    assert await archive(rest_api, f"/studies/{ids.study}/archive") == of_study
    assert await archive(rest_api, f"/series/{ids.series}/archive") == of_study


async def test_instances_of_one_number_are_counted(rest_api: RestApi) -> None:
    uids = {"StudyInstanceUID": generate_uid(), "SeriesInstanceUID": generate_uid()}
    files = []
    for number in (4, 4, 1):
        file, ids = await store(rest_api, **uids, InstanceNumber=number, AccessionNumber="x")
        files.append((number, ids.instance, file))
    expected = {
        f"P1 - Doe^Jane/x/CT/CT{number:06}.dcm": file
        for number, (_, _, file) in enumerate(sorted(files))
    }
    assert await archive(rest_api, f"/series/{ids.series}/archive") == expected


async def test_series_of_one_name_get_folders_of_their_own(rest_api: RestApi) -> None:
    study = {"StudyInstanceUID": generate_uid(), "AccessionNumber": "x"}
    stored = [await store(rest_api, **study) for _ in range(3)]
    stored.sort(key=lambda one: one[1].series)
    files = await archive(rest_api, f"/studies/{stored[0][1].study}/archive")
    assert files == {
        f"P1 - Doe^Jane/x/{folder}/CT000001.dcm": file
        for folder, (file, _) in zip(("CT", "CT-2", "CT-3"), stored, strict=True)
    }


async def test_several_resources_share_an_archive(rest_api: RestApi) -> None:
    series = {"StudyInstanceUID": generate_uid(), "SeriesInstanceUID": generate_uid()}
    _, ids = await store(rest_api, **series, AccessionNumber="x", InstanceNumber=1)
    _, other = await store(rest_api, **series, AccessionNumber="x", InstanceNumber=2)
    _, elsewhere = await store(rest_api, PatientID="P2", AccessionNumber="y")
    reader = rest_api.system.reader
    assert await reader.wait_until_current()

    async def names(*roots: tuple[Level, str]) -> list[str]:
        planned = await archived_series(reader, roots)
        return [name async for name, _ in archived_files(reader, planned)]

    one, two = ("P1 - Doe^Jane/x/CT/CT000001.dcm", "P1 - Doe^Jane/x/CT/CT000002.dcm")
    three = "P2 - Doe^Jane/y/CT/CT000001.dcm"
    instance = (Level.INSTANCE, ids.instance)
    assert await names(instance) == [one]
    assert await names(instance, (Level.INSTANCE, other.instance), instance) == [one, two]
    assert await names(instance, (Level.STUDY, ids.study)) == [one, two]
    assert sorted(await names((Level.PATIENT, elsewhere.patient), instance)) == [one, three]
    assert await names() == []


@pytest.mark.filterwarnings("ignore:Invalid value for VR CS")
async def test_hostile_names_stay_in_the_archive(rest_api: RestApi) -> None:
    _, ids = await store(
        rest_api,
        PatientID="..",
        PatientName="",
        AccessionNumber="..",
        SeriesDescription="../../../etc",
        Modality="..",
    )
    [name] = await archive(rest_api, f"/series/{ids.series}/archive")
    assert name == "Unknown Patient/Unknown Study/.. - .. .. .. etc/000001.dcm"


async def test_a_large_instance_arrives_whole(rest_api: RestApi) -> None:
    file, ids = await store(rest_api, rows=1024, columns=1024, frames=5, AccessionNumber="")
    files = await archive(rest_api, f"/studies/{ids.study}/archive")
    assert files == {"P1 - Doe^Jane/Unknown Study/CT/CT000001.dcm": file}


@pytest.mark.parametrize(
    ("query", "header"),
    [
        ("", 'filename="{id}.zip"'),
        ("?filename=x.zip", 'filename="x.zip"'),
        ("?filename=", 'filename=""'),
        ("?filename=a%22b%0d%0aX:%20y.zip", 'filename="abX: y.zip"'),
    ],
)
async def test_an_archive_is_named(rest_api: RestApi, query: str, header: str) -> None:
    _, ids = await store(rest_api)
    answer = await rest_api.client.get(f"/studies/{ids.study}/archive{query}")
    assert answer.headers["content-disposition"] == header.format(id=ids.study)


async def test_what_is_not_there_has_no_archive(rest_api: RestApi) -> None:
    _, ids = await store(rest_api)
    for path in ("/studies/nope/archive", "/patients/nope/archive"):
        status, code, details = await rest_api.refusal("GET", path)
        assert (status, code) == (404, 7)
        assert details == "Missing resource while creating an archive: nope"
    assert await rest_api.refusal("GET", f"/series/{ids.study}/archive") == (
        404, 7, f"Missing resource while creating an archive: {ids.study}",
    )  # fmt: skip
    assert (await rest_api.refusal("GET", f"/instances/{ids.instance}/archive"))[:2] == (404, 17)


async def test_an_unknown_transfer_syntax_is_refused_before_anything_is_sent(
    rest_api: RestApi,
) -> None:
    _, ids = await store(rest_api)
    path = f"/studies/{ids.study}/archive?transcode="
    assert await rest_api.refusal("GET", f"{path}bad") == (
        400, 3, "Unknown transfer syntax: bad",
    )  # fmt: skip
