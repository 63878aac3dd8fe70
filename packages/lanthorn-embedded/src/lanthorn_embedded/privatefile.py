"""Files that only their owner may read."""

from __future__ import annotations

import os
from pathlib import Path


def write_private_file(path: Path, text: str, *, mode: int = 0o600) -> None:
    """Replace a file as a whole, by one that only we may read unless `mode` says other.

    Raises `OSError`.
    """
    fresh = path.with_name(f"{path.name}.new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)
    fresh.replace(path)
