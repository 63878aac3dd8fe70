"""A folder of one process for objects on their way to a store elsewhere."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from pathlib import Path
from typing import Final

_PREFIX: Final = "lanthorn-spool-"
_LOCK: Final = ".lock"


class PrivateSpool:
    """A temporary folder that only its owner can read, removed at the end.

    What a killed process left is removed by the next one: the folder of a living process is
    locked, and a lock does not outlive its process.

    Parameters
    ----------
    parent : Path, optional
        Where the folder is made; the system's temporary folder by default.
    """

    def __init__(self, parent: Path | None = None) -> None:
        self._parent = Path(tempfile.gettempdir()) if parent is None else parent
        self._folder: Path | None = None
        self._lock = -1

    @property
    def folder(self) -> Path:
        """The folder; there is none before `open`."""
        if self._folder is None:
            raise RuntimeError("the spool folder is not open")
        return self._folder

    def open(self) -> None:
        """Remove what the dead left, and make the folder."""
        self._remove_leftovers()
        self._folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=self._parent))
        self._lock = os.open(self._folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def close(self) -> None:
        """Remove the folder with all that is in it."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            os.close(self._lock)
            self._folder = None

    def _remove_leftovers(self) -> None:
        for folder in self._parent.glob(f"{_PREFIX}*"):
            try:
                if folder.stat().st_uid != os.getuid():
                    continue
                lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CLOEXEC)
            except OSError:  # being made or removed now, or not ours to touch
                continue
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            else:
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(lock)
