"""Traces: sent to a real OTLP receiver where that is wanted, and nothing at all elsewhere."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from lanthorn_core.runtime.tracing import exporting_traces
from lanthorn_core.telemetry.tracing import carrier, is_tracing, span, trace_id

PREAMBLE = """
import sys
import structlog
from lanthorn_core.runtime.logs import configure_logging
from lanthorn_core.runtime.tracing import exporting_traces
from lanthorn_core.telemetry.tracing import carrier, span
configure_logging("x")
"""
ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}


class Receiver(HTTPServer):
    """An OTLP endpoint that keeps what it gets."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.received: list[tuple[str, ExportTraceServiceRequest]] = []


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.received.append((self.path, ExportTraceServiceRequest.FromString(body)))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_spans_reach_the_endpoint_with_service_and_attributes(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"http://127.0.0.1:{receiver.server_port}"
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
    with exporting_traces("indexer", {"OTEL_EXPORTER_OTLP_ENDPOINT": url}):
        assert is_tracing()
        with span("batch", events=3) as batch:
            batch.set("lanthorn.late", True)
            outer, headers = trace_id(), carrier()
        with span("continued", parent=headers):
            assert trace_id() == outer
        with pytest.raises(ValueError, match="Doe"), span("failing"):
            raise ValueError("Doe^Jane")
    assert not is_tracing()
    ((path, request),) = receiver.received
    assert path == "/v1/traces"
    (resource,) = request.resource_spans
    named = {each.key: each.value.string_value for each in resource.resource.attributes}
    assert named["service.name"] == "lanthorn-indexer"
    spans = {each.name: each for scope in resource.scope_spans for each in scope.spans}
    assert set(spans) == {"batch", "continued", "failing"}
    assert {each.key for each in spans["batch"].attributes} == {"lanthorn.events", "lanthorn.late"}
    assert spans["continued"].parent_span_id == spans["batch"].span_id
    assert (spans["failing"].status.message, len(spans["failing"].events)) == ("ValueError", 0)
    assert b"Doe" not in request.SerializeToString()


def test_without_an_endpoint_a_span_is_nothing() -> None:
    with exporting_traces("indexer", {}):
        assert not is_tracing()
        with span("batch", events=3) as batch:
            batch.set("x", 1)
        assert span("one") is span("other")
        assert (carrier(), trace_id()) == ({}, "")


@pytest.mark.parametrize(
    ("missing", "environ", "logged"),
    [
        ("", {}, []),
        ("opentelemetry.exporter", ENDPOINT, ["tracing_not_installed"]),
        ("opentelemetry", ENDPOINT, ["tracing_not_installed"]),
    ],
)
def test_a_service_runs_without_the_extra(
    missing: str, environ: dict[str, str], logged: list[str]
) -> None:
    code = f"""
class Absent:
    def find_spec(self, name, path=None, target=None):
        if {missing!r} and (name == {missing!r} or name.startswith({missing + "."!r})):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Absent())
with exporting_traces("x", {environ!r}), span("work"):
    assert not carrier()
assert not [name for name in sys.modules if name.startswith("opentelemetry.sdk")]
"""
    done = subprocess.run(
        [sys.executable, "-c", PREAMBLE + code], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert [json.loads(line)["event"] for line in done.stdout.splitlines()] == logged
