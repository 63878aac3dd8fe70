"""Folders of one process each, locked while it lives: others can tell what the dead left."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class ProcessFolder:
    """A new folder that only its owner can read; it is there until it is removed by hand.

    Parameters
    ----------
    parent : Path
        Where it is made.
    prefix : str
        How its name begins.
    """

    def __init__(self, parent: Path, prefix: str) -> None:
        while True:
            self.path = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
            try:
                self._lock = os.open(self.path, _FOLDER)
            except FileNotFoundError:
                continue  # taken for one of the dead, before it could be locked
            fcntl.flock(self._lock, fcntl.LOCK_EX)
            if self.path.is_dir():
                return
            os.close(self._lock)

    def unlock(self) -> None:
        """Let others have what is left."""
        os.close(self._lock)


def abandoned(folders: Iterable[Path]) -> Iterator[Path]:
    """Yield those whose process is no more; nobody else has them meanwhile."""
    for folder in folders:
        try:
            lock = os.open(folder, _FOLDER)
        except OSError:
            continue  # another process was faster, or it is not ours to touch
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if folder.is_dir():
                yield folder
        except BlockingIOError:
            continue
        finally:
            os.close(lock)
