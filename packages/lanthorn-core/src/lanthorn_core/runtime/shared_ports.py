"""One published port for several containers of a service, without a proxy between.

``python -m lanthorn_core.runtime.shared_ports dicom=4242 http=8042`` holds the ports: it listens,
and hands its listening sockets over to each process that asks at a Unix socket in
`LANTHORN_PORTS_FOLDER`. From then on the kernel gives each connection to one of those that accept;
they see the peer's own address, and one that ends leaves what waits to the others.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack, asynccontextmanager, closing
from functools import partial
from pathlib import Path
from typing import Final

import structlog

from lanthorn_core.runtime.lifecycle import start_service
from lanthorn_core.runtime.settings import Settings

log = structlog.get_logger(__name__)

PATIENCE_S: Final = 30.0
"""How long the holder may take to be there."""
_PAUSE_S: Final = 0.2
_BACKLOG: Final = 2048
_HANDED: Final = b"1"


async def hold(folder: Path, ports: Mapping[str, int], stop: asyncio.Event) -> None:
    """Listen on the ports and hand the sockets over to whoever asks, until `stop` is set.

    Parameters
    ----------
    folder : Path
        Where a Unix socket is made for each port.
    ports : mapping
        Name (that of the Unix socket) to number.
    """
    with ExitStack() as stack:
        doors = []
        for name, port in ports.items():
            listening = stack.enter_context(_listen(port))
            doors.append((listening, stack.enter_context(_open_door(folder / name))))
            log.info("port_held", name=name, port=port)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(_hand_over_forever(*door), name="port") for door in doors]
            await stop.wait()
            for task in tasks:
                task.cancel()


async def _hand_over_forever(listening: socket.socket, door: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    async with asyncio.TaskGroup() as askers:
        while True:
            asker, _ = await loop.sock_accept(door)
            askers.create_task(_hand_over(listening, asker), name="port-asker")


async def _hand_over(listening: socket.socket, asker: socket.socket) -> None:
    """Hand the socket over, and keep the connection: its end tells that the holder is gone."""
    with closing(asker):
        try:
            socket.send_fds(asker, [_HANDED], [listening.fileno()])
            await asyncio.get_running_loop().sock_recv(asker, 1)
        except OSError as error:
            log.warning("port_not_handed_over", error=type(error).__name__)


def _listen(port: int) -> socket.socket:
    family = socket.AF_INET6 if socket.has_dualstack_ipv6() else socket.AF_INET
    return socket.create_server(
        ("", port), family=family, backlog=_BACKLOG, dualstack_ipv6=family == socket.AF_INET6
    )


def _open_door(path: Path) -> socket.socket:
    path.unlink(missing_ok=True)
    door = socket.socket(socket.AF_UNIX)
    door.bind(str(path))
    door.listen()
    door.setblocking(False)
    return door


@asynccontextmanager
async def shared_port(folder: Path, name: str, stop: asyncio.Event) -> AsyncIterator[socket.socket]:
    """Take a held port for the length of the block.

    When the holder ends, its port ends with it, and `stop` is set: whoever restarts this process
    lets it ask the next holder.

    Yields
    ------
    socket
        Listens already, and is shared: closing it ends nothing for the others.

    Raises
    ------
    OSError
        There is no holder after `PATIENCE_S`.
    """
    with closing(await _connected(folder / name)) as holder:
        _, descriptors, _, _ = await asyncio.to_thread(socket.recv_fds, holder, len(_HANDED), 1)
        if not descriptors:
            raise ConnectionError(f"the holder of the port {name} ended")
        listening = socket.socket(fileno=descriptors[0])
        listening.setblocking(False)
        holder.setblocking(False)
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(_stop_without(holder, stop), name="port-holder")
            try:
                with listening:
                    yield listening
            finally:
                watching.cancel()


async def _connected(path: Path) -> socket.socket:
    deadline = asyncio.get_running_loop().time() + PATIENCE_S
    while True:
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.connect(str(path))
        except OSError:
            connection.close()
            if asyncio.get_running_loop().time() > deadline:
                raise
            await asyncio.sleep(_PAUSE_S)
        else:
            return connection


async def _stop_without(holder: socket.socket, stop: asyncio.Event) -> None:
    await asyncio.get_running_loop().sock_recv(holder, 1)
    log.warning("port_holder_ended")
    stop.set()


async def _run(ports: Mapping[str, int], settings: Settings, stop: asyncio.Event) -> None:
    settings.runtime.require("ports_folder")
    await hold(settings.runtime.ports_folder or Path(), ports, stop)


def main() -> None:
    """Hold the ports that the command line names, as ``name=number``."""
    pairs = [argument.partition("=") for argument in sys.argv[1:]]
    start_service("ports", partial(_run, {name: int(number) for name, _, number in pairs}))


if __name__ == "__main__":
    main()
