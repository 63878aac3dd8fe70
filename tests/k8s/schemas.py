"""JSON schemas of what the chart makes, as kubeconform wants them.

They come from the Go modules of Kubernetes and of the operators, because those can be had wherever
Go programs are built; the usual collection of schemas lies on a web site.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import yaml

from tests.k8s.cluster import run

KUBERNETES: Final = "k8s.io/kubernetes@v1.34.4"
OPERATORS: Final = {
    "sigs.k8s.io/gateway-api@v1.4.0": [
        "config/crd/standard/gateway.networking.k8s.io_httproutes.yaml",
    ],
    "github.com/prometheus-operator/prometheus-operator@v0.85.0": [
        "example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml",
        "example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml",
    ],
}
"""Modules with definitions of custom resources; CloudNativePG's cannot be had."""

_KINDS: Final = "x-kubernetes-group-version-kind"


def write_schemas(folder: Path) -> None:
    """Write a file ``<kind>-<group>-<version>.json`` for each kind; unknown fields are refused."""
    openapi = json.loads((_module(KUBERNETES) / "api/openapi-spec/swagger.json").read_text())
    definitions = {name: _strict(schema) for name, schema in openapi["definitions"].items()}
    (folder / "_definitions.json").write_text(json.dumps({"definitions": definitions}))
    for name, schema in openapi["definitions"].items():
        if len(schema.get(_KINDS, [])) == 1:  # DeleteOptions and the like are of every group
            link = {"$ref": f"_definitions.json#/definitions/{name}"}
            (folder / _file_name(**schema[_KINDS][0])).write_text(json.dumps(link))
    for file_name, schema in _custom_resources():
        (folder / file_name).write_text(json.dumps(_strict(schema)))


def _custom_resources() -> Iterator[tuple[str, dict[str, Any]]]:
    for module, files in OPERATORS.items():
        for file in files:
            spec = yaml.load((_module(module) / file).read_text(), yaml.CSafeLoader)["spec"]
            for version in spec["versions"]:
                kind = _file_name(spec["group"], spec["names"]["kind"], version["name"])
                yield kind, version["schema"]["openAPIV3Schema"]


def _module(name: str) -> Path:
    return Path(json.loads(run("go", "mod", "download", "-json", name))["Dir"])


def _file_name(group: str, kind: str, version: str) -> str:
    """Name a schema as kubeconform does: only the first word of a group counts."""
    parts = [kind.lower(), group.split(".", maxsplit=1)[0], version]
    return "-".join(part for part in parts if part) + ".json"


def _strict(schema: dict[str, Any]) -> dict[str, Any]:
    """Close the objects whose fields are named, and make JSON schema of Kubernetes' own words."""
    if schema.get("format") == "int-or-string" or schema.get("x-kubernetes-int-or-string"):
        return {"type": ["integer", "string"]}
    closed = {word: value for word, value in schema.items() if not word.startswith("x-")}
    if "properties" in schema:
        closed["properties"] = {
            name: _strict(inner) for name, inner in schema["properties"].items()
        }
        if "x-kubernetes-preserve-unknown-fields" not in schema:
            closed.setdefault("additionalProperties", False)
    for place in ("items", "additionalProperties"):
        if isinstance(schema.get(place), dict):
            closed[place] = _strict(schema[place])
    return closed
