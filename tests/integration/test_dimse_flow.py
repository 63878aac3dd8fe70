"""Flow control, timers, limits and ends of associations, under asyncio's own loop and uvloop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator
from typing import Any

import pytest

import lanthorn_dimse as dimse
from tests.fixtures import dimse_bytes as raw
from tests.fixtures.dimse_library import (
    CT_IMAGE_STORAGE,
    PENDING,
    STUDY_ROOT_FIND,
    SUCCESS,
    VERIFICATION,
    Collecting,
    Recorder,
    accept_all,
    acceptor,
    echo,
    proposal,
    store,
    store_command,
)
from tests.fixtures.event_loops import on_both_loops

ABORTED_BY_USER = ("aborted", 0, 0)
A_MEGABYTE = 1 << 20


class RawPeer:
    """A requestor made of bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, port: int) -> AsyncIterator[RawPeer]:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            yield cls(reader, writer)
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    @classmethod
    @contextlib.asynccontextmanager
    async def associated(cls, port: int) -> AsyncIterator[RawPeer]:
        async with cls.open(port) as peer:
            peer.writer.write(raw.associate_rq())
            assert (await peer.read())[0] == "accepted"
            yield peer

    async def read(self) -> tuple[object, ...]:
        """Return the next PDU; empty at the end of the connection."""
        try:
            kind, length = struct.unpack(">BxL", await self._reader.readexactly(6))
            return raw.describe(kind, await self._reader.readexactly(length))
        except (asyncio.IncompleteReadError, ConnectionError):
            return ()


def with_timers(**timers: Any) -> dimse.ServerOptions:
    return dimse.ServerOptions(timers=dimse.Timers(**timers))


async def until(reached: Any) -> None:
    while not reached():  # noqa: ASYNC110  # what is waited for knows nothing of us
        await asyncio.sleep(0.005)


async def never(assoc: dimse.Association, request: dimse.Request) -> None:
    await request.cancelled.wait()


# Flow


@on_both_loops
async def test_at_most_two_requests_are_read_ahead() -> None:
    may_go_on = asyncio.Event()

    async def answer(assoc: dimse.Association, request: dimse.Request) -> None:
        await may_go_on.wait()
        await assoc.send(request.context.context_id, request.command.response(SUCCESS))

    async with acceptor(Recorder(answer)) as running, RawPeer.associated(running.port) as peer:
        for number in range(1, 9):
            peer.writer.write(raw.store(number, bytes(9_000)))
        sinks = running.recorder.sinks
        await until(lambda: len(sinks) == 2 and len(sinks[1].data) == 9_000)
        await asyncio.sleep(0.05)
        assert len(sinks) == 2
        may_go_on.set()
        assert [await peer.read() for _ in range(8)] == [("response", 0x8001, SUCCESS)] * 8
        assert [request.command.message_id for request in running.recorder.requests] == [
            *range(1, 9)
        ]


@on_both_loops
async def test_a_sink_holds_the_peer_back() -> None:
    class Reluctant(Collecting):
        def __init__(self, assoc: dimse.Association) -> None:
            super().__init__()
            self._assoc = assoc
            self.paused = False
            self.writes = 0

        def write(self, fragment: memoryview) -> None:
            assert not self.paused
            super().write(fragment)
            self.writes += 1
            self.paused = True
            self._assoc.pause_reading()

        def go_on(self) -> None:
            self.paused = False
            self._assoc.resume_reading()

    sinks: list[Reluctant] = []

    def make_sink(assoc: dimse.Association) -> Reluctant:
        sinks.append(Reluctant(assoc))
        return sinks[-1]

    content = bytes(range(256)) * 4096
    async with (
        acceptor(Recorder(make_sink=make_sink)) as running,
        dimse.connect("127.0.0.1", running.port, proposal(CT_IMAGE_STORAGE)) as assoc,
    ):
        storing = asyncio.ensure_future(store(assoc, content))
        await until(lambda: sinks and sinks[0].paused)
        while not storing.done():
            if sinks[0].paused:
                sinks[0].go_on()
            await asyncio.sleep(0)
        assert await storing == SUCCESS
    assert sinks[0].data == content
    assert sinks[0].writes > 4


