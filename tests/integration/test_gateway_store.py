"""C-STORE and C-ECHO through a running gateway, by pynetdicom and by plain sockets."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
import time
import warnings
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager
from pathlib import Path

import nats
import pydicom
import pytest
from pydicom.uid import generate_uid
from pynetdicom import evt

from lanthorn_core.dicom.part10 import read_file_meta
from lanthorn_core.errors import BusUnavailable, StorageFull
from lanthorn_core.events import Event, InstanceStored, decode_event
from lanthorn_core.ports.bus import EventPublisher, StreamPosition
from lanthorn_core.ports.object_store import ObjectStore
from lanthorn_core.runtime.settings import Settings
from lanthorn_core.wiring import open_object_store
from tests.fixtures.gateway import (
    A_ABORT,
    A_RELEASE_RP,
    CT_IMAGE_STORAGE,
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    RELEASE_REQUEST,
    Ports,
    RunningGateway,
    associate_request,
    command_pdu,
    data_value,
    dataset_pdu,
    implicit_dataset,
    pdu,
    read_pdu,
    read_status,
    real_ports,
    send_store,
    store_command,
)
from tests.fixtures.pynetdicom_peer import SURPRISED_THREADS

pytestmark = SURPRISED_THREADS

RunGateway = Callable[..., AbstractContextManager[RunningGateway]]

VERIFICATION = "1.2.840.10008.1.1"
PRIVATE_SOP_CLASS = "1.2.826.0.1.3680043.8.498.77"
SAMPLES = sorted((Path(__file__).parents[1] / "data" / "pydicom").glob("*.dcm"))
ALL_TRANSFER_SYNTAXES = {"AcceptedTransferSyntaxes": ["*"]}


def parts_of(path: Path) -> tuple[str, str, str, bytes] | None:
    """SOP class, SOP instance, transfer syntax and data set of a sample; None without meta."""
    data = path.read_bytes()
    if data[128:132] != b"DICM":
        return None
    meta = read_file_meta(data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some samples are odd on purpose
        dataset = pydicom.dcmread(path, stop_before_pixels=True, force=True)
        sop_class, sop_instance = dataset.get("SOPClassUID"), dataset.get("SOPInstanceUID")
    if not sop_class or not sop_instance:
        return None
    return str(sop_class), str(sop_instance), meta.transfer_syntax_uid, data[meta.dataset_offset :]


async def stored_events(nats_url: str) -> list[InstanceStored]:
    client = await nats.connect(nats_url)
    try:
        subscription = await client.jetstream().pull_subscribe("dicom.v1.instance.stored", None)
        info = await subscription.consumer_info()
        messages = await subscription.fetch(info.num_pending, timeout=5) if info.num_pending else []
        events = [decode_event(message.data) for message in messages]
    finally:
        await client.close()
    return [event for event in events if isinstance(event, InstanceStored)]


def test_c_echo_is_answered(running_gateway: RunGateway) -> None:
    with (
        running_gateway() as gateway,
        gateway.associated((VERIFICATION, IMPLICIT_VR_LITTLE_ENDIAN)) as association,
    ):
        assert association.send_c_echo().Status == 0x0000


def test_every_sample_file_is_stored_bit_for_bit(running_gateway: RunGateway) -> None:
    with running_gateway(UnknownSopClassAccepted=True, **ALL_TRANSFER_SYNTAXES) as gateway:
        stored, refused = [], []
        for path in SAMPLES:
            parts = parts_of(path)
            if parts is None:
                continue
            sop_class, sop_instance, transfer_syntax, dataset = parts
            status = gateway.send(
                dataset,
                sop_class_uid=sop_class,
                sop_instance_uid=sop_instance,
                transfer_syntax=transfer_syntax,
            )
            if status == 0:
                stored.append((transfer_syntax, dataset))
            else:
                refused.append((path.name, status))
        assert sorted(gateway.stored_datasets()) == sorted(stored)
        assert len(stored) > 40
        # Truncated on purpose, or lacking a UID: not a success, and not a lost association.
        assert all(status == 0xC000 for _, status in refused), refused
        assert gateway.spool_files == []


def test_the_file_meta_is_ours(running_gateway: RunGateway) -> None:
    with running_gateway() as gateway:
        assert gateway.send(implicit_dataset()) == 0
        (path,) = gateway.stored_files
    meta = pydicom.dcmread(path).file_meta
    assert meta.MediaStorageSOPClassUID == CT_IMAGE_STORAGE
    assert meta.MediaStorageSOPInstanceUID == "1.2.3.4"
    assert meta.TransferSyntaxUID == IMPLICIT_VR_LITTLE_ENDIAN
    assert meta.SourceApplicationEntityTitle == "SCU"
    assert meta.ReceivingApplicationEntityTitle == "LANTHORN"
    assert meta.ImplementationVersionName == "LANTHORN"


async def test_the_event_says_what_came_from_where(
    running_gateway: RunGateway, nats_url: str
) -> None:
    def send() -> bytes:
        with running_gateway() as gateway:
            assert gateway.send(implicit_dataset()) == 0
            (path,) = gateway.stored_files
            return path.read_bytes()

    stored = await asyncio.to_thread(send)
    (event,) = await stored_events(nats_url)
    assert event.size_bytes == len(stored)
    assert event.header == implicit_dataset()
    assert event.origin.kind == "DicomProtocol"
    assert event.origin.calling_ae_title == "SCU"
    assert event.origin.called_ae_title == "LANTHORN"
    assert event.origin.remote_ip == "127.0.0.1"


@pytest.mark.parametrize("size_bytes", [0, 1 << 20, 5 << 20])
def test_sizes_around_the_limit_of_memory_are_stored_bit_for_bit(
    running_gateway: RunGateway, size_bytes: int
) -> None:
    dataset = implicit_dataset(pixel_bytes=size_bytes)
    with running_gateway() as gateway:
        assert gateway.send(dataset) == 0
        assert gateway.stored_datasets() == [(IMPLICIT_VR_LITTLE_ENDIAN, dataset)]
        assert gateway.spool_files == []


def test_command_and_data_in_one_pdu_are_answered(running_gateway: RunGateway) -> None:
    together = data_value(3, store_command("1.2.3.4")) + data_value(2, implicit_dataset())
    with running_gateway() as gateway, gateway.connected() as connection:
        connection.sendall(pdu(4, together))
        assert read_status(connection) == 0
        assert len(gateway.stored_files) == 1


def test_fragments_of_any_size_are_put_together(running_gateway: RunGateway) -> None:
    command, dataset = store_command("1.2.3.4"), implicit_dataset(pixel_bytes=1000)
    with running_gateway() as gateway, gateway.connected() as connection:
        for pos in range(len(command)):
            last = pos == len(command) - 1
            connection.sendall(pdu(4, data_value(3 if last else 1, command[pos : pos + 1])))
        values = [dataset[pos : pos + 3] for pos in range(0, len(dataset), 3)]
        connection.sendall(
            b"".join(
                dataset_pdu(value, last=number == len(values) - 1)
                for number, value in enumerate(values)
            )
        )
        assert read_status(connection) == 0
        assert gateway.stored_datasets() == [(IMPLICIT_VR_LITTLE_ENDIAN, dataset)]


def test_requests_that_do_not_wait_for_answers_are_answered_in_order(
    running_gateway: RunGateway,
) -> None:
    with running_gateway() as gateway, gateway.connected() as connection:
        for number in range(1, 21):
            uid = f"1.2.3.{number}"
            connection.sendall(
                command_pdu(store_command(uid, message_id=number))
                + dataset_pdu(implicit_dataset(uid))
            )
        assert [read_status(connection) for _ in range(20)] == [0] * 20
        assert len(gateway.stored_files) == 20


def test_a_peer_that_takes_tiny_pdus_gets_its_answer(running_gateway: RunGateway) -> None:
    with running_gateway() as gateway, gateway.connected(associate=False) as connection:
        connection.sendall(associate_request(maximum_length=16))
        assert read_pdu(connection)[0] == 2
        connection.sendall(command_pdu(store_command("1.2.3.4")) + dataset_pdu(implicit_dataset()))
        answer = b""
        while True:
            kind, content = read_pdu(connection)
            assert kind == 4
            assert len(content) <= 16
            answer += content[6:]
            if content[5] & 2:
                break
        assert b"\x00\x09\x02\x00\x00\x00\x00\x00" in answer  # Status 0000


def truncated(pixel_bytes: int) -> bytes:
    return implicit_dataset(pixel_bytes=pixel_bytes)[:-3]


def without_study(pixel_bytes: int) -> bytes:
    return implicit_dataset(study_instance_uid=None, pixel_bytes=pixel_bytes)


def of_another_instance(pixel_bytes: int) -> bytes:
    return implicit_dataset("1.2.3.5", pixel_bytes=pixel_bytes)


def of_another_class(pixel_bytes: int) -> bytes:
    return implicit_dataset(sop_class_uid="1.2.840.10008.5.1.4.1.1.4", pixel_bytes=pixel_bytes)


def with_a_length_beyond_the_end(pixel_bytes: int) -> bytes:
    return b"\x08\x00\x16\x00\xff\xff\xff\x7f1.2" + bytes(pixel_bytes)


def of_no_dicom(pixel_bytes: int) -> bytes:
    return b"not a data set " + bytes(pixel_bytes)


def of_nothing(pixel_bytes: int) -> bytes:
    return b""


@pytest.mark.parametrize(
    ("dataset", "status"),
    [
        (of_another_instance, 0xA900),
        (of_another_class, 0xA900),
        (without_study, 0xC000),
        (truncated, 0xC000),
        (with_a_length_beyond_the_end, 0xC000),
        (of_no_dicom, 0xC000),
        (of_nothing, 0xC000),
    ],
)
@pytest.mark.parametrize("pixel_bytes", [0, 2 << 20])
def test_what_cannot_be_kept_is_refused_and_leaves_nothing(
    running_gateway: RunGateway,
    dataset: Callable[[int], bytes],
    status: int,
    pixel_bytes: int,
) -> None:
    with running_gateway() as gateway, gateway.connected() as connection:
        send_store(connection, dataset(pixel_bytes), CT_IMAGE_STORAGE, "1.2.3.4")
        assert read_status(connection) == status
        assert gateway.stored_files == []
        assert gateway.spool_files == []
        connection.sendall(command_pdu(store_command("1.2.3.4")) + dataset_pdu(implicit_dataset()))
        assert read_status(connection) == 0, "the association goes on"


@pytest.mark.parametrize(
    ("command", "status"),
    [
        (store_command("1.2.3.4", has_data_set=False), 0xC000),
        (store_command(""), 0xC000),
        (store_command("1." + "2" * 63), 0xC000),
        (store_command("1.2.3.4", sop_class_uid="1.2.840.10008.5.1.4.1.1.4"), 0x0122),
        (store_command("1.2.3.4", sop_class_uid=""), 0x0122),
    ],
    ids=["no data set", "no instance", "a UID too long", "class of no context", "no class"],
)
def test_commands_that_make_no_sense_are_refused(
    running_gateway: RunGateway, command: bytes, status: int
) -> None:
    with running_gateway() as gateway, gateway.connected() as connection:
        connection.sendall(command_pdu(command))
        if command != store_command("1.2.3.4", has_data_set=False):
            connection.sendall(dataset_pdu(implicit_dataset()))
        assert read_status(connection) == status
        assert gateway.stored_files == []
        connection.sendall(RELEASE_REQUEST)
        assert read_pdu(connection)[0] == A_RELEASE_RP


class _FullStore:
    """An object store without room; everything else is the real one's."""

    def __init__(self, real: ObjectStore) -> None:
        self._real = real

    def __getattr__(self, name: str) -> object:
        return getattr(self._real, name)

    async def put(self, key: str, source: object, *, digest: object = None) -> None:
        if isinstance(source, Path):
            source.unlink()
        raise StorageFull("no room")


