"""What must hold in the compose files and the Dockerfile, whatever runs them."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[3]
DEPLOY = ROOT / "deploy"
DOCKERFILE = (DEPLOY / "docker" / "Dockerfile").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {folder.name for folder in (ROOT / "services").iterdir() if folder.is_dir()}


def version_of(member: str) -> str:
    project = tomllib.loads((ROOT / member / "pyproject.toml").read_text())["project"]
    return str(project["version"])


def test_each_service_has_an_image_and_a_place_in_the_compose_file() -> None:
    targets = set(re.findall(r"^FROM service AS (\S+)$", DOCKERFILE, re.MULTILINE))
    assert targets == OURS
    assert SERVICES.keys() >= OURS
    assert {SERVICES[name]["build"]["target"] for name in OURS} == OURS


def test_all_members_and_images_have_one_version() -> None:
    version = version_of("packages/lanthorn-core")
    assert {version_of(f"services/{name}") for name in OURS} == {version}
    images = {s["image"] for s in SERVICES.values() if s["image"].startswith("lanthorn/")}
    assert {image.rpartition("/")[2] for image in images} == {
        f"{name}:${{LANTHORN_VERSION:-{version}}}" for name in OURS
    }


@pytest.mark.parametrize("name", SERVICES)
def test_a_container_can_change_nothing_and_become_nobody(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not service.keys() & {"privileged", "cap_add", "network_mode", "pid", "devices"}


@pytest.mark.parametrize("name", SERVICES)
def test_secrets_come_as_files_that_are_declared_and_made(name: str) -> None:
    service = SERVICES[name]
    made = (DEPLOY / "make-secrets.sh").read_text()
    for variable, value in service.get("environment", {}).items():
        if re.search("PASSWORD|SECRET|ACCESS_KEY|ROOT_USER", variable):
            assert variable.endswith("_FILE")
            assert value.removeprefix("/run/secrets/") in service["secrets"]
    for secret in service.get("secrets", []):
        assert secret in COMPOSE["secrets"]
        assert re.search(rf"\b{secret}\b", made)


def test_only_the_holder_of_the_ports_publishes_any() -> None:
    assert [name for name, service in SERVICES.items() if "ports" in service] == ["ports"]


def test_only_those_share_a_network_that_must_talk() -> None:
    on = {
        network: {name for name, service in SERVICES.items() if network in service["networks"]}
        for network in COMPOSE["networks"]
    }
    assert on == {
        "outside": {"ports", "dimse-gateway", "rest-api"},
        "database": {"postgres", "migrate", "dimse-gateway", "rest-api", "indexer"},
        "stream": {"nats", "dimse-gateway", "rest-api", "indexer"},
        "objects": {"minio", "dimse-gateway", "rest-api", "indexer", "renderer"},
        "pictures": {"renderer", "dimse-gateway", "rest-api"},
    }
    closed = {name for name, network in COMPOSE["networks"].items() if network.get("internal")}
    assert closed == on.keys() - {"outside"}


def test_the_stand_ins_have_the_names_that_are_used() -> None:
    script = (ROOT / "tests" / "images" / "engines.sh").read_text()
    stand_ins = set(re.findall(r"^build \S+ (\S+)$", script, re.MULTILINE))
    assert stand_ins == {SERVICES[name]["image"] for name in ("postgres", "nats", "minio")}


def test_the_development_file_changes_services_that_exist() -> None:
    development = yaml.safe_load((DEPLOY / "compose.dev.yaml").read_text())
    assert development["services"].keys() <= SERVICES.keys()
    assert development["services"].keys() >= OURS
