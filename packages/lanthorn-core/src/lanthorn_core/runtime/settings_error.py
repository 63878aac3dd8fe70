"""The failure of a configuration that no process may start with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydantic import ValidationError

from lanthorn_core.errors import LanthornError

EXIT_CODE: Final = 2
"""A process whose configuration is wrong ends with this code: a restart will not help."""

_SECRET: Final = frozenset({"RegisteredUsers", "OrthancPeers"})
_LONGEST_VALUE: Final = 80


@dataclass(frozen=True, slots=True)
class Problem:
    """One wrong value: the option's name, its value as text, and what was expected."""

    option: str
    value: str
    expected: str

    def __str__(self) -> str:
        shown = f" = {self.value}" if self.value else ""
        return f"{self.option}{shown}: {self.expected}"


class SettingsError(LanthornError):
    """The configuration cannot be used; says for each wrong option what was expected."""

    slug = "invalid-settings"

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__(
            "The configuration cannot be used:\n" + "\n".join(f"  {item}" for item in self.problems)
        )


def settings_error(error: ValidationError, *, prefix: str = "") -> SettingsError:
    """Say what pydantic found wrong, with the options' names and never a secret."""
    return SettingsError([_problem(details, prefix) for details in error.errors()])


def _problem(details: Any, prefix: str) -> Problem:
    location = [str(part) for part in details["loc"] if part != "[key]"]
    secret = bool(location) and location[0] in _SECRET
    missing = details["type"] == "missing"
    value = "" if missing else "(hidden)" if secret else _shortened(repr(details["input"]))
    return Problem(prefix + ".".join(location), value, _expectation(details["msg"]))


def _expectation(message: str) -> str:
    for opening in ("Input should be ", "Value error, "):
        if message.startswith(opening):
            rest = message.removeprefix(opening)
            return f"expected {rest}" if opening.startswith("Input") else rest
    return message[:1].lower() + message[1:]


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 1] + "…"
