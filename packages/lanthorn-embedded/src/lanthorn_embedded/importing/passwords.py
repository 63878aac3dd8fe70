"""Passwords for an import: from a file, the environment or the person at the terminal."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Mapping
from pathlib import Path

from lanthorn_embedded.errors import ConfigurationError


def find_password(
    given: str, file: Path | None, environ: Mapping[str, str], variable: str, asked_for: str
) -> str:
    """Return the password that counts: of the file, the address, the environment, or the prompt.

    Parameters
    ----------
    given : str
        The one in the address; may be empty.
    file : Path, optional
        Holds one in its first line.
    environ, variable
        The environment, and the name in it.
    asked_for : str
        Whose it is; empty when none is needed.

    Raises
    ------
    ConfigurationError
        The file cannot be read.
    """
    if file is not None:
        try:
            return file.read_text(encoding="utf-8").partition("\n")[0].rstrip("\r")
        except (OSError, UnicodeDecodeError) as exc:
            raise ConfigurationError(f"the password file {file} cannot be read: {exc}") from exc
    password = given or environ.get(variable, "")
    if not password and asked_for and sys.stdin.isatty():
        return getpass.getpass(f"Password of {asked_for}: ")
    return password
