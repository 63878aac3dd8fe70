"""The engines of a small cluster: three nats-servers, a PostgreSQL primary and its standby."""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
from pathlib import Path
from typing import Any

import asyncpg
import nats
from nats.aio.client import Client

from lanthorn_core.events import STREAM
from lanthorn_embedded.child import run_to_end
from lanthorn_embedded.engines.accounts import choose_account
from lanthorn_embedded.engines.nats import find_nats_server
from lanthorn_embedded.engines.postgres import find_programs
from lanthorn_embedded.errors import NotReady
from lanthorn_embedded.sockets import LOOPBACK
from tests.faults.processes import Process
from tests.faults.proxy import Proxy
from tests.fixtures.s3 import free_port

_NATS_CONFIGURATION = """\
server_name: {name}
listen: "{host}:{port}"
authorization {{ user: lanthorn, password: {password} }}
jetstream {{ store_dir: "{store}" }}
cluster {{
  name: lanthorn
  listen: "{host}:{route_port}"
  no_advertise: true  # clients know the servers by their proxies
  authorization {{ user: route, password: {password} }}
  routes: [{routes}]
}}
"""


class NatsNode(Process):
    """One nats-server of a cluster, behind a proxy."""

    def __init__(self, name: str, folder: Path) -> None:
        self.port, self.route_port = free_port(), free_port()
        self.proxy = Proxy(self.port)
        self._folder = folder
        self._configuration = folder / f"{name}.conf"
        command = (str(find_nats_server()), "--config", str(self._configuration))
        super().__init__(name, command, os.environ, is_ready=self._greets, folder=folder)

    def configure(self, nodes: list[NatsNode], password: str) -> None:
        """Write down who the others are."""
        routes = ", ".join(f'"nats://route:{password}@{LOOPBACK}:{n.route_port}"' for n in nodes)
        self._configuration.write_text(
            _NATS_CONFIGURATION.format(
                name=self.name,
                host=LOOPBACK,
                port=self.port,
                route_port=self.route_port,
                password=password,
                store=self._folder / self.name,
                routes=routes,
            )
        )

    async def _greets(self) -> None:
        _, writer = await asyncio.open_connection(LOOPBACK, self.port)
        writer.close()


class NatsCluster:
    """Three nats-servers."""

    def __init__(self, folder: Path) -> None:
        self._password = secrets.token_hex(8)
        self.nodes = [NatsNode(f"nats-{number}", folder) for number in (1, 2, 3)]
        for node in self.nodes:
            node.configure(self.nodes, self._password)

    @property
    def url(self) -> str:
        """All servers, through their proxies."""
        return self._url(node.proxy.port for node in self.nodes)

    def _url(self, ports: Any) -> str:
        return ",".join(f"nats://lanthorn:{self._password}@{LOOPBACK}:{port}" for port in ports)

    async def is_ready(self) -> None:
        """Return when JetStream has a leader."""
        client = await self._client()
        try:
            await client.jetstream().account_info()
        except nats.errors.Error as error:
            raise NotReady(f"JetStream has no leader yet: {error!r}") from error
        finally:
            await client.close()

    def stream_leader(self) -> NatsNode:
        """Tell which server leads the stream of events."""
        leader = asyncio.run(self._stream_info()).cluster.leader
        return next(node for node in self.nodes if node.name == leader)

    def stream_replicas(self) -> int:
        """Tell on how many servers the stream of events lies."""
        return asyncio.run(self._stream_info()).config.num_replicas

    async def _stream_info(self) -> Any:
        client = await self._client()
        try:
            return await client.jetstream().stream_info(STREAM)
        finally:
            await client.close()

    async def _client(self) -> Client:
        return await nats.connect(
            self._url(node.port for node in self.nodes).split(","),
            connect_timeout=1,
            max_reconnect_attempts=3,
            reconnect_time_wait=0.1,
        )


class PostgresServer(Process):
    """One PostgreSQL server on a port of the loopback, behind a proxy."""

    USER = "lanthorn"
    SETTINGS = (
        "shared_buffers=32MB", "max_connections=100", "wal_level=replica", "max_wal_senders=4",
        "wal_keep_size=256MB", "unix_socket_directories=", "synchronous_commit=on",
        "wal_receiver_timeout=5s", "wal_retrieve_retry_interval=200ms",
    )  # fmt: skip

    def __init__(self, name: str, folder: Path, password: str) -> None:
        self.port = free_port()
        self.proxy = Proxy(self.port)
        self.folder = folder / name
        self._password = password
        self._programs = find_programs(self.folder)
        account = choose_account(self.folder, (self._programs, folder))
        settings = [f"listen_addresses={LOOPBACK}", f"port={self.port}", *self.SETTINGS]
        command = (
            *(str(self._programs / "postgres"), "-D", str(self.folder)),
            *(part for setting in settings for part in ("-c", setting)),
        )
        environment = {"LC_ALL": "C", "PATH": os.environ["PATH"]}
        super().__init__(
            name,
            command,
            environment,
            is_ready=self._answers,
            folder=folder,
            account=account,
        )
        self._account, self._environment = account, environment

    def initialise(self) -> None:
        """Make an empty cluster."""
        self._make_folder()
        password = self.folder.parent / "password"
        password.write_text(self._password)
        password.chmod(0o644)
        self._run(
            *("initdb", "-D", str(self.folder), f"--username={self.USER}", "--locale=C"),
            *("--encoding=UTF8", "--auth=scram-sha-256", f"--pwfile={password}", "--no-sync"),
        )
        with (self.folder / "pg_hba.conf").open("a") as rules:
            rules.write(f"host replication {self.USER} {LOOPBACK}/32 scram-sha-256\n")

    def follow(self, primary: PostgresServer, through: Proxy) -> None:
        """Become a standby of `primary`, which runs; what it sends comes through a proxy."""
        self._make_folder()
        source = (
            f"host={LOOPBACK} port={{}} user={self.USER} password={self._password} "
            f"application_name={self.name}"
        )
        self._run(
            *("pg_basebackup", "-D", str(self.folder), "--checkpoint=fast", "--no-sync"),
            *("-d", source.format(primary.port)),
        )
        with (self.folder / "postgresql.auto.conf").open("a") as settings:
            settings.write(f"primary_conninfo = '{source.format(through.port)}'\n")
        (self.folder / "standby.signal").touch()

    def _make_folder(self) -> None:
        self.folder.mkdir(mode=0o700)
        if self._account is not None:
            shutil.chown(self.folder, self._account.uid, self._account.gid)

    def _run(self, program: str, *arguments: str) -> None:
        command = (str(self._programs / program), *arguments)
        code, output = asyncio.run(
            run_to_end(command, environment=self._environment, account=self._account)
        )
        assert code == 0, output

    def query(self, statement: str, database: str = "postgres") -> Any:
        """Run a statement, past the proxy; returns its first value."""
        return asyncio.run(self._query(statement, database))

    async def _query(self, statement: str, database: str) -> Any:
        connection = await asyncpg.connect(
            host=LOOPBACK,
            port=self.port,
            user=self.USER,
            password=self._password,
            database=database,
        )
        try:
            return await connection.fetchval(statement)
        finally:
            await connection.close()

    async def _answers(self) -> None:
        try:
            await self._query("SELECT 1", "postgres")
        except asyncpg.CannotConnectNowError as error:
            raise NotReady(str(error)) from error
