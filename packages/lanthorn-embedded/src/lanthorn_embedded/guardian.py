"""A second process that ends what a killed supervisor leaves behind.

``PR_SET_PDEATHSIG`` (see `containment`) reaches the supervisor's children, not theirs: the
renderer's decoders would live on after ``kill -9``. The guardian is forked before anything else
and waits on a pipe. Over it the supervisor reports every process group it starts and every one
it has seen end; when the pipe breaks, the guardian ends the rest. It also inherits the lock of
the data folder, so that no other supervisor starts before that is done.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import time
from pathlib import Path
from typing import Final, NoReturn

from lanthorn_embedded.containment import name_process

_GRACE_S: Final = 6.0  # PostgreSQL kills its own after 5 s of immediate shutdown
_WORD_END: Final = b"end\n"


class Guardian:
    """The supervisor's side of the pipe. Make it before the event loop and any thread.

    Parameters
    ----------
    lock_descriptor : int or None
        File descriptor that the guardian keeps open as long as it lives.
    """

    def __init__(self, lock_descriptor: int | None = None) -> None:
        read_end, self._pipe = os.pipe()
        # Nothing of this process is run on in the child but the code below.
        gc.freeze()
        self._pid = os.fork()
        if self._pid == 0:
            _guard(read_end, lock_descriptor)
        gc.unfreeze()
        os.close(read_end)

    def watch(self, group: int, death_signal: signal.Signals) -> None:
        """Report a process group that has started and the signal that ends its leader."""
        self._say(b"+%d %d\n" % (group, death_signal))

    def forget(self, group: int) -> None:
        """Report a process group that has ended."""
        self._say(b"-%d\n" % group)

    def close(self) -> None:
        """Let the guardian go: everything has ended in order."""
        self._say(_WORD_END)
        os.close(self._pipe)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self._pid, 0)

    def _say(self, words: bytes) -> None:
        # Somebody killed the guardian: the children's own death signals remain.
        with contextlib.suppress(BrokenPipeError):
            os.write(self._pipe, words)


def _guard(read_end: int, lock_descriptor: int | None) -> NoReturn:
    try:
        os.setsid()
        name_process("lanthorn-guard")
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        keep = {read_end} if lock_descriptor is None else {read_end, lock_descriptor}
        _close_all_but(keep)
        groups, in_order = _listen(read_end)
        if not in_order:
            _sweep(groups)
    finally:
        os._exit(0)


def _close_all_but(keep: set[int]) -> None:
    null = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(null, standard)
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 - numbers, not paths
        if int(name) > 2 and int(name) not in keep:
            with contextlib.suppress(OSError):  # the listing's own descriptor
                os.close(int(name))


def _listen(read_end: int) -> tuple[dict[int, int], bool]:
    """Follow the supervisor until its pipe breaks; tell what is left, and if it said goodbye."""
    groups: dict[int, int] = {}
    with open(read_end, "rb") as pipe:
        for line in pipe:
            if line == _WORD_END:
                return groups, True
            if line.startswith(b"+"):
                group, number = line[1:].split()
                groups[int(group)] = int(number)
            elif line.startswith(b"-"):
                groups.pop(int(line[1:]), None)
    return groups, False


def _sweep(groups: dict[int, int]) -> None:
    for group, number in groups.items():
        with contextlib.suppress(OSError):
            os.kill(group, number) if number != signal.SIGKILL else os.killpg(group, number)
    give_up_at = time.monotonic() + _GRACE_S
    while (left := groups.keys() & _living_groups()) and time.monotonic() < give_up_at:
        time.sleep(0.02)
    for group in left:
        with contextlib.suppress(OSError):
            os.killpg(group, signal.SIGKILL)


def _living_groups() -> set[int]:
    """Find the process groups with a member that has not ended (a zombie has)."""
    groups: set[int] = set()
    for name in os.listdir("/proc"):  # noqa: PTH208 - numbers, not paths
        if not name.isdigit():
            continue
        with contextlib.suppress(OSError):
            status = Path("/proc", name, "stat").read_text()
            # "pid (name) state ppid pgrp ...", where the name may hold anything.
            state, _, group = status.rpartition(")")[2].split()[:3]
            if state not in ("Z", "X"):
                groups.add(int(group))
    return groups