@on_both_loops
async def test_who_sends_waits_for_a_peer_that_does_not_read() -> None:
    sent: list[int] = []

    async def answer(assoc: dimse.Association, request: dimse.Request) -> None:
        pending = request.command.response(PENDING, has_data_set=True)
        for number in range(64):
            await assoc.send(request.context.context_id, pending, bytes(A_MEGABYTE))
            sent.append(number)
        await assoc.send(request.context.context_id, request.command.response(SUCCESS))

    async with acceptor(Recorder(answer)) as running, RawPeer.associated(running.port) as peer:
        peer.writer.write(raw.echo())
        await until(lambda: sent)
        await asyncio.sleep(0.1)
        assert len(sent) < 32
        while (answer_ := await peer.read()) != ("response", 0x8030, SUCCESS):
            assert answer_
        assert len(sent) == 64


@on_both_loops
async def test_responses_that_nobody_takes_hold_the_peer_back() -> None:
    async def answer(assoc: dimse.Association, request: dimse.Request) -> None:
        pending = request.command.response(PENDING, has_data_set=True)
        await assoc.send_all(
            request.context.context_id,
            [(pending, number.to_bytes(4, "big")) for number in range(500)],
        )
        await assoc.send(request.context.context_id, request.command.response(SUCCESS))

    async with (
        acceptor(Recorder(answer)) as running,
        dimse.connect("127.0.0.1", running.port, proposal(STUDY_ROOT_FIND)) as assoc,
    ):
        command = dimse.Command(
            dimse.CommandField.C_FIND_RQ, 1, True, sop_class_uid=STUDY_ROOT_FIND
        )
        numbers = []
        async for response in assoc.requests(1, command, bytes(8)):
            if not numbers:
                await asyncio.sleep(0.02)
            numbers.append(response.data_set)
    assert numbers == [*(number.to_bytes(4, "big") for number in range(500)), None]


@on_both_loops
async def test_requests_take_turns() -> None:
    at_once, most = 0, 0

    async def answer(assoc: dimse.Association, request: dimse.Request) -> None:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await asyncio.sleep(0.001)
        at_once -= 1
        await assoc.send(request.context.context_id, request.command.response(SUCCESS))

    async with (
        acceptor(Recorder(answer)) as running,
        dimse.connect("127.0.0.1", running.port, proposal(VERIFICATION)) as assoc,
    ):
        assert await asyncio.gather(*(echo(assoc) for _ in range(10))) == [SUCCESS] * 10
    assert most == 1


@on_both_loops
async def test_who_stops_waiting_leaves_the_association_usable() -> None:
    may_go_on = asyncio.Event()

    async def answer(assoc: dimse.Association, request: dimse.Request) -> None:
        await may_go_on.wait()
        await assoc.send(request.context.context_id, request.command.response(SUCCESS))

    async with (
        acceptor(Recorder(answer)) as running,
        dimse.connect("127.0.0.1", running.port, proposal(VERIFICATION)) as assoc,
    ):
        waiting = asyncio.ensure_future(echo(assoc))
        await running.recorder.received.wait()
        waiting.cancel()
        next_one = asyncio.ensure_future(echo(assoc))
        await asyncio.sleep(0.01)
        assert not next_one.done()
        may_go_on.set()
        assert await next_one == SUCCESS
        assert waiting.cancelled()


@on_both_loops
async def test_who_leaves_a_find_early_may_ask_again() -> None:
    async def answer(assoc: dimse.Association, request: dimse.Request) -> None:
        pending = request.command.response(PENDING, has_data_set=True)
        for _ in range(200):
            await assoc.send(request.context.context_id, pending, bytes(8))
        await assoc.send(request.context.context_id, request.command.response(SUCCESS))

    async with (
        acceptor(Recorder(answer)) as running,
        dimse.connect("127.0.0.1", running.port, proposal(STUDY_ROOT_FIND)) as assoc,
    ):
        for number in (1, 2):
            command = dimse.Command(
                dimse.CommandField.C_FIND_RQ, number, True, sop_class_uid=STUDY_ROOT_FIND
            )
            async with contextlib.aclosing(assoc.requests(1, command, bytes(8))) as responses:
                async for response in responses:
                    assert response.command.message_id == number
                    break


