"""Reading the settings: files, then the environment's overrides, then what makes no sense.

    settings = load_settings(os.environ)

Nothing is global: a process reads its settings once and passes them down.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from lanthorn_core.runtime.environment import (
    ListenAddress,
    RuntimeEnvironment,
    S3Endpoint,
    read_environment,
)
from lanthorn_core.runtime.files import read_configuration
from lanthorn_core.runtime.lanthorn_section import LanthornSection
from lanthorn_core.runtime.option_names import option_name
from lanthorn_core.runtime.options import OPTION_FIELDS, Settings
from lanthorn_core.runtime.overrides import apply_overrides
from lanthorn_core.runtime.remote import Peer, RemoteAEEntry
from lanthorn_core.runtime.settings_error import EXIT_CODE, Problem, SettingsError, settings_error
from lanthorn_core.runtime.unsupported import UNSUPPORTED
from lanthorn_core.runtime.worklists_section import WorklistsSection

__all__ = [
    "EXIT_CODE",
    "LanthornSection",
    "ListenAddress",
    "Peer",
    "RemoteAEEntry",
    "RuntimeEnvironment",
    "S3Endpoint",
    "Settings",
    "SettingsError",
    "load_settings",
]

FIRST_USER: Final = "lanthorn"
"""Whom `LANTHORN_FIRST_PASSWORD` lets in over HTTP."""

_ALSO_READ: Final[Mapping[str, frozenset[str]]] = {
    "DicomModalities": frozenset({"AllowStorageCommitment"}),
    "OrthancPeers": frozenset({"URL"}),
    "Worklists": frozenset({"Database"}),
}


def load_settings(environ: Mapping[str, str]) -> Settings:
    """Read everything a process is told.

    Parameters
    ----------
    environ : mapping
        Environment variables: `LANTHORN_CONFIG` names files and folders, ``LANTHORN__…`` override
        options, the rest is the process contract (`RuntimeEnvironment`).

    Raises
    ------
    SettingsError
        Something is wrong; its text names each option, its value and what was expected. A process
        shows it and ends with `EXIT_CODE`.
    """
    paths = [Path(part) for part in environ.get("LANTHORN_CONFIG", "").split(os.pathsep) if part]
    configuration = read_configuration(paths, environ)
    apply_overrides(configuration.options, environ)
    runtime = read_environment(environ)
    options = configuration.options
    if runtime.first_password is not None and not options.get("RegisteredUsers"):
        options["RegisteredUsers"] = {FIRST_USER: runtime.first_password}
    known, warnings = _sift(options)
    warnings = [*configuration.warnings, *warnings]
    try:
        settings = Settings.model_validate({**known, "runtime": runtime, "warnings": ()})
    except ValidationError as error:
        raise settings_error(error) from None
    warnings += _second_thoughts(settings, options)
    return settings.model_copy(update={"warnings": tuple(warnings)})


def _sift(options: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Part the options that count from those that get a warning; refuse the unsafe ones."""
    known: dict[str, Any] = {}
    warnings: list[str] = []
    refused: list[Problem] = []
    for option, value in options.items():
        unsupported = UNSUPPORTED.get(option)
        if option in OPTION_FIELDS:
            known[option] = value
        elif unsupported is None:
            warnings.append(_unknown(option, [*OPTION_FIELDS, *UNSUPPORTED]))
        elif value == unsupported.default or _switched_off(value):
            continue
        elif unsupported.refused:
            expected = f"expected {unsupported.default!r}, because {unsupported.reason}"
            refused.append(Problem(option, _told(value), expected))
        else:
            warnings.append(f"{option} has no effect: {unsupported.reason}")
    if refused:
        raise SettingsError(refused)
    warnings += _unknown_inside(known)
    return known, warnings


def _switched_off(section: Any) -> bool:
    return isinstance(section, Mapping) and section.get("Enable") is False


def _told(value: Any) -> str:
    # A plugin's section may hold secrets.
    return "{…}" if isinstance(value, dict) else repr(value)


def _unknown(option: str, candidates: Iterable[str], *, inside: str = "") -> str:
    by_case = {candidate.casefold(): candidate for candidate in candidates}
    close = difflib.get_close_matches(option.casefold(), by_case, n=1, cutoff=0.75)
    hint = f"; did you mean {inside}{by_case[close[0]]}?" if close else ""
    return f"{inside}{option} is not a known option{hint}"


def _unknown_inside(known: Mapping[str, Any]) -> list[str]:
    warnings = _strangers("Lanthorn", known.get("Lanthorn"), LanthornSection)
    warnings += _strangers(
        "Worklists", known.get("Worklists"), WorklistsSection, _ALSO_READ["Worklists"]
    )
    for option, model in (("DicomModalities", RemoteAEEntry), ("OrthancPeers", Peer)):
        entries = known.get(option)
        if isinstance(entries, Mapping):
            for name, entry in entries.items():
                also = _ALSO_READ[option]
                warnings += _strangers(f"{option}.{name}", entry, model, also)
    return warnings


def _strangers(
    where: str, section: Any, model: type[BaseModel], also: frozenset[str] = frozenset()
) -> list[str]:
    if not isinstance(section, Mapping):
        return []
    names = {option_name(field) for field in model.model_fields} | also
    return [_unknown(key, names, inside=f"{where}.") for key in section if key not in names]


def _second_thoughts(settings: Settings, options: Mapping[str, Any]) -> list[str]:
    """Warn of values that are valid and still not what their author will expect."""
    thoughts: list[str] = []
    if settings.remote_access_allowed and not settings.authentication_enabled:
        thoughts.append(
            "RemoteAccessAllowed has no effect while AuthenticationEnabled is false: "
            "HTTP is served to this machine only"
        )
    if settings.authentication_enabled and not settings.registered_users:
        thoughts.append("RegisteredUsers is empty and AuthenticationEnabled: nobody can log in")
    if settings.runtime.first_password is not None and not settings.authentication_enabled:
        thoughts.append(
            "LANTHORN_FIRST_PASSWORD has no effect while AuthenticationEnabled is false"
        )
    if options.get("OverwriteInstances") == "IfChanged":
        thoughts.append(
            "OverwriteInstances IfChanged counts as Always: a resend replaces the instance also "
            "when it is the same"
        )
    return thoughts
