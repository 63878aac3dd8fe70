"""C-ECHO and C-FIND as SCU, against applications of pynetdicom."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterator
from io import BytesIO
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom.dsutils import decode, encode
from pynetdicom.events import Event

from lanthorn_core.errors import InvalidRemoteQuery, NoPresentationContext, RemoteAEFailed
from lanthorn_core.model import RemoteAE
from lanthorn_dimse_gateway.scu import conversation
from lanthorn_dimse_gateway.scu.associations import (
    AssociationPool,
    ScuOptions,
    open_association_pool,
)
from lanthorn_dimse_gateway.scu.echo import check_find, echo_remote
from lanthorn_dimse_gateway.scu.find import FIND_STUDY_ROOT, find_remote
from lanthorn_embedded.sockets import ReservedPort
from tests.fixtures.pynetdicom_peer import SURPRISED_THREADS
from tests.fixtures.remote_application import (
    STUDY_ROOT_FIND,
    VERIFICATION,
    WORKLIST_FIND,
    RemoteApplication,
    remote_application,
)

pytestmark = SURPRISED_THREADS


@pytest.fixture
async def pool() -> AsyncIterator[AssociationPool]:
    async with open_association_pool(ScuOptions(ae_title="LANTHORN")) as opened:
        yield opened


def keys(**elements: Any) -> bytes:
    dataset = Dataset()
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    encoded = encode(dataset, is_implicit_vr=False, is_little_endian=True)
    assert encoded is not None
    return encoded


def study(number: int) -> Dataset:
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 100"
    dataset.QueryRetrieveLevel = "STUDY"
    dataset.PatientName = "Jürgens^Jörg"
    dataset.StudyInstanceUID = f"1.2.{number}"
    return dataset


async def ask(
    pool: AssociationPool,
    application: RemoteApplication,
    identifier: bytes = keys(QueryRetrieveLevel="STUDY", PatientName="J*"),
    model: str = FIND_STUDY_ROOT,
) -> list[Dataset]:
    """Query; gives the answers decoded."""
    answers: list[Dataset] = []

    async def take(data_set: bytes, transfer_syntax_uid: str) -> None:
        implicit = transfer_syntax_uid == ImplicitVRLittleEndian
        little = transfer_syntax_uid != ExplicitVRBigEndian
        answers.append(decode(BytesIO(data_set), implicit, little))

    await find_remote(pool, application.remote_ae, model, identifier, take)
    return answers


async def test_echo_is_answered_and_its_association_released(pool: AssociationPool) -> None:
    with remote_application() as application:
        await echo_remote(pool, application.remote_ae)
        assert application.abstract_syntaxes == [VERIFICATION]
        assert application.associations[0].requestor.ae_title == "LANTHORN"
        # Some applications serve one association at a time: the next one must get through.
        assert application.ended == ["released"]


async def test_check_find_asks_for_a_study_that_nobody_has(pool: AssociationPool) -> None:
    def find(event: Event) -> Iterator[Any]:
        yield 0x0000, None

    with remote_application(find=find) as application:
        await check_find(pool, application.remote_ae, "Latin1")
        (identifier,) = application.identifiers
        assert application.abstract_syntaxes == [STUDY_ROOT_FIND]
    assert identifier.QueryRetrieveLevel == "STUDY"
    assert identifier.StudyInstanceUID.startswith("2.25.")
    assert identifier.PatientID == ""
    assert identifier.AccessionNumber == ""


async def test_a_failed_echo_tells_its_status(pool: AssociationPool) -> None:
    with (
        remote_application(echo=lambda _: 0x0122) as application,
        pytest.raises(RemoteAEFailed) as failure,
    ):
        await echo_remote(pool, application.remote_ae)
    assert failure.value.details == (
        'C-ECHO SCU to AET "REMOTE" has failed with DIMSE status 0x0122'
    )


async def test_who_is_away_fails_with_the_words_of_orthanc(pool: AssociationPool) -> None:
    nobody = ReservedPort()
    remote = RemoteAE(ae_title="REMOTE", host="127.0.0.1", port=nobody.number)
    with pytest.raises(RemoteAEFailed) as failure:
        await echo_remote(pool, remote)
    assert failure.value.details == (
        'DicomAssociation - connecting to AET "REMOTE": '
        "TCP Initialization Error: Connection refused"
    )


async def test_who_rejects_us_fails_with_the_words_of_orthanc(pool: AssociationPool) -> None:
    with remote_application(only_called="OTHER") as application:
        remote = RemoteAE(ae_title="WRONG", host="127.0.0.1", port=application.port)
        with pytest.raises(RemoteAEFailed) as failure:
            await echo_remote(pool, remote)
    assert failure.value.details == (
        'DicomAssociation - connecting to AET "WRONG": DUL Association Rejected'
    )


async def test_who_takes_no_queries_fails_with_the_words_of_orthanc(pool: AssociationPool) -> None:
    with (
        remote_application(abstract_syntaxes=[VERIFICATION]) as application,
        pytest.raises(NoPresentationContext) as failure,
    ):
        await ask(pool, application)
    assert failure.value.orthanc_code == 2015
    assert failure.value.details == ('Unable to negotiate a presentation context with AET "REMOTE"')


async def test_who_does_not_answer_in_time_fails_with_the_words_of_orthanc(
    pool: AssociationPool,
) -> None:
    over = threading.Event()

    def find(event: Event) -> Iterator[Any]:
        over.wait(20)
        yield 0x0000, None

    with remote_application(find=find) as application:
        try:
            remote = RemoteAE(
                ae_title="REMOTE", host="127.0.0.1", port=application.port, timeout_s=5
            )

            async def take(data_set: bytes, transfer_syntax_uid: str) -> None:
                raise AssertionError("there is no answer")

            with pytest.raises(RemoteAEFailed) as failure:
                await find_remote(
                    pool, remote, FIND_STUDY_ROOT, keys(QueryRetrieveLevel="STUDY"), take
                )
        finally:
            over.set()
    assert failure.value.details == (
        'DicomAssociation - C-FIND to AET "REMOTE": '
        "DIMSE No data available (timeout in non-blocking mode)"
    )


@pytest.mark.parametrize(
    "transfer_syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian]
)
async def test_keys_and_answers_cross_in_the_transfer_syntax_that_the_peer_chose(
    pool: AssociationPool, transfer_syntax: str
) -> None:
    def find(event: Event) -> Iterator[Any]:
        yield 0xFF00, study(1)
        yield 0xFF01, study(2)
        yield 0x0000, None

    step = Dataset()
    step.Modality = "CT"
    step.ScheduledStationAETitle = ""
    identifier = keys(
        SpecificCharacterSet="ISO_IR 192",
        QueryRetrieveLevel="STUDY",
        PatientName="Jür*",
        SeriesNumber="7",
        Rows=512,
        ScheduledProcedureStepSequence=[step],
    )
    with remote_application(find=find, transfer_syntaxes=[transfer_syntax]) as application:
        answers = await ask(pool, application, identifier)
        (asked,) = application.identifiers
    assert asked.PatientName == "Jür*"
    assert asked.Rows == 512
    assert asked.SeriesNumber == 7
    assert asked.ScheduledProcedureStepSequence[0].Modality == "CT"
    assert [answer.StudyInstanceUID for answer in answers] == ["1.2.1", "1.2.2"]
    assert answers[0].PatientName == "Jürgens^Jörg"


async def test_worklists_are_asked_in_their_own_model(pool: AssociationPool) -> None:
    def find(event: Event) -> Iterator[Any]:
        yield 0xFF00, study(1)
        yield 0x0000, None

    with remote_application(find=find) as application:
        answers = await ask(pool, application, keys(PatientName="*"), WORKLIST_FIND)
        assert application.abstract_syntaxes == [WORKLIST_FIND]
    assert len(answers) == 1


@pytest.mark.parametrize("status", [0xA700, 0xA900, 0xB000, 0xFE00, 0x0122])
async def test_a_failed_query_tells_its_status(pool: AssociationPool, status: int) -> None:
    def find(event: Event) -> Iterator[Any]:
        yield 0xFF00, study(1)
        yield status, None

    with remote_application(find=find) as application, pytest.raises(RemoteAEFailed) as failure:
        await ask(pool, application)
    assert failure.value.details == (
        f'C-FIND SCU to AET "REMOTE" has failed with DIMSE status 0x{status:04X}'
    )
    assert failure.value.dimse_status == status
    assert failure.value.http_status == 500


async def test_a_query_that_cannot_be_processed_is_told_as_orthanc_does(
    pool: AssociationPool,
) -> None:
    def find(event: Event) -> Iterator[Any]:
        yield 0xC000, None

    with (
        remote_application(find=find) as application,
        pytest.raises(InvalidRemoteQuery) as failure,
    ):
        await ask(pool, application)
    assert failure.value.http_status == 422
    assert failure.value.details == (
        'C-FIND SCU to AET "REMOTE" has failed with DIMSE status 0xC000 '
        "(unable to process - invalid query ?)"
    )


async def test_a_peer_that_aborts_a_query_fails_it(pool: AssociationPool) -> None:
    def find(event: Event) -> Iterator[Any]:
        yield 0xFF00, study(1)
        event.assoc.abort()

    with remote_application(find=find) as application, pytest.raises(RemoteAEFailed) as failure:
        await ask(pool, application)
    assert failure.value.details == (
        'DicomAssociation - C-FIND to AET "REMOTE": Peer aborted Association (or never connected)'
    )


async def test_many_answers_wait_for_who_takes_them(pool: AssociationPool) -> None:
    def find(event: Event) -> Iterator[Any]:
        for number in range(500):
            yield 0xFF00, study(number)
        yield 0x0000, None

    with remote_application(find=find) as application:
        answers = await ask(pool, application)
    assert [answer.StudyInstanceUID for answer in answers] == [
        f"1.2.{number}" for number in range(500)
    ]


@pytest.mark.parametrize("how", ["cancelled", "failing"])
async def test_who_wants_no_more_answers_cancels_the_query_at_the_peer(
    pool: AssociationPool, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The peer's machine may be busy: it is waited for.
    monkeypatch.setattr(conversation, "FINAL_AFTER_CANCEL_S", 30.0)
    canceled = threading.Event()

    def find(event: Event) -> Iterator[Any]:
        for number in range(60_000):  # for longer than the C-CANCEL is waited for
            if event.is_cancelled:
                canceled.set()
                yield 0xFE00, None
                return
            time.sleep(0.001)
            yield 0xFF00, study(number)
        yield 0x0000, None

    begun = asyncio.Event()

    async def take(data_set: bytes, transfer_syntax_uid: str) -> None:
        begun.set()
        if how == "failing":
            raise RuntimeError("enough")

    with remote_application(find=find) as application:
        query = asyncio.ensure_future(
            find_remote(
                pool,
                application.remote_ae,
                FIND_STUDY_ROOT,
                keys(QueryRetrieveLevel="STUDY"),
                take,
            )
        )
        await begun.wait()
        if how == "cancelled":
            query.cancel()
        with pytest.raises((asyncio.CancelledError, RuntimeError)):
            await query
        assert await asyncio.to_thread(canceled.wait, 30)
        # The final response to the canceled request was waited for.
        assert application.ended == ["released"]


async def test_each_query_at_once_has_an_association_of_its_own(pool: AssociationPool) -> None:
    together = threading.Barrier(3)

    def find(event: Event) -> Iterator[Any]:
        together.wait(20)
        yield 0xFF00, study(1)
        yield 0x0000, None

    with remote_application(find=find) as application:
        async with asyncio.TaskGroup() as group:
            for _ in range(3):
                group.create_task(ask(pool, application))
        assert len(application.associations) == 3


async def test_a_peer_that_ignores_a_cancellation_is_left_by_an_abort(
    pool: AssociationPool,
) -> None:
    over = threading.Event()

    def find(event: Event) -> Iterator[Any]:
        yield 0xFF00, study(1)
        over.wait(30)
        yield 0x0000, None

    begun = asyncio.Event()

    async def take(data_set: bytes, transfer_syntax_uid: str) -> None:
        begun.set()

    with remote_application(find=find) as application:
        try:
            query = asyncio.ensure_future(
                find_remote(
                    pool,
                    application.remote_ae,
                    FIND_STUDY_ROOT,
                    keys(QueryRetrieveLevel="STUDY"),
                    take,
                )
            )
            await begun.wait()
            query.cancel()
            with pytest.raises(asyncio.CancelledError):
                await query
        finally:
            over.set()
        for association in application.associations:
            await asyncio.to_thread(association.join, 10)
        assert application.ended == ["aborted"]
