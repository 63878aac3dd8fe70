"""The id of the HTTP request that is being answered, and how it reaches other services."""

from __future__ import annotations

from typing import Final

import structlog

from lanthorn_core.telemetry.tracing import Carrier, carrier

REQUEST_ID: Final = "request_id"
"""Key in the context of structlog, so that every line of the log has it."""
REQUEST_ID_HEADER: Final = "X-Request-ID"


def request_headers() -> Carrier:
    """Return the headers that let another service continue this request: its id and its trace."""
    request_id = structlog.contextvars.get_contextvars().get(REQUEST_ID)
    return {REQUEST_ID_HEADER: request_id, **carrier()} if request_id else carrier()
