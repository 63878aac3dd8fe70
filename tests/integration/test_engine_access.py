"""NATS lets nobody in without a password, and shows a certificate that is looked at."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

from lanthorn_core.adapters.bus_nats.connection import connect
from lanthorn_core.errors import BusUnavailable
from lanthorn_embedded.engines.nats import find_nats_server
from lanthorn_embedded.sockets import LOOPBACK, ReservedPort
from tests.fixtures.certificates import Authority

ACCOUNT = ("lanthorn", "quiet")


@dataclass(frozen=True)
class Server:
    """A server with TLS; `stranger` is a file of an authority that it has nothing from."""

    port: int
    authority: Path
    stranger: Path


@pytest.fixture(scope="module")
def nats_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("nats")
    authority, stranger = Authority(folder), Authority(folder, "stranger")
    issued = authority.issue("nats")
    port = ReservedPort()
    user, password = ACCOUNT
    configuration = folder / "nats.conf"
    configuration.write_text(
        f'listen: "{LOOPBACK}:{port.number}"\n'
        f"authorization {{ user: {user}, password: {password} }}\n"
        f'tls {{ cert_file: "{issued.certificate}", key_file: "{issued.key}" }}\n'
    )
    process = subprocess.Popen(
        [find_nats_server(), "--config", configuration], stderr=subprocess.DEVNULL
    )
    try:
        _await_port(port.number)
        yield Server(port.number, authority.certificate, stranger.certificate)
    finally:
        process.kill()
        process.wait()


def _await_port(port: int) -> None:
    give_up_at = time.monotonic() + 90
    while True:
        with contextlib.suppress(OSError):
            socket.create_connection((LOOPBACK, port)).close()
            return
        assert time.monotonic() < give_up_at
        time.sleep(0.02)


async def test_nats_is_spoken_to_over_tls_with_a_password(nats_server: Server) -> None:
    url = f"tls://{LOOPBACK}:{nats_server.port}"
    async with connect(url, name="t", account=ACCOUNT, ca_file=nats_server.authority) as client:
        await client.flush()


@pytest.mark.parametrize("account", [None, ("lanthorn", "loud")])
async def test_a_nats_that_refuses_us_is_not_asked_again(
    nats_server: Server, account: tuple[str, str] | None
) -> None:
    url = f"tls://{LOOPBACK}:{nats_server.port}"
    with pytest.raises(BusUnavailable, match="Authorization Violation"):
        async with connect(url, name="t", account=account, ca_file=nats_server.authority):
            pass


async def test_a_nats_that_is_not_trusted_is_not_spoken_to(nats_server: Server) -> None:
    url = f"tls://{LOOPBACK}:{nats_server.port}"
    with pytest.raises(BusUnavailable, match="CERTIFICATE_VERIFY_FAILED"):
        async with connect(url, name="t", account=ACCOUNT, ca_file=nats_server.stranger):
            pass


async def test_who_is_refused_leaves_no_connection_behind() -> None:
    has_ended = asyncio.Event()

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'INFO {"server_id": "S", "auth_required": true, "max_payload": 1024}\r\n')
        await reader.readuntil(b"PING\r\n")
        writer.write(b"-ERR 'Authorization Violation'\r\n")
        with contextlib.suppress(ConnectionError):
            await reader.read()  # it is for the client to end the connection
        has_ended.set()
        writer.close()

    async with await asyncio.start_server(refuse, LOOPBACK, 0) as server:
        url = f"nats://{LOOPBACK}:{server.sockets[0].getsockname()[1]}"
        with pytest.raises(BusUnavailable, match="Authorization Violation"):
            async with connect(url, name="t", account=ACCOUNT):
                pass
        async with asyncio.timeout(60):
            await has_ended.wait()


async def test_who_gives_up_at_any_moment_leaves_no_connection_behind(nats_url: str) -> None:
    async def open_one() -> None:
        async with connect(nats_url, name="t"):
            await asyncio.Event().wait()

    port = urlsplit(nats_url).port
    before = _connections_to(port)
    for tenths_of_ms in range(60):
        opening = asyncio.ensure_future(open_one())
        await asyncio.sleep(tenths_of_ms / 10_000)
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
    await asyncio.sleep(0)  # what was cut is closed in the next turn of the loop
    assert _connections_to(port) == before


def _connections_to(port: int | None) -> int:
    ours = psutil.Process().net_connections("tcp")
    return sum(1 for each in ours if each.raddr and each.raddr.port == port)
