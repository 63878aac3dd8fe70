"""What the renderer counts beside what all HTTP has (`lanthorn_core.telemetry.metrics`)."""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

from lanthorn_core.telemetry.metrics import LATENCY_BUCKETS_S

FRAME_SECONDS: Final = Histogram(
    "lanthorn_renderer_frame_seconds",
    "From a request to its picture, waiting for a decoder included, by mode of rendering.",
    ["mode"],
    buckets=LATENCY_BUCKETS_S,
)
DECODER_WAIT_SECONDS: Final = Histogram(
    "lanthorn_renderer_decoder_wait_seconds",
    "How long work waited for a free decoder process.",
    buckets=LATENCY_BUCKETS_S,
)
DECODERS_BUSY: Final = Gauge(
    "lanthorn_renderer_busy_decoders", "Decoder processes that have work now."
)
DECODER_RESTARTS: Final = Counter(
    "lanthorn_renderer_decoder_restarts_total",
    "Decoder processes that were replaced: `crashed` and `too_slow` by an image, `canceled` with "
    "a request, `worn` after their share of frames.",
    ["reason"],
)
