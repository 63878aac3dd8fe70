"""The stream of answers to a command, cut anywhere; errors on their way between processes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lanthorn_core import errors
from lanthorn_core.adapters.bus_nats.command_wire import (
    AnswerStream,
    decode_error,
    encode_error,
    frame_answer,
)
from lanthorn_core.commands import FindAnswer
from lanthorn_core.errors import LanthornError, RemoteAEFailed, every_error

ANSWERS = st.lists(
    st.builds(FindAnswer, data_set=st.binary(max_size=200), transfer_syntax_uid=st.text(max_size=9))
)


@given(answers=ANSWERS, piece_bytes=st.integers(1, 300))
def test_answers_are_the_same_however_their_stream_is_cut(
    answers: list[FindAnswer], piece_bytes: int
) -> None:
    sent = b"".join(map(frame_answer, answers))
    stream = AnswerStream()
    received = [
        answer
        for start in range(0, len(sent), piece_bytes)
        for answer in stream.feed(sent[start : start + piece_bytes])
    ]
    assert received == answers


def test_every_error_arrives_as_what_it_is() -> None:
    for kind in every_error():
        if kind.__module__ == errors.__name__:
            arrived = decode_error(encode_error(kind("why")))
            assert (type(arrived), arrived.details) == (kind, "why")


def test_the_status_of_a_remote_ae_arrives_with_its_error() -> None:
    arrived = decode_error(encode_error(RemoteAEFailed("no", dimse_status=0xA900)))
    assert arrived.payload == {"Type": "Dimse", "Content": {"DimseErrorStatus": 0xA900}}
    assert decode_error(encode_error(LanthornError())).payload is None
