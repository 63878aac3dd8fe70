"""Writing out the metrics of this process: Prometheus' default registry.

They are declared in `lanthorn_core.telemetry.metrics` and in each service's own `metrics`. The
registry also holds the interpreter's and the process's own figures (``python_gc_…``,
``process_resident_memory_bytes``, …).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Final

import structlog
from prometheus_client import REGISTRY
from prometheus_client.exposition import choose_encoder

from lanthorn_core.telemetry.metrics import BUILD

log = structlog.get_logger(__name__)

Refresh = Callable[[], Awaitable[None]]
"""Brings gauges up to date that tell of something outside of the process."""

REFRESH_TIMEOUT_S: Final = 3.0
"""A scrape waits no longer for figures of the engines; Prometheus itself waits for ten."""


def own_version() -> str:
    """Tell the version of what is installed."""
    try:
        return version("lanthorn-core")
    except PackageNotFoundError:  # a source tree on the path, such as a mounted one
        return "unknown"


def tell_build(service: str) -> None:
    """Show which service and version this process is."""
    BUILD.labels(service, own_version()).set(1)


def exposition(accept: str = "") -> tuple[bytes, str]:
    """Write all metrics of this process.

    Parameters
    ----------
    accept : str
        The request's Accept header: OpenMetrics is written for who asks, else Prometheus' text.

    Returns
    -------
    tuple of bytes and str
        Body and content type.
    """
    encode, content_type = choose_encoder(accept)
    return encode(REGISTRY), content_type


async def refresh_all(refreshes: Sequence[Refresh]) -> None:
    """Bring gauges up to date before a scrape; one that fails or hangs harms no other."""
    await asyncio.gather(*(_refresh(each) for each in refreshes))


async def _refresh(refresh: Refresh) -> None:
    try:
        async with asyncio.timeout(REFRESH_TIMEOUT_S):
            await refresh()
    except Exception as error:  # a scrape must answer, whatever an engine does
        log.warning("metrics_not_refreshed", error=type(error).__name__)
