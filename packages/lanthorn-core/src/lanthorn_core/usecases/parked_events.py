"""What can be told of an event that the indexer gave up on."""

from __future__ import annotations

import msgspec

from lanthorn_core.events import InstanceStored, decode_event
from lanthorn_core.ports.bus import ParkedEvent


def object_key_of(parked: ParkedEvent) -> str | None:
    """Return the key of the object that a parked event announces.

    None for a command, and for what is no event of ours: that may be why it is parked.
    """
    try:
        event = decode_event(parked.payload)
    except msgspec.DecodeError:
        return None
    return event.object_key if isinstance(event, InstanceStored) else None
