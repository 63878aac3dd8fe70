"""Commands of rest-api to the gateway over a real NATS, and remote AEs known to every process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from lanthorn_core import wiring
from lanthorn_core.adapters.bus_nats.command_client import NatsGatewayCommands
from lanthorn_core.adapters.bus_nats.command_server import serve_commands
from lanthorn_core.adapters.bus_nats.connection import connect
from lanthorn_core.adapters.registry_postgres.remote_aes import PostgresRemoteAERegistry
from lanthorn_core.commands import EchoRemote, FindAnswer, FindRemote, GatewayCommand
from lanthorn_core.errors import (
    GatewayUnavailable,
    IndexUnavailable,
    InvalidParameter,
    LanthornError,
    RemoteAEFailed,
    StorageFull,
)
from lanthorn_core.model import RemoteAE
from lanthorn_core.ports.commands import Answer, CommandHandler
from lanthorn_core.runtime.settings import load_settings
from lanthorn_embedded.engines.postgres import PostgresEngine
from tests.fixtures.database_door import database_door

REMOTE = RemoteAE(ae_title="REMOTE", host="127.0.0.1", port=104)
ECHO = EchoRemote(remote=REMOTE)
FIND = FindRemote(remote=REMOTE, sop_class_uid="1.2.840.10008.5.1.4.1.2.2.1", identifier=b"\0" * 8)


@asynccontextmanager
async def _gateway(url: str, handler: CommandHandler, **limits: Any) -> AsyncIterator[None]:
    """Serve echo and find by one handler, on a connection of its own."""
    async with (
        connect(url, name="gateway") as client,
        serve_commands(client, {EchoRemote: handler, FindRemote: handler}, **limits),
    ):
        yield


@pytest.fixture
async def commands(nats_url: str) -> AsyncIterator[NatsGatewayCommands]:
    """Give the test a client of commands that does not wait long for a silent gateway."""
    async with connect(nats_url, name="rest-api") as client:
        yield NatsGatewayCommands(client, silence_s=6.0)


async def test_a_command_reaches_the_gateway_with_everything_it_says(
    nats_url: str, commands: NatsGatewayCommands
) -> None:
    seen: list[GatewayCommand] = []

    async def serve(command: GatewayCommand, answer: Answer) -> None:
        seen.append(command)

    async with _gateway(nats_url, serve):
        await commands.echo(EchoRemote(remote=REMOTE, check_find=True))
    assert seen == [EchoRemote(remote=REMOTE, check_find=True)]


async def test_each_command_is_served_by_one_gateway_of_many(
    nats_url: str, commands: NatsGatewayCommands
) -> None:
    served = 0

    async def serve(command: GatewayCommand, answer: Answer) -> None:
        nonlocal served
        served += 1

    async with _gateway(nats_url, serve), _gateway(nats_url, serve):
        for _ in range(20):
            await commands.echo(ECHO)
    assert served == 20


async def test_without_a_gateway_the_answer_is_an_error_at_once(
    commands: NatsGatewayCommands,
) -> None:
    with pytest.raises(GatewayUnavailable, match="No gateway takes commands"):
        await commands.echo(ECHO)


@pytest.mark.parametrize(
    "error",
    [
        RemoteAEFailed("C-FIND SCU has failed", dimse_status=0xA900),
        RemoteAEFailed("TCP Initialization Error"),
        StorageFull("no room"),
    ],
)
async def test_what_the_gateway_raises_is_raised_to_who_asked(
    nats_url: str, commands: NatsGatewayCommands, error: LanthornError
) -> None:
    async def refuse(command: GatewayCommand, answer: Answer) -> None:
        raise error

    async with _gateway(nats_url, refuse):
        with pytest.raises(type(error)) as raised:
            await commands.echo(ECHO)
    assert (raised.value.details, raised.value.payload) == (error.details, error.payload)


async def test_of_a_bug_in_the_gateway_nothing_is_told_and_it_serves_on(
    nats_url: str, commands: NatsGatewayCommands
) -> None:
    async def crash(command: GatewayCommand, answer: Answer) -> None:
        raise ZeroDivisionError("secret")

    async with _gateway(nats_url, crash):
        for _ in range(2):
            with pytest.raises(LanthornError) as raised:
                await commands.echo(ECHO)
            assert (type(raised.value), raised.value.details) == (LanthornError, "")


async def test_answers_larger_than_a_message_of_nats_arrive_whole_and_in_order(
    nats_url: str, commands: NatsGatewayCommands
) -> None:
    sent = [
        FindAnswer(data_set=bytes([number]) * size, transfer_syntax_uid="1.2")
        for number, size in enumerate([10, 3 << 20, 0, 256 << 10, 100, 700_000])
    ]

    async def find(command: GatewayCommand, answer: Answer) -> None:
        for one in sent:
            await answer(one)

    async with _gateway(nats_url, find):
        assert [one async for one in commands.find(FIND)] == sent


async def test_answers_before_a_failure_are_not_lost(
    nats_url: str, commands: NatsGatewayCommands
) -> None:
    async def find(command: GatewayCommand, answer: Answer) -> None:
        for _ in range(3):
            await answer(FindAnswer(data_set=bytes(300_000), transfer_syntax_uid="1.2"))
        raise RemoteAEFailed("it went away")

    received: list[FindAnswer] = []

    async def receive() -> None:
        async for one in commands.find(FIND):
            received.append(one)

    async with _gateway(nats_url, find):
        with pytest.raises(RemoteAEFailed, match="it went away"):
            await receive()
    assert len(received) >= 2


async def test_the_gateway_waits_for_a_client_that_takes_its_time(
    nats_url: str, commands: NatsGatewayCommands
) -> None:
    found = 0

    async def find(command: GatewayCommand, answer: Answer) -> None:
        nonlocal found
        for _ in range(100):
            await answer(FindAnswer(data_set=bytes(250_000), transfer_syntax_uid="1.2"))
            found += 1

    async with _gateway(nats_url, find), aclosing(commands.find(FIND)) as answers:
        await anext(answers)
        for _ in range(20):
            await asyncio.sleep(0.01)
        assert found < 10
        assert len([one async for one in answers]) == 99


async def test_a_client_that_goes_away_ends_the_command(
    nats_url: str, commands: NatsGatewayCommands
) -> None:
    ended = asyncio.Event()

    async def find(command: GatewayCommand, answer: Answer) -> None:
        try:
            while True:
                await answer(FindAnswer(data_set=bytes(300_000), transfer_syntax_uid="1.2"))
        finally:
            ended.set()

    async with _gateway(nats_url, find):
        async with aclosing(commands.find(FIND)) as answers:
            await anext(answers)
        async with asyncio.timeout(20):
            await ended.wait()


async def test_a_long_command_is_waited_for_while_its_gateway_lives(
    nats_url: str, commands: NatsGatewayCommands
) -> None:
    async def take_time(command: GatewayCommand, answer: Answer) -> None:
        await asyncio.sleep(8.0)

    async with _gateway(nats_url, take_time):
        await commands.echo(ECHO)


async def test_who_stood_still_himself_does_not_take_the_gateway_for_gone(nats_url: str) -> None:
    began = asyncio.Event()

    async def serve(command: GatewayCommand, answer: Answer) -> None:
        began.set()
        await asyncio.sleep(0.1)

    async with connect(nats_url, name="rest-api") as client, _gateway(nats_url, serve):
        commands = NatsGatewayCommands(client, silence_s=2.0)
        asked = asyncio.ensure_future(commands.echo(ECHO))
        await began.wait()
        time.sleep(2.5)  # noqa: ASYNC251 - nothing is read meanwhile, and every time-out is due
        await asked


async def test_a_gateway_that_dies_meanwhile_is_noticed(
    nats_url: str, commands: NatsGatewayCommands
) -> None:
    began = asyncio.Event()

    async def hang(command: GatewayCommand, answer: Answer) -> None:
        began.set()
        await asyncio.sleep(60)

    async with (
        connect(nats_url, name="gateway") as client,
        serve_commands(client, {EchoRemote: hang}, drain_s=0.0),
    ):
        asked = asyncio.ensure_future(commands.echo(ECHO))
        await began.wait()
        await client.close()  # as the kernel does for a process that was killed
        with pytest.raises(GatewayUnavailable, match="no longer answers"):
            await asked


async def test_a_gateway_that_stops_tells_who_waits(
    nats_url: str, commands: NatsGatewayCommands
) -> None:
    began = asyncio.Event()

    async def hang(command: GatewayCommand, answer: Answer) -> None:
        began.set()
        await asyncio.sleep(60)

    async with _gateway(nats_url, hang, drain_s=0.1):
        asked = asyncio.ensure_future(commands.echo(ECHO))
        await began.wait()
    with pytest.raises(GatewayUnavailable, match="The gateway stops"):
        await asked


async def test_more_commands_than_a_gateway_serves_are_refused(
    nats_url: str, commands: NatsGatewayCommands
) -> None:
    go_on = asyncio.Event()

    async def wait(command: GatewayCommand, answer: Answer) -> None:
        await go_on.wait()

    async with _gateway(nats_url, wait, at_once=2):
        asked = [asyncio.ensure_future(commands.echo(ECHO)) for _ in range(5)]
        refused, _ = await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
        while len(refused) < 3:
            done, _ = await asyncio.wait(set(asked) - refused, return_when=asyncio.FIRST_COMPLETED)
            refused |= done
        assert all("too many" in str(one.exception()) for one in refused)
        go_on.set()
        for one in set(asked) - refused:
            await one


async def test_a_command_larger_than_a_message_of_nats_is_the_clients_fault(
    commands: NatsGatewayCommands,
) -> None:
    too_large = FindRemote(remote=REMOTE, sop_class_uid="1.2", identifier=bytes(2 << 20))
    with pytest.raises(InvalidParameter):
        _ = [one async for one in commands.find(too_large)]


MakeRegistry = Callable[..., Any]


@pytest.fixture
async def make_registry(make_system: Any) -> AsyncIterator[MakeRegistry]:
    """Make registries as processes of their own have them: separate connections and caches."""
    async with AsyncExitStack() as stack:

        async def make(**options: str) -> Any:
            system = await make_system(**options)
            return await stack.enter_async_context(
                wiring.open_remote_aes(system.settings, system.bus)
            )

        yield make


FROM_FILE = '{"scanner": ["SCANNER", "10.0.0.1", 104], "pacs": ["PACS", "10.0.0.2", 104]}'


async def test_a_change_is_seen_by_every_process_at_once(
    make_registry: MakeRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Without a signal what was read would not be read again.
    monkeypatch.setattr(PostgresRemoteAERegistry, "FRESH_S", 3600.0)
    one, other = await make_registry(), await make_registry()

    async def other_knows(expected: dict[str, int]) -> None:
        async with asyncio.timeout(30):
            while {n: ae.port for n, ae in (await other.all()).items()} != expected:  # noqa: ASYNC110
                await asyncio.sleep(0.002)  # the signal is on its way

    await other_knows({})
    for port in range(1, 30):
        await one.put("a", RemoteAE(ae_title="A", host="h", port=port))
        assert (await one.get("a")).port == port
        await other_knows({"a": port})
    assert await one.delete("a")
    assert not await one.delete("a")
    await other_knows({})


async def test_entries_of_the_configuration_can_be_overridden_and_removed(
    make_registry: MakeRegistry,
) -> None:
    registry = await make_registry(DICOM_MODALITIES=FROM_FILE)
    assert list(await registry.all()) == ["pacs", "scanner"]
    moved = RemoteAE(ae_title="SCANNER", host="10.0.0.9", port=105)
    await registry.put("scanner", moved)
    assert await registry.delete("pacs")
    assert dict(await registry.all()) == {"scanner": moved}
    # A process that starts later sees the same.
    again = await make_registry(DICOM_MODALITIES=FROM_FILE)
    assert dict(await again.all()) == {"scanner": moved}


async def test_a_new_entry_of_the_configuration_counts_more_than_an_old_change(
    make_registry: MakeRegistry,
) -> None:
    registry = await make_registry(DICOM_MODALITIES=FROM_FILE)
    await registry.put("scanner", RemoteAE(ae_title="X", host="h", port=1))
    await registry.delete("pacs")
    edited = '{"scanner": ["SCANNER2", "10.0.0.1", 104], "pacs": ["PACS", "10.0.0.2", 11112]}'
    later = await make_registry(DICOM_MODALITIES=edited)
    known = await later.all()
    assert (known["scanner"].ae_title, known["pacs"].port) == ("SCANNER2", 11112)


async def test_with_modalities_in_database_the_configuration_does_not_count(
    make_registry: MakeRegistry,
) -> None:
    options = {"DICOM_MODALITIES": FROM_FILE, "DICOM_MODALITIES_IN_DATABASE": "true"}
    registry = await make_registry(**options)
    assert dict(await registry.all()) == {}
    await registry.put("a", REMOTE)
    assert dict(await (await make_registry(**options)).all()) == {"a": REMOTE}


@pytest.mark.parametrize(("strict", "found"), [("false", ["b", "scanner"]), ("true", ["scanner"])])
async def test_ae_titles_are_compared_as_configured(
    make_registry: MakeRegistry, strict: str, found: list[str]
) -> None:
    registry = await make_registry(DICOM_MODALITIES=FROM_FILE, STRICT_AET_COMPARISON=strict)
    await registry.put("b", RemoteAE(ae_title="scanner", host="h", port=1))
    assert [name for name, _ in await registry.by_ae_title("SCANNER ")] == found


async def test_without_the_database_what_was_last_known_serves(
    postgres_engine: PostgresEngine,
    database_url: str,
    nats_url: str,
    tmp_path: Path,
    engines_folder: Path,
) -> None:
    name = database_url.partition("?")[0].rpartition("/")[2]
    folder = engines_folder / f"{name}-door"
    folder.mkdir()
    async with AsyncExitStack() as stack:
        door, url = await stack.enter_async_context(database_door(postgres_engine, name, folder))
        settings = load_settings(
            {
                **{"DATABASE_URL": url, "NATS_URL": nats_url, "LANTHORN_DATA_DIR": str(tmp_path)},
                "LANTHORN__DICOM_MODALITIES": FROM_FILE,
            }
        )
        bus = await stack.enter_async_context(wiring.open_bus(settings))
        registry = await stack.enter_async_context(wiring.open_remote_aes(settings, bus))
        await registry.put("added", REMOTE)
        known = dict(await registry.all())
        assert list(known) == ["added", "pacs", "scanner"]
        door.shut()
        # Whoever hears this reads again, and cannot.
        await bus.registry_signals.announce_change()
        await asyncio.sleep(0.05)
        assert dict(await registry.all()) == known
        assert [name for name, _ in await registry.by_ae_title("pacs")] == ["pacs"]
        with pytest.raises(IndexUnavailable):
            await registry.put("more", REMOTE)
        door.open()
        await registry.put("more", REMOTE)
        assert list(await registry.all()) == ["added", "more", "pacs", "scanner"]
