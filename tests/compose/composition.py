"""The compose file, brought up by the Docker that is there, for the length of a block."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx2

DEPLOY: Final = Path(__file__).parents[2] / "deploy"
OURS: Final = ("dimse-gateway", "indexer", "rest-api", "renderer")
ENGINES: Final = ("postgres", "nats", "minio")
_READY_WITHIN_S: Final = 240.0
_PATIENCE_S: Final = 600.0


@dataclass(frozen=True)
class Composition:
    """A running project of `deploy/compose.yaml`, with secrets, ports and a name of its own."""

    project: str
    environment: dict[str, str]
    secrets: Path
    dicom_port: int
    http_port: int

    def compose(self, *arguments: str) -> str:
        """Run Docker Compose, the plug-in or the old program; returns what it printed."""
        command = [*_compose_command(), "--file", str(DEPLOY / "compose.yaml")]
        return self._run([*command, "--project-name", self.project, *arguments])

    def docker(self, *arguments: str) -> str:
        """Run the Docker client."""
        return self._run(["docker", *arguments])

    def up(self, *arguments: str) -> None:
        """Bring up what is missing, and wait until all of it is ready."""
        self.compose("up", "--detach", "--no-build", *arguments)
        self.wait_until_ready()

    def containers(self, service: str) -> list[str]:
        """Give the containers' ids of a service."""
        return self._ps("{{.ID}}", f"label=com.docker.compose.service={service}")

    def _ps(self, template: str, *filters: str) -> list[str]:
        wanted = (f"label=com.docker.compose.project={self.project}", *filters)
        options = [option for each in wanted for option in ("--filter", each)]
        return self.docker("ps", "--no-trunc", "--format", template, *options).splitlines()

    def inspect(self, container: str) -> dict[str, Any]:
        """Give all that Docker tells about a container."""
        return dict(json.loads(self.docker("inspect", container))[0])

    def logs(self, container: str) -> str:
        """Give what a container has printed, to standard error as well."""
        return subprocess.run(
            ["docker", "logs", container],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=True,
        ).stdout

    def wait_until_ready(self) -> None:
        """Wait until every container with a health check is healthy, and HTTP answers."""
        give_up_at = time.monotonic() + _READY_WITHIN_S
        while waited_for := self._not_ready():
            assert time.monotonic() < give_up_at, (
                f"{waited_for}\n{self.compose('logs', '--tail=20')}"
            )
            time.sleep(1)

    def _not_ready(self) -> list[str]:
        lines = self._ps('{{.Label "com.docker.compose.service"}} {{.Status}}')
        states = [line.partition(" ")[::2] for line in lines]
        absent = {*OURS, *ENGINES, "ports"} - {service for service, _ in states}
        without_check = {"ports", "migrate"}
        return [
            *(f"{service} is absent" for service in absent),
            *(
                f"{service} {state}"
                for service, state in states
                if service not in without_check and "(healthy)" not in state
            ),
        ]

    @property
    def first_password(self) -> str:
        """What `make-secrets.sh` made for the user `lanthorn`."""
        return (self.secrets / "first_password").read_text().strip()

    def http(self, user: str = "lanthorn") -> httpx2.Client:
        """Make an HTTP client with the first password."""
        return httpx2.Client(
            base_url=f"http://127.0.0.1:{self.http_port}",
            auth=(user, self.first_password),
            timeout=30,
        )

    def _run(self, command: list[str]) -> str:
        done = subprocess.run(
            command,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=_PATIENCE_S,
            check=False,
        )
        assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"
        return done.stdout


@contextmanager
def composed(folder: Path, options: dict[str, Any]) -> Iterator[Composition]:
    """Bring the compose file up with these options of the configuration; takes all of it down.

    Parameters
    ----------
    folder : Path
        For secrets and configuration.
    """
    secrets, config = folder / "secrets", folder / "config"
    config.mkdir()
    (config / "lanthorn.json").write_text(json.dumps(options))
    subprocess.run([DEPLOY / "make-secrets.sh", secrets], check=True, stdout=subprocess.DEVNULL)
    dicom_port, http_port = _free_port(), _free_port()
    system = Composition(
        project=f"lanthorn-test-{os.getpid()}",
        environment={
            **os.environ,
            "LANTHORN_SECRETS": str(secrets),
            "LANTHORN_CONFIG_FOLDER": str(config),
            "LANTHORN_DICOM_PORT": str(dicom_port),
            "LANTHORN_HTTP_PORT": str(http_port),
        },
        secrets=secrets,
        dicom_port=dicom_port,
        http_port=http_port,
    )
    try:
        system.up()
        yield system
    finally:
        system.compose("down", "--volumes", "--timeout", "30")
        project = f"label=com.docker.compose.project={system.project}"
        for what in ("container", "volume", "network"):
            left = system.docker(what, "ls", "--quiet", "--filter", project)
            assert not left, f"{what} left behind: {left}"


def _compose_command() -> list[str]:
    plugin = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)
    if plugin.returncode == 0:
        return ["docker", "compose"]
    assert shutil.which("docker-compose"), "there is neither docker compose nor docker-compose"
    return ["docker-compose"]


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])
