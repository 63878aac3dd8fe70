"""Named SQL statements from a file: ``-- name: upsert_study`` begins one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import resources

_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


def load_statements(package: str, file: str) -> Mapping[str, str]:
    """Read the statements of a file in a package, by name."""
    text = (resources.files(package) / file).read_text()
    parts = _NAME.split(text)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))
