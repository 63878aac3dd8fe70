"""The actions of the state machine: what is sent, told and timed.

References
----------
DICOM PS3.8 Section 9.2, Tables 9-6 to 9-9.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

from lanthorn_dimse.associate_pdus import (
    decode_acceptance,
    decode_request,
    request_pdu,
    supports_version_1,
)
from lanthorn_dimse.errors import ProtocolError
from lanthorn_dimse.negotiation import PROTOCOL_VERSION_NOT_SUPPORTED
from lanthorn_dimse.pdus import (
    A_RELEASE_RP,
    A_RELEASE_RQ,
    SERVICE_PROVIDER,
    SERVICE_USER,
    abort_pdu,
    decode_rejection,
    rejection_pdu,
)
from lanthorn_dimse.state_machine import Action, Event, State

if TYPE_CHECKING:
    from lanthorn_dimse.upper_layer import UpperLayer

# `body` is what follows the length of the peer's PDU, or the whole PDU that the local user wants
# sent; `error` is what is wrong with the peer's PDU.


# Table 9-6, association establishment


def _ae_1(layer: UpperLayer, body: bytes, error: ProtocolError) -> None:
    layer.enter(State.STA4)


def _ae_2(layer: UpperLayer, body: bytes, error: ProtocolError) -> None:
    layer.enter(State.STA5)
    if layer.request is not None:
        layer.write(request_pdu(layer.request))


def _ae_3(layer: UpperLayer, body: bytes, error: ProtocolError) -> None:
    if layer.request is None:
        return
    try:
        acceptance = decode_acceptance(body, layer.request)
    except ProtocolError as invalid:
        layer.handle(Event.EVT19, error=invalid)
        return
    layer.enter(State.STA6)
    layer.user.associate_accepted(acceptance)


def _ae_4(layer: UpperLayer, body: bytes, error: ProtocolError) -> None:
    layer.enter(State.STA1)
    layer.user.associate_rejected(decode_rejection(body))
    layer.close(at_once=False)


def _ae_5(layer: UpperLayer, body: bytes, error: ProtocolError) -> None:
    layer.enter(State.STA2)
    layer.start_artim()


def _ae_6(layer: UpperLayer, body: bytes, error: ProtocolError) -> None:
    try:
        request = decode_request(body)
    except ProtocolError as invalid:
        layer.handle(Event.EVT19, error=invalid)
        return
    layer.stop_artim()
    if not supports_version_1(body):
        layer.write(rejection_pdu(PROTOCOL_VERSION_NOT_SUPPORTED))
        layer.enter(State.STA13)
        layer.start_artim()
        return
    layer.enter(State.STA3)
    layer.request = request
    layer.user.associate_indicated(request)


def _ae_7(layer: UpperLayer, body: bytes, error: ProtocolError) -> None:
    layer.enter(State.STA6)
    layer.write(body)


def _ae_8(layer: UpperLayer, body: bytes, error: ProtocolError) -> None:
    layer.enter(State.STA13)
    layer.write(body)
    layer.start_artim()


# Table 9-7, data transfer: the rows of Evt9 and Evt10 that `send_data` and the stream go without


def _dt_1(layer: UpperLayer, body: bytes, error: ProtocolError) -> None:
    layer.write(body)


def _dt_2(layer: UpperLayer, body: bytes, error: ProtocolError) -> None:
    """Nothing is left to do: the stream has passed the fragments on."""


# Table 9-8, association release


def _ar_1(layer: UpperLayer, body: bytes, error: ProtocolError) -> None:
    layer.enter(State.STA7)
    layer.write(A_RELEASE_RQ)


def _ar_2(layer: UpperLayer, body: bytes, error: ProtocolError) -> None:
    layer.enter(State.STA8)
    layer.user.release_indicated()


def _ar_3(layer: UpperLayer, body: bytes, error: ProtocolError) -> None:
    layer.enter(State.STA1)
    layer.user.release_confirmed()
    layer.close(at_once=False)


def _ar_4(layer: UpperLayer, body: bytes, error: ProtocolError) -> None:
    layer.enter(State.STA13)
    layer.write(A_RELEASE_RP)
    layer.start_artim()


def _ar_5(layer: UpperLayer, body: bytes, error: ProtocolError) -> None:
    layer.stop_artim()
    layer.enter(State.STA1)


def _ar_8(layer: UpperLayer, body: bytes, error: ProtocolError) -> None:
    layer.enter(State.STA10 if layer.is_acceptor else State.STA9)
    layer.user.release_indicated()


def _ar_9(layer: UpperLayer, body: bytes, error: ProtocolError) -> None:
    layer.enter(State.STA11)
    layer.write(A_RELEASE_RP)


def _ar_10(layer: UpperLayer, body: bytes, error: ProtocolError) -> None:
    layer.enter(State.STA12)
    layer.user.release_confirmed()


# Table 9-9, association abort


def _aa_1(layer: UpperLayer, body: bytes, error: ProtocolError) -> None:
    # Of the local user's request `body` is the PDU; a PDU that is out of place in Sta2 gets one of
    # the service user as well.
    aborts_itself = layer.state is not State.STA2
    layer.enter(State.STA13)
    layer.write(body if aborts_itself else abort_pdu(SERVICE_USER, 0))
    layer.start_artim()
    if not aborts_itself:
        layer.user.peer_failed(error)


def _aa_2(layer: UpperLayer, body: bytes, error: ProtocolError) -> None:
    layer.stop_artim()
    layer.enter(State.STA1)
    layer.close(at_once=True)


def _aa_3(layer: UpperLayer, body: bytes, error: ProtocolError) -> None:
    layer.enter(State.STA1)
    layer.user.abort_indicated(body[2], body[3])
    layer.close(at_once=True)


def _aa_4(layer: UpperLayer, body: bytes, error: ProtocolError) -> None:
    """Issue the A-P-ABORT indication: `connection_ended` follows in any case."""
    layer.enter(State.STA1)


def _aa_5(layer: UpperLayer, body: bytes, error: ProtocolError) -> None:
    layer.stop_artim()
    layer.enter(State.STA1)


def _aa_6(layer: UpperLayer, body: bytes, error: ProtocolError) -> None:
    """Ignore the PDU."""


def _aa_7(layer: UpperLayer, body: bytes, error: ProtocolError) -> None:
    layer.write(abort_pdu(SERVICE_PROVIDER, error.reason))


def _aa_8(layer: UpperLayer, body: bytes, error: ProtocolError) -> None:
    layer.enter(State.STA13)
    layer.write(abort_pdu(SERVICE_PROVIDER, error.reason))
    layer.start_artim()
    layer.user.peer_failed(error)


ACTIONS: Final[Mapping[Action, Callable[[UpperLayer, bytes, ProtocolError], None]]] = {
    Action.AE_1: _ae_1,
    Action.AE_2: _ae_2,
    Action.AE_3: _ae_3,
    Action.AE_4: _ae_4,
    Action.AE_5: _ae_5,
    Action.AE_6: _ae_6,
    Action.AE_7: _ae_7,
    Action.AE_8: _ae_8,
    Action.DT_1: _dt_1,
    Action.DT_2: _dt_2,
    Action.AR_1: _ar_1,
    Action.AR_2: _ar_2,
    Action.AR_3: _ar_3,
    Action.AR_4: _ar_4,
    Action.AR_5: _ar_5,
    Action.AR_6: _dt_2,
    Action.AR_7: _dt_1,
    Action.AR_8: _ar_8,
    Action.AR_9: _ar_9,
    Action.AR_10: _ar_10,
    Action.AA_1: _aa_1,
    Action.AA_2: _aa_2,
    Action.AA_3: _aa_3,
    Action.AA_4: _aa_4,
    Action.AA_5: _aa_5,
    Action.AA_6: _aa_6,
    Action.AA_7: _aa_7,
    Action.AA_8: _aa_8,
}
