"""Peers that say what cannot be, to a running system: it answers them and serves the others."""

from __future__ import annotations

import socket
import ssl
import struct
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import TypeVar

import pytest

from tests.fixtures import dimse_bytes as raw
from tests.fixtures.dimse_requestor import STUDY_ROOT_FIND, STUDY_ROOT_GET, STUDY_ROOT_MOVE
from tests.fixtures.hostile_peers import (
    ASSOCIATE_RQ,
    COMMIT,
    COMMITMENT,
    CT,
    ECHO,
    FIND,
    GET,
    MEBIBYTE,
    MOVE,
    STORE,
    Description,
    Grounds,
    Peer,
    client_hello,
    last_of,
    unverified_tls,
    wait_until,
)
from tests.fixtures.running_lanthorn import lanthorn_folder, lanthorn_up

pytestmark = pytest.mark.hostile

Name = TypeVar("Name")

OPTIONS = {
    **{f"DicomAlwaysAllow{service}": True for service in ("Find", "Get", "Move")},
    "DicomModalities": {"peer": ["CALLING", "127.0.0.1", 104]},
    "DicomScpTimeout": 6,
    "Lanthorn": {"GatewayProcesses": 1, "DicomArtimTimeout": 5},
}
ABORTED_BY_PROVIDER = ("aborted", 2)
INVALID_PARAMETER = ("aborted", 2, 6)
"""A-ABORT of the service provider, invalid-PDU-parameter value (PS3.8 Table 9-26)."""
ABORTED_BY_USER = ("aborted", 0, 0)
"""What PS3.8 Table 9-10 wants before there is an association (AA-1), and who is idle gets."""
CANNOT_UNDERSTAND, NOT_SUPPORTED = 0xC000, 0x0122


@pytest.fixture(scope="module")
def grounds() -> Iterator[Grounds]:
    with lanthorn_folder() as folder, lanthorn_up(folder, OPTIONS) as system:
        yield Grounds.of(system)


def converse(grounds: Grounds, sent: bytes, *, associate: bool = True) -> list[Description]:
    """Send something on a connection of its own; returns all that comes back."""
    with Peer(grounds.system.dicom_port, associate=associate) as peer:
        peer.send(sent)
        return peer.answers()


def together(
    grounds: Grounds, sent: Mapping[Name, bytes], *, associate: bool = True
) -> dict[Name, list[Description]]:
    """Have as many conversations side by side."""
    with ThreadPoolExecutor(48) as pool:
        running = {
            name: pool.submit(converse, grounds, each, associate=associate)
            for name, each in sent.items()
        }
        return {name: each.result() for name, each in running.items()}


# Lengths


def extremes(length: int, size: int) -> dict[str, int]:
    most = (1 << 8 * size) - 1
    return {
        "0": 0,
        "1": 1,
        "one less": max(length - 1, 0),
        "one more": length + 1,
        "half of the most": most >> 1,
        "the most": most,
    }


def item_lengths(encoded: bytes, start: int, end: int, name: str) -> Iterator[tuple[str, int]]:
    """Find the length of each item of an A-ASSOCIATE-RQ, and of each item in it."""
    while start < end:
        kind, length = struct.unpack_from(">BxH", encoded, start)
        inner = f"{name}/{kind:02x}@{start}"
        yield inner, start + 2
        content = start + 4
        if kind == 0x20:
            yield from item_lengths(encoded, content + 4, content + length, inner)
        elif kind == 0x50:
            yield from item_lengths(encoded, content, content + length, inner)
        elif kind == 0x54:
            yield f"{inner}/uid", content
        start = content + length


def test_no_length_in_an_association_request_is_believed(grounds: Grounds) -> None:
    requests = {}
    for name, place in item_lengths(ASSOCIATE_RQ, 74, len(ASSOCIATE_RQ), "item"):
        (length,) = struct.unpack_from(">H", ASSOCIATE_RQ, place)
        for extreme, value in extremes(length, 2).items():
            patched = bytearray(ASSOCIATE_RQ)
            struct.pack_into(">H", patched, place, value)
            requests[f"{name} {extreme}"] = bytes(patched)
    with grounds.besieged():
        answers = together(grounds, requests, associate=False)
    beyond = [name for name in answers if name.endswith("the most")]
    assert len(beyond) == 2 * 27
    assert [answers[name] for name in beyond] == [[ABORTED_BY_USER]] * len(beyond)
    # Others may come out as items of another kind: then the association stands until it is idle,
    # or is rejected because it has no application context.
    for name, found in answers.items():
        assert last_of(found) in (ABORTED_BY_USER, ("rejected", 1, 1, 2)), (name, found)
        assert [each[0] for each in found[:-1]] in ([], ["accepted"]), (name, found)


