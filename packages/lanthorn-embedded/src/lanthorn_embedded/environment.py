"""From the command line and the environment to what the services read."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lanthorn_embedded.errors import ConfigurationError

if TYPE_CHECKING:
    from lanthorn_core.runtime.settings import Settings

_SET_BY_US = ("RENDERER_URL", "LANTHORN_LISTEN", "LANTHORN_DICOM_FD")
# There is no load balancer here, and the supervisor has patience of its own.
_FOR_CLUSTERS = ("LANTHORN_DRAIN_DELAY", "LANTHORN_DRAIN_TIMEOUT")


def service_environment(
    environ: Mapping[str, str],
    *,
    config: Sequence[Path],
    data_folder: Path,
    http_port: int | None = None,
    dicom_port: int | None = None,
) -> dict[str, str]:
    """Make the environment of the services, less what only starting the engines can tell.

    Parameters
    ----------
    environ : mapping
        Our own environment. Empty variables count as absent, and files of secrets are read.
    config : sequence of Path
        Configuration files or folders; when there are none, ``LANTHORN_CONFIG`` holds.
    data_folder : Path
        Absolute.
    http_port, dicom_port : int, optional
        Override the configuration's.

    Raises
    ------
    ConfigurationError
        A configuration file does not exist, or that of a secret cannot be read.
    """
    # Imported here: `lanthorn --help` needs none of it.
    from lanthorn_core.runtime.secrets import with_secrets  # noqa: PLC0415
    from lanthorn_core.runtime.settings_error import SettingsError  # noqa: PLC0415

    try:
        environment = with_secrets(environ)
    except SettingsError as exc:
        raise ConfigurationError(str(exc)) from exc
    for name in (*_SET_BY_US, *_FOR_CLUSTERS):
        environment.pop(name, None)
    for path in config:
        if not path.exists():
            raise ConfigurationError(f"the configuration {path} does not exist")
    if config:
        environment["LANTHORN_CONFIG"] = os.pathsep.join(str(path.absolute()) for path in config)
    environment["LANTHORN_DATA_DIR"] = str(data_folder)
    if http_port is not None:
        environment["LANTHORN__HTTP_PORT"] = str(http_port)
    if dicom_port is not None:
        environment["LANTHORN__DICOM_PORT"] = str(dicom_port)
    return environment


def read_settings(environment: Mapping[str, str]) -> Settings:
    """Read the settings as every service will read them.

    Raises
    ------
    ConfigurationError
        An option is wrong; the text names it.
    """
    # Imported here: `lanthorn --help` needs none of it.
    from lanthorn_core.errors import LanthornError  # noqa: PLC0415
    from lanthorn_core.runtime.settings import load_settings  # noqa: PLC0415

    try:
        return load_settings(environment)
    except (LanthornError, OSError) as exc:
        raise ConfigurationError(str(exc)) from exc
