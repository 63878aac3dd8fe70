"""Admission of associations and requests (PS3.8 Table 9-21, Orthanc's options)."""

from __future__ import annotations

import pytest
from pynetdicom.pdu import A_ASSOCIATE_RJ

from lanthorn_dimse_gateway.access import (
    APPLICATION_CONTEXT_NOT_SUPPORTED,
    CALLED_AE_TITLE_NOT_RECOGNIZED,
    CALLING_AE_TITLE_NOT_RECOGNIZED,
    LOCAL_LIMIT_EXCEEDED,
    AccessPolicy,
    KnownAE,
    Rejection,
    Requestor,
    Service,
)

NOBODY: frozenset[Service] = frozenset()


def requestor(calling: str = "CT1", called: str = "LANTHORN", ip: str = "10.0.0.5") -> Requestor:
    return Requestor(calling, called, ip)


def admit(policy: AccessPolicy, peer: Requestor, *, associations: int = 0) -> Rejection | None:
    return policy.admit(peer, associations=associations, limit=10)


def test_everybody_is_admitted_by_default() -> None:
    assert admit(AccessPolicy("LANTHORN"), requestor("WHO", "ANYBODY")) is None


@pytest.mark.parametrize("called", ["LANTHORN", "lanthorn", " Lanthorn "])
def test_the_called_ae_title_is_compared_without_case_and_outer_spaces(called: str) -> None:
    policy = AccessPolicy("LANTHORN", check_called_ae_title=True)
    assert admit(policy, requestor(called=called)) is None


@pytest.mark.parametrize(("called", "strict"), [("OTHER", False), ("lanthorn", True), ("", False)])
def test_another_called_ae_title_is_rejected_when_it_is_checked(called: str, strict: bool) -> None:
    policy = AccessPolicy("LANTHORN", check_called_ae_title=True, strict_comparison=strict)
    assert admit(policy, requestor(called=called)) is CALLED_AE_TITLE_NOT_RECOGNIZED


def test_an_unknown_calling_ae_title_is_rejected_when_nothing_is_open_to_everybody() -> None:
    policy = AccessPolicy("LANTHORN", open_to_everybody=NOBODY, known=(KnownAE("CT1", "10.0.0.5"),))
    assert admit(policy, requestor("CT2")) is CALLING_AE_TITLE_NOT_RECOGNIZED
    assert admit(policy, requestor("ct1")) is None


def test_a_known_ae_from_another_address_is_unknown_when_hosts_are_checked() -> None:
    policy = AccessPolicy(
        "LANTHORN", check_host=True, open_to_everybody=NOBODY, known=(KnownAE("CT1", "10.0.0.5"),)
    )
    assert admit(policy, requestor(ip="10.0.0.6")) is CALLING_AE_TITLE_NOT_RECOGNIZED
    assert admit(policy, requestor(ip="10.0.0.5")) is None
    assert not policy.allows(requestor(ip="10.0.0.6"), Service.STORE)


@pytest.mark.parametrize(
    ("host", "ip", "same"),
    [
        ("10.0.0.5", "::ffff:10.0.0.5", True),
        ("0:0:0:0:0:0:0:1", "::1", True),
        ("fe80::1", "fe80::1%eth0", True),
        ("pacs.example.org", "10.0.0.5", False),
        ("10.0.0.50", "10.0.0.5", False),
    ],
)
def test_addresses_are_compared_not_their_spelling(host: str, ip: str, same: bool) -> None:
    policy = AccessPolicy(
        "LANTHORN", check_host=True, open_to_everybody=NOBODY, known=(KnownAE("CT1", host),)
    )
    assert policy.allows(requestor(ip=ip), Service.STORE) is same


def test_a_foreign_application_context_is_rejected() -> None:
    peer = Requestor("CT1", "LANTHORN", "10.0.0.5", application_context_name="1.2.3")
    assert admit(AccessPolicy("LANTHORN"), peer) is APPLICATION_CONTEXT_NOT_SUPPORTED


def test_one_association_too_many_is_rejected_for_the_moment() -> None:
    policy = AccessPolicy("LANTHORN")
    assert admit(policy, requestor(), associations=9) is None
    assert admit(policy, requestor(), associations=10) is LOCAL_LIMIT_EXCEEDED
    assert LOCAL_LIMIT_EXCEEDED.result == 2  # rejected-transient


def test_a_permanent_reason_is_told_before_a_transient_one() -> None:
    policy = AccessPolicy("LANTHORN", check_called_ae_title=True)
    refused = admit(policy, requestor(called="OTHER"), associations=10)
    assert refused is CALLED_AE_TITLE_NOT_RECOGNIZED


@pytest.mark.parametrize(
    "rejection",
    [
        APPLICATION_CONTEXT_NOT_SUPPORTED,
        CALLED_AE_TITLE_NOT_RECOGNIZED,
        CALLING_AE_TITLE_NOT_RECOGNIZED,
        LOCAL_LIMIT_EXCEEDED,
    ],
)
def test_rejections_say_what_the_standard_calls_them(rejection: Rejection) -> None:
    pdu = A_ASSOCIATE_RJ()
    pdu.result = rejection.result
    pdu.source = rejection.source
    pdu.reason_diagnostic = rejection.reason
    spelled = pdu.reason_str.lower().replace(" ", "-").replace("recognised", "recognized")
    for word in rejection.text.split("-"):
        assert word in spelled


def test_open_services_need_no_entry() -> None:
    policy = AccessPolicy("LANTHORN", open_to_everybody=frozenset({Service.ECHO}))
    assert policy.allows(requestor("WHO"), Service.ECHO)
    assert not policy.allows(requestor("WHO"), Service.STORE)


def test_a_known_ae_is_allowed_what_its_entry_says() -> None:
    policy = AccessPolicy(
        "LANTHORN",
        open_to_everybody=NOBODY,
        known=(KnownAE("CT1", "10.0.0.5", frozenset({Service.STORE})),),
    )
    assert policy.allows(requestor(), Service.STORE)
    assert not policy.allows(requestor(), Service.ECHO)


def test_the_entries_of_one_ae_title_add_up() -> None:
    policy = AccessPolicy(
        "LANTHORN",
        open_to_everybody=NOBODY,
        known=(
            KnownAE("CT1", "10.0.0.4", frozenset({Service.ECHO})),
            KnownAE("CT1", "10.0.0.5", frozenset({Service.STORE})),
        ),
    )
    assert policy.allows(requestor(), Service.ECHO)
    assert policy.allows(requestor(), Service.STORE)
