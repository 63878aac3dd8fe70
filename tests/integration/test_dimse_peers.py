"""lanthorn_dimse and pynetdicom, each in both roles and on both sides."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom import AE, build_role, evt
from pynetdicom.dsutils import decode, encode
from pynetdicom.pdu_primitives import UserIdentityNegotiation

import lanthorn_dimse as dimse
from lanthorn_embedded.sockets import ReservedPort
from tests.fixtures.dimse_library import (
    CT_IMAGE_STORAGE,
    EXPLICIT,
    PENDING,
    STUDY_ROOT_FIND,
    STUDY_ROOT_GET,
    STUDY_ROOT_MOVE,
    SUCCESS,
    VERIFICATION,
    Acceptor,
    Recorder,
    acceptor,
    echo,
    proposal,
    store,
    store_command,
)
from tests.fixtures.pynetdicom_peer import SURPRISED_THREADS, rejection_of

pytestmark = SURPRISED_THREADS

FIFTY_MEGABYTES = 50_000_000

Handlers = list[tuple[Any, Callable[[Any], Any]]]


def identifier(**values: object) -> Dataset:
    data_set = Dataset()
    for keyword, value in values.items():
        setattr(data_set, keyword, value)
    return data_set


def encoded(data_set: Dataset) -> bytes:
    result = encode(data_set, False, True)
    assert result is not None
    return bytes(result)


def decoded(data_set: bytes | None) -> Dataset:
    assert data_set is not None
    return decode(BytesIO(data_set), False, True)


def ct(pixel_bytes: int) -> Dataset:
    data_set = identifier(
        SOPClassUID=CT_IMAGE_STORAGE,
        SOPInstanceUID="1.2.3.4",
        PatientID="SYNTHETIC",
        PixelData=bytes(range(250)) * (pixel_bytes // 250),
    )
    data_set["PixelData"].VR = "OB"
    data_set.file_meta = FileMetaDataset()
    data_set.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data_set.file_meta.MediaStorageSOPClassUID = CT_IMAGE_STORAGE
    data_set.file_meta.MediaStorageSOPInstanceUID = "1.2.3.4"
    return data_set


@pytest.fixture
async def ours() -> AsyncIterator[Acceptor]:
    async with acceptor() as running:
        yield running


def associated(port: int, *abstract_syntaxes: str, **more: Any) -> Any:
    """Open an association by pynetdicom (blocking)."""
    entity = AE("PYNETDICOM")
    for uid in abstract_syntaxes:
        entity.add_requested_context(uid, EXPLICIT)
    assoc = entity.associate("127.0.0.1", port, **more)
    assert assoc.is_established
    return assoc


@contextmanager
def theirs(handlers: Handlers, **settings: Any) -> Iterator[int]:
    """Run pynetdicom's acceptor."""
    entity = AE("ACCEPTOR")
    for uid in (VERIFICATION, CT_IMAGE_STORAGE, STUDY_ROOT_FIND, STUDY_ROOT_MOVE, STUDY_ROOT_GET):
        entity.add_supported_context(uid, EXPLICIT, scu_role=True, scp_role=True)
    for name, value in settings.items():
        setattr(entity, name, value)
    server: Any = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
    try:
        yield server.socket.getsockname()[1]
    finally:
        server.shutdown()


# pynetdicom asks


async def test_pynetdicom_verifies_and_releases(ours: Acceptor) -> None:
    def scu() -> int:
        assoc = associated(ours.port, VERIFICATION)
        status = assoc.send_c_echo().Status
        assoc.release()
        assert assoc.is_released
        return int(status)

    assert await asyncio.to_thread(scu) == SUCCESS
    await ours.recorder.ended.wait()
    assert ours.recorder.ends == [dimse.Ended.RELEASED]
    assert ours.recorder.associations[0].calling_ae_title == "PYNETDICOM"


async def test_pynetdicom_stores_fifty_megabytes_in_small_fragments(ours: Acceptor) -> None:
    data_set = ct(FIFTY_MEGABYTES)

    def scu() -> int:
        assoc = associated(ours.port, CT_IMAGE_STORAGE)
        status = assoc.send_c_store(data_set).Status
        assoc.release()
        return int(status)

    assert await asyncio.to_thread(scu) == SUCCESS
    [sink] = ours.recorder.sinks
    assert hashlib.sha256(sink.data).digest() == hashlib.sha256(encoded(data_set)).digest()
    assert sink.largest <= 256 * 1024