@on_both_loops
async def test_a_data_set_that_fails_on_its_way_ends_the_association() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield bytes(A_MEGABYTE)
        raise LookupError("the file is gone")

    async with acceptor() as running:
        assoc = await dimse.associate("127.0.0.1", running.port, proposal(CT_IMAGE_STORAGE))
        with pytest.raises(LookupError):
            await store(assoc, pieces())
        assert not assoc.is_established
        await running.recorder.ended.wait()
        assert running.recorder.sinks[0].discarded
        await assoc.wait_closed()


@on_both_loops
async def test_a_message_that_contradicts_itself_is_not_sent() -> None:
    async with acceptor() as running:
        request = proposal(VERIFICATION, CT_IMAGE_STORAGE)
        async with dimse.connect("127.0.0.1", running.port, request) as assoc:
            with pytest.raises(ValueError, match="whether a data set follows"):
                await assoc.request(3, store_command(assoc))
            with pytest.raises(ValueError, match="context 9 was not accepted"):
                await assoc.request(9, store_command(assoc), b"")
            with pytest.raises(dimse.NoAcceptedContext, match=STUDY_ROOT_FIND):
                assoc.context_for(STUDY_ROOT_FIND)
            assert await echo(assoc) == SUCCESS


@on_both_loops
async def test_the_acceptor_asks_on_the_same_association() -> None:
    reported: list[dimse.Request] = []

    async def report(assoc: dimse.Association, request: dimse.Request) -> None:
        await assoc.send(request.context.context_id, request.command.response(SUCCESS))
        if reported:
            return
        event = dimse.Command(
            dimse.CommandField.N_EVENT_REPORT_RQ,
            assoc.next_message_id(),
            has_data_set=True,
            sop_class_uid=VERIFICATION,
            sop_instance_uid="1.2.3",
            event_type_id=1,
        )
        response = await assoc.request(request.context.context_id, event, b"what happened")
        assert response.command.event_type_id == 1

    async def take(assoc: dimse.Association, request: dimse.Request) -> None:
        reported.append(request)
        await assoc.send(request.context.context_id, request.command.response(SUCCESS))

    taker = Recorder(take)
    async with acceptor(Recorder(report)) as running:
        listening = taker.handler(None)  # type: ignore[arg-type]
        async with dimse.connect(
            "127.0.0.1", running.port, proposal(VERIFICATION), handler=listening
        ) as assoc:
            assert await echo(assoc) == SUCCESS
            await taker.received.wait()
            assert await echo(assoc) == SUCCESS
    assert reported[0].data_set == b"what happened"
    assert taker.ends == [dimse.Ended.RELEASED]


@on_both_loops
async def test_a_request_that_nobody_serves_ends_the_association() -> None:
    async def ask_back(assoc: dimse.Association, request: dimse.Request) -> None:
        with pytest.raises(dimse.AssociationAborted):
            await echo(assoc)

    async with acceptor(Recorder(ask_back)) as running:
        both = proposal(VERIFICATION, roles={VERIFICATION: dimse.Roles(scu=True, scp=True)})
        assoc = await dimse.associate("127.0.0.1", running.port, both)
        with pytest.raises(dimse.ProtocolError, match="nobody here serves"):
            await echo(assoc)
        await assoc.wait_closed()


# Timers


@on_both_loops
async def test_a_silent_connection_is_closed_by_artim() -> None:
    async with (
        acceptor(options=with_timers(artim_s=0.1)) as running,
        RawPeer.open(running.port) as peer,
    ):
        assert await peer.read() == ()


@on_both_loops
async def test_a_peer_that_stays_after_its_rejection_is_cut_off() -> None:
    async with (
        acceptor(options=with_timers(artim_s=0.5)) as running,
        RawPeer.open(running.port) as peer,
    ):
        peer.writer.write(raw.associate_rq(application_context="1.2.3"))
        assert await peer.read() == ("rejected", 1, 1, 2)
        assert await peer.read() == ()


