"""One log for all processes, on a terminal or as JSON lines."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import stat
from collections import deque
from collections.abc import Mapping
from typing import Any, Final, Literal

from lanthorn_embedded.loglines import LogRecord, Severity, now

LogFormat = Literal["console", "json"]

_ENGINES: Final = frozenset({"postgres", "nats"})
_COLORS: Final[Mapping[Severity, str]] = {
    Severity.WARNING: "\x1b[33m",
    Severity.ERROR: "\x1b[31m",
    Severity.CRITICAL: "\x1b[1;31m",
}
_RESET: Final = "\x1b[0m"
# In each line of a service, for who collects them; a person knows what was started here.
_NOT_FOR_EYES: Final = frozenset({"pid", "version"})
_PLAIN: Final = re.compile(r"[^\s\"=]+")
# Control characters of a peer's making must not steer somebody's terminal.
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_CHUNK: Final = 4096  # PIPE_BUF: as much as a writable pipe takes without blocking
_MOST_WAITING_BYTES: Final = 1 << 20


def render(record: LogRecord, *, color: bool = False) -> str:
    """Write a record for human eyes: ``HH:MM:SS service  event key=value``, local time."""
    shown = ((key, value) for key, value in record.fields.items() if key not in _NOT_FOR_EYES)
    parts = [record.event, *(f"{key}={_value(value)}" for key, value in shown)]
    text = _CONTROL.sub("?", " ".join(parts))
    if record.severity >= Severity.WARNING:
        text = f"{record.severity.name.lower()}: {text}"
        if color:
            text = f"{_COLORS[record.severity]}{text}{_RESET}"
    line = f"{record.time.astimezone():%H:%M:%S} {record.service:<10} {text}"
    if record.trace:
        trace = _CONTROL.sub("?", record.trace)
        line += "".join(f"\n    {row}" for row in trace.splitlines())
    return line


def _value(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
    return text if _PLAIN.fullmatch(text) else json.dumps(text, ensure_ascii=False)


class Console:
    """Where the records go. Never waits: a terminal that stands still loses lines, not images.

    Parameters
    ----------
    descriptor : int
        Open file descriptor, usually 1. It is left open and left blocking.
    log_format : {"console", "json"}
        How records are written. For human eyes the engines' records count from WARNING.
    lowest : Severity
        From where on all other records count.
    """

    def __init__(
        self, descriptor: int, log_format: LogFormat, *, lowest: Severity = Severity.INFO
    ) -> None:
        self._descriptor = descriptor
        self._lowest = lowest
        self._json = log_format == "json"
        self._color = os.isatty(descriptor) and "NO_COLOR" not in os.environ
        # epoll does not know regular files; these never block either.
        self._is_file = stat.S_ISREG(os.fstat(descriptor).st_mode)
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._lost_lines = 0
        self._watching = False
        self._gone = False

    def write(self, record: LogRecord) -> None:
        """Write one record, if it matters enough."""
        lowest = self._lowest
        if record.service in _ENGINES and not self._json:
            lowest = Severity.WARNING
        if record.severity >= lowest:
            self._put(record.as_json() if self._json else render(record, color=self._color))

    def show(self, text: str, event: str, **fields: object) -> None:
        """Show a text to human eyes, or say the same as an event with fields."""
        if self._json:
            self.write(LogRecord(now(), "lanthorn", Severity.INFO, event, fields))
        else:
            self._put(text)

    def flush(self) -> None:
        """Write what still waits; may block, so this is for the very end."""
        self._unwatch()
        while self._waiting and not self._gone:
            self._write_some()

    def _put(self, line: str) -> None:
        if self._gone:
            return
        if self._lost_lines and self._waiting_bytes < _MOST_WAITING_BYTES // 2:
            notice = LogRecord(
                now(), "lanthorn", Severity.WARNING, "log_lines_lost", {"count": self._lost_lines}
            )
            self._lost_lines = 0
            self.write(notice)
        data = (line + "\n").encode(errors="replace")
        if self._waiting_bytes + len(data) > _MOST_WAITING_BYTES:
            self._lost_lines += 1
            return
        self._waiting_bytes += len(data)
        self._waiting.extend(data[i : i + _CHUNK] for i in range(0, len(data), _CHUNK))
        if self._is_file:
            self.flush()
        elif not self._watching:
            self._watch()

    def _watch(self) -> None:
        try:
            asyncio.get_running_loop().add_writer(self._descriptor, self._write_some)
        except (RuntimeError, PermissionError):  # no loop runs, or a device without poll
            while self._waiting and not self._gone:
                self._write_some()
        else:
            self._watching = True

    def _unwatch(self) -> None:
        if self._watching:
            self._watching = False
            with contextlib.suppress(RuntimeError):  # the loop is gone already
                asyncio.get_running_loop().remove_writer(self._descriptor)

    def _write_some(self) -> None:
        chunk = self._waiting.popleft()
        try:
            written = os.write(self._descriptor, chunk)
        except BlockingIOError:
            written = 0
        except OSError:  # the terminal or the reader of our pipe is gone; the server goes on
            self._gone = True
            self._waiting.clear()
            self._unwatch()
            return
        self._waiting_bytes -= written
        if written < len(chunk):
            self._waiting.appendleft(chunk[written:])
        if not self._waiting:
            self._unwatch()
