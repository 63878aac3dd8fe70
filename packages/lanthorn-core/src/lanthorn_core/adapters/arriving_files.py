"""Files on the way to their keys: durable from their first sync on, whatever becomes of the rename.

A file is written under a name that tells its key and size, in a folder of its process, and renamed
when it is synced. Nobody waits for the rename to be durable: a power loss may undo it, and the next
start of any process does it again, as for those that were killed before it. So an object costs one
commit of the file system's journal instead of two.

That holds where a synced file has its name as well, and where what a rename and a later removal did
can only be undone in reverse order: in the journals of ext4 and XFS. On others there is no such
folder, and names are synced for themselves.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path
from typing import Final

import structlog

from lanthorn_core.adapters.directory_sync import sync_directory
from lanthorn_core.adapters.object_files import remove
from lanthorn_core.adapters.object_keys import check_key
from lanthorn_core.adapters.process_folders import ProcessFolder, abandoned
from lanthorn_core.errors import InvalidParameter

log = structlog.get_logger(__name__)

ARRIVING: Final = ".arriving"

_ORDERED: Final = frozenset({"ext4", "xfs"})
_MOUNTS: Final = Path("/proc/self/mountinfo")
_NAME: Final = re.compile(r"(\d{1,19})\+(.+)", re.ASCII)
_LONGEST_NAME: Final = 255
_PRIVATE: Final = 0o700


class ArrivingFiles:
    """The folder of this process below ``<root>/.arriving``; blocking calls.

    Parameters
    ----------
    root : Path
        Folder of the objects.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._parent = root / ARRIVING
        self._own: ProcessFolder | None = None

    def open(self) -> None:
        """Finish what the dead left, and make a folder if the file system is one for it."""
        left = list(self._parent.iterdir()) if self._parent.is_dir() else []
        for folder in abandoned(left):
            try:
                finished = sum([self._finish(file) for file in folder.iterdir()])
                folder.rmdir()
            except OSError:  # no room for a folder, perhaps: they stay for the next start
                log.exception("arriving_files_unfinished")
                continue
            if finished:
                log.info("arriving_files_finished", files=finished)
        if _file_system_of(self._root) in _ORDERED:
            self._make_folder()

    def close(self) -> None:
        """Remove the folder; nothing may be written any more."""
        if self._own is not None:
            with suppress(OSError):  # it may be gone with its disk
                self._own.path.rmdir()
            self._own.unlock()
            self._own = None

    def path_for(self, key: str, size_bytes: int) -> str | None:
        """Say where a file is to be written and synced, then to be renamed to its key.

        None where that would not do: the file then is written elsewhere, and its name is synced.
        """
        name = f"{size_bytes}+{key.replace('/', '+')}"  # no key has this sign
        if self._own is None or len(name) > _LONGEST_NAME:
            return None
        return f"{self._own.path}/{name}"

    def _make_folder(self) -> None:
        if not self._parent.is_dir():
            self._parent.mkdir(mode=_PRIVATE, exist_ok=True)
            sync_directory(self._root)
        self._own = ProcessFolder(self._parent, f"{os.getpid()}-")
        sync_directory(self._parent)

    def _finish(self, file: Path) -> bool:
        """Rename a whole file; one that is not was acknowledged by nobody."""
        key = _key_of(file)
        if key is None:
            remove(file)
            return False
        target = self._root / key
        target.parent.mkdir(parents=True, exist_ok=True)
        file.rename(target)
        return True


def _key_of(file: Path) -> str | None:
    """Read the key from the name of a whole file; None for every other one."""
    match = _NAME.fullmatch(file.name)
    if match is None or file.stat().st_size != int(match[1]):
        return None
    key = match[2].replace("+", "/")
    try:
        check_key(key)
    except InvalidParameter:
        return None
    return key


def _file_system_of(folder: Path) -> str:
    """Name the kind of file system; the empty text where the system does not tell."""
    device = folder.stat().st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    with suppress(OSError), _MOUNTS.open() as mounts:
        for line in mounts:
            mount, _, kind = line.partition(" - ")
            if mount.split(" ", 3)[2] == wanted:
                return kind.split(" ", 1)[0]
    return ""