@on_both_loops
async def test_an_idle_association_is_aborted() -> None:
    async with acceptor(options=with_timers(idle_s=0.2)) as running:
        async with RawPeer.associated(running.port) as peer:
            assert await peer.read() == ABORTED_BY_USER
        assert running.recorder.ends == [dimse.Ended.TIMED_OUT]


@on_both_loops
async def test_an_association_is_not_idle_while_we_work_for_it() -> None:
    async def answer(assoc: dimse.Association, request: dimse.Request) -> None:
        await asyncio.sleep(1.5)
        await assoc.send(request.context.context_id, request.command.response(SUCCESS))

    async with (
        acceptor(Recorder(answer), options=with_timers(idle_s=0.5)) as running,
        RawPeer.associated(running.port) as peer,
    ):
        peer.writer.write(raw.echo())
        assert await peer.read() == ("response", 0x8030, SUCCESS)


@on_both_loops
async def test_a_peer_that_stops_within_a_message_is_aborted() -> None:
    options = with_timers(network_s=0.2, idle_s=None)
    async with acceptor(options=options) as running:
        async with RawPeer.associated(running.port) as peer:
            peer.writer.write(raw.store(data_set=bytes(1000))[:-1])
            assert await peer.read() == ABORTED_BY_USER
        assert running.recorder.sinks[0].discarded
        assert running.recorder.ends == [dimse.Ended.TIMED_OUT]


@on_both_loops
async def test_a_peer_that_does_not_read_is_cut_off() -> None:
    async def answer(assoc: dimse.Association, request: dimse.Request) -> None:
        pending = request.command.response(PENDING, has_data_set=True)

        async def send_for_ever() -> None:
            while True:
                await assoc.send(request.context.context_id, pending, bytes(A_MEGABYTE))

        with pytest.raises(dimse.TimedOut, match="does not read"):
            await send_for_ever()

    options = with_timers(network_s=0.2)
    async with (
        acceptor(Recorder(answer), options=options) as running,
        RawPeer.associated(running.port) as peer,
    ):
        peer.writer.write(raw.echo())
        await running.recorder.ended.wait()
        assert running.recorder.ends == [dimse.Ended.TIMED_OUT]


@pytest.mark.parametrize("timeout_s", [None, 0.1])
@on_both_loops
async def test_a_response_that_does_not_come_ends_the_association(timeout_s: float | None) -> None:
    timers = dimse.Timers(dimse_s=0.1 if timeout_s is None else 60)
    async with acceptor(Recorder(never)) as running:
        request = proposal(VERIFICATION)
        assoc = await dimse.associate("127.0.0.1", running.port, request, timers=timers)
        command = dimse.Command(dimse.CommandField.C_ECHO_RQ, 1, sop_class_uid=VERIFICATION)
        with pytest.raises(dimse.TimedOut, match="no response"):
            await assoc.request(1, command, timeout_s=timeout_s)
        assert not assoc.is_established
        await assoc.wait_closed()
        await running.recorder.ended.wait()


@on_both_loops
async def test_a_listener_that_says_nothing_is_no_dicom() -> None:
    async with silent_listener() as port:
        timers = dimse.Timers(associate_s=0.1)
        with pytest.raises(dimse.TimedOut, match="request for an association"):
            await dimse.associate("127.0.0.1", port, proposal(VERIFICATION), timers=timers)


