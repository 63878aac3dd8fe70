"""A TCP proxy on the loopback that can do to a connection what networks and servers do."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Coroutine, Iterator
from contextlib import AbstractContextManager
from typing import Any

from lanthorn_embedded.sockets import LOOPBACK
from tests.fixtures.s3 import free_port

_CHUNK_BYTES = 64 << 10


class Proxy:
    """Forwards a port of its own to another one until it is told to misbehave."""

    def __init__(self, target_port: int) -> None:
        self.port = free_port()
        self.target_port = target_port
        self._loop = asyncio.new_event_loop()
        self._transports: set[asyncio.WriteTransport] = set()
        self._flowing = asyncio.Event()
        self._refuses = False
        self._answer = b""
        self._delay_s = 0.0

    @contextlib.contextmanager
    def running(self) -> Iterator[Proxy]:
        """Forward until the block ends."""
        thread = threading.Thread(target=self._loop.run_forever)
        thread.start()
        self._run(self._start())
        try:
            yield self
        finally:
            self._run(self._stop())
            self._loop.call_soon_threadsafe(self._loop.stop)
            thread.join()
            self._loop.close()

    def refusing(self) -> AbstractContextManager[None]:
        """Break all connections, and every new one: the machine is there, the server is not."""
        return self._misbehaving(refuses=True, breaks=True)

    def silent(self) -> AbstractContextManager[None]:
        """Let nothing through and tell nobody: the network is cut."""
        return self._misbehaving(flows=False)

    def slow(self, delay_s: float) -> AbstractContextManager[None]:
        """Hold back whatever goes through, 64 KiB at a time."""
        return self._misbehaving(delay_s=delay_s)

    def answering(self, status: int, reason: str, code: str) -> AbstractContextManager[None]:
        """Answer every HTTP request for the server, with an error of S3."""
        body = f"<?xml version='1.0'?><Error><Code>{code}</Code></Error>"
        head = (
            f"HTTP/1.1 {status} {reason}\r\nContent-Type: application/xml\r\n"
            f"Connection: close\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        return self._misbehaving(answer=f"{head}{body}".encode(), breaks=True)

    @contextlib.contextmanager
    def _misbehaving(self, **how: Any) -> Iterator[None]:
        self._run(self._change(**how))
        try:
            yield
        finally:
            self._run(self._change())

    async def _change(
        self,
        *,
        refuses: bool = False,
        flows: bool = True,
        delay_s: float = 0.0,
        answer: bytes = b"",
        breaks: bool = False,
    ) -> None:
        self._refuses, self._answer, self._delay_s = refuses, answer, delay_s
        if flows:
            self._flowing.set()
        else:
            self._flowing.clear()
        if breaks:
            self._break_all()

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _start(self) -> None:
        self._flowing.set()
        self._server = await asyncio.start_server(self._serve, LOOPBACK, self.port)

    async def _stop(self) -> None:
        self._server.close()
        self._flowing.set()
        self._break_all()
        if others := asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.wait(others, timeout=10)  # broken connections end by themselves

    def _break_all(self) -> None:
        for transport in self._transports:
            transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError), self._held(writer):
            await self._flowing.wait()
            if self._refuses:
                return
            if self._answer:
                await _answer_request(reader, writer, self._answer)
                return
            there, back = await asyncio.open_connection(LOOPBACK, self.target_port)
            with self._held(back):
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._pump(reader, back))
                    group.create_task(self._pump(there, writer))

    @contextlib.contextmanager
    def _held(self, writer: asyncio.StreamWriter) -> Iterator[None]:
        self._transports.add(writer.transport)
        try:
            yield
        finally:
            self._transports.discard(writer.transport)
            writer.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(_CHUNK_BYTES):
                await self._flowing.wait()
                if self._delay_s:
                    await asyncio.sleep(self._delay_s)
                writer.write(data)
                await writer.drain()
            writer.write_eof()
        except OSError:  # reset: the other side hears of it, too
            writer.transport.abort()


async def _answer_request(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer: bytes
) -> None:
    """Read one request to its end, which its sender waits for, and answer it."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = head.partition(b"\r\ncontent-length:")[2].partition(b"\r\n")[0]
    await reader.readexactly(int(length or b"0"))
    writer.write(answer)
    await writer.drain()
    writer.close()
    await writer.wait_closed()
