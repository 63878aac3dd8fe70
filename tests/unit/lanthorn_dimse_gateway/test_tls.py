"""TLS contexts from Orthanc's options (PS3.15 Sections B.9 and B.10)."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import pytest

from lanthorn_core.runtime.settings import Settings, SettingsError
from lanthorn_dimse_gateway.tls import acceptor_context, requestor_context
from tests.fixtures.certificates import Authority, Certificate


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def ours(authority: Authority) -> Certificate:
    return authority.issue("lanthorn")


@pytest.fixture
def options(authority: Authority, ours: Certificate) -> dict[str, Any]:
    return {
        "DicomTlsEnabled": True,
        "DicomTlsCertificate": str(ours.certificate),
        "DicomTlsPrivateKey": str(ours.key),
        "DicomTlsTrustedCertificates": str(authority.certificate),
    }


def acceptor(options: dict[str, Any], **changes: Any) -> ssl.SSLContext:
    context = acceptor_context(Settings.model_validate(options | changes))
    assert context is not None
    return context


def talk(server: ssl.SSLContext, client: ssl.SSLContext) -> tuple[str | None, str]:
    """Shake hands in memory; version and cipher suite that came out."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    one = server.wrap_bio(to_server, to_client, server_side=True)
    other = client.wrap_bio(to_client, to_server, server_hostname="any.example")
    over: set[ssl.SSLObject] = set()
    for _ in range(10):
        for side in (other, one):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
            over.add(side)
    assert over == {one, other}, "the handshake does not end"
    one.write(b"x")
    assert other.read(1) == b"x"  # a client of TLS 1.3 hears of its refusal here
    cipher = one.cipher()
    assert cipher is not None
    return one.version(), cipher[0]


def test_there_is_no_tls_by_default() -> None:
    assert acceptor_context(Settings()) is None
    assert requestor_context(Settings()) is None


def test_two_of_us_understand_each_other(options: dict[str, Any]) -> None:
    requestor = requestor_context(Settings.model_validate(options))
    assert requestor is not None
    assert talk(acceptor(options), requestor)[0] == "TLSv1.3"


def test_a_requestor_does_not_need_tls_for_what_comes_in(options: dict[str, Any]) -> None:
    requestor = requestor_context(Settings.model_validate(options | {"DicomTlsEnabled": False}))
    assert requestor is not None
    assert talk(acceptor(options), requestor)


def test_who_has_no_certificate_is_refused(options: dict[str, Any], authority: Authority) -> None:
    anonymous = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    anonymous.check_hostname = False
    anonymous.load_verify_locations(authority.certificate)
    with pytest.raises(ssl.SSLError):
        talk(acceptor(options), anonymous)
    assert talk(acceptor(options, DicomTlsRemoteCertificateRequired=False), anonymous)


def test_a_certificate_of_somebody_else_is_refused_both_ways(
    options: dict[str, Any], tmp_path: Path
) -> None:
    stranger = Authority(tmp_path / "other", "stranger")
    theirs = stranger.issue("peer")
    stranger_options = {
        "DicomTlsEnabled": True,
        "DicomTlsCertificate": str(theirs.certificate),
        "DicomTlsPrivateKey": str(theirs.key),
        "DicomTlsTrustedCertificates": options["DicomTlsTrustedCertificates"],
    }
    peer = requestor_context(Settings.model_validate(stranger_options))
    us = requestor_context(Settings.model_validate(options))
    assert peer is not None
    assert us is not None
    with pytest.raises(ssl.SSLError):
        talk(acceptor(options), peer)
    with pytest.raises(ssl.SSLError):
        talk(acceptor(stranger_options), us)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
