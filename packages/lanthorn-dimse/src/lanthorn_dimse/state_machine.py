"""The state machine of the upper layer, as data.

References
----------
DICOM PS3.8 Section 9.2: states in Tables 9-1 to 9-5, actions in Tables 9-6 to 9-9, transitions in
Table 9-10.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, IntEnum
from typing import Final


class State(IntEnum):
    """Where an association is (PS3.8 Tables 9-1 to 9-5)."""

    STA1 = 1
    """Idle."""
    STA2 = 2
    """Transport connection open, awaiting A-ASSOCIATE-RQ."""
    STA3 = 3
    """Awaiting the local A-ASSOCIATE response."""
    STA4 = 4
    """Awaiting the transport connection."""
    STA5 = 5
    """Awaiting A-ASSOCIATE-AC or -RJ."""
    STA6 = 6
    """Established, ready for data transfer."""
    STA7 = 7
    """Awaiting A-RELEASE-RP."""
    STA8 = 8
    """Awaiting the local A-RELEASE response."""
    STA9 = 9
    """Release collision, requestor's side: awaiting the local A-RELEASE response."""
    STA10 = 10
    """Release collision, acceptor's side: awaiting A-RELEASE-RP."""
    STA11 = 11
    """Release collision, requestor's side: awaiting A-RELEASE-RP."""
    STA12 = 12
    """Release collision, acceptor's side: awaiting the local A-RELEASE response."""
    STA13 = 13
    """Awaiting the end of the transport connection."""


class Event(IntEnum):
    """What happens to an association (the rows of PS3.8 Table 9-10)."""

    EVT1 = 1
    """A-ASSOCIATE request of the local user."""
    EVT2 = 2
    """Transport connection confirmed."""
    EVT3 = 3
    """A-ASSOCIATE-AC PDU received."""
    EVT4 = 4
    """A-ASSOCIATE-RJ PDU received."""
    EVT5 = 5
    """Transport connection indicated."""
    EVT6 = 6
    """A-ASSOCIATE-RQ PDU received."""
    EVT7 = 7
    """A-ASSOCIATE response of the local user: accept."""
    EVT8 = 8
    """A-ASSOCIATE response of the local user: reject."""
    EVT9 = 9
    """P-DATA request of the local user."""
    EVT10 = 10
    """P-DATA-TF PDU received."""
    EVT11 = 11
    """A-RELEASE request of the local user."""
    EVT12 = 12
    """A-RELEASE-RQ PDU received."""
    EVT13 = 13
    """A-RELEASE-RP PDU received."""
    EVT14 = 14
    """A-RELEASE response of the local user."""
    EVT15 = 15
    """A-ABORT request of the local user."""
    EVT16 = 16
    """A-ABORT PDU received."""
    EVT17 = 17
    """Transport connection closed."""
    EVT18 = 18
    """ARTIM timer expired."""
    EVT19 = 19
    """Unrecognized or invalid PDU received."""


class Action(Enum):
    """What is done about it (PS3.8 Tables 9-6 to 9-9)."""

    AE_1 = "AE-1"
    AE_2 = "AE-2"
    AE_3 = "AE-3"
    AE_4 = "AE-4"
    AE_5 = "AE-5"
    AE_6 = "AE-6"
    AE_7 = "AE-7"
    AE_8 = "AE-8"
    DT_1 = "DT-1"
    DT_2 = "DT-2"
    AR_1 = "AR-1"
    AR_2 = "AR-2"
    AR_3 = "AR-3"
    AR_4 = "AR-4"
    AR_5 = "AR-5"
    AR_6 = "AR-6"
    AR_7 = "AR-7"
    AR_8 = "AR-8"
    AR_9 = "AR-9"
    AR_10 = "AR-10"
    AA_1 = "AA-1"
    AA_2 = "AA-2"
    AA_3 = "AA-3"
    AA_4 = "AA-4"
    AA_5 = "AA-5"
    AA_6 = "AA-6"
    AA_7 = "AA-7"
    AA_8 = "AA-8"