async def test_pynetdicom_finds_and_cancels(ours: Acceptor) -> None:
    async def answer(assoc: dimse.Association, request: dimse.Request) -> None:
        asked = decoded(request.data_set)
        assert asked.PatientID == "A*"
        pending = request.command.response(PENDING, has_data_set=True)
        number = 0
        while not request.cancelled.is_set():
            number += 1
            match = encoded(identifier(PatientID=f"A{number}"))
            await assoc.send(request.context.context_id, pending, match)
            await asyncio.sleep(0)
        await assoc.send(request.context.context_id, request.command.response(0xFE00))

    ours.recorder.handle = answer

    def scu() -> tuple[list[int], list[str]]:
        assoc = associated(ours.port, STUDY_ROOT_FIND)
        statuses, found = [], []
        for status, match in assoc.send_c_find(
            identifier(PatientID="A*"), STUDY_ROOT_FIND, msg_id=7
        ):
            statuses.append(int(status.Status))
            if match is not None:
                found.append(str(match.PatientID))
            if len(found) == 3:
                assoc.send_c_cancel(7, query_model=STUDY_ROOT_FIND)
        assoc.release()
        return statuses, found

    statuses, found = await asyncio.to_thread(scu)
    assert found[:3] == ["A1", "A2", "A3"]
    assert statuses == [PENDING] * len(found) + [0xFE00]


async def test_pynetdicom_gets_what_we_store_on_the_same_association(ours: Acceptor) -> None:
    instance = ct(100_000)

    async def answer(assoc: dimse.Association, request: dimse.Request) -> None:
        context = assoc.context_for(CT_IMAGE_STORAGE)
        for number in (1, 2):
            command = store_command(assoc, f"1.2.3.{number}")
            response = await assoc.request(context.context_id, command, encoded(instance))
            assert response.command.status == SUCCESS
            pending = request.command.response(PENDING, remaining=2 - number, completed=number)
            await assoc.send(request.context.context_id, pending)
        final = request.command.response(SUCCESS, completed=2, failed=0, warning=0)
        await assoc.send(request.context.context_id, final)

    ours.recorder.handle = answer
    stored: list[str] = []

    def on_store(event: Any) -> int:
        stored.append(str(event.request.AffectedSOPInstanceUID))
        return SUCCESS

    def scu() -> list[tuple[int, int]]:
        assoc = associated(
            ours.port,
            STUDY_ROOT_GET,
            CT_IMAGE_STORAGE,
            ext_neg=[build_role(CT_IMAGE_STORAGE, scp_role=True)],
            evt_handlers=[(evt.EVT_C_STORE, on_store)],
        )
        answers = [
            (int(status.Status), int(status.NumberOfCompletedSuboperations))
            for status, _ in assoc.send_c_get(identifier(PatientID="A"), STUDY_ROOT_GET)
        ]
        assoc.release()
        return answers

    assert await asyncio.to_thread(scu) == [(PENDING, 1), (PENDING, 2), (SUCCESS, 2)]
    assert stored == ["1.2.3.1", "1.2.3.2"]


async def test_pynetdicom_moves(ours: Acceptor) -> None:
    async def answer(assoc: dimse.Association, request: dimse.Request) -> None:
        assert request.command.move_destination == "ELSEWHERE"
        context_id = request.context.context_id
        counts = {"remaining": 1, "completed": 1, "failed": 0, "warning": 0}
        await assoc.send(context_id, request.command.response(PENDING, **counts))
        counts = {"completed": 1, "failed": 1, "warning": 0}
        failed = encoded(identifier(FailedSOPInstanceUIDList=["1.2.3"]))
        final = request.command.response(0xB000, has_data_set=True, **counts)
        await assoc.send(context_id, final, failed)

    ours.recorder.handle = answer

    def scu() -> list[tuple[int, object]]:
        assoc = associated(ours.port, STUDY_ROOT_MOVE)
        answers = [
            (int(status.Status), match and match.FailedSOPInstanceUIDList)
            for status, match in assoc.send_c_move(
                identifier(PatientID="A"), "ELSEWHERE", STUDY_ROOT_MOVE
            )
        ]
        assoc.release()
        return answers

    assert await asyncio.to_thread(scu) == [(PENDING, None), (0xB000, "1.2.3")]


