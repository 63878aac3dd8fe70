"""Configuration files: JSON with comments, folders of them, merged key by key."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pyjson5

from lanthorn_core.runtime.settings_error import Problem, SettingsError

_VARIABLE: Final = re.compile(r"\$\{([^:}]*)(?::-([^}]*))?\}")


@dataclass(slots=True)
class Configuration:
    """Merged options, and warnings about the merging; `origins` is the file that set each."""

    options: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    origins: dict[str, Path] = field(default_factory=dict)

    def merge(self, addition: Mapping[str, Any], file: Path) -> None:
        """Merge the content of one more file: objects key by key, else it wins."""
        self._merge(self.options, addition, file, "")

    def _merge(
        self, target: dict[str, Any], addition: Mapping[str, Any], file: Path, prefix: str
    ) -> None:
        for key, value in addition.items():
            name = f"{prefix}{key}"
            present = target.get(key)
            if isinstance(present, dict) and isinstance(value, dict):
                self._merge(present, value, file, f"{name}.")
                continue
            if key in target and present != value:
                earlier = self.origins.get(name, "an earlier file")
                self.warnings.append(f"{name} is set in {earlier} and in {file}, which wins")
            target[key] = value
            self.origins[name] = file


def read_configuration(paths: Sequence[Path], environ: Mapping[str, str]) -> Configuration:
    """Read files and folders in order and merge them: objects key by key, else the later wins.

    Parameters
    ----------
    paths : sequence of Path
        Files, or folders whose ``*.json`` files are read in the order of their names.
    environ : mapping
        Source of ``${NAME}`` and ``${NAME:-default}``; a name that is not set becomes empty.

    Raises
    ------
    SettingsError
        A file cannot be read, or is not one JSON object.
    """
    configuration = Configuration()
    for file in _files(paths):
        configuration.merge(_read(file, environ), file)
    return configuration


def substitute_variables(text: str, environ: Mapping[str, str]) -> str:
    """Replace ``${NAME}`` and ``${NAME:-default}`` as Orthanc does."""
    return _VARIABLE.sub(lambda found: environ.get(found[1], found[2] or ""), text)


def _files(paths: Sequence[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            yield from sorted(file for file in path.glob("*.json") if file.is_file())
        else:
            yield path


def _read(file: Path, environ: Mapping[str, str]) -> dict[str, Any]:
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError([Problem(str(file), "", f"cannot be read: {error}")]) from error
    try:
        content = pyjson5.loads(substitute_variables(text, environ))
    except pyjson5.Json5Exception as error:
        # The parser's text quotes what it read, which may be a password.
        raise SettingsError([Problem(str(file), "", _where(error))]) from None
    if not isinstance(content, dict):
        raise SettingsError([Problem(str(file), "", "expected a JSON object")])
    return content


def _where(error: Exception) -> str:
    position = re.search(r"near (\d+)", str(error))
    return "is not JSON" + (f" (near character {position[1]})" if position else "")
