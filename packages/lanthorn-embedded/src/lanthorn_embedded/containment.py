"""Children that cannot outlive their parent, and accounts with less than root's rights.

Linux tells a process of its parent's death by a signal of its choice (``PR_SET_PDEATHSIG``).
Two properties of that signal decide the code below: it belongs to the *thread* that forked, so
children are only ever started from the main thread; and a change of user or group forgets it,
so it is armed as the last thing before `exec`.

References
----------
Linux manual pages prctl(2), capabilities(7), PR_SET_PDEATHSIG(2const).
"""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_KEEPCAPS: Final = 8
_PR_SET_NAME: Final = 15
_PR_CAP_AMBIENT: Final = 47
_PR_CAP_AMBIENT_RAISE: Final = 2
_CAPABILITY_VERSION_3: Final = 0x20080522

CAP_DAC_OVERRIDE: Final = 1
CAP_DAC_READ_SEARCH: Final = 2

_LIBC: Final = ctypes.CDLL(None, use_errno=True)


class _CapabilityHeader(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _CapabilityData(ctypes.Structure):
    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


@dataclass(frozen=True, slots=True)
class Account:
    """The user that a child becomes when we are root.

    `capability` is the one right of root that it keeps, or None.
    """

    name: str
    uid: int
    gid: int
    capability: int | None = None


def name_process(name: str) -> None:
    """Set the name that `ps` and `top` show; at most 15 bytes count."""
    _prctl(_PR_SET_NAME, ctypes.c_char_p(name.encode()))


def held_capabilities() -> int:
    """Read the bit mask of what this process may do, from ``/proc/self/status``."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapPrm:"):
            return int(line.split()[1], 16)
    return 0


def before_exec(*, death_signal: signal.Signals, account: Account | None) -> Callable[[], None]:
    """Make the function that runs in a new child between `fork` and `exec`.

    Parameters
    ----------
    death_signal : signal.Signals
        What the child receives when the process that calls this function dies.
    account : Account or None
        Whom the child becomes; None keeps the present user.
    """
    parent = os.getpid()

    def prepare() -> None:
        if account is not None:
            _become(account)
        _prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(death_signal))
        if os.getppid() != parent:  # it died before the signal was armed
            os._exit(1)

    return prepare


def _become(account: Account) -> None:
    if account.capability is not None:
        _prctl(_PR_SET_KEEPCAPS, ctypes.c_ulong(1))
    os.setgroups([])
    os.setgid(account.gid)
    os.setuid(account.uid)
    if account.capability is None:
        return
    bit = 1 << account.capability
    header = _CapabilityHeader(_CAPABILITY_VERSION_3, 0)
    low_and_high = (_CapabilityData * 2)(_CapabilityData(bit, bit, bit))
    if _LIBC.capset(ctypes.byref(header), ctypes.byref(low_and_high)) != 0:
        raise OSError(ctypes.get_errno(), "capset")
    _prctl(
        _PR_CAP_AMBIENT, ctypes.c_ulong(_PR_CAP_AMBIENT_RAISE), ctypes.c_ulong(account.capability)
    )


def _prctl(option: int, *arguments: ctypes.c_ulong | ctypes.c_char_p) -> None:
    # Unused arguments must be zero for PR_CAP_AMBIENT, and are ignored elsewhere.
    padding = [ctypes.c_ulong(0)] * (4 - len(arguments))
    if _LIBC.prctl(option, *arguments, *padding) != 0:
        raise OSError(ctypes.get_errno(), f"prctl({option})")
