from __future__ import annotations

import asyncio

import pytest
from pynetdicom.fsm import ACTIONS, TRANSITION_TABLE

from lanthorn_dimse import AssociateAcceptance, AssociateRequest, propose
from lanthorn_dimse.associate_pdus import acceptance_pdu
from lanthorn_dimse.negotiation import LOCAL_LIMIT_EXCEEDED
from lanthorn_dimse.pdus import rejection_pdu
from lanthorn_dimse.state_machine import NEXT_STATES, TRANSITIONS, Action, Event, State
from lanthorn_dimse.upper_layer import UpperLayer
from tests.fixtures import dimse_bytes as raw
from tests.unit.lanthorn_dimse.memory_transport import (
    MemoryTransport,
    NotingUser,
    feed,
    make_layer,
)

REQUEST = AssociateRequest("A", "B", propose([(raw.VERIFICATION, [raw.IMPLICIT])]))

PDUS = {
    Event.EVT3: raw.associate_ac(),
    Event.EVT4: raw.associate_rj(),
    Event.EVT6: raw.associate_rq(),
    Event.EVT10: raw.echo(),
    Event.EVT12: raw.RELEASE_RQ,
    Event.EVT13: raw.RELEASE_RP,
    Event.EVT16: raw.abort(2, 1),
    Event.EVT19: raw.pdu(0x42, b"what is it"),
}
"""Events that are a PDU of the peer."""

UNEXPECTED, UNRECOGNIZED, NOT_SPECIFIED = 2, 1, 0

REQUESTORS = {State.STA4, State.STA5, State.STA9, State.STA11}
"""States that a requestor only gets into; all others are tried as acceptor."""


def name(code: str) -> str:
    return code.replace("-", "_")


def test_the_table_is_that_of_pynetdicom() -> None:
    theirs = {
        (Event[event.upper()], State[state.upper()]): Action[name(action)]
        for (event, state), action in TRANSITION_TABLE.items()
    }
    assert dict(TRANSITIONS) == theirs


def test_actions_lead_where_pynetdicoms_do() -> None:
    theirs = {}
    for code, (_, _, found) in ACTIONS.items():
        states = found if isinstance(found, tuple) else (found,)
        theirs[Action[name(code)]] = frozenset(State[state.upper()] for state in states)
    assert dict(NEXT_STATES) == theirs


@pytest.fixture(params=sorted(TRANSITIONS), ids=lambda row: f"{row[0].name}-{row[1].name}")
def row(request: pytest.FixtureRequest) -> tuple[Event, State]:
    found: tuple[Event, State] = request.param
    return found


async def test_every_row_does_what_its_action_says(row: tuple[Event, State]) -> None:
    event, state = row
    action = TRANSITIONS[row]
    layer, transport, user = make_layer(is_acceptor=state not in REQUESTORS)
    layer.request = REQUEST
    if state is State.STA1 or event in (Event.EVT2, Event.EVT5):
        layer.enter(state)
    else:
        layer.connection_made(transport)
        layer.enter(state)
        transport.written.clear()
    happen(layer, event, transport)
    assert layer.state in NEXT_STATES[action]
    assert effects(transport, user) == EFFECTS.get((event, action), EFFECTS.get((None, action)))
    layer.stop_artim()


def happen(layer: UpperLayer, event: Event, transport: MemoryTransport) -> None:
    match event:
        case Event.EVT1:
            layer.associate(REQUEST)
        case Event.EVT2 | Event.EVT5:
            layer.connection_made(transport)
        case Event.EVT7:
            layer.handle(event, acceptance_pdu(REQUEST, AssociateAcceptance(())))
        case Event.EVT8:
            layer.handle(event, rejection_pdu(LOCAL_LIMIT_EXCEEDED))
        case Event.EVT9:
            layer.send_data((raw.echo(),))
            by_table = len(transport.written)
            layer.handle(event, raw.echo())
            # The hot path and the table's row do the same.
            assert len(transport.written) == 2 * by_table > 0
        case Event.EVT15:
            layer.abort(0, 0)
        case Event.EVT17:
            layer.connection_lost(None)
        case Event.EVT11:
            layer.release()
        case Event.EVT14:
            layer.respond_to_release()
        case Event.EVT18:
            layer.handle(event)
        case _:
            feed(layer, PDUS[event])


def effects(
    transport: MemoryTransport, user: NotingUser
) -> tuple[list[tuple[object, ...]], list[tuple[object, ...]], str]:
    """Return what was sent, what the user was told, and how the connection was closed."""
    notes = list(user.notes)
    notes += [("message", command.field) for command, _ in user.messages]
    return transport.pdus(), notes, transport.closed


