"""Second tries for events that failed, until the last one parks them."""

from __future__ import annotations

import structlog
from prometheus_client import Counter, Gauge

from lanthorn_core.errors import IndexUnavailable, UnknownResource
from lanthorn_core.events import DeleteResources, decode_event
from lanthorn_core.ports.bus import Retries, RetryAttempt
from lanthorn_core.ports.index_writer import IndexWriter
from lanthorn_core.ports.object_store import ObjectStore
from lanthorn_indexer.extract import ExtractionRules, extract

log = structlog.get_logger(__name__)

ATTEMPTS = Counter("lanthorn_indexer_retries_total", "Second tries of events", ["outcome"])
PARKED = Gauge("lanthorn_indexer_parked_events", "Events that were given up on")


async def retry_forever(
    retries: Retries, writer: IndexWriter, objects: ObjectStore, rules: ExtractionRules
) -> None:
    """Try each event on the retry subject again when its time has come."""
    PARKED.set(len(await retries.parked()))
    async with retries.attempts() as attempts:
        while True:
            attempt = await attempts.next(wait_s=30)
            if attempt is not None:
                await _try(attempt, writer, objects, rules)
                PARKED.set(len(await retries.parked()))


async def _try(
    attempt: RetryAttempt, writer: IndexWriter, objects: ObjectStore, rules: ExtractionRules
) -> None:
    try:
        event = decode_event(attempt.payload)
        if isinstance(event, DeleteResources):
            await writer.apply([event])
        else:
            await writer.apply([await extract(event, objects, rules)])
    except IndexUnavailable:
        raise  # not the event's fault: it comes again once there is a database
    except UnknownResource:
        log.warning("retry_dropped", sequence=attempt.original_sequence, reason="object is gone")
        ATTEMPTS.labels("dropped").inc()
        await attempt.succeeded()
    except Exception as error:
        log.warning("retry_failed", sequence=attempt.original_sequence, error=type(error).__name__)
        ATTEMPTS.labels("failed").inc()
        await attempt.failed(f"{type(error).__name__}: {error}")
    else:
        ATTEMPTS.labels("succeeded").inc()
        await attempt.succeeded()
