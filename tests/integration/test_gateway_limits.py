"""Memory, associations and patience have limits; who has to wait for them loses nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager

import pytest

from lanthorn_dimse import Association
from tests.fixtures.gateway import (
    A_ABORT,
    A_ASSOCIATE_AC,
    A_ASSOCIATE_RJ,
    RELEASE_REQUEST,
    RunningGateway,
    associate_request,
    command_pdu,
    dataset_pdu,
    implicit_dataset,
    read_pdu,
    read_status,
    store_command,
)

RunGateway = Callable[..., AbstractContextManager[RunningGateway]]

ONE_BUFFER = {"MaximumInFlightBytes": 1 << 20}
"""Memory for one object at a time."""


def send_slowly(gateway: RunningGateway, uid: str, fragments: int, pause_s: float) -> int:
    dataset = implicit_dataset(uid, pixel_bytes=fragments * 2)
    step = -(-len(dataset) // fragments)
    with gateway.connected() as connection:
        connection.sendall(command_pdu(store_command(uid)))
        for pos in range(0, len(dataset), step):
            time.sleep(pause_s)
            last = pos + step >= len(dataset)
            connection.sendall(dataset_pdu(dataset[pos : pos + step], last=last))
        return read_status(connection)


def has_the_buffer(association: Association) -> bool:
    """Whether a data set is on its way, so that the next one waits for memory."""
    return association.bytes_received > len(associate_request() + command_pdu(store_command("1.2")))


def wait_until(condition: Callable[[], bool]) -> None:
    give_up_at = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < give_up_at, "it did not happen"
        time.sleep(0.01)


def test_who_waits_for_memory_is_not_given_up(running_gateway: RunGateway) -> None:
    with (
        running_gateway(DicomScpTimeout=4, Lanthorn=ONE_BUFFER) as gateway,
        ThreadPoolExecutor(4) as senders,
    ):
        slow = senders.submit(send_slowly, gateway, "1.2.1", 30, 0.2)
        wait_until(lambda: any(map(has_the_buffer, gateway.server.associations)))
        others = [
            senders.submit(
                gateway.send,
                implicit_dataset(f"1.2.{number}", pixel_bytes=300_000 * number),
                sop_instance_uid=f"1.2.{number}",
            )
            for number in (2, 3, 4)
        ]
        assert [slow.result(30), *(other.result(30) for other in others)] == [0, 0, 0, 0]
        assert len(gateway.stored_files) == 4


def test_objects_larger_than_all_memory_arrive_side_by_side(running_gateway: RunGateway) -> None:
    dataset = implicit_dataset(pixel_bytes=5 << 20)
    with (
        running_gateway(Lanthorn=ONE_BUFFER) as gateway,
        ThreadPoolExecutor(5) as senders,
    ):
        statuses = list(senders.map(lambda _: gateway.send(dataset), range(5)))
        assert statuses == [0] * 5
        assert [data for _, data in gateway.stored_datasets()] == [dataset] * 5
        assert gateway.spool_files == []


def test_a_sender_that_vanishes_while_it_waits_leaves_the_memory_to_others(
    running_gateway: RunGateway,
) -> None:
    with running_gateway(Lanthorn=ONE_BUFFER) as gateway:
        with gateway.connected() as first:
            first.sendall(command_pdu(store_command("1.2.3")))
            first.sendall(dataset_pdu(bytes(1000), last=False))
            for _ in range(3):
                with gateway.connected() as second:
                    second.sendall(command_pdu(store_command("1.2.4")) + dataset_pdu(b"12"))
        assert gateway.send(implicit_dataset()) == 0


def test_requests_of_one_association_do_not_wait_for_each_others_memory(
    running_gateway: RunGateway,
) -> None:
    with running_gateway(Lanthorn=ONE_BUFFER) as gateway, gateway.connected() as connection:
        for number in range(1, 11):
            uid = f"1.2.3.{number}"
            connection.sendall(
                command_pdu(store_command(uid, message_id=number))
                + dataset_pdu(implicit_dataset(uid, pixel_bytes=100_000))
            )
        assert [read_status(connection) for _ in range(10)] == [0] * 10


def test_one_host_gets_so_many_associations_and_no_more(running_gateway: RunGateway) -> None:
    with (
        running_gateway(Lanthorn={"DicomAssociationsPerHost": 2}) as gateway,
        gateway.connected(),
        gateway.connected() as second,
    ):
        with gateway.connected(associate=False) as third:
            third.sendall(associate_request())
            kind, content = read_pdu(third)
            assert kind == A_ASSOCIATE_RJ
            assert tuple(content[1:4]) == (2, 3, 2), "rejected for the moment, by a local limit"
        second.sendall(RELEASE_REQUEST)
        read_pdu(second)
        second.close()
        with gateway.connected(associate=False) as third:
            third.sendall(associate_request())
            assert read_pdu(third)[0] == A_ASSOCIATE_AC


def test_the_artim_timer_ends_connections_that_ask_for_nothing(
    running_gateway: RunGateway,
) -> None:
    options = {"DicomScpTimeout": 0, "Lanthorn": {"DicomArtimTimeout": 3}}
    with running_gateway(**options) as gateway, gateway.connected() as associated:
        with gateway.connected(associate=False) as silent:
            assert silent.recv(1) == b"", "closed without a word"
        associated.sendall(command_pdu(store_command("1.2.3.4")) + dataset_pdu(implicit_dataset()))
        assert read_status(associated) == 0, "associations are not meant"


def test_an_idle_association_is_ended_after_the_time_of_the_option(
    running_gateway: RunGateway,
) -> None:
    with running_gateway(DicomScpTimeout=1) as gateway, gateway.connected() as idle:
        kind, content = read_pdu(idle)
        assert kind == A_ABORT
        assert content[2] in {0, 2}


@pytest.mark.timeout(120)
def test_hundreds_of_half_open_connections_do_not_keep_others_out(
    running_gateway: RunGateway,
) -> None:
    with running_gateway() as gateway:
        before = threading.active_count()
        held = [gateway.connected(associate=False) for _ in range(400)]
        try:
            for connection in held:
                connection.__enter__().sendall(associate_request()[:40])
            assert gateway.send(implicit_dataset()) == 0
            assert threading.active_count() <= before + 20
        finally:
            for connection in held:
                connection.__exit__(None, None, None)
