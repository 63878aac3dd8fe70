"""The cluster of the current context: images brought to it, and one release for the module."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from tests.k8s.cluster import CHART, SMALL, WAIT, Release, run

log = structlog.get_logger(__name__)
_MAKE_IMAGES = Path(__file__).parents[1] / "images" / "make.sh"
_SENDERS = {name: [name.upper(), "192.0.2.1", 104] for name in ("load", "outside")}


@pytest.fixture(scope="session")
def images_in_cluster(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Bring the images to the cluster, where a command for that is given.

    `LANTHORN_TEST_LOAD_IMAGE` is called with the name of each tar file; without it, the cluster
    pulls. `LANTHORN_TEST_IMAGES` is the folder where they are kept from one run to the next.
    """
    load = os.environ.get("LANTHORN_TEST_LOAD_IMAGE")
    if not load:
        return
    folder = Path(os.environ.get("LANTHORN_TEST_IMAGES") or tmp_path_factory.mktemp("images"))
    run(_MAKE_IMAGES, folder)
    for image in sorted(folder.glob("*.tar")):
        run(*shlex.split(load), image)


@pytest.fixture(scope="module")
def release(images_in_cluster: None) -> Iterator[Release]:
    """Install the chart in a namespace that takes restricted pods only."""
    release = Release(f"lanthorn-test-{os.getpid()}")
    run("kubectl", "create", "namespace", release.namespace)
    try:
        run(
            "kubectl", "label", "namespace", release.namespace,
            "pod-security.kubernetes.io/enforce=restricted",
        )  # fmt: skip
        release.helm(
            "install", release.name, CHART, "--values", SMALL, "--wait", WAIT,
            "--set-json", f"configuration.DicomModalities={json.dumps(_SENDERS)}",
        )  # fmt: skip
        yield release
    except AssertionError:
        log.warning("installation_failed", seen=release.kubectl("get", "events,pods"))
        raise
    finally:
        run("kubectl", "delete", "namespace", release.namespace)
