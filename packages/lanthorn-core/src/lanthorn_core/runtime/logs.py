"""Logs: one line an event, the same form for our events and for the libraries' records.

Never what identifies a patient: UIDs, counts and keys only. Libraries that quote values of data
sets in their messages are kept silent below what cannot be missed.
"""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Any, Final, TextIO

import msgspec
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from lanthorn_core.runtime.metrics import own_version
from lanthorn_core.telemetry.tracing import trace_id

log = structlog.get_logger()

LEVELS: Final = ("debug", "info", "warning", "error")

_LIBRARY_LEVELS: Final = {
    # Their messages of lower levels quote values of data sets and identifiers.
    "pydicom": logging.CRITICAL,
    "pynetdicom": logging.ERROR,
    # Its messages are paths with their queries, and a query may name a patient.
    "uvicorn.access": logging.CRITICAL,
    "uvicorn.error": logging.WARNING,
    "urllib3": logging.ERROR,
    "httpx2": logging.WARNING,
    "httpcore2": logging.WARNING,
    "PIL": logging.WARNING,
    "pylibjpeg": logging.WARNING,
    "asyncio": logging.WARNING,
}


def configure_logging(service: str, *, level: str = "info", json: bool = True) -> None:
    """Set up logging to standard output for this process; called once, before anything is logged.

    Parameters
    ----------
    service : str
        Name of the process in each line, such as ``dimse-gateway``.
    level : str
        Least level that is written, one of `LEVELS`.
    json : bool
        Lines of JSON; else text for a person at a console.
    """
    if level not in LEVELS:
        raise ValueError(f"level must be one of {', '.join(LEVELS)}, got {level!r}")
    threshold = logging.getLevelNamesMapping()[level.upper()]
    out = sys.stdout
    shared = _shared_processors(service, for_machines=json)
    renderers = _json_renderers() if json else _console_renderers(out)
    structlog.configure(
        processors=[*shared, *renderers],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.WriteLoggerFactory(out),
        cache_logger_on_first_use=False,
    )
    _route_library_records(shared, renderers, out, threshold)
    warnings.showwarning = _log_warning


def _log_warning(  # noqa: PLR0917  # the signature of `warnings.showwarning`
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    # A UserWarning is a library's own, and pydicom's quote the values that they warn of.
    text = "" if issubclass(category, UserWarning) else str(message)
    place = f"{filename}:{lineno}"
    log.warning("warning_raised", category=category.__name__, place=place, text=text)


def _shared_processors(service: str, *, for_machines: bool) -> list[Processor]:
    process: dict[str, str | int] = {"service": service}
    if for_machines:
        process |= {"version": own_version(), "pid": os.getpid()}

    def add_process(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
        event.update(process)
        trace = trace_id()
        if trace:
            event["trace_id"] = trace
        return event

    return [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        add_process,
    ]


def _json_renderers() -> list[Processor]:
    # format_exc_info writes no values of local variables, which may be anybody's data.
    return [
        structlog.processors.format_exc_info,
        structlog.processors.JSONRenderer(serializer=_to_json),
    ]


def _console_renderers(out: TextIO) -> list[Processor]:
    return [
        structlog.dev.ConsoleRenderer(
            colors=out.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    ]


def _to_json(event: Any, **_: Callable[[Any], Any]) -> str:
    return msgspec.json.encode(event, enc_hook=str).decode()


def _route_library_records(
    shared: Sequence[Processor], renderers: Sequence[Processor], out: TextIO, threshold: int
) -> None:
    handler = logging.StreamHandler(out)
    handler.addFilter(_is_wanted)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderers],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(threshold)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logging.getLogger(name).handlers = []
        logging.getLogger(name).propagate = True


def _is_wanted(record: logging.LogRecord) -> bool:
    """Apply `_LIBRARY_LEVELS`; levels set on the loggers are undone when a library is imported."""
    name = record.name
    while name:
        if name in _LIBRARY_LEVELS:
            return record.levelno >= _LIBRARY_LEVELS[name]
        name = name.rpartition(".")[0]
    return True
