from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lanthorn_dimse.pdu_stream import BUFFER_BYTES
from lanthorn_dimse.state_machine import State
from lanthorn_dimse.upper_layer import UpperLayer
from tests.fixtures import dimse_bytes as raw
from tests.unit.lanthorn_dimse.memory_transport import NotingUser, feed, make_layer

MESSAGES = (
    raw.echo(1)
    + raw.p_data(raw.pdv(3, 3, raw.store_command(2)), raw.pdv(3, 0, b"ab"), raw.pdv(3, 0, b""))
    + raw.p_data(raw.pdv(3, 2, b"cdef"))
    + raw.p_data(raw.pdv(1, 1, raw.echo_command(3)[:11]), raw.pdv(1, 3, raw.echo_command(3)[11:]))
    + raw.store(4, bytes(range(200)))
)
EXPECTED = [(1, None), (2, b"abcdef"), (3, None), (4, bytes(range(200)))]


def established() -> tuple[UpperLayer, NotingUser]:
    layer, transport, user = make_layer()
    layer.connection_made(transport)
    layer.stop_artim()
    layer.enter(State.STA6)
    return layer, user


def received(user: NotingUser) -> list[tuple[int, bytes | None]]:
    return [(command.message_id, data) for command, data in user.messages]


@pytest.mark.parametrize("size", [1, 2, 3, 5, 6, 7, 11, 12, 13, 64, 10_000])
async def test_pieces_of_any_size_make_the_same_messages(size: int) -> None:
    layer, user = established()
    for start in range(0, len(MESSAGES), size):
        feed(layer, MESSAGES[start : start + size])
    assert received(user) == EXPECTED
    assert not layer.in_pdu


async def test_a_stream_cut_anywhere_makes_the_same_messages() -> None:
    for cut in range(1, len(MESSAGES)):
        layer, user = established()
        feed(layer, MESSAGES[:cut])
        feed(layer, MESSAGES[cut:])
        assert received(user) == EXPECTED


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, len(MESSAGES) - 1), max_size=20))
async def test_a_stream_cut_several_times_makes_the_same_messages(cuts: list[int]) -> None:
    layer, user = established()
    for start, end in itertools.pairwise([0, *sorted(cuts), len(MESSAGES)]):
        feed(layer, MESSAGES[start:end])
    assert received(user) == EXPECTED


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=300), st.sampled_from([State.STA2, State.STA6, State.STA13]))
async def test_no_bytes_confuse_it(data: bytes, state: State) -> None:
    layer, transport, _ = make_layer()
    layer.connection_made(transport)
    layer.enter(state)
    feed(layer, data)
    layer.stop_artim()
    assert all(pdu[0] in {"aborted", "rejected"} for pdu in transport.pdus())


@settings(max_examples=50, deadline=None)
@given(st.integers(0, len(MESSAGES) - 1), st.integers(0, 255))
async def test_a_wrong_byte_is_noticed_or_harmless(place: int, value: int) -> None:
    data = bytearray(MESSAGES)
    data[place] = value
    layer, user = established()
    feed(layer, bytes(data))
    layer.stop_artim()
    assert len(user.messages) <= len(EXPECTED) + 1
    assert layer.state in {State.STA6, State.STA8, State.STA13, State.STA1}


async def test_a_fragment_is_passed_on_before_its_pdu_is_complete() -> None:
    layer, user = established()
    data = raw.store(data_set=bytes(60_000))
    feed(layer, data[:-1])
    assert layer.in_pdu
    assert len(user._data) == 59_999
    assert user.messages == []


async def test_a_length_of_four_gigabytes_is_not_allocated() -> None:
    for kind in (1, 2, 4, 0x42):
        layer, _, _ = make_layer()
        layer.connection_made(make_layer()[1])
        feed(layer, raw.pdu(kind, b"", 0xFFFFFFFF))
        assert len(layer.get_buffer(-1)) == BUFFER_BYTES
        assert layer.state is State.STA13
        layer.stop_artim()


async def test_a_hold_stops_between_two_messages_and_in_the_middle_of_one() -> None:
    layer, user = established()
    feed(layer, raw.echo(1))
    layer.hold()
    feed(layer, raw.echo(2) + raw.store(3, bytes(5_000))[:3_000])
    assert received(user) == [(1, None)]
    layer.let_go()
    layer._go_on()
    assert received(user) == [(1, None), (2, None)]
    layer.hold()
    layer.hold()
    layer.let_go()
    layer._go_on()
    assert layer.held
