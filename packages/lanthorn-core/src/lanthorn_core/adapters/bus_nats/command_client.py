"""`GatewayCommands` on NATS."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from typing import Final

import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from lanthorn_core.adapters.bus_nats.command_wire import (
    ALIVE,
    ANSWER,
    END,
    ERROR,
    KIND,
    SILENCE_S,
    AnswerStream,
    decode_error,
)
from lanthorn_core.adapters.bus_nats.connection import FAILURES, translated
from lanthorn_core.commands import (
    EchoRemote,
    FindAnswer,
    FindRemote,
    GatewayCommand,
    RequestCommitment,
    StoreStraight,
    command_subject,
    encode_command,
)
from lanthorn_core.errors import BusUnavailable, GatewayUnavailable, InvalidParameter

log = structlog.get_logger(__name__)

_STATUS: Final = "Status"
_NO_RESPONDERS: Final = "503"
_LOOKS: Final = 4
"""In the time of the silence: what came while we stood still ourselves is read before the next."""


class NatsGatewayCommands:
    """See `GatewayCommands` for the contract.

    Parameters
    ----------
    client : nats.aio.client.Client
        An open connection.
    silence_s : float
        After how many seconds without a sign of life a gateway counts as gone.
    """

    def __init__(self, client: Client, *, silence_s: float = SILENCE_S) -> None:
        self._client = client
        self._silence_s = silence_s

    async def echo(self, command: EchoRemote) -> None:
        """Verify that the remote AE answers."""
        await self._run(command)

    async def find(self, command: FindRemote) -> AsyncGenerator[FindAnswer, None]:
        """Yield the matches of a remote AE as they come."""
        async with aclosing(self._converse(command)) as answers:
            async for answer in answers:
                yield answer

    async def store_straight(self, command: StoreStraight) -> None:
        """Send one object to the remote AE."""
        await self._run(command)

    async def request_commitment(self, command: RequestCommitment) -> None:
        """Ask the remote AE to commit to instances."""
        await self._run(command)

    async def _run(self, command: GatewayCommand) -> None:
        async with aclosing(self._converse(command)) as answers:
            async for _ in answers:
                log.warning("answer_ignored", command=type(command).__name__)

    async def _converse(self, command: GatewayCommand) -> AsyncGenerator[FindAnswer, None]:
        payload = encode_command(command)
        if len(payload) > self._client.max_payload:
            raise InvalidParameter("The request is too large")
        inbox = self._client.new_inbox()
        with translated("NATS does not answer"):
            messages = await self._client.subscribe(inbox)
        try:
            with translated("The command was not sent"):
                await self._client.publish(command_subject(command), payload, reply=inbox)
            stream = AnswerStream()
            while True:
                message = await self._next(messages)
                kind = (message.headers or {}).get(KIND)
                if kind == END:
                    return
                if kind == ERROR:
                    raise decode_error(message.data)
                if kind == ANSWER:
                    for answer in stream.feed(message.data):
                        yield answer
                if kind in {ANSWER, ALIVE}:
                    with translated("NATS does not answer"):
                        await message.respond(b"")
        finally:
            # The gateway finds nobody on the inbox from here on, and stops.
            with suppress(*FAILURES):
                await messages.unsubscribe()

    async def _next(self, messages: Subscription) -> Msg:
        silence: BusUnavailable | None = None
        for _ in range(_LOOKS):
            try:
                with translated("NATS does not answer"):
                    message = await messages.next_msg(self._silence_s / _LOOKS)
                break
            except BusUnavailable as error:
                if not isinstance(error.__cause__, TimeoutError):
                    raise
                silence = error
        else:
            raise GatewayUnavailable("The gateway no longer answers") from silence
        if (message.headers or {}).get(_STATUS) == _NO_RESPONDERS:
            raise GatewayUnavailable("No gateway takes commands")
        return message
