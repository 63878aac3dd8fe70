"""Options from the environment: ``LANTHORN__SECTION__KEY`` wins over every file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, Literal, get_args, get_origin

from pydantic import BaseModel, SecretStr

from lanthorn_core.runtime.lanthorn_section import LanthornSection
from lanthorn_core.runtime.option_names import option_name
from lanthorn_core.runtime.options import OPTION_FIELDS, Settings
from lanthorn_core.runtime.settings_error import Problem, SettingsError
from lanthorn_core.runtime.unsupported import UNSUPPORTED
from lanthorn_core.runtime.worklists_section import WorklistsSection

PREFIX: Final = "LANTHORN__"
_SECTIONS: Final[Mapping[str, type[BaseModel]]] = {
    "Lanthorn": LanthornSection,
    "Worklists": WorklistsSection,
}
_OPTIONS_OF_SECTION: Final = {
    name: {option_name(field): field for field in section.model_fields}
    for name, section in _SECTIONS.items()
}


def apply_overrides(options: dict[str, Any], environ: Mapping[str, str]) -> None:
    """Set the options that the environment names, in place.

    ``LANTHORN__DICOM_PORT=104`` sets ``DicomPort``: case and underscores of options do not matter.
    A further part is a key within an object, taken as it is written unless a key of that object
    differs in case and underscores only. Values are JSON where the option is not a text and the
    value is JSON.

    Raises
    ------
    SettingsError
        A variable goes below an option that is not an object.
    """
    for variable in sorted(environ):
        parts = variable.removeprefix(PREFIX).split("__")
        if not variable.startswith(PREFIX) or "" in parts:
            continue
        _apply(options, variable, parts, environ[variable])


def _apply(options: dict[str, Any], variable: str, parts: list[str], text: str) -> None:
    known = [*OPTION_FIELDS, *UNSUPPORTED]
    target = options
    path: list[str] = []
    for part in parts[:-1]:
        path.append(_spelling(part, [*target, *known]))
        target = target.setdefault(path[-1], {})
        if not isinstance(target, dict):
            raise SettingsError([Problem(variable, "", f"{'.'.join(path)} is not an object")])
        known = [*_OPTIONS_OF_SECTION.get(path[0], {})] if len(path) == 1 else []
    path.append(_spelling(parts[-1], [*target, *known]))
    target[path[-1]] = text if _is_text(path) else _parsed(text)


def _spelling(part: str, candidates: list[str]) -> str:
    plain = _plain(part)
    return next((name for name in candidates if _plain(name) == plain), part)


def _plain(name: str) -> str:
    return name.replace("_", "").casefold()


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _is_text(path: list[str]) -> bool:
    """Tell whether the option at `path` is a text, so that ``123`` stays one."""
    section = _SECTIONS.get(path[0])
    if section is not None and len(path) == 2:
        return _takes_text(section, _OPTIONS_OF_SECTION[path[0]].get(path[1]), depth=0)
    return _takes_text(Settings, OPTION_FIELDS.get(path[0]), depth=len(path) - 1)


def _takes_text(model: type[BaseModel], field: str | None, *, depth: int) -> bool:
    if field is None:
        return False
    annotation = model.model_fields[field].annotation
    for _ in range(depth):
        if get_origin(annotation) is None or len(get_args(annotation)) != 2:
            return False
        annotation = get_args(annotation)[1]
    if get_origin(annotation) is Literal:
        return all(isinstance(choice, str) for choice in get_args(annotation))
    return annotation in (str, SecretStr)