NEXT_STATES: Final[Mapping[Action, frozenset[State]]] = {
    # Table 9-6, association establishment
    Action.AE_1: frozenset({State.STA4}),
    Action.AE_2: frozenset({State.STA5}),
    Action.AE_3: frozenset({State.STA6}),
    Action.AE_4: frozenset({State.STA1}),
    Action.AE_5: frozenset({State.STA2}),
    Action.AE_6: frozenset({State.STA3, State.STA13}),
    Action.AE_7: frozenset({State.STA6}),
    Action.AE_8: frozenset({State.STA13}),
    # Table 9-7, data transfer
    Action.DT_1: frozenset({State.STA6}),
    Action.DT_2: frozenset({State.STA6}),
    # Table 9-8, association release
    Action.AR_1: frozenset({State.STA7}),
    Action.AR_2: frozenset({State.STA8}),
    Action.AR_3: frozenset({State.STA1}),
    Action.AR_4: frozenset({State.STA13}),
    Action.AR_5: frozenset({State.STA1}),
    Action.AR_6: frozenset({State.STA7}),
    Action.AR_7: frozenset({State.STA8}),
    Action.AR_8: frozenset({State.STA9, State.STA10}),
    Action.AR_9: frozenset({State.STA11}),
    Action.AR_10: frozenset({State.STA12}),
    # Table 9-9, association abort
    Action.AA_1: frozenset({State.STA13}),
    Action.AA_2: frozenset({State.STA1}),
    Action.AA_3: frozenset({State.STA1}),
    Action.AA_4: frozenset({State.STA1}),
    Action.AA_5: frozenset({State.STA1}),
    Action.AA_6: frozenset({State.STA13}),
    Action.AA_7: frozenset({State.STA13}),
    Action.AA_8: frozenset({State.STA13}),
}

