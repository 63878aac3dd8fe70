"""How a command is answered on NATS: a conversation on the inbox of who asked.

The request goes to one gateway of the queue group. What comes back carries its kind in a header:

``answer``
    Bytes of the stream of answers, each with its length before it; cut anywhere, because no
    message may exceed the server's limit. Acknowledged: the next one waits for that.
``alive``
    The command is still being served. Acknowledged, so that a gateway notices when nobody waits
    any more.
``end``, ``error``
    The last message; an error tells its class by the slug.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from lanthorn_core.commands import FindAnswer
from lanthorn_core.errors import LanthornError, error_of

QUEUE_GROUP: Final = "gateway"
KIND: Final = "Lanthorn-Kind"
ANSWER: Final = "answer"
ALIVE: Final = "alive"
END: Final = "end"
ERROR: Final = "error"

ALIVE_EVERY_S: Final = 2.0
SILENCE_S: Final = 7.0
"""Without a word from the gateway for so long, it is gone."""

_LENGTH_BYTES: Final = 4
_encoder = msgspec.msgpack.Encoder()
_answer_decoder = msgspec.msgpack.Decoder(FindAnswer)


class _Failure(msgspec.Struct, frozen=True):
    slug: str
    details: str
    payload: dict[str, Any] | None = None


_failure_decoder = msgspec.msgpack.Decoder(_Failure)


def encode_error(error: LanthornError) -> bytes:
    """Write down an error for another process."""
    payload = None if error.payload is None else dict(error.payload)
    return _encoder.encode(_Failure(error.slug, error.details, payload))


def decode_error(payload: bytes) -> LanthornError:
    """Make the error again; raises `msgspec.DecodeError` for anything else."""
    failure = _failure_decoder.decode(payload)
    return error_of(failure.slug, failure.details, failure.payload)


def frame_answer(answer: FindAnswer) -> bytes:
    """Write an answer for the stream of answers."""
    encoded = _encoder.encode(answer)
    return len(encoded).to_bytes(_LENGTH_BYTES, "big") + encoded


class AnswerStream:
    """Reads answers out of the pieces of their stream."""

    def __init__(self) -> None:
        self._left = b""

    def feed(self, piece: bytes) -> Iterator[FindAnswer]:
        """Yield the answers that this piece completes."""
        data = self._left + piece
        position = 0
        while len(data) - position >= _LENGTH_BYTES:
            start = position + _LENGTH_BYTES
            end = start + int.from_bytes(data[position:start], "big")
            if end > len(data):
                break
            yield _answer_decoder.decode(data[start:end])
            position = end
        self._left = data[position:]