@contextlib.asynccontextmanager
async def silent_listener() -> AsyncIterator[int]:
    async def ignore(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(ignore, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


# Limits


@pytest.mark.parametrize("limit", ["associations", "associations_per_host"])
@on_both_loops
async def test_too_many_associations_are_rejected_for_the_moment(limit: str) -> None:
    options = dimse.ServerOptions(**{limit: 2})
    async with acceptor(options=options) as running:

        async def try_one() -> int | None:
            async with dimse.connect("127.0.0.1", running.port, proposal(VERIFICATION)) as assoc:
                return await echo(assoc)

        async with RawPeer.associated(running.port), RawPeer.associated(running.port):
            assert running.server.established == 2
            with pytest.raises(dimse.AssociationRejected, match="local limit exceeded") as caught:
                await try_one()
            assert (caught.value.result, caught.value.source, caught.value.reason) == (2, 3, 2)
        await until(lambda: running.server.established == 0)
        assert await try_one() == SUCCESS


@on_both_loops
async def test_half_open_connections_do_not_keep_real_peers_out() -> None:
    options = dimse.ServerOptions(unassociated=20, timers=dimse.Timers(artim_s=30))
    async with acceptor(options=options) as running, contextlib.AsyncExitStack() as stack:
        silent = [await stack.enter_async_context(RawPeer.open(running.port)) for _ in range(100)]
        assert await silent[0].read() == ()
        async with dimse.connect("127.0.0.1", running.port, proposal(VERIFICATION)) as assoc:
            assert await echo(assoc) == SUCCESS


@on_both_loops
async def test_an_identifier_without_end_is_not_collected() -> None:
    async with acceptor() as running:
        assoc = await dimse.associate("127.0.0.1", running.port, proposal(STUDY_ROOT_FIND))
        command = dimse.Command(
            dimse.CommandField.C_FIND_RQ, 1, True, sop_class_uid=STUDY_ROOT_FIND
        )
        with pytest.raises(dimse.AssociationAborted) as caught:
            await assoc.request(1, command, bytes(2 * A_MEGABYTE))
        assert caught.value.source == 2
        await assoc.wait_closed()


# Ends


@on_both_loops
async def test_an_exception_of_the_handler_aborts_its_association_only() -> None:
    async def fail(assoc: dimse.Association, request: dimse.Request) -> None:
        if request.command.message_id == 666:
            raise LookupError
        await assoc.send(request.context.context_id, request.command.response(SUCCESS))

    async with acceptor(Recorder(fail)) as running, RawPeer.associated(running.port) as other:
        async with RawPeer.associated(running.port) as peer:
            peer.writer.write(raw.echo(666))
            assert await peer.read() == ABORTED_BY_USER
        other.writer.write(raw.echo())
        assert await other.read() == ("response", 0x8030, SUCCESS)


@on_both_loops
async def test_an_exception_of_a_sink_aborts_its_association_only() -> None:
    class Broken(Collecting):
        def write(self, fragment: memoryview) -> None:
            raise OSError("no space left")

    recorder = Recorder(make_sink=lambda _: Broken())
    async with acceptor(recorder) as running, RawPeer.associated(running.port) as other:
        async with RawPeer.associated(running.port) as peer:
            peer.writer.write(raw.store(data_set=bytes(10_000)))
            assert await peer.read() == ABORTED_BY_USER
        other.writer.write(raw.echo())
        assert await other.read() == ("response", 0x8030, SUCCESS)


@on_both_loops
async def test_an_exception_of_who_decides_rejects() -> None:
    def fail(*_: object) -> dimse.Decision:
        raise LookupError

    async with acceptor(negotiate=fail) as running, RawPeer.open(running.port) as peer:
        peer.writer.write(raw.associate_rq())
        assert await peer.read() == ("rejected", 2, 1, 1)


@on_both_loops
async def test_an_exception_of_who_makes_handlers_rejects() -> None:
    def fail(assoc: dimse.Association) -> dimse.RequestHandler:
        raise LookupError

    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    async with dimse.serve(listening, accept_all, fail) as server, RawPeer.open(port) as peer:
        peer.writer.write(raw.associate_rq())
        assert await peer.read() == ("rejected", 2, 1, 1)
        assert server.established == 0


@on_both_loops
async def test_closing_ends_an_association_whose_peer_does_not_care() -> None:
    async with silent_after_acceptance() as port:
        request = proposal(VERIFICATION, transfer_syntax=raw.IMPLICIT)
        assoc = await dimse.associate("127.0.0.1", port, request)
        asking = asyncio.ensure_future(echo(assoc))
        await asyncio.sleep(0)
        await assoc.close()
        with pytest.raises(dimse.AssociationClosed, match="aborted by this side"):
            await asking


@contextlib.asynccontextmanager
async def silent_after_acceptance() -> AsyncIterator[int]:
    over = asyncio.Event()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(raw.associate_ac())
        await over.wait()
        writer.close()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]
        over.set()


@on_both_loops
async def test_a_peer_that_does_not_wait_for_the_decision_is_forgotten() -> None:
    may_go_on = asyncio.Event()

    async def decide(request: dimse.AssociateRequest, *_: object) -> dimse.Decision:
        await may_go_on.wait()
        return dimse.AssociateAcceptance(())

    async with acceptor(negotiate=decide) as running:
        async with RawPeer.open(running.port) as peer:
            peer.writer.write(raw.associate_rq() + raw.echo())
            assert await peer.read() == ("aborted", 2, 2)
        may_go_on.set()
        await asyncio.sleep(0.01)
        assert running.server.established == 0
        assert running.recorder.associations == []


@on_both_loops
async def test_a_broken_connection_discards_what_came_in_half() -> None:
    async with acceptor() as running:
        async with RawPeer.associated(running.port) as peer:
            peer.writer.write(raw.store(data_set=bytes(10_000))[:-1])
            await until(lambda: running.recorder.sinks)
        await running.recorder.ended.wait()
        assert running.recorder.sinks[0].discarded
        assert running.recorder.requests == []
        assert running.recorder.ends == [dimse.Ended.CLOSED]


@on_both_loops
async def test_a_release_waits_for_the_request_in_hand() -> None:
    may_go_on = asyncio.Event()

    async def answer(assoc: dimse.Association, request: dimse.Request) -> None:
        await may_go_on.wait()
        await assoc.send(request.context.context_id, request.command.response(SUCCESS))

    async with acceptor(Recorder(answer)) as running, RawPeer.associated(running.port) as peer:
        peer.writer.write(raw.echo() + raw.RELEASE_RQ)
        await running.recorder.received.wait()
        may_go_on.set()
        assert await peer.read() == ("response", 0x8030, SUCCESS)
        assert await peer.read() == ("released",)
        assert running.recorder.ends == [dimse.Ended.RELEASED]


@on_both_loops
async def test_a_release_collision_ends_in_a_release_for_the_acceptor() -> None:
    async def release(assoc: dimse.Association, request: dimse.Request) -> None:
        await assoc.send(request.context.context_id, request.command.response(SUCCESS))
        await assoc.release()

    async with acceptor(Recorder(release)) as running, RawPeer.associated(running.port) as peer:
        peer.writer.write(raw.echo())
        assert await peer.read() == ("response", 0x8030, SUCCESS)
        assert await peer.read() == ("pdu", 5)
        # PS3.8 Section 9.2: the requestor answers first
        peer.writer.write(raw.RELEASE_RQ)
        peer.writer.write(raw.RELEASE_RP)
        assert await peer.read() == ("released",)
        peer.writer.close()
        await running.recorder.ended.wait()
        assert running.recorder.ends == [dimse.Ended.RELEASED]


@on_both_loops
async def test_a_release_collision_ends_in_a_release_for_the_requestor() -> None:
    seen: list[int] = []

    async def collide(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async def read() -> int:
            kind, length = struct.unpack(">BxL", await reader.readexactly(6))
            await reader.readexactly(length)
            return int(kind)

        seen.append(await read())
        writer.write(raw.associate_ac())
        seen.append(await read())
        writer.write(raw.RELEASE_RQ)
        seen.append(await read())
        writer.write(raw.RELEASE_RP)
        await reader.read()
        writer.close()

    server = await asyncio.start_server(collide, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        assoc = await dimse.associate(
            "127.0.0.1", port, proposal(VERIFICATION, transfer_syntax=raw.IMPLICIT)
        )
        await assoc.release()
    assert seen == [1, 5, 6]


@on_both_loops
async def test_a_release_that_is_not_answered_is_an_abort() -> None:
    async def ignore(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(raw.associate_ac())
        await reader.read()
        writer.close()

    server = await asyncio.start_server(ignore, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        assoc = await dimse.associate(
            "127.0.0.1", port, proposal(VERIFICATION, transfer_syntax=raw.IMPLICIT)
        )
        with pytest.raises(dimse.TimedOut, match="request for release"):
            await assoc.release(timeout_s=0.1)
        await assoc.wait_closed()


@on_both_loops
async def test_draining_finishes_what_is_in_hand_and_aborts_the_rest() -> None:
    may_go_on = asyncio.Event()

    async def answer(assoc: dimse.Association, request: dimse.Request) -> None:
        await may_go_on.wait()
        await assoc.send(request.context.context_id, request.command.response(SUCCESS))

    async with (
        acceptor(Recorder(answer)) as running,
        RawPeer.associated(running.port) as busy,
        RawPeer.associated(running.port) as idle,
        RawPeer.open(running.port) as silent,
    ):
        busy.writer.write(raw.echo())
        await running.recorder.received.wait()
        draining = asyncio.ensure_future(running.server.drain(30))
        assert await idle.read() == ABORTED_BY_USER
        with pytest.raises(dimse.ConnectionFailed):
            await dimse.associate("127.0.0.1", running.port, proposal(VERIFICATION))
        assert not draining.done()
        may_go_on.set()
        assert await busy.read() == ("response", 0x8030, SUCCESS)
        assert await busy.read() == ABORTED_BY_USER
        for peer in (busy, idle):
            peer.writer.close()
        await draining
        assert await silent.read() == ()
        assert running.server.established == 0


@on_both_loops
async def test_draining_patiently_lets_who_is_at_work_go_on() -> None:
    async def answer(assoc: dimse.Association, request: dimse.Request) -> None:
        await assoc.send(request.context.context_id, request.command.response(SUCCESS))

    async with (
        acceptor(Recorder(answer)) as running,
        RawPeer.associated(running.port) as busy,
        RawPeer.associated(running.port) as idle,
    ):
        draining = asyncio.ensure_future(running.server.drain(30, patience_s=30, idle_s=0.5))
        idle_end = asyncio.ensure_future(idle.read())
        while not idle_end.done():
            busy.writer.write(raw.echo())
            assert await busy.read() == ("response", 0x8030, SUCCESS)
        assert idle_end.result() == ABORTED_BY_USER
        assert not draining.done()
        assert await busy.read() == ABORTED_BY_USER  # it is idle now
        for peer in (busy, idle):
            peer.writer.close()
        await draining


@on_both_loops
async def test_draining_cuts_off_what_takes_too_long() -> None:
    cancelled = asyncio.Event()

    async def hang(assoc: dimse.Association, request: dimse.Request) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    async with acceptor(Recorder(hang)) as running, RawPeer.associated(running.port) as peer:
        peer.writer.write(raw.echo())
        await running.recorder.received.wait()
        draining = asyncio.ensure_future(running.server.drain(0.05))
        assert await peer.read() == ABORTED_BY_USER
        await draining
        assert cancelled.is_set()


@on_both_loops
async def test_leaving_the_server_ends_everything() -> None:
    async with contextlib.AsyncExitStack() as stack:
        async with acceptor(Recorder(never)) as running:
            peer = await stack.enter_async_context(RawPeer.associated(running.port))
            peer.writer.write(raw.echo())
            await running.recorder.received.wait()
        assert await peer.read() == ABORTED_BY_USER


@on_both_loops
async def test_an_error_beside_the_server_comes_out_as_it_is() -> None:
    with pytest.raises(LookupError):
        async with acceptor():
            raise LookupError


@on_both_loops
async def test_servers_share_a_listening_socket() -> None:
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    twin = listening.dup()
    one, other = Recorder(), Recorder()
    async with dimse.serve(twin, accept_all, other.handler) as second:
        async with dimse.serve(listening, accept_all, one.handler) as first:
            async with contextlib.AsyncExitStack() as stack:
                for _ in range(20):
                    await stack.enter_async_context(RawPeer.associated(port))
                assert first.established + second.established == 20
            await first.drain(1)
        async with dimse.connect("127.0.0.1", port, proposal(VERIFICATION)) as assoc:
            assert await echo(assoc) == SUCCESS
    assert len(one.associations) + len(other.associations) == 21