ENDED = ("connection ended",)
ECHO = ("message", raw.C_ECHO_RQ)

EFFECTS: dict[
    tuple[Event | None, Action],
    tuple[list[tuple[object, ...]], list[tuple[object, ...]], str],
] = {
    # Table 9-6
    (None, Action.AE_1): ([], [], ""),
    (None, Action.AE_2): ([("pdu", 1)], [], ""),
    (None, Action.AE_3): ([], [("accepted",)], ""),
    (None, Action.AE_4): ([], [("rejected", 1, 1, 1)], "close"),
    (None, Action.AE_5): ([], [], ""),
    (None, Action.AE_6): ([], [("associate indicated",)], ""),
    (None, Action.AE_7): ([("accepted",)], [], ""),
    (None, Action.AE_8): ([("rejected", 2, 3, 2)], [], ""),
    # Table 9-7
    (None, Action.DT_1): ([("response", 0x30, 0)] * 2, [], ""),
    (None, Action.DT_2): ([], [ECHO], ""),
    # Table 9-8
    (None, Action.AR_1): ([("pdu", 5)], [], ""),
    (None, Action.AR_2): ([], [("release indicated",)], ""),
    (None, Action.AR_3): ([], [("release confirmed",)], "close"),
    (None, Action.AR_4): ([("released",)], [], ""),
    (None, Action.AR_5): ([], [ENDED], ""),
    (None, Action.AR_6): ([], [ECHO], ""),
    (None, Action.AR_7): ([("response", 0x30, 0)] * 2, [], ""),
    (None, Action.AR_8): ([], [("release indicated",)], ""),
    (None, Action.AR_9): ([("released",)], [], ""),
    (None, Action.AR_10): ([], [("release confirmed",)], ""),
    # Table 9-9
    (None, Action.AA_1): ([("aborted", 0, 0)], [("peer failed", UNEXPECTED)], ""),
    (Event.EVT15, Action.AA_1): ([("aborted", 0, 0)], [], ""),
    (Event.EVT19, Action.AA_1): ([("aborted", 0, 0)], [("peer failed", UNRECOGNIZED)], ""),
    (None, Action.AA_2): ([], [], "abort"),
    (None, Action.AA_3): ([], [("aborted", 2, 1)], "abort"),
    (None, Action.AA_4): ([], [ENDED], ""),
    (None, Action.AA_5): ([], [ENDED], ""),
    (None, Action.AA_6): ([], [], ""),
    (None, Action.AA_7): ([("aborted", 2, UNEXPECTED)], [], ""),
    (Event.EVT19, Action.AA_7): ([("aborted", 2, UNRECOGNIZED)], [], ""),
    (None, Action.AA_8): ([("aborted", 2, UNEXPECTED)], [("peer failed", UNEXPECTED)], ""),
    (Event.EVT19, Action.AA_8): (
        [("aborted", 2, UNRECOGNIZED)],
        [("peer failed", UNRECOGNIZED)],
        "",
    ),
}


async def test_ae_6_refuses_another_protocol_version() -> None:
    layer, transport, user = make_layer()
    layer.connection_made(transport)
    feed(layer, raw.associate_rq(version=2))
    assert layer.state is State.STA13
    assert effects(transport, user) == ([("rejected", 1, 2, 2)], [], "")
    layer.stop_artim()


async def test_ar_8_tells_the_sides_of_a_collision_apart() -> None:
    for is_acceptor, state in ((True, State.STA10), (False, State.STA9)):
        layer, transport, _ = make_layer(is_acceptor=is_acceptor)
        layer.connection_made(transport)
        layer.enter(State.STA7)
        feed(layer, raw.RELEASE_RQ)
        assert layer.state is state
        layer.stop_artim()


async def test_the_timer_closes_the_connection() -> None:
    layer, transport, _ = make_layer(artim_s=0.01)
    layer.connection_made(transport)
    while not transport.closed:  # noqa: ASYNC110  # a transport sets no event
        await asyncio.sleep(0.005)
    assert (transport.closed, layer.state) == ("abort", State.STA1)


@pytest.mark.parametrize("state", [State.STA1, State.STA4])
async def test_what_the_table_does_not_say_does_nothing(state: State) -> None:
    layer, transport, user = make_layer()
    layer.enter(state)
    for event in (Event.EVT9, Event.EVT11, Event.EVT14, Event.EVT18):
        layer.handle(event)
    assert layer.state is state
    assert effects(transport, user) == ([], [], "")