class _SilentBus:
    """A stream that acknowledges nothing."""

    async def publish(self, event: Event, *, message_id: str) -> StreamPosition:
        raise BusUnavailable("no answer")


@contextlib.asynccontextmanager
async def full_ports(settings: Settings) -> AsyncIterator[tuple[ObjectStore, EventPublisher]]:
    async with real_ports(settings) as (objects, publisher):
        yield _FullStore(objects), publisher  # type: ignore[misc]


@contextlib.asynccontextmanager
async def silent_ports(settings: Settings) -> AsyncIterator[tuple[ObjectStore, EventPublisher]]:
    async with open_object_store(settings) as objects:
        yield objects, _SilentBus()  # type: ignore[misc]


@pytest.mark.parametrize("ports", [full_ports, silent_ports])
@pytest.mark.parametrize("pixel_bytes", [0, 2 << 20])
def test_a_store_or_stream_in_trouble_is_out_of_resources(
    running_gateway: RunGateway, ports: Ports, pixel_bytes: int
) -> None:
    dataset = implicit_dataset(pixel_bytes=pixel_bytes)
    with running_gateway(ports=ports) as gateway:
        assert gateway.send(dataset) == 0xA700
        assert gateway.spool_files == []


class _BrokenBus:
    """A stream with a bug."""

    async def publish(self, event: Event, *, message_id: str) -> StreamPosition:
        raise ZeroDivisionError