@pytest.mark.parametrize("minimum", [0, 2, 4])
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_versions_that_are_not_safe_are_refused_whatever_is_configured(
    options: dict[str, Any], version: ssl.TLSVersion, minimum: int
) -> None:
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    old.minimum_version = ssl.TLSVersion.TLSv1
    old.maximum_version = version
    old.set_ciphers("ALL:@SECLEVEL=0")
    server = acceptor(
        options,
        DicomTlsMinimumProtocolVersion=minimum,
        DicomTlsRemoteCertificateRequired=False,
    )
    with pytest.raises(ssl.SSLError):
        talk(server, old)


def client_of_tls_1_2(ciphers: str) -> ssl.SSLContext:
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    client.set_ciphers(ciphers)
    return client


@pytest.mark.parametrize(
    "cipher",
    [
        "ECDHE-RSA-AES128-GCM-SHA256",
        "ECDHE-RSA-AES256-GCM-SHA384",
    ],
)
def test_the_suites_of_bcp_195_are_taken(options: dict[str, Any], cipher: str) -> None:
    server = acceptor(options, DicomTlsRemoteCertificateRequired=False)
    assert talk(server, client_of_tls_1_2(cipher)) == ("TLSv1.2", cipher)


@pytest.mark.parametrize("cipher", ["AES128-GCM-SHA256", "ECDHE-RSA-AES128-SHA256", "AES256-SHA"])
def test_suites_without_forward_secrecy_or_authentication_are_not(
    options: dict[str, Any], cipher: str
) -> None:
    server = acceptor(options, DicomTlsRemoteCertificateRequired=False)
    with pytest.raises(ssl.SSLError):
        talk(server, client_of_tls_1_2(cipher))


def test_the_suites_can_be_chosen(options: dict[str, Any]) -> None:
    only = "ECDHE-RSA-AES256-GCM-SHA384"
    server = acceptor(
        options, DicomTlsRemoteCertificateRequired=False, DicomTlsCiphersAccepted=[only]
    )
    assert talk(server, client_of_tls_1_2("ECDHE+AESGCM")) == ("TLSv1.2", only)


def test_tls_1_3_can_be_asked_for(options: dict[str, Any]) -> None:
    server = acceptor(
        options, DicomTlsRemoteCertificateRequired=False, DicomTlsMinimumProtocolVersion=5
    )
    with pytest.raises(ssl.SSLError):
        talk(server, client_of_tls_1_2("ECDHE+AESGCM"))


@pytest.mark.parametrize(
    ("changes", "option"),
    [
        ({"DicomTlsCertificate": ""}, "DicomTlsCertificate"),
        ({"DicomTlsCertificate": "/gone.pem"}, "DicomTlsCertificate = '/gone.pem'"),
        ({"DicomTlsCertificate": "/etc/hostname"}, "DicomTlsCertificate = '/etc/hostname'"),
        ({"DicomTlsPrivateKey": ""}, "DicomTlsPrivateKey"),
        ({"DicomTlsPrivateKey": "/gone.key"}, "DicomTlsPrivateKey = '/gone.key'"),
        ({"DicomTlsPrivateKey": "/etc/hostname"}, "DicomTlsPrivateKey = '/etc/hostname'"),
        ({"DicomTlsTrustedCertificates": ""}, "DicomTlsTrustedCertificates"),
        (
            {"DicomTlsTrustedCertificates": "/etc/hostname"},
            "DicomTlsTrustedCertificates = '/etc/hostname'",
        ),
        ({"DicomTlsCiphersAccepted": ["NOTHING"]}, "DicomTlsCiphersAccepted"),
    ],
)
def test_what_is_wrong_is_told_by_the_name_of_its_option(
    options: dict[str, Any], changes: dict[str, Any], option: str
) -> None:
    with pytest.raises(SettingsError) as told:
        acceptor(options, **changes)
    assert f"  {option}" in str(told.value)


def test_the_key_of_another_certificate_is_refused(
    options: dict[str, Any], authority: Authority
) -> None:
    other = authority.issue("other")
    with pytest.raises(SettingsError, match="DicomTlsPrivateKey"):
        acceptor(options, DicomTlsPrivateKey=str(other.key))
