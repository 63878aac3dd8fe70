"""Lanthorn on a small cluster: every service twice, real engines, a proxy before each engine."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from lanthorn_core.wiring import migrate
from lanthorn_embedded.readiness import http_get, service_ready
from lanthorn_embedded.sockets import LOOPBACK
from tests.faults.engines import NatsCluster, PostgresServer
from tests.faults.processes import READY_WITHIN_S, Process
from tests.faults.proxy import Proxy
from tests.fixtures.running_lanthorn import clean_environment
from tests.fixtures.s3 import (
    ACCESS_KEY,
    MINIO_VARIABLE,
    SECRET_KEY,
    S3Server,
    free_port,
    minio_over,
    rclone_over,
)

_REPLICAS = (1, 2)


@dataclass
class Cluster:
    """The system under test. What a test breaks, it mends."""

    nats: NatsCluster
    primary: PostgresServer
    standby: PostgresServer
    replication: Proxy
    objects: Proxy
    store: S3Server
    services: dict[str, Process]
    dicom_ports: tuple[int, ...]
    http_ports: tuple[int, ...]
    renderer_port: int
    indexer_ports: dict[str, int]

    def wait_until_ready(self) -> None:
        """Return when every service says that it is ready."""
        for service in self.services.values():
            service.wait_until_ready()

    def active_indexer(self) -> Process:
        """Tell which indexer writes."""
        give_up_at = time.monotonic() + READY_WITHIN_S
        while True:
            for name, port in self.indexer_ports.items():
                with contextlib.suppress(OSError):
                    answer = asyncio.run(http_get(LOOPBACK, port, "/metrics"))
                    if b"\nlanthorn_indexer_active 1.0" in answer.body:
                        return self.services[name]
            assert time.monotonic() < give_up_at, "no indexer became active"
            time.sleep(0.1)


@contextlib.contextmanager
def running_cluster(folder: Path) -> Iterator[Cluster]:
    """Start all of it; nothing is left when the block ends."""
    password = secrets.token_hex(8)
    store_folder = folder / "objects"
    (store_folder / "buckets").mkdir(parents=True)
    has_minio = bool(os.environ.get(MINIO_VARIABLE))
    store = minio_over(store_folder) if has_minio else rclone_over(store_folder)
    nats = NatsCluster(folder)
    primary = PostgresServer("postgres-1", folder, password)
    standby = PostgresServer("postgres-2", folder, password)
    objects, replication = Proxy(store.port), Proxy(primary.port)
    with contextlib.ExitStack() as stack:
        stack.enter_context(store.running())
        for node in nats.nodes:
            stack.enter_context(node.running())
        primary.initialise()
        stack.enter_context(primary.running())
        primary.wait_until_ready()
        primary.query("CREATE DATABASE lanthorn")
        for proxy in (objects, replication, primary.proxy, standby.proxy):
            stack.enter_context(proxy.running())
        for node in nats.nodes:
            stack.enter_context(node.proxy.running())
            node.wait_until_ready()
        standby.follow(primary, replication)
        stack.enter_context(standby.running())
        standby.wait_until_ready()
        hosts = ",".join(f"{LOOPBACK}:{server.proxy.port}" for server in (primary, standby))
        environment = {
            **clean_environment(),
            "DATABASE_URL": f"postgresql://{PostgresServer.USER}:{password}@{hosts}/lanthorn",
            "NATS_URL": nats.url,
            "NATS_STREAM_REPLICAS": "3",
            "S3_ENDPOINT": f"http://{LOOPBACK}:{objects.port}",
            "S3_ACCESS_KEY": ACCESS_KEY,
            "S3_SECRET_KEY": SECRET_KEY,
            "LANTHORN_DATA_DIR": str(folder / "spool"),
            "LANTHORN__DICOM_ALWAYS_ALLOW_FIND": "true",
        }
        asyncio.run(_prepare(environment["DATABASE_URL"], nats))
        engines = partial(Cluster, nats, primary, standby, replication, objects, store)
        cluster = _with_services(engines, environment, folder)
        for service in cluster.services.values():
            stack.enter_context(service.running())
        cluster.wait_until_ready()
        yield cluster


async def _prepare(database_url: str, nats: NatsCluster) -> None:
    await migrate(database_url)
    give_up_at = time.monotonic() + READY_WITHIN_S
    while True:
        try:
            return await nats.is_ready()
        except Exception:
            assert time.monotonic() < give_up_at, nats.nodes[0].last_words()
            await asyncio.sleep(0.2)


def _with_services(
    engines: Callable[..., Cluster], environment: Mapping[str, str], folder: Path
) -> Cluster:
    renderer_port = free_port()
    shared = {**environment, "RENDERER_URL": f"http://{LOOPBACK}:{renderer_port}"}
    services: dict[str, Process] = {}
    dicom_ports, http_ports = [], []
    indexer_ports = {}

    def add(name: str, module: str, port: int, **variables: str) -> None:
        variables["LANTHORN_LISTEN"] = f"{LOOPBACK}:{port}"
        services[name] = Process(
            name,
            (sys.executable, "-P", "-m", module),
            {**shared, "PYTHONUNBUFFERED": "1", **variables},
            is_ready=service_ready(port),
            folder=folder,
        )

    add("renderer", "lanthorn_renderer", renderer_port)
    for number in _REPLICAS:
        indexer_ports[f"indexer-{number}"] = free_port()
        add(f"indexer-{number}", "lanthorn_indexer", indexer_ports[f"indexer-{number}"])
        dicom_ports.append(free_port())
        add(
            f"gateway-{number}",
            "lanthorn_dimse_gateway",
            free_port(),
            LANTHORN__DICOM_PORT=str(dicom_ports[-1]),
        )
        http_ports.append(free_port())
        services[f"rest-api-{number}"] = Process(
            f"rest-api-{number}",
            (sys.executable, "-P", "-m", "lanthorn_rest_api"),
            {**shared, "PYTHONUNBUFFERED": "1", "LANTHORN__HTTP_PORT": str(http_ports[-1])},
            is_ready=service_ready(http_ports[-1]),
            folder=folder,
        )
    return engines(
        services=services,
        dicom_ports=tuple(dicom_ports),
        http_ports=tuple(http_ports),
        renderer_port=renderer_port,
        indexer_ports=indexer_ports,
    )
