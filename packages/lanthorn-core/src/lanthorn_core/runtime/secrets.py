"""Secrets of the process contract: from the environment, or from files that it names.

Files are what compose and Kubernetes mount; unlike an environment they are in no dump of a process
and in no `inspect` of a container.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, quote

from lanthorn_core.runtime.settings_error import Problem, SettingsError

SECRETS: Final = (
    "DATABASE_URL",
    "DATABASE_PASSWORD",
    "NATS_URL",
    "NATS_USER",
    "NATS_PASSWORD",
    "S3_ACCESS_KEY",
    "S3_SECRET_KEY",
    "LANTHORN_FIRST_PASSWORD",
)
"""Variables that may be given as files: `NATS_PASSWORD_FILE` names that of `NATS_PASSWORD`."""

_FILE: Final = "_FILE"


def with_secrets(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment with secrets in place of the files that hold them.

    `DATABASE_PASSWORD` becomes part of `DATABASE_URL`, so that one value says all of the database.
    Empty variables count as not set. What is returned may be given in again.

    Raises
    ------
    SettingsError
        A file cannot be read or is empty, or a secret is given twice. No secret is in the text.
    """
    values = {name: value for name, value in environ.items() if value}
    problems: list[Problem] = []
    for name in SECRETS:
        path = values.pop(name + _FILE, None)
        if path is None:
            continue
        if name in values:
            problems.append(Problem(name + _FILE, repr(path), f"{name} is set as well"))
            continue
        try:
            values[name] = _read(Path(path))
        except ValueError as error:
            problems.append(Problem(name + _FILE, repr(path), str(error)))
    if problems:
        raise SettingsError(problems)
    password = values.pop("DATABASE_PASSWORD", None)
    if password is not None and "DATABASE_URL" in values:
        values["DATABASE_URL"] = _with_password(values["DATABASE_URL"], password)
    return values


def _read(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ValueError("expected a text in UTF-8") from None
    except OSError as error:
        raise ValueError(f"expected a file that can be read ({error.strerror})") from None
    secret = text.rstrip("\r\n")
    if not secret:
        raise ValueError("expected a file that is not empty")
    return secret


def _with_password(url: str, password: str) -> str:
    # By hand: to urllib, an IPv6 address behind another host is a mistake.
    before, _, query = url.partition("?")
    account = before.partition("://")[2].partition("/")[0].rpartition("@")[0]
    if account.partition(":")[2] or "password" in parse_qs(query):
        problem = Problem("DATABASE_PASSWORD", "(hidden)", "DATABASE_URL has a password as well")
        raise SettingsError([problem])
    # As a parameter, because a URL may name several hosts, or none where it names a socket.
    return f"{url}{'&' if query else '?'}password={quote(password, safe='')}"
