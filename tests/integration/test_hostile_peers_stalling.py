"""Peers that stop in the middle: those that do not read, do not answer, or are gone."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import psutil
import pytest

from tests.benchmarks.instances import make_instances, study_uid
from tests.fixtures import dimse_bytes as raw
from tests.fixtures.dimse_receiver import acceptance_of
from tests.fixtures.dimse_requestor import STUDY_ROOT_FIND, STUDY_ROOT_GET, STUDY_ROOT_MOVE
from tests.fixtures.dimse_sender import EncodedInstance, Sender
from tests.fixtures.hostile_files import (
    PIXEL_DATA,
    SERIES_INSTANCE_UID,
    STUDY_INSTANCE_UID,
    dataset,
    element,
    text,
)
from tests.fixtures.hostile_peers import (
    ASSOCIATE_RQ,
    CT,
    EXPLICIT,
    FIND,
    GET,
    MEBIBYTE,
    MOVE,
    STORE,
    Grounds,
    Peer,
    last_of,
    wait_until,
)
from tests.fixtures.running_lanthorn import RunningLanthorn, lanthorn_folder, lanthorn_up
from tests.fixtures.unharmed import ask, ask_json

pytestmark = pytest.mark.hostile

OPTIONS = {
    **{f"DicomAlwaysAllow{service}": True for service in ("Find", "Get", "Move")},
    "DicomScpTimeout": 6,
    "DicomScuTimeout": 4,
    "Lanthorn": {"GatewayProcesses": 1, "DicomArtimTimeout": 5},
}
ABORTED_BY_USER = ("aborted", 0, 0)
PENDING_MOVE = ("response", 0x8021, 0xFF00)
MANY_RUN, MANY = 1, 250
LARGE_STUDY, LARGE, LARGE_BYTES = "1.2.826.0.1.3680043.8.498.7", 3, 8 * MEBIBYTE
FEW_BYTES = 4096
"""What the kernel keeps of what a peer does not read."""


@pytest.fixture(scope="module")
def grounds() -> Iterator[Grounds]:
    with lanthorn_folder() as folder, lanthorn_up(folder, OPTIONS) as system:
        with Sender("127.0.0.1", system.dicom_port, [(CT, EXPLICIT)]) as sender:
            for instance in [*make_instances("small", MANY, run=MANY_RUN), *large_instances()]:
                assert sender.store(instance) == 0
        wait_until(
            lambda: ask_json(system, "/statistics")["CountInstances"] == MANY + LARGE, "all indexed"
        )
        yield Grounds.of(system)


def large_instances() -> Iterator[EncodedInstance]:
    for number in range(LARGE):
        uid = f"{LARGE_STUDY}.1.{number}"
        yield EncodedInstance(
            CT,
            uid,
            EXPLICIT,
            dataset(
                text(STUDY_INSTANCE_UID, b"UI", LARGE_STUDY),
                text(SERIES_INSTANCE_UID, b"UI", f"{LARGE_STUDY}.1"),
                element(PIXEL_DATA, b"OW", bytes(LARGE_BYTES)),
                sop_instance_uid=uid,
                without={STUDY_INSTANCE_UID, SERIES_INSTANCE_UID},
            ),
        )


def request(
    context: int, field: int, sop_class_uid: str, identifier: bytes, *more: bytes, message: int = 1
) -> bytes:
    command = raw.command_set(
        raw.uid(0x0002, sop_class_uid),
        raw.short(0x0100, field),
        raw.short(0x0110, message),
        *more,
        raw.short(0x0700, 0),
        raw.short(0x0800, 1),
    )
    return raw.p_data(raw.pdv(context, 3, command)) + raw.p_data(raw.pdv(context, 2, identifier))


def implicit(tag: int, value: str = "", padding: str = " ") -> bytes:
    encoded = (value + padding * (len(value) % 2)).encode()
    return raw.element(tag & 0xFFFF, encoded, group=tag >> 16)


def study(uid: str) -> bytes:
    return implicit(0x0008_0052, "STUDY") + implicit(0x0020_000D, uid, "\0")


FIND_IMAGES = request(
    FIND,
    raw.C_FIND_RQ,
    STUDY_ROOT_FIND,
    b"".join(
        [
            implicit(0x0008_0018),
            implicit(0x0008_0052, "IMAGE"),
            implicit(0x0010_0010),
            implicit(0x0010_0020),
            implicit(0x0020_000D, study_uid(MANY_RUN), "\0"),
            implicit(0x0020_000E),
            implicit(0x0020_0013),
        ]
    ),
)
GET_LARGE = request(GET, 0x0010, STUDY_ROOT_GET, study(LARGE_STUDY))
GET_MANY = request(GET, 0x0010, STUDY_ROOT_GET, study(study_uid(MANY_RUN)))


def move_large(destination: str) -> bytes:
    title = raw.element(0x0600, destination.ljust(16).encode())
    return request(MOVE, 0x0021, STUDY_ROOT_MOVE, study(LARGE_STUDY), title)


# Who does not read, or does not answer


@pytest.mark.parametrize(
    ("sent", "growth_bytes"),
    [
        pytest.param(FIND_IMAGES * 100, 100 * MEBIBYTE, id="answers of C-FIND"),
        pytest.param(GET_LARGE, 100 * MEBIBYTE, id="instances of C-GET"),
    ],
)
def test_who_reads_nothing_is_given_up(grounds: Grounds, sent: bytes, growth_bytes: int) -> None:
    with grounds.besieged(growth_bytes), ExitStack() as stack:
        peers = [
            stack.enter_context(Peer(grounds.system.dicom_port, receive_buffer_bytes=FEW_BYTES))
            for _ in range(12)
        ]
        with ThreadPoolExecutor(len(peers)) as pool:
            for sending in [pool.submit(peer.send, sent) for peer in peers]:
                sending.result()
        # Those of the bystander stay.
        wait_until(lambda: grounds.open_associations() <= 2, "who reads nothing is given up")
        assert all(peer.is_cut_off() for peer in peers)


def test_who_answers_nothing_is_aborted(grounds: Grounds) -> None:
    def ask_and_listen(sent: bytes) -> object:
        with Peer(grounds.system.dicom_port) as peer:
            peer.send(sent)
            return last_of(peer.answers())

    with grounds.besieged(100 * MEBIBYTE), ThreadPoolExecutor(16) as pool:
        last = list(pool.map(ask_and_listen, [GET_LARGE, GET_MANY] * 8))
    assert last == [ABORTED_BY_USER] * 16


# Who is gone


def leaving_places() -> dict[str, tuple[bytes, int]]:
    """What is sent, the association request first, and how much is read before the end."""
    store = raw.store(data_set=bytes(100_000))
    return {
        "before a word": (b"", 0),
        "within the association request": (ASSOCIATE_RQ[:100], 0),
        "before its answer": (ASSOCIATE_RQ, 0),
        "within the header of a PDU": (ASSOCIATE_RQ + store[:3], 100),
        "within a command set": (ASSOCIATE_RQ + store[:40], 100),
        "within a fragment of a data set": (ASSOCIATE_RQ + store[:50_000], 100),
        "between two fragments": (
            ASSOCIATE_RQ
            + raw.p_data(raw.pdv(STORE, 3, raw.store_command()))
            + raw.p_data(raw.pdv(STORE, 0, bytes(130_000))) * 30,
            100,
        ),
        "before the response": (ASSOCIATE_RQ + store, 100),
        "before the answers to a C-FIND": (ASSOCIATE_RQ + FIND_IMAGES * 10, 100),
        "between the answers to a C-FIND": (ASSOCIATE_RQ + FIND_IMAGES * 10, 10_000),
        "before a C-GET sends": (ASSOCIATE_RQ + GET_LARGE, 100),
        "while a C-GET sends": (ASSOCIATE_RQ + GET_LARGE, 3 * MEBIBYTE),
        "between a release and its answer": (ASSOCIATE_RQ + raw.RELEASE_RQ, 100),
    }


@pytest.mark.parametrize("reset", [True, False], ids=["by a reset", "by the end of the stream"])
def test_who_vanishes_leaves_nothing(grounds: Grounds, reset: bool) -> None:
    def vanish(place: tuple[bytes, int]) -> None:
        sent, read = place
        with Peer(grounds.system.dicom_port, associate=False) as peer:
            peer.send(sent)
            while read > 0 and (data := peer.socket.recv(min(read, 1 << 16))):
                read -= len(data)
            peer.vanish(reset=reset)

    with grounds.besieged(100 * MEBIBYTE), ThreadPoolExecutor(16) as pool:
        list(pool.map(vanish, list(leaving_places().values()) * 3))


# Destinations of C-MOVE

Behave = Callable[[socket.socket], object]


def read_for_ever(connection: socket.socket) -> None:
    while connection.recv(1 << 20):
        pass


def accept(connection: socket.socket) -> None:
    request = connection.recv(1 << 16)
    connection.sendall(acceptance_of(request))


def wait_for_the_end(_: socket.socket) -> None:
    """Neither read nor answer; the connection is closed with the test."""


def answer_garbage(connection: socket.socket) -> None:
    accept(connection)
    connection.recv(1 << 16)
    connection.sendall(b"\xff" * 4096)
    read_for_ever(connection)


def answer_nothing(connection: socket.socket) -> None:
    accept(connection)
    read_for_ever(connection)


def close_in_the_middle(connection: socket.socket) -> None:
    accept(connection)
    connection.recv(1 << 20)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def accept_without_end(connection: socket.socket) -> None:
    connection.recv(1 << 16)
    connection.sendall(raw.pdu(2, b"", 1 << 30))
    for _ in range(4000):
        connection.sendall(bytes(1 << 16))


@contextlib.contextmanager
def destination(system: RunningLanthorn, behave: Behave) -> Iterator[tuple[str, int]]:
    """Listen as a modality that behaves like this; gives its AE title and port."""
    connections: list[socket.socket] = []
    threads: list[threading.Thread] = []

    def serve(connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            behave(connection)

    def listen() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listening.accept()
                connections.append(connection)
                threads.append(threading.Thread(target=serve, args=(connection,)))
                threads[-1].start()

    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, FEW_BYTES)
        listening.bind(("127.0.0.1", 0))
        listening.listen(64)
        port = listening.getsockname()[1]
        accepting = threading.Thread(target=listen)
        accepting.start()
        body = json.dumps({"AET": f"D{port}", "Host": "127.0.0.1", "Port": port}).encode()
        assert ask(system, "PUT", f"/modalities/d{port}", body).status == 200
        try:
            yield f"D{port}", port
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            accepting.join()
            for connection in connections:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
            for thread in threads:
                thread.join()
            for connection in connections:
                connection.close()
            assert ask(system, "DELETE", f"/modalities/d{port}").status == 200


def is_connected_to(grounds: Grounds, port: int) -> bool:
    return any(
        each.raddr and each.raddr.port == port
        for pid in grounds.gateways.values()
        for each in psutil.Process(pid).net_connections("tcp")
    )


DESTINATIONS = (
    wait_for_the_end,
    accept,
    answer_nothing,
    answer_garbage,
    close_in_the_middle,
    accept_without_end,
)


def test_destinations_that_do_not_take_part_fail_their_sub_operations(grounds: Grounds) -> None:
    def move(behave: Behave) -> int:
        with (
            destination(grounds.system, behave) as (title, port),
            Peer(grounds.system.dicom_port) as peer,
        ):
            peer.send(move_large(title))
            answer = peer.answer()
            while answer in (PENDING_MOVE, ("data set",)):
                answer = peer.answer()
            *kind, status = answer
            assert kind == ["response", 0x8021], behave
            wait_until(lambda: not is_connected_to(grounds, port), "the destination is let go")
            return int(str(status))

    with grounds.besieged(100 * MEBIBYTE), ThreadPoolExecutor(len(DESTINATIONS)) as pool:
        statuses = [f"{status:04X}" for status in pool.map(move, DESTINATIONS)]
    # Unable to perform sub-operations (PS3.4 Table C.4-2).
    assert statuses == ["A702"] * len(DESTINATIONS)


def test_who_asked_vanishes_while_the_destination_stalls(grounds: Grounds) -> None:
    with (
        grounds.besieged(100 * MEBIBYTE),
        destination(grounds.system, accept) as (title, port),
        ExitStack() as stack,
    ):
        peers = [stack.enter_context(Peer(grounds.system.dicom_port)) for _ in range(8)]
        for peer in peers:
            peer.send(move_large(title))
        wait_until(lambda: is_connected_to(grounds, port), "it sends")
        for peer in peers:
            peer.vanish(reset=True)
        wait_until(lambda: not is_connected_to(grounds, port), "the destination is let go")