def test_no_length_of_a_pdu_is_believed(grounds: Grounds) -> None:
    bad = {
        (kind, length): raw.pdu(kind, b"", length)
        for kind in (1, 2, 3, 5, 6, 7, 0x99)
        for length in (0, 1, 3, 5, 67, 0x7FFFFFFF, 0xFFFFFFFF)
    }
    with grounds.besieged():
        first = together(grounds, bad, associate=False)
        established = together(grounds, bad)
    for kind, length in bad:
        if kind == 1 and 0 < length <= 67:
            assert first[kind, length] == [], "what never comes in full is given up by ARTIM"
        else:
            assert first[kind, length] == [ABORTED_BY_USER], (kind, length)
        assert established[kind, length][0][:2] == ABORTED_BY_PROVIDER, (kind, length)


def test_no_length_of_data_is_believed(grounds: Grounds) -> None:
    command = raw.echo_command()
    whole = raw.pdv(ECHO, 3, command)
    bad = {
        "a PDU of four gigabytes": raw.pdu(4, whole, 0xFFFFFFFF),
        "a PDU of two gigabytes": raw.pdu(4, whole, 0x7FFFFFFF),
        "a PDU beyond the maximum": raw.pdu(4, whole, 131072 + 64),
        **{
            f"a PDU of {length}": raw.pdu(4, whole, length)
            for length in (1, 2, 3, 4, 5, 6, 7, len(whole) - 1)
        },
        **{
            f"a fragment of {length}": raw.p_data(raw.pdv(ECHO, 3, command, length))
            for length in (0, 1, len(command) + 3, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
        },
    }
    with grounds.besieged():
        answers = together(grounds, bad)
    assert answers == {name: [INVALID_PARAMETER] for name in bad}


def element_lengths(command: bytes) -> Iterator[tuple[int, int, int]]:
    """Find element number, place of the length and length in a command set."""
    place = 0
    while place < len(command):
        _, number, length = struct.unpack_from("<HHL", command, place)
        yield number, place + 4, length
        place += 8 + length


def test_no_length_in_a_command_set_is_believed(grounds: Grounds) -> None:
    command = raw.store_command()
    commands = {}
    for number, place, length in element_lengths(command):
        for extreme, value in extremes(length, 4).items():
            patched = bytearray(command)
            struct.pack_into("<L", patched, place, value)
            commands[f"{number:04x} {extreme}"] = bytes(patched)
    for value in (0, 1, 0x7FFFFFFF, 0xFFFFFFFF):
        patched = bytearray(command)
        struct.pack_into("<L", patched, 8, value)
        commands[f"group length of {value}"] = bytes(patched)
    with grounds.besieged():
        answers = together(
            grounds,
            {
                name: raw.p_data(raw.pdv(STORE, 3, each))
                + raw.p_data(raw.pdv(STORE, 2, raw.DATA_SET))
                for name, each in commands.items()
            },
        )
    refused = [("response", 0x8001, CANNOT_UNDERSTAND), ABORTED_BY_USER]
    for name, found in answers.items():
        if name.startswith("group length"):
            assert found == refused, "nothing depends on the group length"
        elif name.endswith("most"):
            assert found == [(*ABORTED_BY_PROVIDER, 0)], name
        else:  # what the length cuts off or takes in may be what nothing depends on
            assert found[0][0] == "response" or found == [(*ABORTED_BY_PROVIDER, 0)], (name, found)
            assert last_of(found)[0] == "aborted", name


# Commands

IDENTIFIER = raw.element(0x0052, b"STUDY ", group=0x0008) + raw.element(0x000D, b"", group=0x0020)
NAMED = raw.element(0x0052, b"STUDY ", group=0x0008) + raw.element(0x000D, b"1.2.3\0", group=0x0020)
ACTION = raw.element(0x1195, b"1.2.3\0", group=0x0008)
NOTHING = 0x0101

_REQUESTS: dict[str, tuple[int, int, dict[int, bytes], bytes]] = {
    "C-ECHO": (ECHO, 0x0030, {0x0002: raw.uid(0x0002, raw.VERIFICATION)}, b""),
    "C-STORE": (
        STORE,
        0x0001,
        {
            0x0002: raw.uid(0x0002, CT),
            0x0700: raw.short(0x0700, 0),
            0x1000: raw.uid(0x1000, "1.2.3"),
        },
        raw.DATA_SET,
    ),
    "C-FIND": (
        FIND,
        0x0020,
        {0x0002: raw.uid(0x0002, STUDY_ROOT_FIND), 0x0700: raw.short(0x0700, 0)},
        IDENTIFIER,
    ),
    "C-GET": (
        GET,
        0x0010,
        {0x0002: raw.uid(0x0002, STUDY_ROOT_GET), 0x0700: raw.short(0x0700, 0)},
        NAMED,
    ),
    "C-MOVE": (
        MOVE,
        0x0021,
        {
            0x0002: raw.uid(0x0002, STUDY_ROOT_MOVE),
            0x0600: raw.element(0x0600, b"NOBODY"),
            0x0700: raw.short(0x0700, 0),
        },
        NAMED,
    ),
    "N-ACTION": (
        COMMIT,
        0x0130,
        {
            0x0003: raw.uid(0x0003, COMMITMENT),
            0x1001: raw.uid(0x1001, COMMITMENT + ".1"),
            0x1008: raw.short(0x1008, 1),
        },
        ACTION,
    ),
}
"""Presentation context, Command Field, elements beside the three that all have, data set."""


def request(name: str, without: int | None = None) -> bytes:
    number, field, own, data_set = _REQUESTS[name]
    elements = {
        **own,
        0x0100: raw.short(0x0100, field),
        0x0110: raw.short(0x0110, 7),
        0x0800: raw.short(0x0800, 1 if data_set else NOTHING),
    }
    command = raw.command_set(*(elements[each] for each in sorted(elements) if each != without))
    parts = raw.p_data(raw.pdv(number, 3, command))
    return parts + (raw.p_data(raw.pdv(number, 2, data_set)) if data_set else b"")


# What is left out, and the status that is answered (PS3.7 Annex C, PS3.4 Annexes B, C and J).
LACKING: dict[tuple[str, int], int] = {
    ("C-ECHO", 0x0002): 0x0000,
    ("C-STORE", 0x0002): NOT_SUPPORTED,
    ("C-STORE", 0x0700): CANNOT_UNDERSTAND,  # because of what the data set is
    ("C-STORE", 0x1000): CANNOT_UNDERSTAND,
    ("C-FIND", 0x0002): 0x0000,
    ("C-FIND", 0x0700): 0x0000,
    ("C-GET", 0x0002): 0x0000,
    ("C-GET", 0x0700): 0x0000,
    ("C-MOVE", 0x0002): 0xA801,
    ("C-MOVE", 0x0600): 0xA801,
    ("C-MOVE", 0x0700): 0xA801,
    ("N-ACTION", 0x0003): NOT_SUPPORTED,
    ("N-ACTION", 0x1001): 0x0112,
    ("N-ACTION", 0x1008): 0x0123,
}


def test_a_command_without_what_it_needs_is_refused_or_answered(grounds: Grounds) -> None:
    with grounds.besieged():
        answers = together(
            grounds,
            {
                (name, missing): request(name, without=missing)
                for name in _REQUESTS
                for missing in (0x0100, 0x0110, 0x0800)
            },
        )
        assert answers == {each: [(*ABORTED_BY_PROVIDER, 0)] for each in answers}
        with Peer(grounds.system.dicom_port) as peer:
            for (name, missing), status in LACKING.items():
                peer.send(request(name, without=missing))
                answer = peer.answer()
                while answer[-1] == 0xFF00:  # matches of the C-FIND
                    assert peer.answer() == ("data set",)
                    answer = peer.answer()
                expected = ("response", _REQUESTS[name][1] | 0x8000, status)
                assert answer == expected, f"{name} {missing:04x}"
            peer.send(raw.RELEASE_RQ)
            assert peer.answers() == [("released",)]


def key(tag: int, value: bytes) -> bytes:
    return raw.element(tag & 0xFFFF, value, group=tag >> 16)


def nested(depth: int) -> bytes:
    """Nest sequences of undefined length."""
    start = struct.pack("<HHLHHL", 0x0040, 0x0100, 0xFFFFFFFF, 0xFFFE, 0xE000, 0xFFFFFFFF)
    end = struct.pack("<HHLHHL", 0xFFFE, 0xE00D, 0, 0xFFFE, 0xE0DD, 0)
    return start * depth + end * depth


IDENTIFIERS: dict[str, tuple[bytes, int]] = {
    "nothing": (b"", CANNOT_UNDERSTAND),
    "noise": (bytes(range(256)) * 400, CANNOT_UNDERSTAND),
    "a value of four gigabytes": (
        struct.pack("<HHL", 0x0008, 0x0052, 0xFFFFFFFF) + b"STUDY ",
        CANNOT_UNDERSTAND,
    ),
    "sequences in sequences": (key(0x0008_0052, b"STUDY ") + nested(20_000), CANNOT_UNDERSTAND),
    "a million values": (
        key(0x0008_0052, b"STUDY ") + key(0x0020_000D, b"\\" * 1_000_000),
        CANNOT_UNDERSTAND,
    ),
    "tens of thousands of keys": (
        key(0x0008_0052, b"STUDY ")
        + b"".join(key(0x0009_0000 + number, b"") for number in range(0x1000, 0xF000)),
        CANNOT_UNDERSTAND,
    ),
    "a wildcard that matches in many ways": (
        key(0x0008_0052, b"STUDY ") + key(0x0008_1030, b"*a" * 20_000 + b"b "),
        0x0000,
    ),
    "texts that end within a character": (
        key(0x0008_0005, b"ISO_IR 192")
        + key(0x0008_0052, b"STUDY ")
        + key(0x0010_0020, b"Q\xed\xa0\x80\xff\xfe"),
        CANNOT_UNDERSTAND,
    ),
}


def test_no_identifier_is_too_much(grounds: Grounds) -> None:
    head = raw.p_data(
        raw.pdv(
            FIND,
            3,
            raw.command_set(
                raw.uid(0x0002, STUDY_ROOT_FIND),
                raw.short(0x0100, raw.C_FIND_RQ),
                raw.short(0x0110, 1),
                raw.short(0x0800, 1),
            ),
        )
    )
    step = 100_000
    with grounds.besieged(), Peer(grounds.system.dicom_port) as peer:
        for name, (identifier, status) in IDENTIFIERS.items():
            starts = range(0, len(identifier) or 1, step)
            parts = [identifier[start : start + step] for start in starts]
            peer.send(head, *(raw.p_data(raw.pdv(FIND, 0, part)) for part in parts[:-1]))
            peer.send(raw.p_data(raw.pdv(FIND, 2, parts[-1])))
            assert peer.answer() == ("response", 0x8020, status), name


OUT_OF_PLACE: dict[str, tuple[bytes, Description]] = {
    "a context that was never proposed": (
        raw.p_data(raw.pdv(99, 3, raw.echo_command())),
        INVALID_PARAMETER,
    ),
    "a context of an even number": (
        raw.p_data(raw.pdv(2, 3, raw.echo_command())),
        INVALID_PARAMETER,
    ),
    "a response to nothing": (
        raw.p_data(
            raw.pdv(
                ECHO,
                3,
                raw.command_set(
                    raw.short(0x0100, 0x8001),
                    raw.short(0x0120, 1),
                    raw.short(0x0800, NOTHING),
                    raw.short(0x0900, 0),
                ),
            )
        ),
        (*ABORTED_BY_PROVIDER, 0),
    ),
    "a data set first": (raw.p_data(raw.pdv(STORE, 2, raw.DATA_SET)), (*ABORTED_BY_PROVIDER, 0)),
    "an association within an association": (ASSOCIATE_RQ, (*ABORTED_BY_PROVIDER, 2)),
}


def test_what_is_out_of_place_is_aborted(grounds: Grounds) -> None:
    with grounds.besieged():
        answers = together(grounds, {name: sent for name, (sent, _) in OUT_OF_PLACE.items()})
        early = dict.fromkeys(range(48), raw.store() + raw.echo())
        answers_to_early = together(grounds, early, associate=False)
    assert answers == {name: [expected] for name, (_, expected) in OUT_OF_PLACE.items()}
    assert answers_to_early == {each: [ABORTED_BY_USER] for each in early}


# Fragments


def test_fragments_that_never_end_are_ended(grounds: Grounds) -> None:
    find = raw.p_data(
        raw.pdv(
            FIND,
            3,
            raw.command_set(
                raw.uid(0x0002, STUDY_ROOT_FIND),
                raw.short(0x0100, raw.C_FIND_RQ),
                raw.short(0x0110, 1),
                raw.short(0x0800, 1),
            ),
        )
    )
    command = raw.p_data(raw.pdv(STORE, 1, bytes(4096)))
    crumb = raw.p_data(*[raw.pdv(STORE, 1, b"\0")] * 2000)
    identifier = raw.p_data(raw.pdv(FIND, 0, bytes(100_000)))
    with grounds.besieged():
        answers = together(
            grounds,
            {
                "command set": command * 4000,
                "crumbs of a command set": crumb * 400,
                "identifier": find + identifier * 200,
            },
        )
        endless = raw.pdu(1, bytes(32 * MEBIBYTE), 1 << 30)
        answers |= together(grounds, {"association request": endless}, associate=False)
    # Who still sends when the A-ABORT comes may lose it to the reset of the connection.
    for name, found in answers.items():
        assert [each[0] for each in found] in ([], ["aborted"]), (name, found)
    with grounds.besieged(), Peer(grounds.system.dicom_port) as peer:
        peer.send(find, *[identifier] * 11)  # nothing more is on its way: the answer is seen
        assert peer.answers() == [(*ABORTED_BY_PROVIDER, 0)]


def test_fragments_of_nothing_and_of_one_byte_are_put_together(grounds: Grounds) -> None:
    command = raw.echo_command()
    crumbs = [
        raw.p_data(raw.pdv(ECHO, 1, b""), raw.pdv(ECHO, 1, command[place : place + 1]))
        for place in range(len(command) - 1)
    ]
    echo = b"".join([*crumbs, raw.p_data(raw.pdv(ECHO, 3, command[-1:]))])
    nothing = raw.p_data(*[raw.pdv(ECHO, 1, b"")] * 20_000)
    with grounds.besieged(), Peer(grounds.system.dicom_port) as peer:
        for _ in range(50):
            peer.send(echo)
            assert peer.answer() == ("response", 0x8030, 0x0000)
        peer.send(*[nothing] * 25)
        peer.send(echo, raw.RELEASE_RQ)
        assert peer.answers() == [("response", 0x8030, 0x0000), ("released",)]


def test_a_data_set_that_grows_and_grows_takes_no_memory(grounds: Grounds) -> None:
    part = raw.p_data(raw.pdv(STORE, 0, bytes(131_000)))
    with grounds.besieged() as bystander, ExitStack() as stack:
        peers = [stack.enter_context(Peer(grounds.system.dicom_port)) for _ in range(8)]
        for peer in peers:
            peer.send(raw.p_data(raw.pdv(STORE, 3, raw.store_command())))
        for _ in range(100):
            for peer in peers:
                peer.send(part)
        bystander.see()
        # Its sender stops, and is given up.
        assert [peer.answer() for peer in peers] == [ABORTED_BY_USER] * len(peers)
        assert all(peer.is_cut_off() for peer in peers), "also who does not close"


# Crowds


def test_a_thousand_half_open_connections_are_cut_off(grounds: Grounds) -> None:
    with grounds.besieged(128 * MEBIBYTE) as bystander, ExitStack() as stack:
        crowd = []
        for number in range(1000):
            peer = stack.enter_context(Peer(grounds.system.dicom_port, associate=False))
            if number % 2:
                peer.send(ASSOCIATE_RQ[: number % len(ASSOCIATE_RQ)])
            crowd.append(peer)
        bystander.see(10)
        assert all(peer.is_cut_off() for peer in crowd)


def test_who_asks_byte_by_byte_is_not_waited_for(grounds: Grounds) -> None:
    with grounds.besieged() as bystander, ExitStack() as stack:
        crowd = [
            stack.enter_context(Peer(grounds.system.dicom_port, associate=False))
            for _ in range(100)
        ]
        waiting = list(crowd)

        def drip(place: int) -> bool:
            """Send everybody's next byte; whether nobody is connected any more."""
            for peer in list(waiting):
                try:
                    peer.socket.sendall(ASSOCIATE_RQ[place : place + 1])
                except ConnectionError:
                    waiting.remove(peer)
            return not waiting

        places = iter(range(len(ASSOCIATE_RQ)))
        wait_until(lambda: drip(next(places)), "who asks too slowly is cut off")
        bystander.see()
        assert all(peer.is_cut_off() for peer in crowd)


def test_other_protocols_are_sent_away(grounds: Grounds) -> None:
    strangers = {
        "TLS": client_hello(),
        "HTTP": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "SSH": b"SSH-2.0-OpenSSH_9.2\r\n",
        "PROXY": b"PROXY TCP4 10.0.0.1 10.0.0.2 1 104\r\n",
    }
    with grounds.besieged():
        answers = together(
            grounds,
            {(name, each): hello for name, hello in strangers.items() for each in range(20)},
            associate=False,
        )
        assert answers == {each: [ABORTED_BY_USER] for each in answers}
        with (
            socket.create_connection(("127.0.0.1", grounds.system.dicom_port), 20) as plain,
            pytest.raises(ssl.SSLError),
        ):
            unverified_tls().wrap_socket(plain)