@contextlib.asynccontextmanager
async def broken_ports(settings: Settings) -> AsyncIterator[tuple[ObjectStore, EventPublisher]]:
    async with open_object_store(settings) as objects:
        yield objects, _BrokenBus()  # type: ignore[misc]


def test_a_bug_of_ours_is_told_as_one_and_the_service_goes_on(
    running_gateway: RunGateway,
) -> None:
    with running_gateway(ports=broken_ports) as gateway:
        assert gateway.send(implicit_dataset()) == 0xC001
        assert gateway.send(implicit_dataset()) == 0xC001


def wait_until(condition: Callable[[], bool]) -> None:
    give_up_at = time.monotonic() + 15
    while not condition():
        assert time.monotonic() < give_up_at, "it did not happen"
        time.sleep(0.02)


@pytest.mark.parametrize("how", ["close", "abort", "reset"])
def test_a_peer_that_vanishes_in_mid_transfer_leaves_nothing(
    running_gateway: RunGateway, how: str
) -> None:
    with running_gateway() as gateway:
        with gateway.connected() as connection:
            connection.sendall(command_pdu(store_command("1.2.3.4")))
            for _ in range(30):
                connection.sendall(dataset_pdu(bytes(100_000), last=False))
            wait_until(lambda: len(gateway.spool_files) == 1)
            if how == "abort":
                connection.sendall(pdu(7, bytes(4)))
            elif how == "reset":
                linger = struct.pack("ii", 1, 0)
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        wait_until(lambda: gateway.connections == 0)
        assert gateway.spool_files == []
        assert gateway.stored_files == []


