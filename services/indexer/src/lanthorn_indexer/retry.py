"""Second tries for events that failed, until the last one parks them."""

from __future__ import annotations

import structlog

from lanthorn_core.errors import IndexUnavailable, UnknownResource
from lanthorn_core.events import DeleteResources, decode_event
from lanthorn_core.ports.bus import Retries, RetryAttempt
from lanthorn_core.ports.index_writer import IndexWriter
from lanthorn_core.ports.object_store import ObjectStore
from lanthorn_indexer.extract import ExtractionRules, extract
from lanthorn_indexer.metrics import RETRIES

log = structlog.get_logger(__name__)

_SUCCEEDED = RETRIES.labels("succeeded")
_FAILED = RETRIES.labels("failed")
_DROPPED = RETRIES.labels("dropped")


async def retry_forever(
    retries: Retries, writer: IndexWriter, objects: ObjectStore, rules: ExtractionRules
) -> None:
    """Try each event on the retry subject again when its time has come."""
    async with retries.attempts() as attempts:
        while True:
            attempt = await attempts.next(wait_s=30)
            if attempt is not None:
                await _try(attempt, writer, objects, rules)


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
        _DROPPED.inc()
        await attempt.succeeded()
    except Exception as error:
        log.warning("retry_failed", sequence=attempt.original_sequence, error=type(error).__name__)
        _FAILED.inc()
        await attempt.failed(f"{type(error).__name__}: {error}")
    else:
        _SUCCEEDED.inc()
        await attempt.succeeded()
