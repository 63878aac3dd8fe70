"""Configurations that no process may start with: code 2, the option, its value, what was expected.

Unknown options, which get a warning, are in `test_bad_input_requests.py`.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.running_lanthorn import clean_environment


def start(
    module: str, *arguments: str, environment: dict[str, str] | None = None
) -> tuple[int, str]:
    """Run a process that must end by itself; returns its code and what it complained of."""
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        env={**clean_environment(), **(environment or {})},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "is not JSON"),
        (b'{"DicomPort": 104,', "is not JSON"),
        (b"DicomPort = 104", "is not JSON"),
        (b'{"Dictionary": ' * 20_000 + b"1" + b"}" * 20_000, "is not JSON"),
        (b"[104]", "expected a JSON object"),
        (b"\xff\xfe{}", "cannot be read: 'utf-8' codec"),
    ],
    ids=["nothing", "half of it", "another language", "nested", "an array", "no UTF-8"],
)
def test_a_file_that_is_no_json_object_is_named(
    tmp_path: Path, content: bytes, complaint: str
) -> None:
    file = tmp_path / "orthanc.json"
    file.write_bytes(content)
    code, text = start("lanthorn_embedded", "up", str(file), "--data", str(tmp_path / "data"))
    assert code == 2
    assert f"{file}: {complaint}" in text
    assert not (tmp_path / "data").exists()


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    file = tmp_path / "orthanc.json"
    code, text = start("lanthorn_embedded", "up", str(file), "--data", str(tmp_path / "data"))
    assert code == 2
    assert f"{file} does not exist" in text


WRONG: dict[str, tuple[Any, str]] = {
    "StableAge": ("soon", "StableAge = 'soon': expected a valid integer"),
    "HttpPort": (70_000, "HttpPort = 70000: expected less than or equal to 65535"),
    "OverwriteInstances": ("Perhaps", "OverwriteInstances = 'Perhaps': expected a valid boolean"),
    "MaximumStorageMode": ("Burn", "MaximumStorageMode = 'Burn': expected 'Recycle' or 'Reject'"),
    "DefaultEncoding": ("Klingon", "DefaultEncoding = 'Klingon': expected one of Ascii, Utf8"),
    "DicomAet": ("TITLE IS FAR TOO LONG", "expected an AE title: 1 to 16 characters"),
    "DicomModalities": (
        {"pacs": ["PACS", "host"]},
        "DicomModalities.pacs = ['PACS', 'host']: expected [AET, Host, Port]",
    ),
    "ExtraMainDicomTags": ({"Instance": ["NoSuch"]}, "expected tags, and 'NoSuch' is none"),
    "UserMetadata": ({"mine": 5}, "UserMetadata.mine = 5: expected greater than or equal to 1024"),
    "Lanthorn": ({"GatewayProcesses": 0}, "Lanthorn.GatewayProcesses = 0: expected greater than"),
}


def test_every_wrong_value_is_told_with_what_was_expected(tmp_path: Path) -> None:
    file = tmp_path / "orthanc.json"
    file.write_text(json.dumps({option: value for option, (value, _) in WRONG.items()}))
    code, text = start("lanthorn_embedded", "up", str(file), "--data", str(tmp_path / "data"))
    assert code == 2
    assert len(text.splitlines()) == 1 + len(WRONG)
    for _, complaint in WRONG.values():
        assert complaint in text
    assert not (tmp_path / "data").exists()


def test_what_would_leave_a_door_open_is_refused_and_no_secret_is_told(tmp_path: Path) -> None:
    file = tmp_path / "orthanc.json"
    file.write_text('{"SslEnabled": true}')
    code, text = start("lanthorn_embedded", "up", str(file), "--data", str(tmp_path / "data"))
    assert code == 2
    assert "SslEnabled = True: expected False" in text
    file.write_text('{"RegisteredUsers": {"alice": ["open sesame"]}}')
    code, text = start("lanthorn_embedded", "up", str(file), "--data", str(tmp_path / "data"))
    assert code == 2
    assert "RegisteredUsers.alice = (hidden)" in text
    assert "sesame" not in text


def test_a_wrong_override_is_told_by_the_options_name(tmp_path: Path) -> None:
    code, text = start(
        "lanthorn_embedded",
        "up",
        "--data",
        str(tmp_path / "data"),
        environment={"LANTHORN__STABLE_AGE": "soon"},
    )
    assert code == 2
    assert "StableAge = 'soon': expected a valid integer" in text


@pytest.mark.parametrize("service", ["dimse_gateway", "indexer", "renderer", "rest_api"])
def test_a_service_of_its_own_refuses_the_same(tmp_path: Path, service: str) -> None:
    file = tmp_path / "orthanc.json"
    file.write_text('{"StableAge": "soon"}')
    code, text = start(
        f"lanthorn_{service}",
        environment={
            "LANTHORN_CONFIG": str(file),
            "LANTHORN_DATA_DIR": str(tmp_path / "data"),
            "DATABASE_URL": "postgresql:///nowhere",
            "NATS_URL": "nats://127.0.0.1:1",
            "RENDERER_URL": "http://127.0.0.1:1",
            "LANTHORN_LISTEN": "127.0.0.1:1",
        },
    )
    assert code == 2
    assert "StableAge = 'soon': expected a valid integer" in text
