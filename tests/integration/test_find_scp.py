"""C-FIND over the network: pynetdicom asks a gateway with its index, files and stream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import asyncpg
import pytest
from pydicom import Dataset, config
from pynetdicom import AE, build_context
from pynetdicom.pdu_primitives import SOPClassExtendedNegotiation
from pynetdicom.sop_class import (
    PatientRootQueryRetrieveInformationModelFind,
    PatientStudyOnlyQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelFind,
)

from lanthorn_core import wiring
from lanthorn_dimse_gateway.app import serving_dicom
from lanthorn_dimse_gateway.listening import listen
from lanthorn_dimse_gateway.services import ConfiguredRemoteAEs, find_service
from tests.fixtures.dicom_files import ct_file
from tests.fixtures.index import MakeSystem, System
from tests.fixtures.pynetdicom_peer import SURPRISED_THREADS

pytestmark = SURPRISED_THREADS

STUDY_ROOT = StudyRootQueryRetrieveInformationModelFind
EXPLICIT = "1.2.840.10008.1.2.1"
IMPLICIT = "1.2.840.10008.1.2"
BIG_ENDIAN = "1.2.840.10008.1.2.2"


@dataclass(frozen=True)
class Found:
    """Answers in the order of arrival, and the final status."""

    answers: list[Dataset]
    status: int
    comment: str = ""

    def __getitem__(self, keyword: str) -> list[Any]:
        return [answer[keyword].value for answer in self.answers]


@dataclass(frozen=True)
class Finder:
    """A system with a gateway that answers C-FIND."""

    system: System
    port: int

    async def store(self, **elements: Any) -> None:
        """Store an instance."""
        await self.system.store(ct_file(**elements))

    async def find(
        self,
        level: str | None = "STUDY",
        *,
        model: str = STUDY_ROOT,
        transfer_syntax: str = EXPLICIT,
        extended: bytes | None = None,
        cancel_after: int | None = None,
        **keys: Any,
    ) -> Found:
        """Ask over an association of its own."""
        identifier = Dataset()
        with config.disable_value_validation():
            if level is not None:
                identifier.QueryRetrieveLevel = level
            for keyword, value in keys.items():
                if isinstance(value, bytes):  # which are written as they are
                    identifier.add_new(keyword, "UN", value)
                else:
                    setattr(identifier, keyword, value)

        def ask() -> Found:
            with config.disable_value_validation():
                return self._ask(identifier, model, transfer_syntax, extended, cancel_after)

        return await asyncio.to_thread(ask)

    def _ask(
        self,
        identifier: Dataset,
        model: str,
        transfer_syntax: str,
        extended: bytes | None,
        cancel_after: int | None,
    ) -> Found:
        entity = AE("FINDER")
        entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = 20
        negotiation = []
        if extended is not None:
            item = SOPClassExtendedNegotiation()
            item.sop_class_uid = model
            item.service_class_application_information = extended
            negotiation.append(item)
        association = entity.associate(
            "127.0.0.1",
            self.port,
            contexts=[build_context(model, transfer_syntax)],
            ext_neg=negotiation,
        )
        assert association.is_established
        try:
            if extended is not None:
                agreed = association.acceptor.sop_class_extended[model]
                assert len(agreed) == len(extended)
            answers: list[Dataset] = []
            for status, answer in association.send_c_find(identifier, model):
                if answer is None:
                    return Found(answers, status.Status, status.get("ErrorComment", ""))
                assert status.Status == 0xFF00
                answers.append(answer)
                if len(answers) == cancel_after:
                    association.send_c_cancel(1, query_model=model)
            raise AssertionError("no final response came")
        finally:
            association.release()
            association.join(10)


MakeFinder = Callable[..., Awaitable[Finder]]


@pytest.fixture
async def make_finder(make_system: MakeSystem) -> AsyncIterator[MakeFinder]:
    async with AsyncExitStack() as stack:

        async def make(*, index: str = "", **options: str) -> Finder:
            system = await make_system(
                DICOM_ALWAYS_ALLOW_FIND="true", DICOM_CHECK_CALLED_AET="false", **options
            )
            await stack.enter_async_context(system.indexer())
            listening = listen("127.0.0.1", 0)
            port = listening.getsockname()[1]
            settings = system.settings
            reader = system.reader
            if index:
                runtime = settings.runtime.model_copy(update={"database_url": index})
                elsewhere = settings.model_copy(update={"runtime": runtime})
                reader = await stack.enter_async_context(
                    wiring.open_reader(elsewhere, system.bus, lazy=True)
                )
            service = find_service(settings, system.objects, reader)
            await stack.enter_async_context(
                serving_dicom(
                    settings, [service], ConfiguredRemoteAEs.of(settings), listening, drain_s=5
                )
            )
            return Finder(system, port)

        yield make


@pytest.fixture
async def finder(make_finder: MakeFinder) -> Finder:
    return await make_finder()


async def test_a_key_that_cannot_be_decoded_finds_nothing_and_is_told(finder: Finder) -> None:
    await finder.store(PatientID="P1", PatientName="Buc^Jérôme", StudyInstanceUID="1.2.3")
    found = await finder.find(SpecificCharacterSet="ISO_IR 192", PatientName=b"\xe9\xe9* ")
    assert (found.status, found.answers) == (0xC000, [])
    assert found.comment == "A key has bytes that are none of its character set"


@pytest.mark.parametrize("transfer_syntax", [EXPLICIT, IMPLICIT, BIG_ENDIAN])
async def test_a_study_is_found_at_once_with_what_was_asked_for_and_no_more(
    finder: Finder, transfer_syntax: str
) -> None:
    await finder.store(
        PatientID="P1", PatientName="Buc^Jérôme", StudyDate="20240115", StudyInstanceUID="1.2.3"
    )
    found = await finder.find(
        transfer_syntax=transfer_syntax,
        PatientName="buc*",
        PatientID="",
        StudyInstanceUID="",
        StudyDate="",
        StudyComments="",
    )
    assert found.status == 0x0000
    (answer,) = found.answers
    assert {element.keyword: element.value for element in answer} == {
        "SpecificCharacterSet": "ISO_IR 100",
        "QueryRetrieveLevel": "STUDY",
        "RetrieveAETitle": "LANTHORN",
        "PatientName": "Buc^Jérôme",
        "PatientID": "P1",
        "StudyInstanceUID": "1.2.3",
        "StudyDate": "20240115",
        "StudyComments": "",
    }


async def test_every_level_is_answered_with_the_keys_of_the_levels_above(finder: Finder) -> None:
    common = {"PatientID": "P1", "PatientName": "Doe^Jane", "StudyInstanceUID": "1.2.3"}
    for series_uid, instance in (
        ("1.2.3.1", "1.2.3.1.1"),
        ("1.2.3.1", "1.2.3.1.2"),
        ("1.2.3.2", ""),
    ):
        await finder.store(
            **common,
            SeriesInstanceUID=series_uid,
            SOPInstanceUID=instance or "1.2.3.2.1",
            Modality="MR" if series_uid == "1.2.3.2" else "CT",
        )
    patients = await finder.find(
        "PATIENT",
        model=PatientRootQueryRetrieveInformationModelFind,
        PatientID="P1",
        NumberOfPatientRelatedStudies="",
        NumberOfPatientRelatedSeries="",
        NumberOfPatientRelatedInstances="",
    )
    assert patients["NumberOfPatientRelatedStudies"] == [1]
    assert patients["NumberOfPatientRelatedSeries"] == [2]
    assert patients["NumberOfPatientRelatedInstances"] == [3]
    studies = await finder.find(
        PatientName="DOE*",
        ModalitiesInStudy="MR",
        SOPClassesInStudy="",
        NumberOfStudyRelatedSeries="",
        NumberOfStudyRelatedInstances="",
    )
    assert studies["ModalitiesInStudy"] == [["CT", "MR"]]
    assert studies["SOPClassesInStudy"] == ["1.2.840.10008.5.1.4.1.1.2"]
    assert studies["NumberOfStudyRelatedSeries"] == [2]
    assert studies["NumberOfStudyRelatedInstances"] == [3]
    series = await finder.find(
        "SERIES",
        PatientID="P1",
        SeriesInstanceUID="",
        Modality="",
        NumberOfSeriesRelatedInstances="",
    )
    assert series["Modality"] == ["CT", "MR"]
    assert series["NumberOfSeriesRelatedInstances"] == [2, 1]
    images = await finder.find(
        "IMAGE",
        SeriesInstanceUID="1.2.3.1",
        SOPInstanceUID=["1.2.3.1.1", "1.2.3.1.2"],
        SOPClassUID="",
        PatientName="",
        InstanceAvailability="",
    )
    assert images["SOPInstanceUID"] == ["1.2.3.1.1", "1.2.3.1.2"]
    assert images["SOPClassUID"] == ["1.2.840.10008.5.1.4.1.1.2"] * 2
    assert images["PatientName"] == ["Doe^Jane"] * 2
    assert images["InstanceAvailability"] == ["ONLINE"] * 2


async def test_patient_study_only_knows_patients_and_studies(finder: Finder) -> None:
    await finder.store(PatientID="P1")
    model = PatientStudyOnlyQueryRetrieveInformationModelFind
    assert len((await finder.find("PATIENT", model=model, PatientID="P1")).answers) == 1
    assert len((await finder.find("STUDY", model=model, PatientID="P1")).answers) == 1
    assert (await finder.find("SERIES", model=model, PatientID="P1")).status == 0xA900


@pytest.mark.parametrize("level", [None, "", "WORKLIST"])
async def test_an_identifier_without_a_level_is_c000(finder: Finder, level: str | None) -> None:
    found = await finder.find(level, PatientID="P1")
    assert (found.status, found.answers) == (0xC000, [])
    assert "Level" in found.comment


async def test_case_counts_in_ids_and_not_in_names(finder: Finder) -> None:
    await finder.store(PatientID="p1", PatientName="Doe^Jane")
    assert (await finder.find(PatientID="P1")).answers == []
    assert len((await finder.find(PatientName="DOE^JANE")).answers) == 1


async def test_case_counts_in_names_where_the_configuration_says_so(
    make_finder: MakeFinder,
) -> None:
    finder = await make_finder(CASE_SENSITIVE_PN="true")
    await finder.store(PatientName="Doe^Jane")
    assert (await finder.find(PatientName="DOE^JANE")).answers == []
    assert len((await finder.find(PatientName="Doe*")).answers) == 1


async def test_names_are_asked_and_answered_in_their_writing(finder: Finder) -> None:
    japanese = "Yamada^Tarou=山田^太郎=やまだ^たろう"
    korean = "Hong^Gildong=洪^吉洞=홍^길동"
    await finder.store(SpecificCharacterSet=["", "ISO 2022 IR 87"], PatientName=japanese)
    await finder.store(SpecificCharacterSet=["", "ISO 2022 IR 149"], PatientName=korean)
    found = await finder.find(
        SpecificCharacterSet=["", "ISO 2022 IR 87"], PatientName="*=山?^*", StudyInstanceUID=""
    )
    assert found["PatientName"] == [japanese]
    assert found["SpecificCharacterSet"] == ["ISO_IR 192"]
    found = await finder.find(SpecificCharacterSet="ISO_IR 192", PatientName="*홍*")
    assert found["PatientName"] == [korean]


async def test_answers_stop_at_the_limit_with_fe00(make_finder: MakeFinder) -> None:
    finder = await make_finder(LIMIT_FIND_RESULTS="2", LIMIT_FIND_INSTANCES="3")
    for number in range(4):
        await finder.store(PatientID=f"P{number % 2}", InstanceNumber=number)
    studies = await finder.find(StudyInstanceUID="")
    assert (len(studies.answers), studies.status) == (2, 0xFE00)
    images = await finder.find("IMAGE", SOPInstanceUID="")
    assert (len(images.answers), images.status) == (3, 0xFE00)
    exact = await finder.find("PATIENT", PatientID="")
    assert (len(exact.answers), exact.status) == (2, 0x0000)


async def test_what_the_index_lacks_is_read_from_one_file(finder: Finder) -> None:
    item = Dataset()
    item.CodeValue = "CT1"
    item.CodeMeaning = "頭部"
    await finder.store(
        SpecificCharacterSet="ISO_IR 192",
        PatientID="P1",
        ProcedureCodeSequence=[item],
        PatientComments="hello world",
        rows=4,
    )
    await finder.store(PatientID="P2", rows=8)
    found = await finder.find(PatientID="", ProcedureCodeSequence=[], Rows=None, SliceThickness="")
    assert sorted(found["Rows"]) == [4, 8]
    assert [len(items) for items in found["ProcedureCodeSequence"]] == [1, 0]
    assert found.answers[0].ProcedureCodeSequence[0].CodeMeaning == "頭部"
    assert (await finder.find(PatientID="", Rows=8))["PatientID"] == ["P2"]
    assert (await finder.find(PatientID="", PatientComments="hello*"))["PatientID"] == ["P1"]
    asked = Dataset()
    asked.CodeValue = "CT?"
    found = await finder.find(PatientID="", ProcedureCodeSequence=[asked])
    assert found["PatientID"] == ["P1"]
    asked.CodeValue = "MR1"
    assert (await finder.find(PatientID="", ProcedureCodeSequence=[asked])).answers == []


async def test_files_are_left_alone_where_the_configuration_says_so(
    make_finder: MakeFinder,
) -> None:
    finder = await make_finder(STORAGE_ACCESS_ON_FIND="Never")
    await finder.store(PatientID="P1", rows=4)
    found = await finder.find(PatientID="P1", Rows=None)
    assert found["Rows"] == [None]
    assert (await finder.find(PatientID="P1", Rows=4)).answers == []


async def test_counts_restrict_as_well(finder: Finder) -> None:
    for study in ("1.2.3", "1.2.4", "1.2.4"):
        await finder.store(PatientID="P1", StudyInstanceUID=study)
    found = await finder.find(StudyInstanceUID="", NumberOfStudyRelatedInstances="2")
    assert found["StudyInstanceUID"] == ["1.2.4"]


async def test_date_and_time_are_one_range_where_it_was_negotiated(finder: Finder) -> None:
    for date, time in (("20240115", "230000"), ("20240115", "1200"), ("20240116", "040000")):
        await finder.store(StudyDate=date, StudyTime=time)
    keys: dict[str, Any] = {"StudyDate": "20240115-20240116", "StudyTime": "2200-0600"}
    assert (await finder.find(**keys)).answers == []
    found = await finder.find(**keys, extended=b"\1\1\1\1\0")
    assert found["StudyTime"] == ["230000", "040000"]
    assert (await finder.find(**keys, extended=b"\1\0")).answers == []


async def test_what_has_no_value_is_found_by_two_quotation_marks(finder: Finder) -> None:
    await finder.store(PatientID="P1", StudyDescription="Head")
    await finder.store(PatientID="P2", StudyDescription="")
    await finder.store(PatientID="P3")
    found = await finder.find(PatientID="", StudyDescription='""')
    assert found["PatientID"] == ["P2", "P3"]


async def test_times_match_within_what_they_leave_out(finder: Finder) -> None:
    for number, time in enumerate(("000000", "12", "110030.5", "235959.999999")):
        await finder.store(PatientID=f"P{number}", StudyTime=time)
    assert (await finder.find(PatientID="", StudyTime="1000-1100"))["PatientID"] == ["P2"]
    assert (await finder.find(PatientID="", StudyTime="120000-"))["PatientID"] == ["P1", "P3"]
    whole_day = await finder.find(PatientID="", StudyTime="0000-2359")
    assert len(whole_day.answers) == 4


async def test_a_cancelled_search_ends_with_fe00(finder: Finder, database_url: str) -> None:
    await insert_patients(database_url, 20_000)
    found = await finder.find("PATIENT", PatientID="", cancel_after=1)
    assert found.status == 0xFE00
    assert len(found.answers) < 20_000


async def test_thousands_of_answers_come_page_by_page(finder: Finder, database_url: str) -> None:
    await insert_patients(database_url, 6_500)
    found = await finder.find("PATIENT", PatientID="")
    assert found.status == 0x0000
    assert found["PatientID"] == [f"P{number}" for number in range(1, 6_501)]


async def test_whatever_was_stored_before_is_found(finder: Finder) -> None:
    for number in range(25):
        await finder.store(PatientID=f"P{number}")
        found = await finder.find(PatientID="P*")
        assert len(found.answers) == number + 1


async def test_an_index_that_does_not_answer_is_a700(make_finder: MakeFinder) -> None:
    finder = await make_finder(
        index="postgresql:///lanthorn?host=/nonexistent", LANTHORN__INDEX_BARRIER_TIMEOUT="1"
    )
    await finder.store(PatientID="P1")
    found = await finder.find(PatientID="P1")
    assert (found.status, found.answers) == (0xA700, [])


async def insert_patients(database_url: str, count: int) -> None:
    """Write many patients into the index as they are."""
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute(
            "INSERT INTO patient (public_id, main_tags, updated_at) "
            "SELECT 'p' || n, jsonb_build_object('PatientID', 'P' || n), now() "
            f"FROM generate_series(1, {count}) AS n"
        )
    finally:
        await connection.close()
