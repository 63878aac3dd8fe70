"""Ports that several processes accept at."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

from lanthorn_core.runtime import shared_ports
from lanthorn_core.runtime.shared_ports import hold, shared_port
from lanthorn_embedded.sockets import ReservedPort


async def test_a_port_is_served_by_whoever_is_left(tmp_path: Path) -> None:
    reserved = ReservedPort()
    port = reserved.number
    holder_stop, stop = asyncio.Event(), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(hold(tmp_path, {"dicom": port}, holder_stop))
        async with shared_port(tmp_path, "dicom", stop) as second:
            async with shared_port(tmp_path, "dicom", stop) as first:
                await assert_serves(first, port)
            await assert_serves(second, port)
        assert not stop.is_set()
        holder_stop.set()


async def test_who_shares_a_port_is_stopped_when_its_holder_ends(tmp_path: Path) -> None:
    holder_stop, stop, port = asyncio.Event(), asyncio.Event(), ReservedPort()
    async with asyncio.TaskGroup() as group:
        group.create_task(hold(tmp_path, {"http": port.number}, holder_stop))
        async with shared_port(tmp_path, "http", stop):
            holder_stop.set()
            await stop.wait()


async def test_a_new_holder_takes_over_what_an_old_one_left_behind(tmp_path: Path) -> None:
    reserved = ReservedPort()
    port = reserved.number
    (tmp_path / "dicom").touch()
    holder_stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(hold(tmp_path, {"dicom": port}, holder_stop))
        async with shared_port(tmp_path, "dicom", asyncio.Event()) as shared:
            await assert_serves(shared, port)
        holder_stop.set()


async def test_without_a_holder_the_process_does_not_wait_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_ports, "PATIENCE_S", 0.0)
    with pytest.raises(FileNotFoundError):
        async with shared_port(tmp_path, "dicom", asyncio.Event()):
            pass


async def assert_serves(listening: socket.socket, port: int) -> None:
    """See that a connection to the port is accepted at the socket, from the peer's own address."""
    loop = asyncio.get_running_loop()
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    accepted, address = await loop.sock_accept(listening)
    with accepted:
        assert address[0].removeprefix("::ffff:") == "127.0.0.1"
        assert address[1] == writer.get_extra_info("sockname")[1]
    writer.close()
    await writer.wait_closed()
