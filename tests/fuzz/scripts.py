"""Byte scripts of associations as they should be, and what can be done to them.

References
----------
DICOM PS3.8 Section 9.3 (PDUs), PS3.7 Section 9.3 (command sets).
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Sequence

from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from tests.fixtures.dimse_requestor import STUDY_ROOT_FIND, STUDY_ROOT_GET, STUDY_ROOT_MOVE
from tests.fixtures.raw_association import (
    LAST_COMMAND,
    LAST_DATA,
    encode_associate_rq,
    encode_command_set,
    encode_implicit,
    p_data,
    p_data_of,
)

Script = list[bytes]
"""What is sent, one write after the other; a well-behaved one has a PDU each."""

VERIFICATION = "1.2.840.10008.1.1"
_CT, _EXPLICIT, _IMPLICIT = (
    str(uid) for uid in (CTImageStorage, ExplicitVRLittleEndian, ImplicitVRLittleEndian)
)
_CONTEXTS = {
    (VERIFICATION, _IMPLICIT): 1,
    (_CT, _EXPLICIT): 3,
    (STUDY_ROOT_FIND, _IMPLICIT): 5,
    (STUDY_ROOT_MOVE, _IMPLICIT): 7,
    (STUDY_ROOT_GET, _IMPLICIT): 9,
}
_RELEASE = b"\x05\x00\x00\x00\x00\x04\x00\x00\x00\x00"
_ABORT = b"\x07\x00\x00\x00\x00\x04\x00\x00\x00\x00"
_FIELDS = {
    "store": 0x0001,
    "get": 0x0010,
    "find": 0x0020,
    "move": 0x0021,
    "echo": 0x0030,
    "cancel": 0x0FFF,
}


def well_behaved(dataset: bytes, sop_instance_uid: str) -> dict[str, Script]:
    """Make whole associations, one for each service; `dataset` is a CT image in Explicit VR."""
    associate = encode_associate_rq(_CONTEXTS, "LANTHORN", "FUZZ", [_CT])
    find = Dataset()
    find.QueryRetrieveLevel = "STUDY"
    find.PatientName = "F*"
    find.StudyInstanceUID = ""
    retrieve = Dataset()
    retrieve.QueryRetrieveLevel = "STUDY"
    retrieve.StudyInstanceUID = "1.2.3"
    store = [
        _command(3, "store", _CT, sop_instance_uid=sop_instance_uid, has_data=True),
        *_pdus(p_data_of(3, dataset, 4000)),
    ]
    return {
        "echo": [associate, _command(1, "echo", VERIFICATION), _RELEASE],
        "store": [associate, *store, _RELEASE],
        "find": [associate, *_query(5, "find", STUDY_ROOT_FIND, find), _RELEASE],
        "cancelled find": [
            associate,
            *_query(5, "find", STUDY_ROOT_FIND, find),
            _command(5, "cancel", STUDY_ROOT_FIND),
            _RELEASE,
        ],
        "move": [associate, *_query(7, "move", STUDY_ROOT_MOVE, retrieve, "NOBODY"), _RELEASE],
        "get": [associate, *_query(9, "get", STUDY_ROOT_GET, retrieve), _RELEASE],
        "aborted store": [associate, *store[:-1], _ABORT],
    }


def mutate(script: Sequence[bytes], chance: random.Random) -> Script:
    """Spoil a script in one to three ways."""
    spoilt = list(script)
    for _ in range(chance.randint(1, 3)):
        chance.choice(_MUTATIONS)(spoilt, chance)
    return spoilt


def _flip_bits(script: Script, chance: random.Random) -> None:
    place, pdu = _some_pdu(script, chance)
    for _ in range(chance.randint(1, 8)):
        if pdu:
            pdu[chance.randrange(len(pdu))] ^= 1 << chance.randrange(8)
    script[place] = bytes(pdu)


def _spoil_length(script: Script, chance: random.Random) -> None:
    """Set a length to one of its extremes: of the PDU, an item, a PDV or an element."""
    place, pdu = _some_pdu(script, chance)
    extremes = (0, 1, 2, 5, 6, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF)
    value = chance.choice(extremes)
    form = chance.choice([">L", "<L", ">H", "<H"])
    size = struct.calcsize(form)
    at = chance.choice([2, 6, 12, 76, 78, chance.randrange(max(1, len(pdu)))])
    if at + size <= len(pdu):
        struct.pack_into(form, pdu, at, value & (256**size - 1))
        script[place] = bytes(pdu)


def _truncate(script: Script, chance: random.Random) -> None:
    place, pdu = _some_pdu(script, chance)
    script[place] = bytes(pdu[: chance.randrange(len(pdu) + 1)])


def _insert(script: Script, chance: random.Random) -> None:
    place, pdu = _some_pdu(script, chance)
    at = chance.randrange(len(pdu) + 1)
    pdu[at:at] = chance.randbytes(chance.choice([1, 2, 7, 64, 3000]))
    script[place] = bytes(pdu)


def _repeat(script: Script, chance: random.Random) -> None:
    place = chance.randrange(len(script))
    script[place:place] = [script[place]] * chance.choice([1, 1, 2, 20])


def _leave_out(script: Script, chance: random.Random) -> None:
    if len(script) > 1:
        del script[chance.randrange(len(script))]


def _swap(script: Script, chance: random.Random) -> None:
    one, other = chance.randrange(len(script)), chance.randrange(len(script))
    script[one], script[other] = script[other], script[one]


def _noise(script: Script, chance: random.Random) -> None:
    script.insert(chance.randrange(len(script) + 1), chance.randbytes(chance.randint(1, 5000)))


def _change_type(script: Script, chance: random.Random) -> None:
    place, pdu = _some_pdu(script, chance)
    if pdu:
        pdu[0] = chance.randrange(256)
        script[place] = bytes(pdu)


def _change_context(script: Script, chance: random.Random) -> None:
    """Send a fragment over another context, or as another part of a message."""
    place, pdu = _some_pdu(script, chance)
    if len(pdu) > 11 and pdu[0] == 0x04:
        pdu[10 + chance.randrange(2)] = chance.choice([0, 1, 2, 3, 4, 5, 7, 9, 11, 255])
        script[place] = bytes(pdu)


_MUTATIONS: tuple[Callable[[Script, random.Random], None], ...] = (
    _flip_bits,
    _spoil_length,
    _spoil_length,
    _truncate,
    _insert,
    _repeat,
    _leave_out,
    _swap,
    _noise,
    _change_type,
    _change_context,
)


def _some_pdu(script: Script, chance: random.Random) -> tuple[int, bytearray]:
    place = chance.randrange(len(script))
    return place, bytearray(script[place])


def _command(
    number: int,
    service: str,
    sop_class_uid: str,
    *,
    sop_instance_uid: str = "",
    destination: str = "",
    has_data: bool = False,
) -> bytes:
    command = Dataset()
    command.CommandField = _FIELDS[service]
    command.CommandDataSetType = 1 if has_data else 0x0101
    if service == "cancel":
        command.MessageIDBeingRespondedTo = 1
    else:
        command.AffectedSOPClassUID = sop_class_uid
        command.MessageID = 1
    if has_data:
        command.Priority = 0
    if sop_instance_uid:
        command.AffectedSOPInstanceUID = sop_instance_uid
    if destination:
        command.MoveDestination = destination
    return p_data(number, LAST_COMMAND, encode_command_set(command))


def _query(
    number: int, service: str, sop_class_uid: str, identifier: Dataset, destination: str = ""
) -> Script:
    return [
        _command(number, service, sop_class_uid, destination=destination, has_data=True),
        p_data(number, LAST_DATA, encode_implicit(identifier)),
    ]


def _pdus(encoded: bytes) -> Script:
    """Part a run of PDUs."""
    parts, place = [], 0
    while place < len(encoded):
        length = 6 + struct.unpack_from(">L", encoded, place + 2)[0]
        parts.append(encoded[place : place + length])
        place += length
    return parts