def test_a_silent_peer_is_aborted_and_leaves_nothing(running_gateway: RunGateway) -> None:
    with running_gateway(DicomScpTimeout=1) as gateway, gateway.connected() as connection:
        connection.sendall(command_pdu(store_command("1.2.3.4")))
        for _ in range(30):
            connection.sendall(dataset_pdu(bytes(100_000), last=False))

        def is_seen_while_more_comes() -> bool:
            connection.sendall(dataset_pdu(bytes(10), last=False))
            return len(gateway.spool_files) == 1

        wait_until(is_seen_while_more_comes)
        assert read_pdu(connection)[0] == A_ABORT
        wait_until(lambda: gateway.connections == 0)
        assert gateway.spool_files == []


def test_a_peer_that_stops_within_a_pdu_is_given_up(running_gateway: RunGateway) -> None:
    with running_gateway(DicomScpTimeout=1) as gateway, gateway.connected() as connection:
        connection.sendall(command_pdu(store_command("1.2.3.4"))[:20])
        wait_until(lambda: gateway.connections == 0)


def test_a_connection_without_association_is_given_up(running_gateway: RunGateway) -> None:
    with (
        running_gateway(DicomScpTimeout=1) as gateway,
        gateway.connected(associate=False) as connection,
    ):
        assert connection.recv(100) == b""
        wait_until(lambda: gateway.connections == 0)


def test_private_sop_classes_are_stored_only_on_request(running_gateway: RunGateway) -> None:
    dataset = implicit_dataset(sop_class_uid=PRIVATE_SOP_CLASS)
    with running_gateway() as gateway:
        assert gateway.send(dataset, sop_class_uid=PRIVATE_SOP_CLASS) is None
    with running_gateway(UnknownSopClassAccepted=True) as gateway:
        assert gateway.send(dataset, sop_class_uid=PRIVATE_SOP_CLASS) == 0
        assert len(gateway.stored_files) == 1


def test_a_known_ae_without_permission_is_told_so(running_gateway: RunGateway) -> None:
    options = {
        "DicomAlwaysAllowStore": False,
        "DicomModalities": {
            "scu": {"AET": "SCU", "Host": "127.0.0.1", "Port": 104, "AllowStore": False}
        },
    }
    with running_gateway(**options) as gateway:
        assert gateway.send(implicit_dataset()) == 0x0124
        assert gateway.stored_files == []


def test_a_read_only_server_offers_no_storage(running_gateway: RunGateway) -> None:
    with running_gateway(ReadOnly=True) as gateway:
        with gateway.associated((CT_IMAGE_STORAGE, EXPLICIT_VR_LITTLE_ENDIAN)) as association:
            assert association.accepted_contexts == []
        with gateway.associated((VERIFICATION, EXPLICIT_VR_LITTLE_ENDIAN)) as association:
            assert association.send_c_echo().Status == 0


def test_associations_store_side_by_side(running_gateway: RunGateway) -> None:
    statuses: list[int | None] = []

    def send(number: int) -> None:
        uid = generate_uid()
        for _ in range(5):
            dataset = implicit_dataset(uid, pixel_bytes=300_000 * number)
            statuses.append(gateway.send(dataset, sop_instance_uid=uid))

    with running_gateway() as gateway:
        threads = [threading.Thread(target=send, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert statuses == [0] * 30
        assert len(gateway.stored_files) == 30


def test_pynetdicoms_own_c_store_works(running_gateway: RunGateway) -> None:
    received: list[bytes] = []
    path = next(path for path in SAMPLES if path.name == "CT_small.dcm")
    with (
        running_gateway() as gateway,
        gateway.associated((CT_IMAGE_STORAGE, EXPLICIT_VR_LITTLE_ENDIAN)) as association,
    ):
        association.bind(evt.EVT_DATA_RECV, lambda event: received.append(event.data))
        assert association.send_c_store(path).Status == 0
        assert received
