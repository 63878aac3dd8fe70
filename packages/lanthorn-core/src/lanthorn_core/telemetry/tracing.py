"""Spans of distributed traces: no-ops until `lanthorn_core.runtime.tracing` installs a tracer.

OpenTelemetry is an optional extra, so nothing here imports it. Attributes never tell who a patient
is: kinds, counts, sizes, object keys, and UIDs where logs have them, too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Final, Protocol

Attribute = str | int | float | bool
Carrier = Mapping[str, str]
"""Headers of HTTP or NATS that may carry a trace context (W3C `traceparent`)."""

TRACEPARENT: Final = "traceparent"


class Span(Protocol):
    """One piece of work of a trace."""

    def set(self, name: str, value: Attribute) -> None:
        """Say what became known only during the work."""
        ...


class Tracer(Protocol):
    """What `lanthorn_core.runtime.tracing` provides."""

    def span(
        self,
        name: str,
        attributes: Mapping[str, Attribute],
        *,
        parent: Carrier | None,
        links: Sequence[Carrier],
    ) -> AbstractContextManager[Span]:
        """Begin a span for the length of the block."""
        ...

    def carrier(self) -> Carrier:
        """Write the present span into headers; empty outside of any span."""
        ...

    def trace_id(self) -> str:
        """Tell the id of the present trace; empty outside of any span."""
        ...


class _NoSpan:
    """Used again and again, also within itself: it holds nothing."""

    def __enter__(self) -> _NoSpan:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        return

    def set(self, name: str, value: Attribute) -> None:
        """Forget it."""


_NO_SPAN: Final = _NoSpan()
_NOTHING: Final[Carrier] = {}
_tracer: Tracer | None = None


def install(tracer: Tracer | None) -> None:
    """Have all spans made by this tracer from now on; None ends that."""
    global _tracer  # noqa: PLW0603  # one tracer a process, as there is one registry of metrics
    _tracer = tracer


def is_tracing() -> bool:
    """Tell whether anybody looks: what only spans need can be left undone otherwise."""
    return _tracer is not None


def span(
    name: str,
    *,
    parent: Carrier | None = None,
    links: Sequence[Carrier] = (),
    **attributes: Attribute,
) -> AbstractContextManager[Span]:
    """Begin a span for the length of a block; an exception that leaves it is noted in it.

    Parameters
    ----------
    name : str
        What is done, such as ``publish``; few different ones.
    parent : mapping, optional
        Headers of who asked for the work. Without a trace context in them, as without headers,
        the span continues the one around it, if there is one.
    links : sequence of mappings
        Headers of what the work deals with, when that comes from many traces.
    **attributes
        What is known of the work.
    """
    if _tracer is None:
        return _NO_SPAN
    return _tracer.span(name, attributes, parent=parent, links=links)


def carrier() -> Carrier:
    """Return the headers that carry the present span to who continues it; mostly none."""
    return _NOTHING if _tracer is None else _tracer.carrier()


def trace_id() -> str:
    """Return the id of the present trace, for logs; empty where there is none."""
    return "" if _tracer is None else _tracer.trace_id()
