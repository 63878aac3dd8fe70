"""From our own environment to that of the services."""

from __future__ import annotations

from pathlib import Path

import pytest

from lanthorn_embedded.environment import service_environment
from lanthorn_embedded.errors import ConfigurationError


def test_secrets_in_files_replace_an_engine_like_those_in_variables(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("quiet\n")
    environment = service_environment(
        {
            "DATABASE_URL": "postgresql://lanthorn@db/lanthorn",
            "DATABASE_PASSWORD_FILE": str(tmp_path / "password"),
            "LANTHORN_DRAIN_DELAY": "5",
            "LANTHORN_LISTEN": "0.0.0.0:8043",
        },
        config=[],
        data_folder=tmp_path,
    )
    assert environment == {
        "DATABASE_URL": "postgresql://lanthorn@db/lanthorn?password=quiet",
        "LANTHORN_DATA_DIR": str(tmp_path),
    }


def test_a_secret_that_cannot_be_read_ends_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="NATS_URL_FILE = '/nowhere': expected a file"):
        service_environment({"NATS_URL_FILE": "/nowhere"}, config=[], data_folder=tmp_path)
