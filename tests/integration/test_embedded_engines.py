"""The private PostgreSQL and nats-server, run by the supervisor as `lanthorn up` does."""

# ruff: noqa: ASYNC220, ASYNC240 - the loop has nothing else to do here

import asyncio
import contextlib
import os
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import asyncpg
import nats
import pytest

from lanthorn_embedded.engines import accounts
from lanthorn_embedded.engines.nats import NatsEngine
from lanthorn_embedded.engines.postgres import PostgresEngine
from lanthorn_embedded.errors import EngineFailed
from lanthorn_embedded.supervisor import Supervisor
from tests.fixtures.processes import wait_for_no_process

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes somebody else")


@pytest.fixture
def folder() -> Iterator[Path]:
    """Make a folder with a short path, unlike `tmp_path`."""
    with tempfile.TemporaryDirectory(prefix="lanthorn-test-") as name:
        Path(name).chmod(0o711)
        yield Path(name)


def postgres_in(folder: Path) -> PostgresEngine:
    return PostgresEngine(folder / "postgres", folder / "socket")


@contextlib.asynccontextmanager
async def serving(*engines: PostgresEngine | NatsEngine) -> AsyncIterator[Supervisor]:
    said: list[str] = []
    try:
        async with Supervisor(lambda record: said.append(record.as_json())) as supervisor:
            await supervisor.start([engine.child(os.environ) for engine in engines])
            yield supervisor
    except BaseException:
        print("\n".join(said))  # noqa: T201 - pytest shows it with the failure
        raise


async def fetch(engine: PostgresEngine, query: str) -> object:
    connection = await asyncpg.connect(engine.url)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


