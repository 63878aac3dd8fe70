"""Directory entries that survive a power loss, one `fsync` for all that wait for the same one."""

from __future__ import annotations

import os
import threading
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

_REMEMBERED: Final = 256


@dataclass(slots=True)
class _Round:
    """The directory is being synced now; `next_round` waits for a sync that starts later."""

    next_round: list[Future[None]] = field(default_factory=list)


class DirectorySync:
    """Group commit of directories.

    A sync that already runs may have looked too early, so who arrives meanwhile shares the next
    one. The first caller syncs in its own thread, later rounds run in the executor.

    Parameters
    ----------
    root : Path
        Everything lies below; the entries of its ancestors are the caller's duty.
    executor : Executor
        Where later rounds run; may be the one that the callers run in, which never wait in it.
    """

    def __init__(self, root: Path, executor: Executor) -> None:
        self._root = root
        self._executor = executor
        self._lock = threading.Lock()
        self._running: dict[Path, _Round] = {}
        self._anchored: dict[Path, None] = {}

    def sync(self, directory: Path) -> Future[None] | None:
        """Make the entries of `directory`, and those that lead to it, durable.

        Returns
        -------
        Future or None
            None when it is done; else a future that ends when it is done. An `OSError` is raised,
            or is the future's outcome.
        """
        self._anchor(directory)
        with self._lock:
            running = self._running.get(directory)
            if running is not None:
                waiting: Future[None] = Future()
                running.next_round.append(waiting)
                return waiting
            self._running[directory] = _Round()
        try:
            sync_directory(directory)
        finally:
            self._begin_next(directory)
        return None

    def _begin_next(self, directory: Path) -> None:
        with self._lock:
            waiting = self._running[directory].next_round
            if not waiting:
                del self._running[directory]
                return
            self._running[directory] = _Round()
        try:
            self._executor.submit(self._round, directory, waiting)
        except RuntimeError:  # the executor is being shut down and takes no more work
            self._round(directory, waiting)

    def _round(self, directory: Path, waiting: list[Future[None]]) -> None:
        failure: OSError | None = None
        try:
            sync_directory(directory)
        except OSError as error:
            failure = error
        for future in waiting:
            if failure is None:
                future.set_result(None)
            else:
                future.set_exception(failure)
        self._begin_next(directory)

    def _anchor(self, directory: Path) -> None:
        """Sync what leads to a directory, once; another process may have made it just now."""
        if directory in self._anchored:
            return
        parent = directory
        while parent != self._root:
            parent = parent.parent
            sync_directory(parent)
        with self._lock:
            if len(self._anchored) >= _REMEMBERED:
                self._anchored.clear()
            self._anchored[directory] = None


def sync_directory(directory: Path) -> None:
    """Make the entries of one directory durable."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
