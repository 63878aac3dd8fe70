"""How far an import is: one line that is written over and over, or a line now and then."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, TextIO

from lanthorn_core.model import Level
from lanthorn_embedded.importing.levels import PLURALS
from lanthorn_embedded.importing.source import Totals

TERMINAL_EVERY_S: Final = 0.2
LOG_EVERY_S: Final = 5.0
_BAR_WIDTH: Final = 24
_MIB: Final = 1 << 20


class Progress:
    """Shows counts, rate and the time that is left.

    Parameters
    ----------
    totals : Totals
        What there is.
    output : text stream
        Where it is shown.
    now : callable
        Seconds of a clock that never goes back.
    """

    def __init__(
        self, totals: Totals, output: TextIO, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._totals = totals
        self._output = output
        self._now = now
        self._is_terminal = output.isatty()
        self._level = Level.INSTANCE
        self._began_at = self._shown_at = now()
        self._passed = self._taken = self._taken_bytes = self._failures = 0
        self._passed_bytes = 0

    def begin(self, level: Level) -> None:
        """Go on with another level."""
        self._level = level
        self._began_at = self._now()
        self._passed = self._taken = self._taken_bytes = self._passed_bytes = 0

    def skip(self, count: int, size_bytes: int) -> None:
        """Count what an earlier run took over."""
        self._passed += count
        self._passed_bytes += size_bytes

    def advance(self, count: int, size_bytes: int) -> None:
        """Count what was taken over now, or could not be."""
        self._passed += count
        self._passed_bytes += size_bytes
        self._taken += count
        self._taken_bytes += size_bytes
        every_s = TERMINAL_EVERY_S if self._is_terminal else LOG_EVERY_S
        if self._now() - self._shown_at >= every_s:
            self._show()

    def fail(self) -> None:
        """Count what could not be taken over."""
        self._failures += 1

    def end(self) -> None:
        """Leave the terminal with a clean line."""
        if self._is_terminal:
            self._output.write("\r\x1b[K")
            self._output.flush()

    def line(self) -> str:
        """Say where the import is."""
        total = self._totals.counts[self._level]
        elapsed_s = max(self._now() - self._began_at, 1e-6)
        parts = [f"{PLURALS[self._level]} {self._passed:,} of {total:,}", self._bar()]
        parts.append(f"{self._taken / elapsed_s:,.0f}/s")
        if self._level is Level.INSTANCE:
            parts.append(f"{self._taken_bytes / elapsed_s / _MIB:,.1f} MiB/s")
        left_s = self._left_s(elapsed_s)
        if left_s is not None:
            parts.append(f"{_clock(left_s)} left")
        if self._failures:
            parts.append(f"{self._failures:,} failed")
        return "  ".join(parts)

    def _bar(self) -> str:
        done = min(self._part(), 1.0)
        filled = round(done * _BAR_WIDTH)
        return f"[{'#' * filled}{'.' * (_BAR_WIDTH - filled)}] {done:4.0%}"

    def _part(self) -> float:
        """Return how much of the level is done, by bytes where bytes take the time."""
        if self._level is Level.INSTANCE and self._totals.size_bytes:
            return self._passed_bytes / self._totals.size_bytes
        return self._passed / max(self._totals.counts[self._level], 1)

    def _left_s(self, elapsed_s: float) -> float | None:
        if self._level is Level.INSTANCE and self._taken_bytes:
            left_bytes = max(self._totals.size_bytes - self._passed_bytes, 0)
            return left_bytes * elapsed_s / self._taken_bytes
        if self._taken:
            left = max(self._totals.counts[self._level] - self._passed, 0)
            return left * elapsed_s / self._taken
        return None

    def _show(self) -> None:
        self._shown_at = self._now()
        text = f"\r\x1b[K{self.line()}" if self._is_terminal else f"{self.line()}\n"
        self._output.write(text)
        self._output.flush()


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours}:{minutes:02}:{int(seconds):02}"
