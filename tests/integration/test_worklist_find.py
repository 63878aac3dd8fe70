"""Modality worklists as modalities ask for them: C-FIND by pynetdicom and DCMTK's findscu."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset
from pynetdicom import AE
from pynetdicom.presentation import build_context

from lanthorn_core.errors import InvalidIdentifier
from tests.fixtures.dicom_files import ct_file
from tests.fixtures.pynetdicom_peer import SURPRISED_THREADS
from tests.fixtures.whole_system import MakeWholeSystem, WholeSystem
from tests.fixtures.worklist_files import make_query, make_step, make_worklist

pytestmark = SURPRISED_THREADS

MODALITY_WORKLIST = "1.2.840.10008.5.1.4.31"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "worklists"
    folder.mkdir()
    (folder / "lockfile").touch()
    (folder / "a.wl").write_bytes(make_worklist(PatientName="A"))
    mr = make_step(
        Modality="MR", ScheduledStationAETitle="MR1", ScheduledProcedureStepStartDate="20260706"
    )
    (folder / "b.wl").write_bytes(
        make_worklist(mr, PatientName="Müller^Jörg", character_set="ISO_IR 192")
    )
    (folder / "c.wl").write_bytes(make_worklist(PatientName="Два", character_set="ISO_IR 144"))
    (folder / "broken.wl").write_bytes(b"this is no DICOM file")
    return folder


@pytest.fixture
async def make(make_whole_system: MakeWholeSystem, folder: Path) -> Callable[..., Any]:
    async def made(**options: str) -> WholeSystem:
        always = {"DICOM_ALWAYS_ALLOW_FIND_WORKLIST": "true", "WORKLISTS__ENABLE": "true"}
        where = {"WORKLISTS__DIRECTORY": str(folder)}
        return await make_whole_system(**{**always, **where, **options})

    return made


def ask(
    port: int, query: Dataset, ae_title: str = "MODALITY", syntax: str = "1.2.840.10008.1.2"
) -> tuple[list[Dataset], int]:
    """Query; returns the answers and the final status."""
    entity = AE(ae_title)
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = 30
    assoc = entity.associate("127.0.0.1", port, contexts=[build_context(MODALITY_WORKLIST, syntax)])
    assert assoc.is_established
    try:
        answers, status = [], -1
        for response, answer in assoc.send_c_find(query, MODALITY_WORKLIST):
            status = int(response.Status)
            if answer is not None:
                answers.append(answer)
        return answers, status
    finally:
        assoc.release()
        assoc.join(10)


async def names(system: WholeSystem, query: Dataset, **options: Any) -> list[str]:
    answers, status = await asyncio.to_thread(ask, system.dicom_port, query, **options)
    assert status == 0x0000
    return sorted(str(answer.PatientName) for answer in answers)


async def test_a_modality_finds_what_is_scheduled(make: Callable[..., Any]) -> None:
    system = await make()
    assert await names(system, make_query()) == ["A", "Müller^Jörg", "Два"]
    assert await names(system, make_query(("Modality", "MR"))) == ["Müller^Jörg"]
    assert await names(system, make_query(PatientName="a*")) == ["A"]
    dates = ("ScheduledProcedureStepStartDate", "20260706-20260731")
    assert await names(system, make_query(dates)) == ["Müller^Jörg"]
    assert await names(system, make_query(PatientID="nobody")) == []


@pytest.mark.parametrize(
    "syntax", ["1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"]
)
async def test_every_native_transfer_syntax_is_answered(
    make: Callable[..., Any], syntax: str
) -> None:
    system = await make()
    query = make_query(("Modality", "CT"), PatientName="A")
    assert await names(system, query, syntax=syntax) == ["A"]


async def test_answers_are_in_the_default_encoding_unless_a_character_would_be_lost(
    make: Callable[..., Any],
) -> None:
    system = await make()
    answers, _ = await asyncio.to_thread(ask, system.dicom_port, make_query())
    sets = {str(answer.PatientName): answer.SpecificCharacterSet for answer in answers}
    assert sets == {"A": "ISO_IR 100", "Müller^Jörg": "ISO_IR 100", "Два": "ISO_IR 144"}


async def test_an_item_made_by_rest_is_found_until_it_is_removed(
    make_whole_system: MakeWholeSystem,
) -> None:
    system = await make_whole_system(
        DICOM_ALWAYS_ALLOW_FIND_WORKLIST="true", WORKLISTS__ENABLE="true"
    )
    step = {"Modality": "US", "ScheduledProcedureStepStartDate": "20260705"}
    tags = {"PatientName": "Ödön^山田", "ScheduledProcedureStepSequence": [step]}
    made = await system.rest.post("/worklists/create", {"Tags": tags})
    assert await names(system, make_query(("Modality", "US"))) == ["Ödön^山田"]
    assert (await system.rest.client.delete(made["Path"])).status_code == 200
    assert await names(system, make_query(("Modality", "US"))) == []


async def test_the_answers_are_limited(make: Callable[..., Any]) -> None:
    system = await make(WORKLISTS__LIMIT_ANSWERS="2")
    answers, status = await asyncio.to_thread(ask, system.dicom_port, make_query())
    assert (len(answers), status) == (2, 0xFE00)
    system = await make(WORKLISTS__LIMIT_ANSWERS="3")
    answers, status = await asyncio.to_thread(ask, system.dicom_port, make_query())
    assert (len(answers), status) == (3, 0x0000)


async def test_a_modality_gets_its_own_steps_if_the_issuer_is_filtered(
    make: Callable[..., Any],
) -> None:
    system = await make(WORKLISTS__FILTER_ISSUER_AET="true")
    assert await names(system, make_query(), ae_title="MR1") == ["Müller^Jörg"]
    assert await names(system, make_query(), ae_title="OTHER") == []


async def test_who_may_not_ask_is_told_so(make: Callable[..., Any]) -> None:
    system = await make(DICOM_ALWAYS_ALLOW_FIND_WORKLIST="false")
    _, status = await asyncio.to_thread(ask, system.dicom_port, make_query())
    assert status == 0x0124
    await system.add_modality("known", "MODALITY", 104)
    assert len(await names(system, make_query())) == 3
    await system.add_modality("known", "MODALITY", 104, AllowFindWorklist=False)
    _, status = await asyncio.to_thread(ask, system.dicom_port, make_query())
    assert status == 0x0124


async def test_a_wrong_key_is_refused_and_the_next_query_answered(
    make: Callable[..., Any],
) -> None:
    system = await make()
    wrong = make_query(("ScheduledProcedureStepStartDate", "2026*"))
    assert await asyncio.to_thread(ask, system.dicom_port, wrong) == (
        [],
        InvalidIdentifier.c_find,
    )
    assert await names(system, make_query(PatientName="A")) == ["A"]


async def test_a_cancelled_query_ends(make: Callable[..., Any], folder: Path) -> None:
    for number in range(600):
        (folder / f"{number}.wl").write_bytes(make_worklist(PatientName=str(number)))
    system = await make()

    def cancel() -> tuple[int, int]:
        entity = AE("MODALITY")
        assoc = entity.associate(
            "127.0.0.1", system.dicom_port, contexts=[build_context(MODALITY_WORKLIST)]
        )
        received, status = 0, -1
        for response, _ in assoc.send_c_find(make_query(), MODALITY_WORKLIST, msg_id=7):
            status = int(response.Status)
            received += 1
            if received == 1:
                assoc.send_c_cancel(7, query_model=MODALITY_WORKLIST)
        assoc.release()
        assoc.join(10)
        return received, status

    received, status = await asyncio.to_thread(cancel)
    assert status == 0xFE00 or received == 604  # all were on their way before the cancel came


async def test_without_worklists_the_information_model_is_not_offered(
    make_whole_system: MakeWholeSystem,
) -> None:
    system = await make_whole_system(DICOM_ALWAYS_ALLOW_FIND_WORKLIST="true")

    def associate() -> bool:
        assoc = AE("MODALITY").associate(
            "127.0.0.1", system.dicom_port, contexts=[build_context(MODALITY_WORKLIST)]
        )
        rejected = [context.result for context in assoc.rejected_contexts]
        if assoc.is_alive():
            assoc.join(10)
        return rejected == [0x03]

    assert await asyncio.to_thread(associate)


@pytest.mark.skipif(shutil.which("findscu") is None, reason="DCMTK is not installed")
async def test_findscu_finds_what_is_scheduled(make: Callable[..., Any]) -> None:
    system = await make()
    process = await asyncio.create_subprocess_exec(
        "findscu", "-W", "-v", "-aet", "MODALITY", "127.0.0.1", str(system.dicom_port),
        "-k", "0010,0010=", "-k", "(0040,0100)[0].Modality=MR",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    output, _ = await process.communicate()
    assert process.returncode == 0
    assert output.count(b"Pending") == 1
    assert "Müller^Jörg".encode("latin-1") in output


@pytest.mark.skipif(shutil.which("dump2dcm") is None, reason="DCMTK is not installed")
async def test_files_that_dump2dcm_makes_are_served(
    make: Callable[..., Any], folder: Path, tmp_path: Path
) -> None:
    system = await make()
    dump = tmp_path / "item.dump"
    dump.write_text(
        "(0010,0010) PN Dump^File\n(0040,0100) SQ\n(fffe,e000) -\n(0008,0060) CS XA\n"
        "(fffe,e00d) -\n(fffe,e0dd) -\n"
    )
    for name, options in {"file": [], "bare": ["-F"], "implicit": ["+ti"]}.items():
        process = await asyncio.create_subprocess_exec(
            "dump2dcm", *options, str(dump), str(folder / f"dump {name}.wl")
        )
        assert await process.wait() == 0
    assert await names(system, make_query(("Modality", "XA"))) == ["Dump^File"] * 3


async def test_an_item_goes_once_its_study_is_stable(make_whole_system: MakeWholeSystem) -> None:
    system = await make_whole_system(
        WORKLISTS__ENABLE="true", WORKLISTS__HOUSEKEEPING_INTERVAL="1", STABLE_AGE="1"
    )
    step = {"Modality": "CT", "ScheduledProcedureStepStartDate": "20260705"}
    for uid in ("1.2.3.77", "1.2.3.78"):
        tags = {"StudyInstanceUID": uid, "ScheduledProcedureStepSequence": [step]}
        await system.rest.post("/worklists/create", {"Tags": tags})
    await system.rest.store(ct_file(StudyInstanceUID="1.2.3.77"))
    async with asyncio.timeout(60):
        while len(left := await system.rest.get("/worklists")) > 1:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    assert left[0]["Tags"]["StudyInstanceUID"] == "1.2.3.78"
