"""Lines of output of our processes as records of one kind."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import IntEnum
from typing import Any, Final


class Severity(IntEnum):
    """How much a record matters, in ascending order."""

    DEBUG = 10
    INFO = 20
    WARNING = 30
    ERROR = 40
    CRITICAL = 50


_LEVELS: Final[Mapping[str, Severity]] = {
    "debug": Severity.DEBUG,
    "info": Severity.INFO,
    "warning": Severity.WARNING,
    "warn": Severity.WARNING,
    "error": Severity.ERROR,
    "exception": Severity.ERROR,
    "critical": Severity.CRITICAL,
}

# nats-server: "[4711] [INF] Server is ready" (logtime is off).
_NATS: Final = re.compile(r"\[\d+\] \[(?P<level>[A-Z]{3})\] ?(?P<text>.*)")
_NATS_LEVELS: Final[Mapping[str, Severity]] = {
    "TRC": Severity.DEBUG,
    "DBG": Severity.DEBUG,
    "INF": Severity.INFO,
    "WRN": Severity.WARNING,
    "ERR": Severity.ERROR,
    "FTL": Severity.CRITICAL,
}
# The password is ours, random, in a file that only we may read.
_NATS_ROUTINE: Final = ("Plaintext passwords detected, use nkeys or bcrypt",)

# PostgreSQL with an empty log_line_prefix: "LOG:  database system is ready".
_POSTGRES: Final = re.compile(r"(?P<level>[A-Z0-9]+):  (?P<text>.*)")
_POSTGRES_LEVELS: Final[Mapping[str, Severity]] = {
    "LOG": Severity.INFO,
    "INFO": Severity.INFO,
    "NOTICE": Severity.INFO,
    "WARNING": Severity.WARNING,
    "ERROR": Severity.WARNING,  # of one statement: whoever sent it reports what it means
    "FATAL": Severity.WARNING,  # of one connection
    "PANIC": Severity.CRITICAL,
}
# What PostgreSQL says in the ordinary course of a stop or while it starts.
_POSTGRES_ROUTINE: Final = (
    "terminating connection due to administrator command",
    "the database system is starting up",
    "the database system is shutting down",
)


@dataclass(frozen=True, slots=True)
class LogRecord:
    """One thing that was said.

    Attributes
    ----------
    time : datetime
        With time zone.
    service : str
        The process, such as ``gateway-1``.
    event : str
        The event's name, or a free text where a program of others speaks.
    fields : mapping
        What came with it, in order.
    trace : str
        A traceback, or nothing.
    """

    time: datetime
    service: str
    severity: Severity
    event: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    trace: str = ""

    def as_json(self) -> str:
        """Write the record as the services write theirs."""
        document = {
            "event": self.event,
            "level": self.severity.name.lower(),
            "timestamp": self.time.astimezone(UTC).isoformat().replace("+00:00", "Z"),
            "service": self.service,
            **self.fields,
        }
        if self.trace:
            document["exception"] = self.trace
        return json.dumps(document, ensure_ascii=False, default=str)


def now() -> datetime:
    """Tell the time as records carry it."""
    return datetime.now(UTC)


def read_service_line(service: str, line: str) -> LogRecord:
    """Read a line of one of our services: JSON of structlog, or whatever else it printed."""
    try:
        document = json.loads(line)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        return LogRecord(now(), service, Severity.WARNING, line)
    return read_event(service, document)


def read_event(service: str, event: Mapping[str, Any]) -> LogRecord:
    """Read an event of structlog's."""
    fields = dict(event)
    name = str(fields.pop("event", ""))
    severity = _LEVELS.get(str(fields.pop("level", "info")).lower(), Severity.INFO)
    said_at = str(fields.pop("timestamp", ""))
    fields.pop("service", None)  # ours also tells the gateways apart
    trace = fields.pop("exception", "")
    try:
        time = datetime.fromisoformat(said_at)
    except ValueError:
        time = now()
    if time.tzinfo is None:
        time = time.replace(tzinfo=UTC)
    if not isinstance(trace, str):
        trace = json.dumps(trace, default=str)
    return LogRecord(time, service, severity, name, fields, trace)


def read_nats_line(service: str, line: str) -> LogRecord:
    """Read a line of nats-server."""
    match = _NATS.match(line)
    if match is None:
        return LogRecord(now(), service, Severity.WARNING, line)
    severity = _NATS_LEVELS.get(match["level"], Severity.INFO)
    if match["text"] in _NATS_ROUTINE:
        severity = Severity.INFO
    return LogRecord(now(), service, severity, match["text"])


def read_postgres_line(service: str, line: str) -> LogRecord:
    """Read a line of PostgreSQL, written with an empty prefix and English messages."""
    match = _POSTGRES.match(line)
    if match is None:
        return LogRecord(now(), service, Severity.INFO, line.strip())
    severity = _POSTGRES_LEVELS.get(match["level"], Severity.INFO)
    if match["text"] in _POSTGRES_ROUTINE:
        severity = Severity.INFO
    return LogRecord(now(), service, severity, match["text"])
