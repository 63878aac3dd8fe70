"""Peers at a TLS port that do not speak TLS, or do not mean it."""

from __future__ import annotations

import random
import socket
import ssl
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.fixtures.certificates import Authority
from tests.fixtures.hostile_peers import ASSOCIATE_RQ, Grounds, Peer, client_hello
from tests.fixtures.running_lanthorn import lanthorn_folder, lanthorn_up

pytestmark = pytest.mark.hostile


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def trusting(authority: Authority) -> ssl.SSLContext:
    ours = authority.issue("peer")
    context = ssl.create_default_context(cafile=str(authority.certificate))
    context.load_cert_chain(str(ours.certificate), str(ours.key))
    return context


@pytest.fixture(scope="module")
def grounds(authority: Authority, trusting: ssl.SSLContext) -> Iterator[Grounds]:
    theirs = authority.issue("lanthorn")
    options = {
        "DicomTlsEnabled": True,
        "DicomTlsCertificate": str(theirs.certificate),
        "DicomTlsPrivateKey": str(theirs.key),
        "DicomTlsTrustedCertificates": str(authority.certificate),
        "DicomScpTimeout": 6,
        "Lanthorn": {"GatewayProcesses": 1, "DicomArtimTimeout": 5},
    }
    with lanthorn_folder() as folder, lanthorn_up(folder, options) as system:
        yield Grounds.of(system, tls=trusting)


def test_who_speaks_no_tls_is_closed_without_a_word_of_dicom(grounds: Grounds) -> None:
    chance = random.Random(20_261_121)
    hello = client_hello()
    first_words = [
        b"",
        ASSOCIATE_RQ,
        ASSOCIATE_RQ[:3],
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        chance.randbytes(5000),
        b"\x16\x03\x01\xff\xff" + chance.randbytes(70_000),
        hello[:40],
        hello,
        hello + chance.randbytes(3000),
        hello + hello,
    ]
    with grounds.besieged() as bystander, ExitStack() as stack:
        crowd = []
        for words in first_words * 40:
            peer = stack.enter_context(Peer(grounds.system.dicom_port, associate=False))
            peer.send(words)
            crowd.append(peer)
        bystander.see()
        heard = [peer.all_bytes() for peer in crowd]
    # Nothing, an alert, or the server's part of the handshake: records of TLS, whatever is in them.
    assert {each[:1] for each in heard} <= {b"", b"\x15", b"\x16"}


def test_garbage_within_tls_is_an_abort_and_an_end_in_mid_record_is_an_end(
    grounds: Grounds, trusting: ssl.SSLContext
) -> None:
    with grounds.besieged():
        for number in range(20):
            with (
                socket.create_connection(("127.0.0.1", grounds.system.dicom_port), 20) as plain,
                trusting.wrap_socket(plain, server_hostname="127.0.0.1") as encrypted,
            ):
                if number % 2:
                    encrypted.sendall(b"\x99" * 100)
                    assert encrypted.recv(10) == b"\x07\0\0\0\0\x04\0\0\0\0"
                else:
                    encrypted.sendall(ASSOCIATE_RQ)
                    assert encrypted.recv(1) == b"\x02"
                    with socket.socket(fileno=encrypted.detach()) as beneath:
                        beneath.sendall(b"\x17\x03\x03\x40\x00" + bytes(100))