async def test_an_abort_of_pynetdicom_ends_the_request_in_hand(ours: Acceptor) -> None:
    noticed = asyncio.Event()

    async def answer(assoc: dimse.Association, request: dimse.Request) -> None:
        await request.cancelled.wait()
        with pytest.raises(dimse.AssociationAborted, match="by the peer"):
            await assoc.send(request.context.context_id, request.command.response(SUCCESS))
        noticed.set()

    ours.recorder.handle = answer
    assoc = await asyncio.to_thread(associated, ours.port, VERIFICATION)
    assoc.dimse_timeout = 0.5  # its own abort does not end its waiting
    thread = threading.Thread(target=assoc.send_c_echo)
    thread.start()
    await ours.recorder.received.wait()
    await asyncio.to_thread(assoc.abort)
    await noticed.wait()
    assert ours.recorder.ends == [dimse.Ended.ABORTED]
    await asyncio.to_thread(thread.join)


async def test_what_was_negotiated_is_known_on_both_sides() -> None:
    asked: list[dimse.AssociateRequest] = []

    def negotiate(
        request: dimse.AssociateRequest, peer: dimse.PeerAddress, established: int
    ) -> dimse.Decision:
        asked.append(request)
        [context] = request.contexts
        answer = dimse.AnsweredContext(
            1, context.abstract_syntax, dimse.ContextResult.ACCEPTANCE, EXPLICIT
        )
        return dimse.AssociateAcceptance(
            (answer,),
            roles={CT_IMAGE_STORAGE: dimse.Roles(scu=False, scp=True)},
            maximum_length=32768,
            user_identity_response=b"welcome",
        )

    identity = UserIdentityNegotiation()
    identity.user_identity_type = 2
    identity.primary_field, identity.secondary_field = b"me", b"secret"
    identity.positive_response_requested = True
    async with acceptor(negotiate=negotiate) as running:
        role = build_role(CT_IMAGE_STORAGE, scu_role=True, scp_role=True)
        assoc = await asyncio.to_thread(
            associated, running.port, CT_IMAGE_STORAGE, ext_neg=[role, identity], max_pdu=20000
        )
        [context] = assoc.accepted_contexts
        assert (context.as_scu, context.as_scp) == (False, True)
        assert assoc.acceptor.maximum_length == 32768
        assert assoc.acceptor.user_identity.server_response == b"welcome"
        [mine] = running.recorder.associations
        assert mine.contexts[1] == dimse.AcceptedContext(1, CT_IMAGE_STORAGE, EXPLICIT, True, False)
        assert mine.peer_maximum_length == 20000
        assert asked[0].user_identity == dimse.UserIdentity(2, b"me", b"secret", True)
        await asyncio.to_thread(assoc.release)


@pytest.mark.parametrize(
    "rejection",
    [
        dimse.LOCAL_LIMIT_EXCEEDED,
        dimse.CALLED_AE_TITLE_NOT_RECOGNIZED,
        dimse.AssociateRejection(2, 3, 1),
    ],
)
async def test_pynetdicom_and_we_understand_our_rejections(
    rejection: dimse.AssociateRejection,
) -> None:
    async def decide(*_: object) -> dimse.Decision:
        await asyncio.sleep(0)
        return rejection

    expected = (rejection.result, rejection.source, rejection.reason)
    async with acceptor(negotiate=decide) as running:
        entity = AE()
        entity.add_requested_context(VERIFICATION)
        assert await asyncio.to_thread(rejection_of, entity, running.port) == expected
        with pytest.raises(dimse.AssociationRejected) as caught:
            await dimse.associate("127.0.0.1", running.port, proposal(VERIFICATION))
        assert (caught.value.result, caught.value.source, caught.value.reason) == expected


# pynetdicom answers


async def test_we_verify_and_release() -> None:
    with theirs([(evt.EVT_C_ECHO, lambda _: SUCCESS)]) as port:
        async with dimse.connect("127.0.0.1", port, proposal(VERIFICATION)) as assoc:
            assert [await echo(assoc) for _ in range(3)] == [SUCCESS] * 3
        assert not assoc.is_established


@pytest.mark.parametrize("maximum_pdu_size", [0, 16382, 128, 131072])
async def test_we_store_in_pieces_of_any_size(maximum_pdu_size: int) -> None:
    received: list[bytes] = []

    def on_store(event: Any) -> int:
        received.append(bytes(event.request.DataSet.getvalue()))
        return SUCCESS

    content = encoded(ct(50_000))

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(content), 1001):
            yield content[start : start + 1001]

    with theirs([(evt.EVT_C_STORE, on_store)], maximum_pdu_size=maximum_pdu_size) as port:
        async with dimse.connect("127.0.0.1", port, proposal(CT_IMAGE_STORAGE)) as assoc:
            assert assoc.peer_maximum_length == maximum_pdu_size
            assert await store(assoc, content) == SUCCESS
            assert (
                await store(assoc, [content[:7], memoryview(content)[7:999], b"", content[999:]])
                == 0
            )
            assert await store(assoc, pieces()) == SUCCESS
    assert received == [content] * 3


