"""helm and kubectl as functions, on the current context; a release in its own namespace."""

from __future__ import annotations

import contextlib
import json
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

CHART = Path(__file__).parents[2] / "k8s" / "charts" / "lanthorn"
SMALL = CHART / "ci" / "minimal-values.yaml"
WAIT = "--timeout=12m"
SERVICES = ("dimse-gateway", "indexer", "rest-api", "renderer")
ENGINES = ("nats", "minio", "postgresql")


def run(*command: str | Path, stdin: str = "", check: bool = True) -> str:
    """Run a command; returns what it printed, and shows what it complained of."""
    words = [str(part) for part in command]
    done = subprocess.run(words, input=stdin, capture_output=True, text=True, check=False)
    if check and done.returncode:
        raise AssertionError(f"{words} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


@dataclass(frozen=True)
class Release:
    """One release of the chart, named `lanthorn`."""

    namespace: str
    name: str = "lanthorn"

    def helm(self, *arguments: str | Path) -> str:
        """Run helm in the namespace."""
        return run("helm", "--namespace", self.namespace, *arguments)

    def kubectl(self, *arguments: str, stdin: str = "", check: bool = True) -> str:
        """Run kubectl in the namespace."""
        return run("kubectl", "--namespace", self.namespace, *arguments, stdin=stdin, check=check)

    def get(self, *arguments: str) -> Any:
        """Ask for resources as JSON."""
        return json.loads(self.kubectl("get", *arguments, "--output=json"))

    def upgrade(self, *arguments: str | Path) -> None:
        """Upgrade with the values of before and those given, and wait until all is ready."""
        self.helm("upgrade", self.name, CHART, "--reuse-values", "--wait", WAIT, *arguments)

    def pods(self, component: str) -> list[str]:
        """Name the pods of a component that are not on their way out."""
        items = self.get("pods", f"--selector=app.kubernetes.io/component={component}")["items"]
        return [
            item["metadata"]["name"]
            for item in items
            if "deletionTimestamp" not in item["metadata"]
        ]

    def kill(self, pod: str) -> None:
        """Kill a pod at once, as the loss of its node would."""
        self.kubectl("delete", "pod", pod, "--force", "--grace-period=0", "--wait=false")

    def wait_until_ready(self) -> None:
        """Return when every Deployment and StatefulSet has all of its replicas."""
        for service in SERVICES:
            self.kubectl("rollout", "status", f"deployment/{self.name}-{service}", WAIT)
        for engine in ENGINES:
            self.kubectl("rollout", "status", f"statefulset/{self.name}-{engine}", WAIT)

    @property
    def password(self) -> str:
        """The password of the first user, as NOTES.txt tells to read it."""
        path = "--output=go-template={{ .data.password | base64decode }}"
        return self.kubectl("get", "secret", f"{self.name}-first-user", path)

    @contextlib.contextmanager
    def forwarded(self, target: str, port: int | str) -> Iterator[int]:
        """Reach a port of a service or pod from outside; gives the local port."""
        with subprocess.Popen(
            ["kubectl", "--namespace", self.namespace, "port-forward", target, f":{port}"],
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                assert process.stdout is not None
                line = process.stdout.readline()
                assert line.startswith("Forwarding from 127.0.0.1:"), line
                yield int(line.removeprefix("Forwarding from 127.0.0.1:").split()[0])
            finally:
                process.terminate()

    @contextlib.contextmanager
    def http(self) -> Iterator[httpx2.Client]:
        """Open a client of the REST API, as the first user."""
        with (
            self.forwarded(f"service/{self.name}-rest-api", "http") as port,
            httpx2.Client(
                base_url=f"http://127.0.0.1:{port}",
                auth=("lanthorn", self.password),
                timeout=60,
                trust_env=False,
            ) as client,
        ):
            yield client

    def metrics(self, pod: str) -> dict[str, float]:
        """Read a pod's metrics by name with labels."""
        with self.forwarded(f"pod/{pod}", 8043) as port:
            url = f"http://127.0.0.1:{port}/metrics"
            text = httpx2.get(url, trust_env=False, timeout=30).text
        lines = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
        return {name: float(value) for name, _, value in lines}


def eventually(what: str, check: Any, *, within_s: float = 120) -> None:
    """Return when `check()` is true."""
    give_up_at = time.monotonic() + within_s
    while not check():
        assert time.monotonic() < give_up_at, f"{what}: not within {within_s} s"
        time.sleep(1)


def helm_template(values: Path, *arguments: str) -> str:
    """Render the chart with a values file."""
    # Without a cluster some builds of helm take themselves for an old one.
    chart = ("lanthorn", CHART, "--kube-version=1.34")
    return run("helm", "template", *chart, "--values", values, *arguments)


def values_files() -> Sequence[Path]:
    """Name the values files that every test of the chart goes through."""
    return sorted((CHART / "ci").glob("*-values.yaml"))
