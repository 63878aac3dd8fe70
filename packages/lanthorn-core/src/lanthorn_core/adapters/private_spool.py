"""A folder of one process for objects on their way to a store elsewhere."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final

from lanthorn_core.adapters.process_folders import ProcessFolder, abandoned

_PREFIX: Final = "lanthorn-spool-"


class PrivateSpool:
    """A temporary folder that only its owner can read, removed at the end.

    What a killed process left is removed by the next one.

    Parameters
    ----------
    parent : Path, optional
        Where the folder is made; the system's temporary folder by default.
    """

    def __init__(self, parent: Path | None = None) -> None:
        self._parent = Path(tempfile.gettempdir()) if parent is None else parent
        self._own: ProcessFolder | None = None

    @property
    def folder(self) -> Path:
        """The folder; there is none before `open`."""
        if self._own is None:
            raise RuntimeError("the spool folder is not open")
        return self._own.path

    def open(self) -> None:
        """Remove what the dead left, and make the folder."""
        for folder in abandoned(filter(_is_mine, self._parent.glob(f"{_PREFIX}*"))):
            shutil.rmtree(folder, ignore_errors=True)
        self._own = ProcessFolder(self._parent, _PREFIX)

    def close(self) -> None:
        """Remove the folder with all that is in it."""
        if self._own is not None:
            shutil.rmtree(self._own.path, ignore_errors=True)
            self._own.unlock()
            self._own = None


def _is_mine(folder: Path) -> bool:
    with suppress(FileNotFoundError):
        return folder.stat().st_uid == os.getuid()
    return False