async def test_we_store_fifty_megabytes(tmp_path: Path) -> None:
    digests: list[bytes] = []

    def on_store(event: Any) -> int:
        digests.append(hashlib.sha256(event.request.DataSet.getbuffer()).digest())
        return SUCCESS

    content = encoded(ct(FIFTY_MEGABYTES))
    file = tmp_path / "data_set"
    file.write_bytes(content)

    async def pieces() -> AsyncIterator[bytes]:
        with file.open("rb") as source:
            while piece := source.read(300_000):
                yield piece

    with theirs([(evt.EVT_C_STORE, on_store)], maximum_pdu_size=131072) as port:
        async with dimse.connect("127.0.0.1", port, proposal(CT_IMAGE_STORAGE)) as assoc:
            assert await store(assoc, pieces()) == SUCCESS
    assert digests == [hashlib.sha256(content).digest()]


async def test_we_find_until_we_cancel() -> None:
    def on_find(event: Any) -> Iterator[tuple[int, Dataset | None]]:
        number = 0
        while not event.is_cancelled:
            number += 1
            yield PENDING, identifier(PatientID=f"A{number}")
        yield 0xFE00, None

    with theirs([(evt.EVT_C_FIND, on_find)]) as port:
        request = proposal(STUDY_ROOT_FIND)
        async with dimse.connect("127.0.0.1", port, request) as assoc:
            context = assoc.context_for(STUDY_ROOT_FIND)
            command = dimse.Command(
                dimse.CommandField.C_FIND_RQ,
                assoc.next_message_id(),
                has_data_set=True,
                sop_class_uid=STUDY_ROOT_FIND,
            )
            found, statuses = [], []
            async for response in assoc.requests(
                context.context_id, command, encoded(identifier(PatientID=""))
            ):
                statuses.append(response.command.status)
                if response.data_set is not None:
                    found.append(decoded(response.data_set).PatientID)
                if len(found) == 3:
                    await assoc.cancel(context.context_id, command.message_id)
    assert found[:3] == ["A1", "A2", "A3"]
    assert statuses == [PENDING] * len(found) + [0xFE00]


async def test_we_get_what_pynetdicom_stores_on_the_same_association() -> None:
    def on_get(event: Any) -> Iterator[Any]:
        yield 2
        for _ in range(2):
            yield PENDING, ct(20_000)

    recorder = Recorder()
    request = proposal(
        STUDY_ROOT_GET,
        CT_IMAGE_STORAGE,
        roles={CT_IMAGE_STORAGE: dimse.Roles(scu=False, scp=True)},
    )
    with theirs([(evt.EVT_C_GET, on_get)]) as port:
        async with dimse.connect(
            "127.0.0.1",
            port,
            request,
            handler=recorder.handler(None),  # type: ignore[arg-type]
        ) as assoc:
            context = assoc.context_for(STUDY_ROOT_GET)
            assert assoc.context_for(CT_IMAGE_STORAGE, as_scp=True).as_scu is False
            command = dimse.Command(
                dimse.CommandField.C_GET_RQ, 1, has_data_set=True, sop_class_uid=STUDY_ROOT_GET
            )
            responses = [
                (response.command.status, response.command.completed)
                async for response in assoc.requests(
                    context.context_id, command, encoded(identifier(PatientID="A"))
                )
            ]
    assert responses == [(PENDING, 1), (PENDING, 2), (SUCCESS, 2)]
    assert [decoded(bytes(sink.data)).SOPInstanceUID for sink in recorder.sinks] == ["1.2.3.4"] * 2


async def test_an_abort_of_the_acceptor_is_told() -> None:
    with theirs([(evt.EVT_C_ECHO, lambda event: event.assoc.abort() or SUCCESS)]) as port:
        assoc = await dimse.associate("127.0.0.1", port, proposal(VERIFICATION))
        with pytest.raises(dimse.AssociationAborted):
            await echo(assoc)
        assert not assoc.is_established
        await assoc.wait_closed()


async def test_nobody_there_is_told() -> None:
    nobody = ReservedPort()
    with pytest.raises(dimse.ConnectionFailed, match="no connection to the peer"):
        await dimse.associate("127.0.0.1", nobody.number, proposal(VERIFICATION))
