"""What the rest-api counts beside what all HTTP has (`lanthorn_core.telemetry.metrics`)."""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter

UPLOADS: Final = Counter(
    "lanthorn_rest_uploads_total",
    "Instances that `POST /instances` stored, by the status told (`Success`, `AlreadyStored`).",
    ["status"],
)
