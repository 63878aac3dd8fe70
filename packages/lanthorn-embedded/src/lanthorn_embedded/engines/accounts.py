"""Whom PostgreSQL runs as when we are root: it refuses to be root itself."""

from __future__ import annotations

import os
import pwd
import shutil
import stat
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from lanthorn_embedded.containment import (
    CAP_DAC_OVERRIDE,
    CAP_DAC_READ_SEARCH,
    Account,
    held_capabilities,
)
from lanthorn_embedded.errors import EngineFailed

ACCOUNT_NAME = "lanthorn"


def choose_account(cluster_folder: Path, needed: Sequence[Path]) -> Account | None:
    """Choose the account of the database's process.

    The owner of an existing cluster stays its owner. A new one belongs to the system account
    ``lanthorn``, made on first use, or to ``nobody`` where accounts cannot be made.

    Parameters
    ----------
    cluster_folder : Path
        PostgreSQL's data folder, which may not exist yet.
    needed : sequence of Path
        Existing folders that the account has to reach: programs, parent of the data. Where a
        parent of theirs is closed (``/root`` is), the account keeps root's right to search and
        read folders, rather than that we open somebody's home.

    Returns
    -------
    Account or None
        None for an ordinary user, who keeps his own.

    Raises
    ------
    EngineFailed
        The folders cannot be reached, or belong to somebody else.
    """
    owner = cluster_folder.stat().st_uid if cluster_folder.exists() else None
    if os.geteuid() != 0:
        if owner is not None and owner != os.geteuid():
            raise EngineFailed(
                f"{cluster_folder} belongs to user {_name_of(owner)}: run lanthorn as that user, "
                "or choose another folder with --data"
            )
        return None
    account = _dedicated_account() if owner in (None, 0) else _account_of(owner or 0)
    if all(_is_reachable(folder, account) for folder in needed):
        return account
    held = held_capabilities()
    for capability in (CAP_DAC_READ_SEARCH, CAP_DAC_OVERRIDE):
        if held & (1 << capability):
            return replace(account, capability=capability)
    closed = next(folder for folder in needed if not _is_reachable(folder, account))
    raise EngineFailed(
        f"PostgreSQL runs as user {account.name}, who cannot reach {closed}: choose a folder "
        "with --data that everybody may enter, or run lanthorn as an ordinary user"
    )


def _dedicated_account() -> Account:
    for attempt in range(2):
        try:
            entry = pwd.getpwnam(ACCOUNT_NAME)
        except KeyError:
            if attempt == 0:
                _make_account()
            continue
        if entry.pw_uid != 0:
            return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)
    entry = pwd.getpwnam("nobody")
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)


def _make_account() -> None:
    """Run `useradd`; a failure (no such program, read-only system) is seen by its absence."""
    program = shutil.which("useradd", path="/usr/sbin:/sbin:/usr/bin:/bin")
    if program is None:
        return
    options = "--system --user-group --no-create-home --home-dir /nonexistent"
    command = [program, *options.split(), "--shell", "/usr/sbin/nologin", ACCOUNT_NAME]
    subprocess.run(command, check=False, capture_output=True, timeout=10)  # noqa: S603


def _account_of(uid: int) -> Account:
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        return Account(str(uid), uid, uid)
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)


def _name_of(uid: int) -> str:
    return _account_of(uid).name


def _is_reachable(folder: Path, account: Account) -> bool:
    """Tell by the mode bits alone; access lists only make this answer too careful."""
    resolved = folder.resolve()
    for place in (resolved, *resolved.parents):
        status = place.stat()
        if status.st_uid == account.uid:
            needed = stat.S_IXUSR
        elif status.st_gid == account.gid:
            needed = stat.S_IXGRP
        else:
            needed = stat.S_IXOTH
        if not status.st_mode & needed:
            return False
    return True