async def eventually(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - what we wait for is another process
            await asyncio.sleep(0.02)


async def test_a_new_cluster_sorts_by_code_point_and_survives_a_power_loss(folder: Path) -> None:
    engine = postgres_in(folder)
    async with serving(engine):
        locale = await fetch(
            engine,
            "SELECT datlocprovider::text || datlocale || pg_encoding_to_char(encoding) "
            "FROM pg_database WHERE datname = 'lanthorn'",
        )
        assert locale == "bC.UTF-8UTF8"
        for setting in ("fsync", "synchronous_commit", "full_page_writes", "data_checksums"):
            assert await fetch(engine, f"SHOW {setting}") == "on"
        assert await fetch(engine, "SELECT upper('é')") == "É"


async def test_the_server_listens_on_a_socket_in_a_closed_folder_only(folder: Path) -> None:
    engine = postgres_in(folder)
    async with serving(engine):
        assert await fetch(engine, "SHOW listen_addresses") == ""
        assert (folder / "socket").stat().st_mode & 0o777 == 0o700
        assert (folder / "postgres").stat().st_mode & 0o077 == 0
    assert not list((folder / "socket").glob(".s.PGSQL*"))


async def test_a_second_start_finds_the_data_and_settings_of_the_user(folder: Path) -> None:
    engine = postgres_in(folder)
    async with serving(engine):
        await fetch(engine, "CREATE TABLE kept AS SELECT 42 AS answer")
    (folder / "postgres" / "local.conf").write_text("work_mem = 7MB\n")
    engine = postgres_in(folder)
    async with serving(engine):
        assert await fetch(engine, "SELECT answer FROM kept") == 42
        assert await fetch(engine, "SHOW work_mem") == "7MB"


async def test_killed_servers_come_back_by_themselves_with_what_they_acknowledged(
    folder: Path,
) -> None:
    database, bus = postgres_in(folder), NatsEngine(folder / "nats")
    async with serving(database, bus) as supervisor:
        await fetch(database, "CREATE TABLE kept AS SELECT 42 AS answer")
        url = bus.url
        client = await nats.connect(url)
        stream = client.jetstream()
        await stream.add_stream(name="KEPT", subjects=["kept"])
        await stream.publish("kept", b"event")
        await client.close()
        for state in supervisor.states():
            os.kill(state.pid or 0, signal.SIGKILL)
        await eventually(lambda: all(s.restarts and s.ready for s in supervisor.states()))
        assert await fetch(database, "SELECT answer FROM kept") == 42
        assert bus.url == url
        client = await nats.connect(url)
        assert (await client.jetstream().get_last_msg("KEPT", "kept")).data == b"event"
        await client.close()


async def test_a_pid_file_that_names_another_process_of_the_same_user_is_stale(
    folder: Path,
) -> None:
    engine = postgres_in(folder)
    async with serving(engine):
        pass
    cluster = folder / "postgres"
    with subprocess.Popen(["sleep", "60"], user=cluster.stat().st_uid) as other:
        (cluster / "postmaster.pid").write_text(f"{other.pid}\n{cluster}\n1\n5432\n")
        async with serving(engine):
            assert await fetch(engine, "SELECT 1") == 1
        other.kill()


async def test_an_interrupted_first_start_leaves_nothing_in_the_way(folder: Path) -> None:
    engine = postgres_in(folder)
    (folder / "postgres.new" / "base").mkdir(parents=True)
    (folder / "postgres").mkdir()
    async with serving(engine):
        assert await fetch(engine, "SELECT 1") == 1


async def test_a_folder_that_holds_something_else_is_not_touched(folder: Path) -> None:
    (folder / "postgres").mkdir()
    (folder / "postgres" / "thesis.txt").write_text("years of work")
    engine = postgres_in(folder)
    with pytest.raises(EngineFailed, match=r"postgres holds something else"):
        await engine.prepare()
    assert (folder / "postgres" / "thesis.txt").read_text() == "years of work"


@pytest.mark.parametrize("name", ["n" * 120, "with space, comma 'and quotes'", "naïve"])
async def test_any_path_will_do(folder: Path, name: str) -> None:
    root = folder / name
    root.mkdir(mode=0o711)
    engine = postgres_in(root)
    async with serving(engine):
        assert await fetch(engine, "SELECT 1") == 1
        socket = Path(str(await fetch(engine, "SHOW unix_socket_directories")))
        assert len(str(socket / ".s.PGSQL.5432")) <= 107
        assert socket.stat().st_mode & 0o777 == 0o700
    engine.remove_socket_folder()
    assert not socket.exists()


async def test_a_short_socket_folder_of_somebody_else_is_not_used(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", "")
    root = folder / ("n" * 120)
    root.mkdir(mode=0o711)
    expected = Path(postgres_in(root).url.partition("host=")[2].partition("&")[0])
    expected.symlink_to(folder)
    try:
        assert str(expected) + "&" not in postgres_in(root).url
    finally:
        expected.unlink()


@as_root
async def test_root_runs_the_server_as_somebody_else_even_in_a_closed_home(folder: Path) -> None:
    home = folder / "home"
    home.mkdir(mode=0o700)
    (home / "data").mkdir(mode=0o700)
    engine = postgres_in(home / "data")
    async with serving(engine) as supervisor:
        assert await fetch(engine, "SELECT 1") == 1
        status = Path(f"/proc/{supervisor.states()[0].pid}/status").read_text()
        uid = int(status.partition("\nUid:")[2].split()[0])
        assert uid == (home / "data" / "postgres").stat().st_uid != 0
    assert home.stat().st_mode & 0o777 == 0o700


@as_root
async def test_root_without_its_rights_is_told_what_cannot_be_reached(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = folder / "home"
    home.mkdir(mode=0o700)
    monkeypatch.setattr(accounts, "held_capabilities", lambda: 0)
    with pytest.raises(EngineFailed, match=r"cannot reach .*--data"):
        postgres_in(home)


async def test_the_bus_asks_for_its_secret(folder: Path) -> None:
    engine = NatsEngine(folder / "nats")
    async with serving(engine):
        assert (folder / "nats" / "nats.conf").stat().st_mode & 0o777 == 0o600
        assert engine.url != NatsEngine(folder / "nats").url
        port = int(engine.url.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        await reader.readline()  # INFO
        writer.write(b'CONNECT {"user": "lanthorn", "pass": "guess"}\r\nPING\r\n')
        assert b"Authorization Violation" in await reader.readline()
        writer.close()
        await writer.wait_closed()


async def test_nothing_is_left_of_the_servers_after_a_stop(folder: Path) -> None:
    async with serving(postgres_in(folder), NatsEngine(folder / "nats")):
        pass
    wait_for_no_process(folder)
