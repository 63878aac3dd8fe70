"""Receipts: the identifiers of arrivals, and the object keys made of them.

A receipt id is a UUID of version 7 (RFC 9562): time-ordered, unique, and nothing in it comes from
the wire. It is what Orthanc's clients see as `FileUuid`.
"""

from __future__ import annotations

import os
import time
import uuid
from datetime import UTC, datetime
from functools import lru_cache

OBJECTS_PREFIX = "instances/v1/"
_HOUR_S = 3600


def new_receipt_id(now_s: float | None = None) -> str:
    """Make a receipt id for something that arrives now (or at `now_s`, seconds since epoch)."""
    moment = f"{int((time.time() if now_s is None else now_s) * 1000):012x}"
    chance = os.urandom(10)
    digits = chance.hex()
    # Put together as text, which `uuid.UUID` takes five times as long for.
    variant = "89ab"[chance[0] & 0x3]
    return f"{moment[:8]}-{moment[8:]}-7{digits[2:5]}-{variant}{digits[5:8]}-{digits[8:]}"


def object_key(receipt_id: str) -> str:
    """Key of the object of a receipt: ``instances/v1/<yyyy>/<mm>/<dd>/<hh>/<receipt id>.dcm``."""
    return f"{hour_prefix(received_at(receipt_id))}{receipt_id}.dcm"


def receipt_of(key: str) -> str:
    """Return the receipt id in an object key."""
    return key.rpartition("/")[2].removesuffix(".dcm")


@lru_cache(maxsize=64)  # asked for twice or more while an instance is being stored
def received_at(receipt_id: str) -> float:
    """Return the moment of a receipt in seconds since epoch; raises ValueError for other ids."""
    return (uuid.UUID(receipt_id).int >> 80) / 1000


def hour_prefix(moment_s: float) -> str:
    """Return the prefix under which everything of one hour (UTC) lies."""
    return _hour_prefix(int(moment_s // _HOUR_S))


@lru_cache(maxsize=4)
def _hour_prefix(hour: int) -> str:
    return datetime.fromtimestamp(hour * _HOUR_S, UTC).strftime(f"{OBJECTS_PREFIX}%Y/%m/%d/%H/")
