"""Worklist items as files ``<id>.wl`` in a folder, as Orthanc's plugin and DCMTK keep them.

Whoever schedules may write to the folder at any time; a ``lockfile`` and other names are passed
over. The folder belongs to one machine: gateways on others need one of their own, or the database.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import structlog

from lanthorn_core.adapters.blocking_calls import in_thread, uninterrupted
from lanthorn_core.errors import InvalidDataset, StorageUnavailable, UnknownResource
from lanthorn_core.ports.worklists import WorklistEntry

log = structlog.get_logger(__name__)

SUFFIX: Final = ".wl"

MAX_FILES: Final = 20_000
"""What a query looks at; the rest of a folder is passed over with a warning."""

MAX_FILE_BYTES: Final = 1 << 20
"""A worklist item has a few kilobytes; what is larger is none."""

_LONGEST_NAME: Final = 200


class WorklistFolder:
    """See `WorklistStore` for the contract.

    Parameters
    ----------
    folder : Path
        Need not exist: then there are no items, and the first one written makes it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._executor = ThreadPoolExecutor(max_workers=2, thread_name_prefix="worklists")

    async def __aenter__(self) -> Self:
        """Begin."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Let the threads end."""
        self._executor.shutdown(wait=True)

    async def entries(self) -> Sequence[WorklistEntry]:
        """List the files; an item's revision is its file's number, size and times."""
        return await in_thread(self._executor, self._entries)

    async def read(self, worklist_id: str) -> bytes:
        """Read a file."""
        return await in_thread(self._executor, self._read, worklist_id)

    async def write(self, worklist_id: str, file: bytes) -> None:
        """Write a file under a hidden name, then rename it."""
        await uninterrupted(self._executor, self._write, worklist_id, file)

    async def delete(self, worklist_id: str) -> bool:
        """Remove a file."""
        return await uninterrupted(self._executor, self._delete, worklist_id)

    def _entries(self) -> list[WorklistEntry]:
        found: list[WorklistEntry] = []
        try:
            with os.scandir(self._folder) as files:
                for file in files:
                    if not file.name.endswith(SUFFIX) or file.name.startswith("."):
                        continue
                    if len(found) == MAX_FILES:
                        log.warning("worklist_folder_was_too_full", limit=MAX_FILES)
                        break
                    with contextlib.suppress(FileNotFoundError):  # gone since it was listed
                        seen = file.stat()
                        if stat.S_ISREG(seen.st_mode):
                            found.append(_entry(file.name, seen))
        except FileNotFoundError:
            return []
        except OSError as error:
            raise StorageUnavailable(f"The folder of worklists: {error.strerror}") from error
        return sorted(found, key=lambda entry: entry.worklist_id)

    def _read(self, worklist_id: str) -> bytes:
        try:
            # Without O_NONBLOCK a named pipe would wait for who never comes.
            descriptor = os.open(
                self._path(worklist_id), os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
            )
        except (FileNotFoundError, NotADirectoryError):
            raise UnknownResource("Worklist not found") from None
        except OSError as error:
            raise StorageUnavailable(f"The folder of worklists: {error.strerror}") from error
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise InvalidDataset("the worklist is no regular file")
            data = file.read(MAX_FILE_BYTES + 1)
        if len(data) > MAX_FILE_BYTES:
            raise InvalidDataset(f"the worklist has more than {MAX_FILE_BYTES} bytes")
        return data

    def _write(self, worklist_id: str, file: bytes) -> None:
        path = self._path(worklist_id)
        hidden = self._folder / f".{secrets.token_hex(8)}.tmp"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with hidden.open("xb") as stream:
                stream.write(file)
                stream.flush()
                os.fsync(stream.fileno())
            hidden.replace(path)
        except OSError as error:
            hidden.unlink(missing_ok=True)
            raise StorageUnavailable(f"The folder of worklists: {error.strerror}") from error

    def _delete(self, worklist_id: str) -> bool:
        try:
            self._path(worklist_id).unlink()
        except (FileNotFoundError, NotADirectoryError, UnknownResource):
            return False
        except OSError as error:
            raise StorageUnavailable(f"The folder of worklists: {error.strerror}") from error
        return True

    def _path(self, worklist_id: str) -> Path:
        """Return the file of an item; ids come from clients, and lead nowhere else."""
        if (
            not worklist_id
            or worklist_id.startswith(".")
            or "/" in worklist_id
            or "\0" in worklist_id
            or len(os.fsencode(worklist_id)) > _LONGEST_NAME
        ):
            raise UnknownResource("Worklist not found")
        return self._folder / f"{worklist_id}{SUFFIX}"


def _entry(name: str, seen: os.stat_result) -> WorklistEntry:
    revision = f"{seen.st_ino}-{seen.st_size}-{seen.st_mtime_ns}-{seen.st_ctime_ns}"
    # A name that is no UTF-8 could not be shown as JSON.
    shown = os.fsencode(name).decode("utf-8", "replace").removesuffix(SUFFIX)
    return WorklistEntry(shown, revision)
