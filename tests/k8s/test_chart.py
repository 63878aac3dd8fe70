"""The chart by itself: lint, render, validate, and what its values refuse."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.k8s.cluster import CHART, helm_template, run, values_files
from tests.k8s.schemas import write_schemas

pytestmark = pytest.mark.k8s
every_values_file = pytest.mark.parametrize("values", values_files(), ids=lambda file: file.stem)
every_mode = pytest.mark.parametrize("mode", [(), ("--is-upgrade",)], ids=["install", "upgrade"])

WITHOUT_SCHEMA = {"Cluster"}
"""CloudNativePG's, whose definition cannot be had as a Go module."""

OF_OPERATORS = {"ServiceMonitor", "PrometheusRule", "HTTPRoute"} | WITHOUT_SCHEMA
"""Which the cluster of the test may not know."""


@pytest.fixture(scope="session")
def schemas(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the folder of schemas that kubeconform reads."""
    folder = tmp_path_factory.mktemp("schemas")
    write_schemas(folder)
    return folder


def documents(rendered: str) -> list[dict[str, Any]]:
    return [document for document in yaml.safe_load_all(rendered) if document]


def pod_specs(rendered: str) -> list[dict[str, Any]]:
    """Give the spec of every pod that the documents make."""
    specs = []
    for document in documents(rendered):
        template = document.get("spec", {}).get("template")
        if document["kind"] == "Pod":
            specs.append(document["spec"])
        elif document["kind"] in {"Deployment", "StatefulSet", "Job"}:
            specs.append(template["spec"])
    return specs


@every_values_file
def test_the_linter_has_nothing_to_say(values: Path) -> None:
    run("helm", "lint", "--strict", CHART, "--values", values)


@every_values_file
@every_mode
def test_all_that_is_rendered_is_what_kubernetes_knows(
    values: Path, mode: tuple[str, ...], schemas: Path
) -> None:
    location = f"{schemas}/{{{{.ResourceKind}}}}{{{{.KindSuffix}}}}.json"
    answer = run(
        "kubeconform", "-strict", "-summary", "-output=json", "-schema-location", location,
        "-skip", ",".join(WITHOUT_SCHEMA), stdin=helm_template(values, *mode),
    )  # fmt: skip
    summary = json.loads(answer)["summary"]
    assert summary["valid"] > 20
    assert summary["invalid"] == summary["errors"] == 0


@every_values_file
@every_mode
def test_the_cluster_would_take_all_of_it(values: Path, mode: tuple[str, ...]) -> None:
    # A bare Pod is refused without its ServiceAccount, which a dry run does not make.
    left_out = {*OF_OPERATORS, "Pod"}
    rendered = documents(helm_template(values, *mode))
    ours = [document for document in rendered if document["kind"] not in left_out]
    run(
        "kubectl", "apply", "--dry-run=server", "--validate=strict", "--filename=-",
        stdin=yaml.safe_dump_all(ours),
    )  # fmt: skip


@every_values_file
@every_mode
def test_every_pod_is_restricted_and_has_no_token(values: Path, mode: tuple[str, ...]) -> None:
    specs = pod_specs(helm_template(values, *mode))
    assert specs
    for spec in specs:
        assert spec["automountServiceAccountToken"] is False
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in spec["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }


@every_values_file
def test_no_password_is_in_an_environment(values: Path) -> None:
    for spec in pod_specs(helm_template(values)):
        for container in spec["containers"]:
            for variable in container.get("env", []):
                assert "secretKeyRef" not in variable.get("valueFrom", {}), variable
                if re.search("PASSWORD|KEY|SECRET", variable["name"]):
                    assert variable["value"].startswith("/"), "a file, not a secret"


@every_values_file
def test_every_pod_is_closed_but_for_what_a_policy_opens(values: Path) -> None:
    rendered = documents(helm_template(values))
    policies = [each["spec"] for each in rendered if each["kind"] == "NetworkPolicy"]
    (closed,) = [each for each in policies if len(each["podSelector"]["matchLabels"]) == 2]
    assert closed["policyTypes"] == ["Ingress", "Egress"]
    assert "ingress" not in closed
    (rule,) = closed["egress"]
    assert {port["port"] for port in rule["ports"]} == {53}
    for document in rendered:
        if document["kind"] in {"Deployment", "StatefulSet"}:
            labels = document["spec"]["template"]["metadata"]["labels"]
            assert closed["podSelector"]["matchLabels"].items() <= labels.items()


@pytest.mark.parametrize(
    "wrong",
    [
        "dimseGatway.replicas=2",
        "dimseGateway.replica=2",
        "dimseGateway.replicas=many",
        "dimseGateway.service.port=70000",
        "dimseGateway.terminationGracePeriodSeconds=5",
        "renderer.resources.requests.memory=plenty",
        "configuration.DicomPort=104",
        "configuration.RegisteredUsers.somebody=secret",
        "postgresql.mode=sqlite",
        "postgresql.mode=existing",
        "postgresql.existing.url=postgresql://me:secret@db/lanthorn",
        "nats.mode=existing",
        "nats.bundled.replicas=2",
        "nats.existing.url=nats://me:secret@bus:4222",
        "objectStore.mode=existing",
        "objectStore.bucket=No_Bucket",
        "restApi.ingress.enabled=true",
        "spread.nodes=sometimes",
    ],
)
def test_wrong_values_are_refused_with_their_names(wrong: str) -> None:
    command = ["helm", "template", "lanthorn", CHART, "--kube-version=1.34", "--set", wrong]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    assert answer.returncode != 0
    section = wrong.partition("=")[0].partition(".")[0]
    assert "schema" in answer.stderr
    assert section in answer.stderr
