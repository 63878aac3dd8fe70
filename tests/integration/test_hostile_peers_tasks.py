"""What peers that misbehave leave running in a gateway with all its services: nothing."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable

from tests.benchmarks.instances import make_instances, study_uid
from tests.fixtures import dimse_bytes as raw
from tests.fixtures.dimse_requestor import STUDY_ROOT_GET
from tests.fixtures.dimse_sender import Sender
from tests.fixtures.hostile_peers import ASSOCIATE_RQ, CT, EXPLICIT, GET, STORE, Peer
from tests.fixtures.whole_system import MakeWholeSystem

RUN = 3
GET_ALL = raw.p_data(
    raw.pdv(
        GET,
        3,
        raw.command_set(
            raw.uid(0x0002, STUDY_ROOT_GET),
            raw.short(0x0100, 0x0010),
            raw.short(0x0110, 1),
            raw.short(0x0700, 0),
            raw.short(0x0800, 1),
        ),
    )
) + raw.p_data(
    raw.pdv(
        GET,
        2,
        raw.element(0x0052, b"STUDY ", group=0x0008)
        + raw.element(0x000D, study_uid(RUN).encode() + b"\0", group=0x0020),
    )
)
HALF_A_STORE = raw.p_data(raw.pdv(STORE, 3, raw.store_command())) + raw.p_data(
    raw.pdv(STORE, 0, bytes(100_000))
)


def silent(peer: Peer) -> None:
    peer.is_cut_off()


def slow(peer: Peer) -> None:
    peer.send(ASSOCIATE_RQ[:50])
    peer.is_cut_off()


def idle(peer: Peer) -> None:
    peer.send(ASSOCIATE_RQ)
    peer.is_cut_off()


def stopping(peer: Peer) -> None:
    peer.send(ASSOCIATE_RQ, HALF_A_STORE)
    peer.is_cut_off()


def deaf(peer: Peer) -> None:
    peer.send(ASSOCIATE_RQ, GET_ALL)
    peer.is_cut_off()


def vanishing(peer: Peer) -> None:
    peer.send(ASSOCIATE_RQ, HALF_A_STORE)
    peer.answer()
    peer.vanish(reset=True)


def vanishing_at_retrieval(peer: Peer) -> None:
    peer.send(ASSOCIATE_RQ, GET_ALL)
    peer.socket.recv(10_000)
    peer.vanish(reset=False)


def nonsense(peer: Peer) -> None:
    peer.send(ASSOCIATE_RQ, raw.p_data(raw.pdv(99, 3, raw.echo_command())))
    peer.is_cut_off()


ATTACKS: tuple[Callable[[Peer], None], ...] = (
    silent,
    slow,
    idle,
    stopping,
    deaf,
    vanishing,
    vanishing_at_retrieval,
    nonsense,
)


def tasks() -> Counter[str]:
    """Count the event loop's tasks by what they run; the test's own is among them."""
    return Counter(task.get_coro().__qualname__ for task in asyncio.all_tasks())


async def test_no_task_is_left(make_whole_system: MakeWholeSystem) -> None:
    system = await make_whole_system(
        DICOM_ALWAYS_ALLOW_GET="true",
        DICOM_SCP_TIMEOUT="3",
        LANTHORN__DICOM_ARTIM_TIMEOUT="3",
    )
    port = system.dicom_port

    def store() -> None:
        with Sender("127.0.0.1", port, [(CT, EXPLICIT)]) as sender:
            for instance in make_instances("ct", 10, run=RUN):
                assert sender.store(instance) == 0

    def attack(run: Callable[[Peer], None]) -> None:
        with Peer(port, associate=False) as peer:
            run(peer)

    await asyncio.to_thread(store)
    before = tasks()
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        for each in ATTACKS * 3:
            group.create_task(asyncio.to_thread(attack, each))
    async with asyncio.timeout(60):
        while left := tasks() - before:  # noqa: ASYNC110 - what ends sets no event
            await asyncio.sleep(0.05)
    assert not left