_ROWS: Final[Mapping[Event, Mapping[State, Action]]] = {
    # Table 9-10, A-ASSOCIATE request of the local user
    Event.EVT1: {
        State.STA1: Action.AE_1,
    },
    # Table 9-10, transport connection confirmed
    Event.EVT2: {
        State.STA4: Action.AE_2,
    },
    # Table 9-10, A-ASSOCIATE-AC PDU received
    Event.EVT3: {
        State.STA2: Action.AA_1,
        State.STA3: Action.AA_8,
        State.STA5: Action.AE_3,
        State.STA6: Action.AA_8,
        State.STA7: Action.AA_8,
        State.STA8: Action.AA_8,
        State.STA9: Action.AA_8,
        State.STA10: Action.AA_8,
        State.STA11: Action.AA_8,
        State.STA12: Action.AA_8,
        State.STA13: Action.AA_6,
    },
    # Table 9-10, A-ASSOCIATE-RJ PDU received
    Event.EVT4: {
        State.STA2: Action.AA_1,
        State.STA3: Action.AA_8,
        State.STA5: Action.AE_4,
        State.STA6: Action.AA_8,
        State.STA7: Action.AA_8,
        State.STA8: Action.AA_8,
        State.STA9: Action.AA_8,
        State.STA10: Action.AA_8,
        State.STA11: Action.AA_8,
        State.STA12: Action.AA_8,
        State.STA13: Action.AA_6,
    },
    # Table 9-10, transport connection indicated
    Event.EVT5: {
        State.STA1: Action.AE_5,
    },
    # Table 9-10, A-ASSOCIATE-RQ PDU received
    Event.EVT6: {
        State.STA2: Action.AE_6,
        State.STA3: Action.AA_8,
        State.STA5: Action.AA_8,
        State.STA6: Action.AA_8,
        State.STA7: Action.AA_8,
        State.STA8: Action.AA_8,
        State.STA9: Action.AA_8,
        State.STA10: Action.AA_8,
        State.STA11: Action.AA_8,
        State.STA12: Action.AA_8,
        State.STA13: Action.AA_7,
    },
    # Table 9-10, A-ASSOCIATE response (accept) of the local user
    Event.EVT7: {
        State.STA3: Action.AE_7,
    },
    # Table 9-10, A-ASSOCIATE response (reject) of the local user
    Event.EVT8: {
        State.STA3: Action.AE_8,
    },
    # Table 9-10, P-DATA request of the local user
    Event.EVT9: {
        State.STA6: Action.DT_1,
        State.STA8: Action.AR_7,
    },
    # Table 9-10, P-DATA-TF PDU received
    Event.EVT10: {
        State.STA2: Action.AA_1,
        State.STA3: Action.AA_8,
        State.STA5: Action.AA_8,
        State.STA6: Action.DT_2,
        State.STA7: Action.AR_6,
        State.STA8: Action.AA_8,
        State.STA9: Action.AA_8,
        State.STA10: Action.AA_8,
        State.STA11: Action.AA_8,
        State.STA12: Action.AA_8,
        State.STA13: Action.AA_6,
    },
    # Table 9-10, A-RELEASE request of the local user
    Event.EVT11: {
        State.STA6: Action.AR_1,
    },
    # Table 9-10, A-RELEASE-RQ PDU received
    Event.EVT12: {
        State.STA2: Action.AA_1,
        State.STA3: Action.AA_8,
        State.STA5: Action.AA_8,
        State.STA6: Action.AR_2,
        State.STA7: Action.AR_8,
        State.STA8: Action.AA_8,
        State.STA9: Action.AA_8,
        State.STA10: Action.AA_8,
        State.STA11: Action.AA_8,
        State.STA12: Action.AA_8,
        State.STA13: Action.AA_6,
    },
    # Table 9-10, A-RELEASE-RP PDU received
    Event.EVT13: {
        State.STA2: Action.AA_1,
        State.STA3: Action.AA_8,
        State.STA5: Action.AA_8,
        State.STA6: Action.AA_8,
        State.STA7: Action.AR_3,
        State.STA8: Action.AA_8,
        State.STA9: Action.AA_8,
        State.STA10: Action.AR_10,
        State.STA11: Action.AR_3,
        State.STA12: Action.AA_8,
        State.STA13: Action.AA_6,
    },
    # Table 9-10, A-RELEASE response of the local user
    Event.EVT14: {
        State.STA8: Action.AR_4,
        State.STA9: Action.AR_9,
        State.STA12: Action.AR_4,
    },
    # Table 9-10, A-ABORT request of the local user
    Event.EVT15: {
        State.STA3: Action.AA_1,
        State.STA4: Action.AA_2,
        State.STA5: Action.AA_1,
        State.STA6: Action.AA_1,
        State.STA7: Action.AA_1,
        State.STA8: Action.AA_1,
        State.STA9: Action.AA_1,
        State.STA10: Action.AA_1,
        State.STA11: Action.AA_1,
        State.STA12: Action.AA_1,
    },
    # Table 9-10, A-ABORT PDU received
    Event.EVT16: {
        State.STA2: Action.AA_2,
        State.STA3: Action.AA_3,
        State.STA5: Action.AA_3,
        State.STA6: Action.AA_3,
        State.STA7: Action.AA_3,
        State.STA8: Action.AA_3,
        State.STA9: Action.AA_3,
        State.STA10: Action.AA_3,
        State.STA11: Action.AA_3,
        State.STA12: Action.AA_3,
        State.STA13: Action.AA_2,
    },
    # Table 9-10, transport connection closed
    Event.EVT17: {
        State.STA2: Action.AA_5,
        State.STA3: Action.AA_4,
        State.STA4: Action.AA_4,
        State.STA5: Action.AA_4,
        State.STA6: Action.AA_4,
        State.STA7: Action.AA_4,
        State.STA8: Action.AA_4,
        State.STA9: Action.AA_4,
        State.STA10: Action.AA_4,
        State.STA11: Action.AA_4,
        State.STA12: Action.AA_4,
        State.STA13: Action.AR_5,
    },
    # Table 9-10, ARTIM timer expired
    Event.EVT18: {
        State.STA2: Action.AA_2,
        State.STA13: Action.AA_2,
    },
    # Table 9-10, unrecognized or invalid PDU received
    Event.EVT19: {
        State.STA2: Action.AA_1,
        State.STA3: Action.AA_8,
        State.STA5: Action.AA_8,
        State.STA6: Action.AA_8,
        State.STA7: Action.AA_8,
        State.STA8: Action.AA_8,
        State.STA9: Action.AA_8,
        State.STA10: Action.AA_8,
        State.STA11: Action.AA_8,
        State.STA12: Action.AA_8,
        State.STA13: Action.AA_7,
    },
}

TRANSITIONS: Final[Mapping[tuple[Event, State], Action]] = {
    (event, state): action for event, row in _ROWS.items() for state, action in row.items()
}
"""Table 9-10; what is not there does not happen, or is ignored."""
