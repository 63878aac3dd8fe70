"""Secrets from the environment, or from files that it names."""

from __future__ import annotations

from pathlib import Path

import pytest

from lanthorn_core.runtime.secrets import SECRETS
from lanthorn_core.runtime.settings import SettingsError, load_settings

S3 = {"S3_ENDPOINT": "https://s3.example:9000"}
VALUES = {
    "DATABASE_URL": "postgresql://lanthorn@db/lanthorn",
    "DATABASE_PASSWORD": "p&w d/1",
    "NATS_URL": "nats://bus:4222",
    "NATS_USER": "lanthorn",
    "NATS_PASSWORD": "quiet",
    "S3_ACCESS_KEY": "key",
    "S3_SECRET_KEY": "secret",
    "LANTHORN_FIRST_PASSWORD": "first",
}


def refused(environ: dict[str, str]) -> str:
    with pytest.raises(SettingsError) as caught:
        load_settings(environ)
    return str(caught.value)


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    """Every secret as a file that ends with a line break, as editors write them."""
    paths = {}
    for name, value in VALUES.items():
        path = tmp_path / name.lower()
        path.write_text(value + "\n")
        paths[f"{name}_FILE"] = str(path)
    return paths


def test_a_secret_in_a_file_is_as_good_as_one_in_the_environment(files: dict[str, str]) -> None:
    assert set(VALUES) == set(SECRETS)
    assert load_settings({**S3, **files}) == load_settings({**S3, **VALUES})


def test_the_password_of_the_database_becomes_part_of_its_url(files: dict[str, str]) -> None:
    runtime = load_settings({**S3, **files}).runtime
    assert runtime.database_url == "postgresql://lanthorn@db/lanthorn?password=p%26w%20d%2F1"
    with_parameters = {
        "DATABASE_URL": "postgresql:///lanthorn?host=/run",
        "DATABASE_PASSWORD": "quiet",
    }
    url = load_settings(with_parameters).runtime.database_url
    assert url == "postgresql:///lanthorn?host=/run&password=quiet"
    several = {"DATABASE_URL": "postgresql://u@db,[::1]:5433/index", "DATABASE_PASSWORD": "quiet"}
    url = load_settings(several).runtime.database_url
    assert url == "postgresql://u@db,[::1]:5433/index?password=quiet"


def test_the_account_for_nats_stays_out_of_its_url(files: dict[str, str]) -> None:
    runtime = load_settings({**S3, **files}).runtime
    assert runtime.nats_url == "nats://bus:4222"
    assert runtime.nats_account == ("lanthorn", "quiet")


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"NATS_PASSWORD_FILE": "/nowhere"}, "NATS_PASSWORD_FILE = '/nowhere': expected a file"),
        ({"S3_SECRET_KEY_FILE": "/dev/null"}, "S3_SECRET_KEY_FILE = '/dev/null': expected a file"),
        (
            {"NATS_URL": "nats://bus", "NATS_URL_FILE": "/run/url"},
            "NATS_URL_FILE = '/run/url': NATS_URL is set as well",
        ),
        (
            {"DATABASE_URL": "postgresql://u:quiet@db", "DATABASE_PASSWORD": "quiet"},
            "DATABASE_PASSWORD = (hidden): DATABASE_URL has a password as well",
        ),
        (
            {"DATABASE_URL": "postgresql://db?password=quiet", "DATABASE_PASSWORD": "quiet"},
            "DATABASE_PASSWORD = (hidden): DATABASE_URL has a password as well",
        ),
        (
            {"NATS_URL": "nats://u:quiet@bus", "NATS_USER": "u", "NATS_PASSWORD": "quiet"},
            "NATS_USER: NATS_URL has a user as well",
        ),
        ({"NATS_USER": "u"}, "NATS_PASSWORD: expected both NATS_USER and NATS_PASSWORD"),
        ({"NATS_PASSWORD": "quiet"}, "NATS_USER: expected both NATS_USER and NATS_PASSWORD"),
    ],
)
def test_a_secret_that_cannot_be_meant_is_refused_and_not_told(
    environ: dict[str, str], expected: str
) -> None:
    text = refused(environ)
    assert expected in text
    assert "quiet" not in text


def test_no_secret_is_in_the_representation_of_the_settings(files: dict[str, str]) -> None:
    shown = repr(load_settings({**S3, **files}))
    assert not [value for value in ("p%26w", "quiet", "secret'", "first'") if value in shown]


def test_the_first_password_lets_one_user_in_where_nobody_is_registered() -> None:
    first = {"LANTHORN_FIRST_PASSWORD": "first", "LANTHORN__REMOTE_ACCESS_ALLOWED": "true"}
    settings = load_settings(first)
    assert settings.authentication_enabled
    assert settings.warnings == ()
    users = {name: secret.get_secret_value() for name, secret in settings.registered_users.items()}
    assert users == {"lanthorn": "first"}
    others = load_settings({**first, "LANTHORN__REGISTERED_USERS__alice": "hers"})
    assert list(others.registered_users) == ["alice"]


def test_a_first_password_that_nobody_is_asked_for_gets_a_warning() -> None:
    (warning,) = load_settings({"LANTHORN_FIRST_PASSWORD": "first"}).warnings
    assert "LANTHORN_FIRST_PASSWORD has no effect" in warning
