"""DICOM over TLS with DCMTK on the other end, both ways, with and without client certificates."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lanthorn_embedded.sockets import LOOPBACK, ReservedPort
from tests.conformance.peers import make_study, run, storescp
from tests.conformance.servers import Server, lanthorn
from tests.fixtures.certificates import Authority, Certificate

pytestmark = pytest.mark.conformance


@dataclass(frozen=True)
class Secured:
    """A Lanthorn that speaks TLS, and the certificates around it."""

    server: Server
    authority: Authority
    peer: Certificate
    stranger: Certificate
    receiver_port: ReservedPort
    requires_certificates: bool


def tls_options(authority: Authority, own: Certificate, *, required: bool) -> dict[str, Any]:
    return {
        "DicomTlsEnabled": True,
        "DicomTlsPrivateKey": str(own.key),
        "DicomTlsCertificate": str(own.certificate),
        "DicomTlsTrustedCertificates": str(authority.certificate),
        "DicomTlsRemoteCertificateRequired": required,
    }


@pytest.fixture(scope="module", params=[True, False], ids=["certificate required", "or not"])
def secured(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Secured]:
    folder = tmp_path_factory.mktemp("certificates")
    authority = Authority(folder)
    stranger = Authority(folder / "strangers", "strangers").issue("stranger")
    receiver_port = ReservedPort()
    options = tls_options(authority, authority.issue("lanthorn"), required=request.param)
    receiver = {
        "AET": "STORESCP",
        "Host": LOOPBACK,
        "Port": receiver_port.number,
        "UseDicomTls": True,
    }
    with lanthorn(DicomModalities={"receiver": receiver}, **options) as server:
        peer = authority.issue("peer")
        yield Secured(server, authority, peer, stranger, receiver_port, request.param)


def test_storescu_with_a_trusted_certificate_stores(secured: Secured, tmp_path: Path) -> None:
    study = make_study(tmp_path)
    trust = ["+cf", secured.authority.certificate]
    own = ["+tls", secured.peer.key, secured.peer.certificate]
    sent = run("storescu", *own, *trust, *secured.server.address, *study.files)
    assert sent.returncode == 0, sent.output
    stored = secured.server.sop_instance_uids(study.study_instance_uid)
    assert stored == study.sop_instance_uids


def test_storescu_without_certificate_stores_only_where_none_is_required(
    secured: Secured, tmp_path: Path
) -> None:
    study = make_study(tmp_path, series=1)
    trust = ["+cf", secured.authority.certificate]
    sent = run("storescu", "+tla", *trust, *secured.server.address, *study.files)
    stored = secured.server.sop_instance_uids(study.study_instance_uid)
    if secured.requires_certificates:
        assert sent.returncode != 0
        assert stored == set()
    else:
        assert sent.returncode == 0, sent.output
        assert stored == study.sop_instance_uids


def test_storescu_with_a_certificate_of_a_stranger_stores_only_where_none_is_required(
    secured: Secured, tmp_path: Path
) -> None:
    study = make_study(tmp_path, series=1)
    own = ["+tls", secured.stranger.key, secured.stranger.certificate]
    trust = ["+cf", secured.authority.certificate]
    sent = run("storescu", *own, *trust, *secured.server.address, *study.files)
    stored = secured.server.sop_instance_uids(study.study_instance_uid)
    if secured.requires_certificates:
        assert sent.returncode != 0
        assert stored == set()
    else:
        assert sent.returncode == 0, sent.output
        assert stored == study.sop_instance_uids


def test_storescu_without_tls_is_refused_and_others_go_on(secured: Secured, tmp_path: Path) -> None:
    study = make_study(tmp_path, series=1)
    sent = run("storescu", "-ta", "5", "-td", "5", *secured.server.address, *study.files)
    assert sent.returncode != 0
    assert secured.server.sop_instance_uids(study.study_instance_uid) == set()
    own = ["+tls", secured.peer.key, secured.peer.certificate]
    echo = run("echoscu", *own, "+cf", secured.authority.certificate, *secured.server.address)
    assert echo.returncode == 0, echo.output


def test_a_sender_that_does_not_trust_us_does_not_send(secured: Secured, tmp_path: Path) -> None:
    own = ["+tls", secured.peer.key, secured.peer.certificate]
    distrust = ["+cf", secured.stranger.certificate]
    echo = run("echoscu", *own, *distrust, *secured.server.address)
    assert echo.returncode != 0


@pytest.mark.parametrize("profile", ["+py", "+px", "+pz"])
def test_the_bcp_195_profiles_of_the_standard_agree_on_a_cipher(
    secured: Secured, profile: str
) -> None:
    own = ["+tls", secured.peer.key, secured.peer.certificate]
    trust = ["+cf", secured.authority.certificate]
    echo = run("echoscu", profile, *own, *trust, *secured.server.address)
    assert echo.returncode == 0, echo.output


def test_we_store_to_a_storescp_that_wants_our_certificate(
    secured: Secured, tmp_path: Path
) -> None:
    study = make_study(tmp_path)
    identifiers = secured.server.upload(*study.files)
    own = ["+tls", str(secured.peer.key), str(secured.peer.certificate), "-rc"]
    trust = ["+cf", str(secured.authority.certificate)]
    with storescp(tmp_path / "got", *own, *trust, port=secured.receiver_port) as receiver:
        assert secured.server.post("/modalities/receiver/echo", {}) == {}
        secured.server.post("/modalities/receiver/store", identifiers)
        assert set(receiver.received) == study.sop_instance_uids


def test_the_retired_profile_has_no_cipher_that_we_take(secured: Secured) -> None:
    own = ["+tls", secured.peer.key, secured.peer.certificate]
    trust = ["+cf", secured.authority.certificate]
    echo = run("echoscu", "+pa", *own, *trust, *secured.server.address)
    assert echo.returncode != 0


def test_we_store_to_a_stranger_only_where_no_certificate_is_required(
    secured: Secured, tmp_path: Path
) -> None:
    study = make_study(tmp_path, series=1)
    identifiers = secured.server.upload(*study.files)
    own = ["+tls", str(secured.stranger.key), str(secured.stranger.certificate), "-ic"]
    with storescp(tmp_path / "got", *own, port=secured.receiver_port) as receiver:
        if secured.requires_certificates:
            failure = secured.server.failure("/modalities/receiver/store", identifiers)
            assert (failure.http_status, failure.orthanc_status) == (500, 9)
            assert receiver.received == {}
        else:
            secured.server.post("/modalities/receiver/store", identifiers)
            assert set(receiver.received) == study.sop_instance_uids
