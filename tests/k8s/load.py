"""A load on a release: a pod that sends, and what it was acknowledged."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lanthorn_core.dicom.part10 import read_file_meta
from tests.k8s.cluster import Release, eventually

_SENDER = Path(__file__).with_name("sender.py")


@dataclass(frozen=True)
class Load:
    """Senders in a pod of the cluster, so that their traffic takes the Service's way."""

    release: Release

    def start(self) -> None:
        """Start to send, and return when the first instances have been acknowledged."""
        self.remove()
        self.release.kubectl("create", "configmap", "load", f"--from-file=sender.py={_SENDER}")
        self.release.kubectl("create", "--filename=-", stdin=json.dumps(self._pod()))
        self.wait_for_more()

    def _pod(self) -> dict[str, Any]:
        """Describe a pod as restricted as the gateway's own."""
        service = f"{self.release.name}-dimse-gateway"
        gateway = self.release.get("deployment", service)["spec"]["template"]["spec"]
        (container,) = gateway["containers"]
        (port,) = self.release.get("service", service)["spec"]["ports"]
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "load"},
            "spec": {
                "restartPolicy": "Never",
                "automountServiceAccountToken": False,
                "securityContext": gateway["securityContext"],
                "containers": [
                    {
                        "name": "load",
                        "image": container["image"],
                        "command": ["python", "-P", "/load/sender.py"],
                        "env": [{"name": "DICOM", "value": f"{service}:{port['port']}"}],
                        "securityContext": container["securityContext"],
                        "volumeMounts": [{"name": "load", "mountPath": "/load"}],
                    }
                ],
                "volumes": [{"name": "load", "configMap": {"name": "load"}}],
            },
        }

    def acknowledged(self) -> dict[str, str]:
        """Give the SHA-256 of each acknowledged data set by SOP Instance UID."""
        return {entry["uid"]: entry["sha256"] for entry in self._lines() if "uid" in entry}

    def wait_for_more(self, count: int = 20) -> None:
        """Return when so many more instances have been acknowledged."""
        before = len(self.acknowledged())
        eventually("acknowledged", lambda: len(self.acknowledged()) >= before + count, within_s=300)

    def stop(self) -> dict[str, int]:
        """End the load; returns how often each answer came."""
        terminate = "import os, signal; os.kill(1, signal.SIGTERM)"
        self.release.kubectl("exec", "load", "--", "python", "-P", "-c", terminate)
        self.release.kubectl("wait", "pod/load", "--for=jsonpath={.status.phase}=Succeeded")
        answers: dict[str, int] = self._lines()[-1]["answers"]
        return answers

    def remove(self) -> None:
        """Remove the pod, at whatever state it is."""
        self.release.kubectl(
            "delete", "pod/load", "configmap/load", "--ignore-not-found", "--grace-period=1"
        )

    def _lines(self) -> list[dict[str, Any]]:
        text = self.release.kubectl("logs", "load", check=False)
        return [json.loads(line) for line in text.splitlines() if line.endswith("}")]


def assert_all_are_there(release: Release, acknowledged: dict[str, str]) -> None:
    """Find every acknowledged instance and compare its bytes."""
    found: dict[str, str] = {}
    with release.http() as http:
        query = {"Level": "Instance", "Expand": True, "Query": {"PatientID": "LOAD*"}}
        answer = http.post("/tools/find", json=query)
        assert answer.status_code == 200, answer.text
        assert "Warning" not in answer.headers, "the index is behind the stream"
        ids = {each["MainDicomTags"]["SOPInstanceUID"]: each["ID"] for each in answer.json()}
        lost = acknowledged.keys() - ids.keys()
        assert not lost, f"{len(lost)} of {len(acknowledged)} acknowledged instances are lost"
        for uid in acknowledged:
            file = http.get(f"/instances/{ids[uid]}/file").raise_for_status().content
            dataset = file[read_file_meta(file).dataset_offset :]
            found[uid] = hashlib.sha256(dataset).hexdigest()
    assert found == acknowledged
