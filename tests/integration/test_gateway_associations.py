"""Negotiation, rejection, hostile peers and the end of associations, byte by byte."""

from __future__ import annotations

import random
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, suppress

import pytest
from pynetdicom import AE, build_context, build_role

from lanthorn_dimse_gateway.contexts import STORAGE_SOP_CLASSES, TRANSFER_SYNTAXES
from tests.fixtures.gateway import (
    A_ABORT,
    A_ASSOCIATE_AC,
    A_ASSOCIATE_RJ,
    A_RELEASE_RP,
    CT_IMAGE_STORAGE,
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    RELEASE_REQUEST,
    RunningGateway,
    associate_request,
    command_pdu,
    context_results,
    data_value,
    dataset_pdu,
    element,
    implicit_dataset,
    pdu,
    read_pdu,
    read_status,
    send_store,
    store_command,
)
from tests.fixtures.pynetdicom_peer import SURPRISED_THREADS

pytestmark = SURPRISED_THREADS

RunGateway = Callable[..., AbstractContextManager[RunningGateway]]
Rejection = tuple[int, int, int]

MODALITY = {"AET": "SCU", "Host": "127.0.0.1", "Port": 104}
CLOSED = {
    f"DicomAlwaysAllow{service}": False
    for service in ("Echo", "Store", "Find", "FindWorklist", "Get", "Move")
}


def rejection_of(gateway: RunningGateway, request: bytes) -> Rejection | None:
    """Send an A-ASSOCIATE-RQ; result, source and reason of the answer, None when accepted."""
    with gateway.connected(associate=False) as connection:
        connection.sendall(request)
        kind, content = read_pdu(connection)
        if kind == A_ASSOCIATE_AC:
            connection.sendall(RELEASE_REQUEST)
            assert read_pdu(connection)[0] == A_RELEASE_RP
            return None
        assert kind == A_ASSOCIATE_RJ
        return content[1], content[2], content[3]


def serves(gateway: RunningGateway) -> bool:
    return gateway.send(implicit_dataset()) == 0


def wait_until(condition: Callable[[], bool]) -> None:
    give_up_at = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < give_up_at, "it did not happen"
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("options", "called", "rejection"),
    [
        ({}, b"ANYTHING", None),
        ({"DicomCheckCalledAet": True}, b"ANYTHING", (1, 1, 7)),
        ({"DicomCheckCalledAet": True}, b"lanthorn", None),
        ({"DicomCheckCalledAet": True, "StrictAetComparison": True}, b"lanthorn", (1, 1, 7)),
        (CLOSED, b"LANTHORN", (1, 1, 3)),
        (CLOSED | {"DicomModalities": {"a": MODALITY}}, b"LANTHORN", None),
        (
            CLOSED
            | {
                "DicomCheckModalityHost": True,
                "DicomModalities": {"a": MODALITY | {"Host": "127.0.0.2"}},
            },
            b"LANTHORN",
            (1, 1, 3),
        ),
    ],
)
def test_associations_are_admitted_by_the_rules(
    running_gateway: RunGateway,
    options: dict[str, object],
    called: bytes,
    rejection: Rejection | None,
) -> None:
    with running_gateway(**options) as gateway:
        assert rejection_of(gateway, associate_request(called=called)) == rejection


def test_a_foreign_application_context_is_rejected(running_gateway: RunGateway) -> None:
    with running_gateway() as gateway:
        request = associate_request(application_context=b"1.2.840.10008.3.1.1.2")
        assert rejection_of(gateway, request) == (1, 1, 2)


def test_a_protocol_version_of_the_future_is_rejected(running_gateway: RunGateway) -> None:
    request = bytearray(associate_request())
    request[6:8] = b"\x00\x02"
    with running_gateway() as gateway:
        assert rejection_of(gateway, bytes(request)) == (1, 2, 2)


def test_one_association_too_many_is_rejected_until_one_ends(running_gateway: RunGateway) -> None:
    with running_gateway(DicomThreadsCount=2) as gateway:
        with gateway.connected(), gateway.connected() as second:
            assert rejection_of(gateway, associate_request()) == (2, 3, 2)
            second.sendall(RELEASE_REQUEST)
            assert read_pdu(second)[0] == A_RELEASE_RP
            second.close()
            assert rejection_of(gateway, associate_request()) is None
        assert serves(gateway)


@pytest.mark.parametrize(
    ("abstract_syntax", "transfer_syntax", "result"),
    [
        (CT_IMAGE_STORAGE, EXPLICIT_VR_LITTLE_ENDIAN, 0),
        (CT_IMAGE_STORAGE, "1.2.840.10008.1.2.4.201", 0),
        (CT_IMAGE_STORAGE, "1.2.840.113619.5.2", 4),
        (CT_IMAGE_STORAGE, "1.2.3.4", 4),
        ("1.2.840.10008.5.1.4.1.2.2.1", IMPLICIT_VR_LITTLE_ENDIAN, 3),
        ("1.2.3.4", IMPLICIT_VR_LITTLE_ENDIAN, 3),
    ],
)
def test_each_context_is_answered_by_the_policy(
    running_gateway: RunGateway, abstract_syntax: str, transfer_syntax: str, result: int
) -> None:
    with running_gateway() as gateway, gateway.connected(associate=False) as connection:
        connection.sendall(
            associate_request(abstract_syntax=abstract_syntax, transfer_syntax=transfer_syntax)
        )
        kind, content = read_pdu(connection)
        assert kind == A_ASSOCIATE_AC
        assert context_results(content) == {1: result}


