"""The process contract's plain variables."""

from __future__ import annotations

from pathlib import Path

import pytest

from lanthorn_core.runtime.environment import read_environment
from lanthorn_core.runtime.settings import SettingsError, load_settings

S3 = {
    "S3_ENDPOINT": "https://s3.example:9000",
    "S3_ACCESS_KEY": "key",
    "S3_SECRET_KEY": "secret",
    "S3_BUCKET": "images",
    "S3_REGION": "eu-1",
}


def refused(environ: dict[str, str]) -> str:
    with pytest.raises(SettingsError) as caught:
        read_environment(environ)
    return str(caught.value)


def test_every_variable_has_its_field() -> None:
    runtime = load_settings(
        {
            "LANTHORN_DATA_DIR": "/data",
            "DATABASE_URL": "postgresql:///lanthorn?host=/run",
            "NATS_URL": "nats://u:p@127.0.0.1:4222",
            "NATS_STREAM_REPLICAS": "3",
            "RENDERER_URL": "http://127.0.0.1:8090",
            "LANTHORN_LISTEN": "[::1]:8043",
            "LANTHORN_DICOM_FD": "7",
            **S3,
        }
    ).runtime
    assert runtime.data_folder == Path("/data")
    assert runtime.database_url == "postgresql:///lanthorn?host=/run"
    assert runtime.nats_url == "nats://u:p@127.0.0.1:4222"
    assert runtime.nats_stream_replicas == 3
    assert runtime.renderer_url == "http://127.0.0.1:8090"
    assert runtime.listen is not None
    assert (runtime.listen.host, runtime.listen.port) == ("::1", 8043)
    assert runtime.dicom_fd == 7
    assert runtime.s3 is not None
    assert runtime.s3.secret_key.get_secret_value() == "secret"
    assert (runtime.s3.bucket, runtime.s3.region) == ("images", "eu-1")


def test_the_certificates_of_the_object_store_are_a_file_that_is_there(tmp_path: Path) -> None:
    ca_file = tmp_path / "authority.pem"
    assert "S3_CA_FILE" in refused({**S3, "S3_CA_FILE": str(ca_file)})
    ca_file.touch()
    s3 = read_environment({**S3, "S3_CA_FILE": str(ca_file)}).s3
    assert s3 is not None
    assert s3.ca_file == ca_file


def test_an_empty_variable_is_not_set() -> None:
    runtime = read_environment({"S3_ENDPOINT": "", "LANTHORN_LISTEN": "", "LANTHORN_DICOM_FD": ""})
    assert (runtime.s3, runtime.listen, runtime.dicom_fd) == (None, None, None)


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"LANTHORN_LISTEN": "8043"}, "LANTHORN_LISTEN = '8043': expected host:port"),
        ({"LANTHORN_LISTEN": "h:http"}, "LANTHORN_LISTEN = 'h:http': expected host:port"),
        ({"LANTHORN_DICOM_FD": "x"}, "LANTHORN_DICOM_FD = 'x': expected a valid integer"),
        ({**S3, "S3_ACCESS_KEY": ""}, "S3_ACCESS_KEY: field required"),
        ({**S3, "S3_SECRET_KEY": ""}, "S3_SECRET_KEY: field required"),
        ({**S3, "S3_ENDPOINT": "s3.example"}, "S3_ENDPOINT = 's3.example': string should match"),
    ],
)
def test_a_wrong_variable_is_told_by_its_name(environ: dict[str, str], expected: str) -> None:
    assert expected in refused(environ)


def test_a_process_says_what_it_cannot_do_without() -> None:
    runtime = read_environment({"NATS_URL": "nats://h"})
    runtime.require("nats_url")
    with pytest.raises(SettingsError, match="DATABASE_URL: must be set here\n  RENDERER_URL: must"):
        runtime.require("nats_url", "database_url", "renderer_url")
