"""The data folder: where everything lies, who may use it, and what runs in it now."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from lanthorn_embedded.errors import EmbeddedError, FolderInUse
from lanthorn_embedded.privatefile import write_private_file
from lanthorn_embedded.sockets import LOOPBACK

# After a kill -9 the guardian still holds the lock for a moment, until all is swept.
_PATIENCE_WITH_THE_DEAD_S: Final = 20.0


def default_data_folder(environ: Mapping[str, str]) -> Path:
    """Name the folder used without ``--data``, as the XDG base directory specification has it."""
    base = environ.get("XDG_DATA_HOME", "")
    root = Path(base) if Path(base).is_absolute() else Path.home() / ".local" / "share"
    return root / "lanthorn"


@dataclass(frozen=True, slots=True)
class ProcessState:
    """A child as `lanthorn status` shows it."""

    name: str
    pid: int | None
    ready: bool
    restarts: int
    listens_on: str
    health_port: int | None = None


@dataclass(frozen=True, slots=True)
class SystemState:
    """What runs in a data folder; holds the bus' secret, so its file is for the owner only."""

    pid: int
    version: str
    started_at: str
    ready: bool
    ae_title: str
    dicom_port: int | None
    http_port: int | None
    config: str
    database_url: str
    nats_url: str
    renderer_url: str
    processes: tuple[ProcessState, ...]

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> SystemState:
        """Build a state from what `asdict` made of one."""
        processes = tuple(ProcessState(**process) for process in document["processes"])
        return cls(**{**document, "processes": processes})


class DataFolder:
    """Paths of one data folder. Making an object touches nothing."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.postgres = root / "postgres"
        self.postgres_socket = root / "socket"
        self.nats = root / "nats"
        self.objects = root / "objects"
        self.run = root / "run"
        self.lock = self.run / "lock"
        self.state = self.run / "state.json"
        self.scrape_targets = root / "prometheus-targets.json"

    def make(self) -> None:
        """Make the folder and those below that are ours alone.

        Root's own stays passable (0711), because PostgreSQL runs as somebody else there; what
        is inside is closed in either case. The rights of a folder that exists are left alone.

        Raises
        ------
        EmbeddedError
            A folder cannot be made.
        """
        passable = 0o711 if os.geteuid() == 0 else 0o700
        try:
            if not self.root.is_dir():
                self.root.mkdir(parents=True)
                self.root.chmod(passable)
            for folder in (self.nats, self.objects, self.run):
                folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as exc:
            raise EmbeddedError(
                f"cannot use the data folder {self.root} ({exc.strerror}): choose another with "
                "--data"
            ) from exc

    @contextlib.contextmanager
    def exclusive(self) -> Iterator[int]:
        """Hold the folder's lock.

        Yields
        ------
        int
            The lock's file descriptor: a process that inherits it holds the lock on.

        Raises
        ------
        FolderInUse
            Another `lanthorn` holds it.
        """
        descriptor = os.open(self.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            self._acquire(descriptor)
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
            yield descriptor
        finally:
            os.close(descriptor)

    def holder(self) -> int | None:
        """Tell the process that holds the lock, or None when the folder is free."""
        try:
            descriptor = os.open(self.lock, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return _read_pid(descriptor)
        else:
            return None
        finally:
            os.close(descriptor)

    def write_state(self, state: SystemState) -> None:
        """Replace the state file as a whole, and with it where Prometheus finds our metrics."""
        write_private_file(self.state, json.dumps(asdict(state), indent=1))
        targets = [
            {
                "targets": [f"{LOOPBACK}:{process.health_port}"],
                "labels": {"process": process.name},
            }
            for process in state.processes
            if process.health_port is not None
        ]
        write_private_file(self.scrape_targets, json.dumps(targets, indent=1), mode=0o644)

    def read_state(self) -> SystemState | None:
        """Read the state of the `lanthorn up` that runs here, or None when none does."""
        holder = self.holder()
        try:
            document = json.loads(self.state.read_text(encoding="utf-8"))
            state = SystemState.from_document(document)
        except (OSError, ValueError, TypeError, KeyError):
            return None  # it starts, or stops, at this very moment
        # A file of another process is what a killed one left.
        return state if state.pid == holder else None

    def forget_state(self) -> None:
        """Remove the state file, and what goes with it, at the end."""
        self.state.unlink(missing_ok=True)
        self.scrape_targets.unlink(missing_ok=True)

    def _acquire(self, descriptor: int) -> None:
        give_up_at = time.monotonic() + _PATIENCE_WITH_THE_DEAD_S
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                pid = _read_pid(descriptor)
                if _is_alive(pid) or time.monotonic() > give_up_at:
                    raise FolderInUse(
                        f"the data folder {self.root} is in use by lanthorn, process {pid}: stop "
                        "that one, or choose another folder with --data"
                    ) from None
                time.sleep(0.05)
            else:
                return


def _read_pid(descriptor: int) -> int:
    text = os.pread(descriptor, 32, 0).strip()
    return int(text) if text.isdigit() else 0


def _is_alive(pid: int) -> bool:
    """Tell whether a process exists and has not ended (a zombie has)."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] not in ("Z", "X")