def test_sop_classes_are_accepted_and_rejected_by_pattern(running_gateway: RunGateway) -> None:
    options = {
        "AcceptedSopClasses": ["1.2.840.10008.5.1.4.1.1.*"],
        "RejectedSopClasses": ["1.2.840.10008.5.1.4.1.1.2*"],
    }
    with (
        running_gateway(**options) as gateway,
        gateway.associated(
            (CT_IMAGE_STORAGE, IMPLICIT_VR_LITTLE_ENDIAN),
            ("1.2.840.10008.5.1.4.1.1.4", IMPLICIT_VR_LITTLE_ENDIAN),
        ) as association,
    ):
        accepted = [context.abstract_syntax for context in association.accepted_contexts]
        assert accepted == ["1.2.840.10008.5.1.4.1.1.4"]


def test_128_contexts_and_every_transfer_syntax_are_answered(running_gateway: RunGateway) -> None:
    entity = AE("SCU")
    contexts = [build_context(uid, list(TRANSFER_SYNTAXES)) for uid in STORAGE_SOP_CLASSES[:128]]
    with running_gateway(AcceptedTransferSyntaxes=["*"]) as gateway:
        association = entity.associate("127.0.0.1", gateway.port, contexts=contexts)
        assert len(association.accepted_contexts) == 128
        association.release()


def test_role_selection_is_accepted_as_proposed(running_gateway: RunGateway) -> None:
    entity = AE("SCU")
    with running_gateway() as gateway:
        association = entity.associate(
            "127.0.0.1",
            gateway.port,
            contexts=[build_context(CT_IMAGE_STORAGE, IMPLICIT_VR_LITTLE_ENDIAN)],
            ext_neg=[build_role(CT_IMAGE_STORAGE, scu_role=True, scp_role=True)],
        )
        (context,) = association.accepted_contexts
        assert (context.as_scu, context.as_scp) == (True, True)
        association.release()


def test_what_we_are_is_in_the_acceptance(running_gateway: RunGateway) -> None:
    with (
        running_gateway(MaximumPduLength=65536) as gateway,
        gateway.associated((CT_IMAGE_STORAGE, IMPLICIT_VR_LITTLE_ENDIAN)) as association,
    ):
        assert association.acceptor.maximum_length == 65536
        assert association.acceptor.implementation_version_name == "LANTHORN"
        assert str(association.acceptor.implementation_class_uid).startswith("2.25.")


C_STORE = command_pdu(store_command("1.2.3.4"))
HOSTILE = {
    "a PDU of an unknown type": pdu(9, b"1234"),
    "a PDU of four gigabytes": struct.pack(">BBL", 4, 0, 0xFFFFFFFF),
    "a PDU of a megabyte and more": struct.pack(">BBL", 4, 0, (1 << 20) + 1),
    "a second request for an association": associate_request(),
    "a PDV longer than its PDU": pdu(4, struct.pack(">LBB", 0xFFFFFF, 1, 3)),
    "a PDV without content": pdu(4, struct.pack(">LB", 1, 1)),
    "a PDV of no length": pdu(4, struct.pack(">L", 0)),
    "data without command": dataset_pdu(b"1234"),
    "a command within a data set": C_STORE + C_STORE,
    "a context that was not accepted": pdu(4, data_value(3, b"1234", context_id=77)),
    "data in another context": C_STORE + pdu(4, data_value(2, b"1234", context_id=3)),
    "a command without end": pdu(4, data_value(1, bytes(60_000))) * 3,
    "a command of noise": command_pdu(random.Random(7).randbytes(100)),
    "an empty command": command_pdu(b""),
    "an operation that is not offered": command_pdu(
        struct.pack("<HHLH", 0, 0x100, 2, 0x0020) + struct.pack("<HHLH", 0, 0x800, 2, 0x0101)
    ),
    "a response nobody waits for": command_pdu(
        struct.pack("<HHLH", 0, 0x100, 2, 0x8001) + struct.pack("<HHLH", 0, 0x800, 2, 0x0101)
    ),
    "a release nobody asked for": pdu(6, bytes(4)),
}


