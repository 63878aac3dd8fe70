"""rest-api's commands to the gateway, from a real NATS to an application of pynetdicom."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, aclosing
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import ImplicitVRLittleEndian
from pynetdicom.dsutils import encode
from pynetdicom.events import Event

from lanthorn_core import wiring
from lanthorn_core.commands import EchoRemote, FindRemote
from lanthorn_core.errors import InvalidRemoteQuery, RemoteAEFailed
from lanthorn_core.ports.commands import GatewayCommands
from lanthorn_dimse_gateway.commands import command_handlers
from lanthorn_dimse_gateway.scu.associations import ScuOptions, open_association_pool
from lanthorn_dimse_gateway.scu.store import StoreScu
from lanthorn_dimse_gateway.scu.store_outgoing import OutgoingObjects
from tests.fixtures.index import MakeSystem
from tests.fixtures.pynetdicom_peer import SURPRISED_THREADS
from tests.fixtures.remote_application import (
    STUDY_ROOT_FIND,
    VERIFICATION,
    RemoteApplication,
    remote_application,
)

pytestmark = SURPRISED_THREADS


@pytest.fixture
async def commands(make_system: MakeSystem) -> AsyncIterator[GatewayCommands]:
    async with AsyncExitStack() as stack:
        system = await make_system()
        renderer = await stack.enter_async_context(wiring.open_renderer(system.settings))
        pool = await stack.enter_async_context(
            open_association_pool(ScuOptions(ae_title="LANTHORN"))
        )
        store = StoreScu(pool, OutgoingObjects(system.objects, renderer))
        await stack.enter_async_context(
            system.bus.serving_commands(command_handlers(pool, store, "Latin1"))
        )
        yield system.bus.commands


def study(number: int) -> Dataset:
    dataset = Dataset()
    dataset.QueryRetrieveLevel = "STUDY"
    dataset.StudyInstanceUID = f"1.2.{number}"
    return dataset


def find_in(application: RemoteApplication) -> FindRemote:
    identifier = encode(study(0), is_implicit_vr=False, is_little_endian=True)
    assert identifier is not None
    return FindRemote(
        remote=application.remote_ae, sop_class_uid=STUDY_ROOT_FIND, identifier=identifier
    )


async def test_an_echo_reaches_the_remote_ae(commands: GatewayCommands) -> None:
    with remote_application() as application:
        await commands.echo(EchoRemote(remote=application.remote_ae))
        assert application.abstract_syntaxes == [VERIFICATION]


async def test_an_echo_that_checks_queries_sends_one(commands: GatewayCommands) -> None:
    def find(event: Event) -> Iterator[Any]:
        yield 0xA700, None

    with remote_application(find=find) as application:
        with pytest.raises(RemoteAEFailed, match="C-FIND"):
            await commands.echo(EchoRemote(remote=application.remote_ae, check_find=True))
        assert application.abstract_syntaxes == [VERIFICATION, STUDY_ROOT_FIND]


async def test_answers_come_one_by_one_as_the_peer_encoded_them(
    commands: GatewayCommands,
) -> None:
    def find(event: Event) -> Iterator[Any]:
        for number in range(3):
            yield 0xFF00, study(number)
        yield 0x0000, None

    with remote_application(find=find, transfer_syntaxes=[ImplicitVRLittleEndian]) as application:
        found = [answer async for answer in commands.find(find_in(application))]
    expected = [encode(study(number), True, True) for number in range(3)]
    assert [answer.data_set for answer in found] == expected
    assert {answer.transfer_syntax_uid for answer in found} == {ImplicitVRLittleEndian}


async def test_a_failure_after_some_answers_is_raised_after_them(
    commands: GatewayCommands,
) -> None:
    def find(event: Event) -> Iterator[Any]:
        yield 0xFF00, study(1)
        yield 0xC000, None

    with remote_application(find=find) as application:
        async with aclosing(commands.find(find_in(application))) as answers:  # type: ignore[type-var]
            await anext(answers)
            with pytest.raises(InvalidRemoteQuery) as failure:
                await anext(answers)
    assert failure.value.payload == {"Type": "Dimse", "Content": {"DimseErrorStatus": 0xC000}}


async def test_who_wants_no_more_answers_cancels_the_query_at_the_remote_ae(
    commands: GatewayCommands,
) -> None:
    canceled = threading.Event()

    def find(event: Event) -> Iterator[Any]:
        for number in range(60_000):  # for longer than the C-CANCEL is waited for
            if event.is_cancelled:
                canceled.set()
                yield 0xFE00, None
                return
            time.sleep(0.001)
            yield 0xFF00, study(number)
        yield 0x0000, None

    with remote_application(find=find) as application:
        async with aclosing(commands.find(find_in(application))) as answers:  # type: ignore[type-var]
            async for _ in answers:
                break
        assert await asyncio.to_thread(canceled.wait, 20)
