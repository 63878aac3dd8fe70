"""Associations over TLS, on both sides, under asyncio's own loop and uvloop."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from pathlib import Path

import pytest
from pynetdicom import AE, evt

import lanthorn_dimse as dimse
from tests.fixtures.certificates import Authority
from tests.fixtures.dimse_library import (
    CT_IMAGE_STORAGE,
    EXPLICIT,
    SUCCESS,
    VERIFICATION,
    Recorder,
    acceptor,
    echo,
    proposal,
    store,
)
from tests.fixtures.event_loops import on_both_loops
from tests.fixtures.pynetdicom_peer import SURPRISED_THREADS

pytestmark = SURPRISED_THREADS


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def acceptor_tls(authority: Authority) -> ssl.SSLContext:
    issued = authority.issue("acceptor")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(issued.certificate, issued.key)
    context.load_verify_locations(authority.certificate)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


@pytest.fixture(scope="module")
def requestor_tls(authority: Authority) -> ssl.SSLContext:
    issued = authority.issue("requestor")
    context = ssl.create_default_context(cafile=str(authority.certificate))
    context.load_cert_chain(issued.certificate, issued.key)
    return context


def encrypted(tls: ssl.SSLContext) -> dimse.ServerOptions:
    return dimse.ServerOptions(tls=tls)


@on_both_loops
async def test_messages_of_any_size_pass(
    acceptor_tls: ssl.SSLContext, requestor_tls: ssl.SSLContext
) -> None:
    content = bytes(range(256)) * 40_000
    request = proposal(VERIFICATION, CT_IMAGE_STORAGE)
    async with (
        acceptor(options=encrypted(acceptor_tls)) as running,
        dimse.connect("127.0.0.1", running.port, request, tls=requestor_tls) as assoc,
    ):
        assert await echo(assoc) == SUCCESS
        assert await store(assoc, content) == SUCCESS
        assert assoc.tls is not None
        assert assoc.tls.version() in {"TLSv1.2", "TLSv1.3"}
        [peer] = running.recorder.associations
        assert peer.tls is not None
        subject = peer.tls.getpeercert()
        assert subject is not None
        assert (("commonName", "requestor"),) in subject["subject"]
    assert running.recorder.sinks[0].data == content
    assert running.recorder.ends == [dimse.Ended.RELEASED]


@on_both_loops
async def test_reading_ahead_stops_over_tls_as_well(
    acceptor_tls: ssl.SSLContext, requestor_tls: ssl.SSLContext
) -> None:
    may_go_on = asyncio.Event()

    async def answer(assoc: dimse.Association, request: dimse.Request) -> None:
        assoc.pause_reading()
        await may_go_on.wait()
        assoc.resume_reading()
        await assoc.send(request.context.context_id, request.command.response(SUCCESS))

    async with (
        acceptor(Recorder(answer), options=encrypted(acceptor_tls)) as running,
        dimse.connect(
            "127.0.0.1", running.port, proposal(VERIFICATION), tls=requestor_tls
        ) as assoc,
    ):
        asking = asyncio.ensure_future(echo(assoc))
        await running.recorder.received.wait()
        may_go_on.set()
        assert await asking == SUCCESS
        assert await echo(assoc) == SUCCESS


@on_both_loops
async def test_who_does_not_trust_the_acceptor_does_not_connect(
    acceptor_tls: ssl.SSLContext,
) -> None:
    async with acceptor(options=encrypted(acceptor_tls)) as running:
        with pytest.raises(dimse.ConnectionFailed, match=r"(?i)certificate"):
            await dimse.associate(
                "127.0.0.1",
                running.port,
                proposal(VERIFICATION),
                tls=ssl.create_default_context(),
            )


@on_both_loops
async def test_who_has_no_certificate_gets_no_association(
    acceptor_tls: ssl.SSLContext, authority: Authority
) -> None:
    nameless = ssl.create_default_context(cafile=str(authority.certificate))
    async with acceptor(options=encrypted(acceptor_tls)) as running:
        with pytest.raises(dimse.DimseError):
            await dimse.associate("127.0.0.1", running.port, proposal(VERIFICATION), tls=nameless)
        assert running.recorder.associations == []


@on_both_loops
async def test_connections_without_a_handshake_are_closed(
    acceptor_tls: ssl.SSLContext, requestor_tls: ssl.SSLContext
) -> None:
    options = dimse.ServerOptions(tls=acceptor_tls, unassociated=5)
    async with acceptor(options=options) as running, contextlib.AsyncExitStack() as stack:
        readers = []
        for _ in range(20):
            reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
            stack.callback(writer.close)
            readers.append(reader)
        assert await readers[0].read() == b""
        async with dimse.connect(
            "127.0.0.1", running.port, proposal(VERIFICATION), tls=requestor_tls
        ) as assoc:
            assert await echo(assoc) == SUCCESS


@on_both_loops
async def test_a_requestor_without_tls_is_not_heard(acceptor_tls: ssl.SSLContext) -> None:
    async with acceptor(options=encrypted(acceptor_tls)) as running:
        with pytest.raises(dimse.DimseError):
            await dimse.associate("127.0.0.1", running.port, proposal(VERIFICATION))
        assert running.recorder.associations == []


async def test_pynetdicom_speaks_tls_with_us_both_ways(
    acceptor_tls: ssl.SSLContext, requestor_tls: ssl.SSLContext, tmp_path: Path
) -> None:
    entity = AE()
    entity.add_requested_context(VERIFICATION, EXPLICIT)
    entity.add_supported_context(VERIFICATION, EXPLICIT)

    def scu(port: int) -> int:
        assoc = entity.associate("127.0.0.1", port, tls_args=(requestor_tls, "localhost"))
        status = assoc.send_c_echo().Status
        assoc.release()
        return int(status)

    async with acceptor(options=encrypted(acceptor_tls)) as running:
        assert await asyncio.to_thread(scu, running.port) == SUCCESS
    server = entity.start_server(
        ("127.0.0.1", 0),
        block=False,
        ssl_context=acceptor_tls,
        evt_handlers=[(evt.EVT_C_ECHO, lambda _: SUCCESS)],
    )
    try:
        port = server.socket.getsockname()[1]
        async with dimse.connect(
            "127.0.0.1", port, proposal(VERIFICATION), tls=requestor_tls
        ) as assoc:
            assert await echo(assoc) == SUCCESS
    finally:
        server.shutdown()