@pytest.mark.parametrize("sent", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_peer_that_breaks_the_rules_is_aborted(running_gateway: RunGateway, sent: bytes) -> None:
    with running_gateway() as gateway:
        with gateway.connected() as connection:
            connection.sendall(sent)
            kind, content = read_pdu(connection)
            assert kind == A_ABORT
            assert content[2] == 2, "the service provider aborts"
        assert serves(gateway)
        assert gateway.spool_files == []


def test_an_operation_that_nobody_provides_is_answered_and_the_association_goes_on(
    running_gateway: RunGateway,
) -> None:
    find = element(0x0100, b"\x20\x00") + element(0x0110, b"\x07\x00")
    with running_gateway() as gateway, gateway.connected() as connection:
        connection.sendall(command_pdu(find + element(0x0800, b"\x01\x01")))
        assert read_status(connection) == 0x0211, "unrecognized operation (PS3.7 Annex C)"
        connection.sendall(C_STORE + dataset_pdu(implicit_dataset()))
        assert read_status(connection) == 0


def test_mutated_pdus_leave_the_service_up(running_gateway: RunGateway) -> None:
    chance = random.Random(20_261_121)
    script = [
        associate_request(),
        command_pdu(store_command("1.2.3.4")) + dataset_pdu(implicit_dataset(pixel_bytes=100)),
        RELEASE_REQUEST,
    ]
    with running_gateway(DicomScpTimeout=1) as gateway:
        for _ in range(150):
            with gateway.connected(associate=False) as connection:
                for step in script:
                    mutated = bytearray(step)
                    for _ in range(chance.choice([0, 1, 1, 3])):
                        mutated[chance.randrange(len(mutated))] = chance.randrange(256)
                    if chance.random() < 0.1:
                        del mutated[chance.randrange(len(mutated)) :]
                    with suppress(OSError):
                        connection.sendall(mutated)
        wait_until(lambda: not gateway.connections)
        assert serves(gateway)
        assert gateway.spool_files == []


def threads() -> Counter[str]:
    """Count the threads by name, without those of pools, which start them one by one."""
    pools = ("asyncio_", "objects-")
    names = (thread.name for thread in threading.enumerate())
    return Counter(name for name in names if not name.startswith(pools))


def test_associations_leave_no_thread_behind(running_gateway: RunGateway) -> None:
    with running_gateway() as gateway:
        assert serves(gateway)
        before = threads()
        for _ in range(20):
            assert serves(gateway)
            with gateway.connected():
                pass
        wait_until(lambda: not threads() - before)


def test_connections_neither_delay_nor_wait_for_acknowledgements(
    running_gateway: RunGateway,
) -> None:
    with running_gateway() as gateway, gateway.connected() as connection:
        connection.sendall(C_STORE + dataset_pdu(bytes(100), last=False))
        (association,) = gateway.server.associations
        served = association._session.layer._socket
        wait_until(lambda: association.bytes_received > len(associate_request() + C_STORE) + 100)
        assert served.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
        # It is armed right after the bytes are counted.
        wait_until(lambda: served.getsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK) == 1)


def test_idle_associations_do_not_keep_others_waiting(running_gateway: RunGateway) -> None:
    with running_gateway() as gateway, ExitStack() as stack:
        for _ in range(60):
            stack.enter_context(gateway.connected())
        assert serves(gateway)


def test_stopping_finishes_the_request_in_hand_and_aborts_the_rest(
    running_gateway: RunGateway,
) -> None:
    dataset = implicit_dataset(pixel_bytes=3 << 20)
    with running_gateway() as gateway:
        with gateway.connected() as idle, gateway.connected() as busy:
            send_store(busy, dataset[:200_000], CT_IMAGE_STORAGE, "1.2.3.5")
            assert read_status(busy) == 0xC000
            (serving,) = (
                each for each in gateway.server.associations if each.bytes_received > 100_000
            )
            before = serving.bytes_received
            busy.sendall(command_pdu(store_command("1.2.3.4")))
            busy.sendall(dataset_pdu(dataset[:100_000], last=False))
            wait_until(lambda: serving.bytes_received > before + 100_000)
            stopping = threading.Thread(target=gateway.stop)
            stopping.start()
            assert read_pdu(idle)[0] == A_ABORT
            for pos in range(100_000, len(dataset), 100_000):
                piece = dataset[pos : pos + 100_000]
                busy.sendall(dataset_pdu(piece, last=pos + 100_000 >= len(dataset)))
            assert read_status(busy) == 0
            assert read_pdu(busy)[0] == A_ABORT
            stopping.join(30)
            assert not stopping.is_alive()
        assert len(gateway.stored_files) == 1


def test_stopping_cuts_off_who_does_not_finish(running_gateway: RunGateway) -> None:
    with running_gateway(drain_s=1.0) as gateway, gateway.connected() as busy:
        busy.sendall(command_pdu(store_command("1.2.3.4")))
        for _ in range(30):
            busy.sendall(dataset_pdu(bytes(100_000), last=False))
        started = time.monotonic()
        gateway.stop()
        assert time.monotonic() - started < 9
        assert read_pdu(busy)[0] == A_ABORT
        assert gateway.spool_files == []
