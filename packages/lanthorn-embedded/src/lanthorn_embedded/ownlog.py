"""What our shared library logs inside the supervisor's own process."""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

from lanthorn_embedded.loglines import LogRecord, read_event


def route_structlog(write: Callable[[LogRecord], None]) -> None:
    """Send structlog's events of this process to `write`."""
    # Imported here: it takes a tenth of a second, while the engines start.
    import structlog  # noqa: PLC0415

    def forward(_logger: object, method: str, event: structlog.typing.EventDict) -> NoReturn:
        write(read_event("lanthorn", {"level": method, **event}))
        raise structlog.DropEvent

    structlog.configure(
        processors=[structlog.processors.format_exc_info, forward], cache_logger_on_first_use=False
    )
