"""Traces by OpenTelemetry, where it is installed and told where to send them.

``pip install lanthorn-core[tracing]`` brings it; the variable ``OTEL_EXPORTER_OTLP_ENDPOINT`` turns
it on. The other variables of its specification hold as well (sampling, headers, time-outs).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

import structlog

from lanthorn_core.runtime.metrics import own_version
from lanthorn_core.telemetry.tracing import Attribute, Carrier, Span, install

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span as OpenTelemetrySpan

log = structlog.get_logger(__name__)

ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_EXPORTER: Final = "opentelemetry.exporter.otlp.proto.http"


@contextmanager
def exporting_traces(service: str, environ: Mapping[str, str]) -> Iterator[None]:
    """Export spans for the length of the block, if that is wanted and possible.

    Parameters
    ----------
    service : str
        Name of the process, such as ``dimse-gateway``.
    environ : mapping
        Without one of `ENDPOINTS` nothing is loaded.
    """
    if not any(environ.get(name) for name in ENDPOINTS):
        yield
        return
    if not _is_installed():
        log.warning("tracing_not_installed", install="lanthorn-core[tracing]")
        yield
        return
    # Imported where it is wanted: it is an extra.
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415
        OTLPSpanExporter,
    )
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

    resource = {"service.name": f"lanthorn-{service}", "service.version": own_version()}
    provider = TracerProvider(resource=Resource.create(resource), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    with tracing_with(provider):
        log.info("tracing_started")
        try:
            yield
        finally:
            provider.shutdown()


@contextmanager
def tracing_with(provider: TracerProvider) -> Iterator[None]:
    """Have all spans made by this provider for the length of the block."""
    install(_OpenTelemetry(provider))
    try:
        yield
    finally:
        install(None)


def _is_installed() -> bool:
    try:
        return find_spec(_EXPORTER) is not None
    except ModuleNotFoundError:  # not even the package around it
        return False


class _OpenTelemetry:
    """`lanthorn_core.telemetry.tracing.Tracer` on OpenTelemetry."""

    def __init__(self, provider: TracerProvider) -> None:
        from opentelemetry import trace  # noqa: PLC0415
        from opentelemetry.trace.propagation.tracecontext import (  # noqa: PLC0415
            TraceContextTextMapPropagator,
        )

        self._trace = trace
        self._tracer = provider.get_tracer("lanthorn", own_version())
        self._propagator = TraceContextTextMapPropagator()

    @contextmanager
    def span(
        self,
        name: str,
        attributes: Mapping[str, Attribute],
        *,
        parent: Carrier | None,
        links: Sequence[Carrier],
    ) -> Iterator[Span]:
        """Begin a span for the length of the block."""
        with self._tracer.start_as_current_span(
            name,
            context=self._propagator.extract(parent) if parent else None,
            attributes={f"lanthorn.{key}": value for key, value in attributes.items()},
            links=[
                self._trace.Link(span.get_span_context())
                for span in map(self._span_in, links)
                if span.get_span_context().is_valid
            ],
            # An exception's text may quote what a data set holds.
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                yield _Attributed(span)
            except Exception as error:
                span.set_status(self._trace.StatusCode.ERROR, type(error).__name__)
                raise

    def carrier(self) -> Carrier:
        """Write the present span into headers."""
        headers: dict[str, str] = {}
        self._propagator.inject(headers)
        return headers

    def trace_id(self) -> str:
        """Tell the id of the present trace."""
        context = self._trace.get_current_span().get_span_context()
        return self._trace.format_trace_id(context.trace_id) if context.is_valid else ""

    def _span_in(self, headers: Carrier) -> OpenTelemetrySpan:
        return self._trace.get_current_span(self._propagator.extract(headers))


class _Attributed:
    """`lanthorn_core.telemetry.tracing.Span` on one of OpenTelemetry."""

    __slots__ = ("_span",)

    def __init__(self, span: OpenTelemetrySpan) -> None:
        self._span = span

    def set(self, name: str, value: Attribute) -> None:
        """Set an attribute."""
        self._span.set_attribute(name, value)
