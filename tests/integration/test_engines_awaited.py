"""A service that starts before its engines waits for them, or says at once what is wrong."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from lanthorn_core import wiring
from lanthorn_embedded.engines.nats import NatsEngine
from lanthorn_embedded.engines.postgres import PostgresEngine
from lanthorn_embedded.sockets import LOOPBACK, ReservedPort
from tests.fixtures.database_door import database_door
from tests.fixtures.engines import serving_engine
from tests.fixtures.s3 import S3Server, rclone_over

NOBODY = f"{LOOPBACK}:1"
"""A port that nothing listens on."""


@dataclass
class Started:
    """A service that was started, with its health and its log."""

    process: asyncio.subprocess.Process
    port: int
    log: Path
    ports: list[ReservedPort] = field(default_factory=list)

    def ask(self, path: str) -> tuple[int, Any]:
        """GET of its health: status (0 while nobody listens) and document."""
        try:
            url = f"http://{LOOPBACK}:{self.port}{path}"
            with urllib.request.urlopen(url, timeout=5) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as refusal:
            with refusal:
                return refusal.code, json.loads(refusal.read())
        except OSError:
            return 0, None

    async def until(self, condition: Callable[[], bool]) -> None:
        """Return when this holds; the process must live."""
        async with asyncio.timeout(60):
            while not await asyncio.to_thread(condition):
                assert self.process.returncode is None, self.log.read_text()
                await asyncio.sleep(0.05)

    async def until_it_awaits(self, failure: str) -> None:
        """Return when it is not ready for this failure; it is alive."""
        starting = {"status": "starting", "awaits": failure}
        await self.until(lambda: self.ask("/readyz") == (503, starting))
        assert await asyncio.to_thread(self.ask, "/livez") == (200, {"status": "alive"})

    async def checks(self) -> dict[str, str]:
        """Return what readiness says of each port once it has begun."""
        await self.until(lambda: "checks" in (self.ask("/readyz")[1] or ()))
        _, document = await asyncio.to_thread(self.ask, "/readyz")
        found: dict[str, str] = document["checks"]
        return found

    async def stop(self) -> int:
        """Send SIGTERM; return the exit code."""
        self.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(30):
            return await self.process.wait()

    def events(self) -> list[str]:
        """Name what it logged, in order."""
        whole = self.log.read_text().rpartition("\n")[0]  # the last line may be in the making
        return [json.loads(line)["event"] for line in whole.splitlines()]

    def waits_told(self) -> list[str]:
        """Name what it logged of its waiting."""
        names = ("engines_awaited", "engines_answered", "bus_connection_failed")
        return [event for event in self.events() if event in names]


@contextlib.asynccontextmanager
async def started(module: str, folder: Path, variables: dict[str, str]) -> AsyncIterator[Started]:
    """Run a service for the length of the block."""
    health, http, dicom = ReservedPort(), ReservedPort(), ReservedPort()
    log = folder / f"{module}.log"
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", module),
            env={
                **os.environ,
                "LANTHORN_DATA_DIR": str(folder),
                "LANTHORN_LISTEN": f"{LOOPBACK}:{health.number}",
                "LANTHORN__HTTP_PORT": str(http.number),
                "LANTHORN__DICOM_PORT": str(dicom.number),
                "RENDERER_URL": f"http://{NOBODY}",
                **variables,
            },
            stdout=output,
            stderr=asyncio.subprocess.STDOUT,
        )
    try:
        yield Started(process, health.number, log, [health, http, dicom])
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@dataclass(frozen=True)
class Engines:
    """Engines that are not there yet, and how to open each."""

    variables: dict[str, str]
    postgres: PostgresEngine
    database: str
    folder: Path
    nats: NatsEngine
    s3: S3Server


@pytest.fixture
def engines(
    postgres_engine: PostgresEngine, database_url: str, engines_folder: Path, tmp_path: Path
) -> Engines:
    """Give addresses of engines that nobody has opened."""
    database = database_url.partition("///")[2].partition("?")[0]
    folder = engines_folder / f"door-{database}"  # a short path, for a socket
    folder.mkdir()
    (tmp_path / "s3" / "buckets").mkdir(parents=True)
    s3 = rclone_over(tmp_path / "s3")
    nats = NatsEngine(tmp_path / "nats")
    socket_folder = database_url.partition("host=")[2].partition("&")[0]
    variables = {
        "DATABASE_URL": database_url.replace(socket_folder, str(folder)),
        "NATS_URL": nats.url,
        **{**s3.variables, "S3_BUCKET": "images"},
    }
    return Engines(variables, postgres_engine, database, folder, nats, s3)


@pytest.mark.parametrize(
    ("module", "awaited", "lacking"),
    [
        ("lanthorn_renderer", ["StorageUnavailable"], {}),
        # Without a database it stores, and so does not wait for it.
        ("lanthorn_dimse_gateway", ["StorageUnavailable", "BusUnavailable"], {}),
        (
            "lanthorn_indexer",
            ["IndexUnavailable", "StorageUnavailable", "BusUnavailable"],
            {},
        ),
        (
            "lanthorn_rest_api",
            ["IndexUnavailable", "StorageUnavailable", "BusUnavailable"],
            {"renderer": "RendererUnavailable"},
        ),
    ],
)
async def test_a_service_waits_for_its_engines_and_begins_when_they_answer(
    engines: Engines, tmp_path: Path, module: str, awaited: list[str], lacking: dict[str, str]
) -> None:
    async with contextlib.AsyncExitStack() as stack:

        async def open_engine(failure: str) -> None:
            if failure == "IndexUnavailable":
                door = database_door(engines.postgres, engines.database, engines.folder)
                await stack.enter_async_context(door)
            elif failure == "StorageUnavailable":
                stack.enter_context(engines.s3.running())
            else:
                stack.enter_context(serving_engine(engines.nats, tmp_path / "nats.log"))

        service = await stack.enter_async_context(started(module, tmp_path, engines.variables))
        for failure in awaited:
            await service.until_it_awaits(failure)
            await open_engine(failure)
        checks = await service.checks()
        assert {name: how for name, how in checks.items() if how != "ok"} == lacking
        assert service.waits_told() == ["engines_awaited", "engines_answered"]
        assert await service.stop() == 0


@pytest.mark.parametrize(
    "module",
    ["lanthorn_renderer", "lanthorn_dimse_gateway", "lanthorn_indexer", "lanthorn_rest_api"],
)
async def test_a_signal_ends_the_wait_at_once(
    engines: Engines, tmp_path: Path, module: str
) -> None:
    # Nobody is served who would need the time, and nothing is in hand that needed any.
    patience = {"LANTHORN_DRAIN_DELAY": "600", "LANTHORN_DRAIN_TIMEOUT": "600"}
    async with started(module, tmp_path, {**engines.variables, **patience}) as service:
        await service.until(lambda: "engines_awaited" in service.events())
        assert await service.stop() == 0
        assert [event for event in service.events() if event.endswith("crashed")] == []


async def test_a_service_waits_for_the_migration_of_its_database(
    empty_database_url: str, nats_url: str, tmp_path: Path
) -> None:
    variables = {"DATABASE_URL": empty_database_url, "NATS_URL": nats_url}
    async with started("lanthorn_indexer", tmp_path, variables) as service:
        await service.until_it_awaits("SchemaOutdated")
        await wiring.migrate(empty_database_url)
        assert await service.checks() == {"objects": "ok", "stream": "ok"}
        assert service.waits_told() == ["engines_awaited", "engines_answered"]


async def test_a_migration_waits_for_its_database(engines: Engines, tmp_path: Path) -> None:
    async with contextlib.AsyncExitStack() as stack:
        variables = {"DATABASE_URL": engines.variables["DATABASE_URL"]}
        migration = await stack.enter_async_context(
            started("lanthorn_indexer.migrate", tmp_path, variables)
        )
        await migration.until(lambda: "engines_awaited" in migration.events())
        await stack.enter_async_context(
            database_door(engines.postgres, engines.database, engines.folder)
        )
        async with asyncio.timeout(60):
            assert await migration.process.wait() == 0
        assert migration.events() == ["engines_awaited", "engines_answered", "database_migrated"]


@pytest.mark.parametrize("module", ["lanthorn_indexer", "lanthorn_rest_api"])
async def test_a_database_that_lets_us_not_in_ends_the_start(
    postgres_engine: PostgresEngine, nats_url: str, tmp_path: Path, module: str
) -> None:
    variables = {"DATABASE_URL": postgres_engine.url_of("of_nobody"), "NATS_URL": nats_url}
    told = await _ended(module, tmp_path, variables)
    assert "IndexRefused: The database refuses us: InvalidCatalogNameError" in told


async def test_a_stream_that_lets_us_not_in_ends_the_start(
    database_url: str, nats_url: str, tmp_path: Path
) -> None:
    account, _, address = nats_url.rpartition("@")
    variables = {"DATABASE_URL": database_url, "NATS_URL": f"{account}-not@{address}"}
    told = await _ended("lanthorn_dimse_gateway", tmp_path, variables)
    assert "BusRefused: NATS refuses us, or is not trusted" in told


async def test_an_object_store_that_lets_us_not_in_ends_the_start(
    rclone_bucket: S3Server, tmp_path: Path
) -> None:
    variables = {**rclone_bucket.variables, "S3_SECRET_KEY": "another"}
    told = await _ended("lanthorn_renderer", tmp_path, variables)
    assert "StorageRefused: The object store answered 403" in told


async def test_a_data_folder_that_we_may_not_write_to_ends_the_start(tmp_path: Path) -> None:
    variables = {"LANTHORN_DATA_DIR": "/proc/lanthorn"}
    told = await _ended("lanthorn_renderer", tmp_path, variables)
    assert "StorageRefused: /proc/lanthorn/objects cannot be used" in told


async def test_an_address_that_is_none_ends_the_start(tmp_path: Path) -> None:
    variables = {"NATS_URL": "nats://bus:port"}
    told = await _ended("lanthorn_dimse_gateway", tmp_path, variables, code=2)
    assert "NATS_URL = (hidden): expected nats://host:port" in told


async def _ended(module: str, folder: Path, variables: dict[str, str], *, code: int = 1) -> str:
    """Run a service that ends by itself with this exit code; what it said."""
    async with started(module, folder, variables) as service:
        async with asyncio.timeout(60):
            assert await service.process.wait() == code, service.log.read_text()
        assert "engines_awaited" not in service.log.read_text()
        return service.log.read_text()
