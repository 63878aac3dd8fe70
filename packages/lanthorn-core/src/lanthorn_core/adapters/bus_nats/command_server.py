"""The gateway's end of commands: taken from the queue group, served, answered."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Final

import nats.errors
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg

from lanthorn_core.adapters.bus_nats.command_wire import (
    ALIVE,
    ALIVE_EVERY_S,
    ANSWER,
    END,
    ERROR,
    KIND,
    QUEUE_GROUP,
    encode_error,
    frame_answer,
)
from lanthorn_core.adapters.bus_nats.connection import (
    FAILURES,
    flush_all,
    honouring_cancellation,
    translated,
)
from lanthorn_core.commands import Command, FindAnswer, command_subject, decode_command
from lanthorn_core.errors import GatewayUnavailable, LanthornError
from lanthorn_core.ports.commands import CommandHandler

log = structlog.get_logger(__name__)

_PIECE_BYTES: Final = 256 << 10
"""Of the stream of answers, in one message."""
_PATIENCE_S: Final = 60.0
"""For who asked to take what was found."""


class _Deserted(Exception):
    """Who asked is gone."""


@asynccontextmanager
async def serve_commands(
    client: Client,
    handlers: Mapping[type[Command], CommandHandler],
    *,
    at_once: int = 64,
    drain_s: float = 5.0,
) -> AsyncIterator[None]:
    """Serve commands for the length of the block, then finish those in hand.

    Parameters
    ----------
    client : nats.aio.client.Client
        An open connection.
    handlers : mapping
        Who serves which kind of command; the other kinds go to other gateways.
    at_once : int
        How many commands this process serves; more are refused.
    drain_s : float
        How long commands in hand may take at the end; then who asked is told.

    Raises
    ------
    BusUnavailable
        NATS does not answer at the start.
    """
    async with asyncio.TaskGroup() as group:
        server = _CommandServer(client, handlers, group, at_once)
        subscriptions = []
        with translated("NATS does not answer"):
            for kind in handlers:
                subject = command_subject(kind)
                subscriptions.append(
                    await client.subscribe(subject, queue=QUEUE_GROUP, cb=server.receive)
                )
            await flush_all(client)
        try:
            yield
        finally:
            with suppress(*FAILURES):
                for subscription in subscriptions:
                    await subscription.unsubscribe()
            await server.finish(drain_s)


class _CommandServer:
    def __init__(
        self,
        client: Client,
        handlers: Mapping[type[Command], CommandHandler],
        group: asyncio.TaskGroup,
        at_once: int,
    ) -> None:
        self._client = client
        self._handlers = handlers
        self._group = group
        self._at_once = at_once
        self._running: set[asyncio.Task[None]] = set()

    async def receive(self, message: Msg) -> None:
        if len(self._running) >= self._at_once:
            conversation = _Conversation(self._client, message.reply)
            await conversation.fail(GatewayUnavailable("The gateway serves too many commands"))
            return
        task = self._group.create_task(self._serve(message), name="command")
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def finish(self, drain_s: float) -> None:
        if self._running:
            await asyncio.wait(self._running, timeout=drain_s)
        for task in self._running:
            task.cancel()

    async def _serve(self, message: Msg) -> None:
        conversation = _Conversation(self._client, message.reply)
        try:
            await self._run(message.data, conversation)
        except asyncio.CancelledError:
            await conversation.fail(GatewayUnavailable("The gateway stops"))
            raise

    async def _run(self, payload: bytes, conversation: _Conversation) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                alive = group.create_task(conversation.stay_alive(), name="command-alive")
                await self._handle(payload, conversation)
                alive.cancel()
            await conversation.end()
        except* _Deserted:
            log.info("command_deserted")
        except* LanthornError as errors:
            for error in errors.exceptions:
                if isinstance(error, LanthornError):
                    log.warning("command_failed", error=error.slug)
                    await conversation.fail(error)
        except* Exception:
            log.exception("command_crashed")
            await conversation.fail(LanthornError())

    async def _handle(self, payload: bytes, conversation: _Conversation) -> None:
        command = decode_command(payload)
        try:
            await self._handlers[type(command)](command, conversation.answer)
        except LanthornError:
            await conversation.flush()  # what was found before counts
            raise
        await conversation.flush()


class _Conversation:
    """The side of the gateway in one conversation with who asked."""

    def __init__(self, client: Client, inbox: str) -> None:
        self._client = client
        self._inbox = inbox
        self._pending = bytearray()
        self._piece_bytes = min(_PIECE_BYTES, client.max_payload // 2)

    async def answer(self, answer: FindAnswer) -> None:
        """Send an answer, with others if it is small."""
        self._pending += frame_answer(answer)
        while len(self._pending) >= self._piece_bytes:
            await self._send_piece()

    async def flush(self) -> None:
        """Send the answers that waited for others."""
        while self._pending:
            await self._send_piece()

    async def _send_piece(self) -> None:
        piece = bytes(self._pending[: self._piece_bytes])
        del self._pending[: self._piece_bytes]
        await self._ask(ANSWER, piece)

    async def stay_alive(self) -> None:
        """Say again and again that the command is being served, until cancelled."""
        while True:
            await self._ask(ALIVE, b"")
            await asyncio.sleep(ALIVE_EVERY_S)

    async def _ask(self, kind: str, payload: bytes) -> None:
        try:
            with honouring_cancellation():
                await self._client.request(
                    self._inbox, payload, timeout=_PATIENCE_S, headers={KIND: kind}
                )
        except (nats.errors.NoRespondersError, TimeoutError) as error:
            raise _Deserted from error
        except FAILURES as error:
            raise GatewayUnavailable(f"NATS does not answer: {error!r}") from error

    async def end(self) -> None:
        """Say that the command is done."""
        await self._tell(END, b"")

    async def fail(self, error: LanthornError) -> None:
        """Say that the command has failed."""
        await self._tell(ERROR, encode_error(error))

    async def _tell(self, kind: str, payload: bytes) -> None:
        with suppress(*FAILURES):  # who asked notices by the silence
            await self._client.publish(self._inbox, payload, headers={KIND: kind})
            await flush_all(self._client)
