"""Admission of associations and requests (PS3.8 Table 9-21, Orthanc's options)."""

from __future__ import annotations

import pytest
from pynetdicom.pdu import A_ASSOCIATE_RJ

from lanthorn_core.model import RemoteAE
from lanthorn_core.runtime.settings import Settings
from lanthorn_dimse import (
    APPLICATION_CONTEXT_NOT_SUPPORTED,
    CALLED_AE_TITLE_NOT_RECOGNIZED,
    CALLING_AE_TITLE_NOT_RECOGNIZED,
    LOCAL_LIMIT_EXCEEDED,
    AssociateRejection,
)
from lanthorn_dimse_gateway.access import (
    AccessPolicy,
    KnownAE,
    Requestor,
    Service,
    known_aes,
)

NOBODY: frozenset[Service] = frozenset()


def requestor(calling: str = "CT1", called: str = "LANTHORN", ip: str = "10.0.0.5") -> Requestor:
    return Requestor(calling, called, ip)


def admit(
    policy: AccessPolicy, peer: Requestor, *, associations: int = 0
) -> AssociateRejection | None:
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
    ("rejection", "spelled"),
    [
        (APPLICATION_CONTEXT_NOT_SUPPORTED, "application context name not supported"),
        (CALLED_AE_TITLE_NOT_RECOGNIZED, "called ae title not recognised"),
        (CALLING_AE_TITLE_NOT_RECOGNIZED, "calling ae title not recognised"),
        (LOCAL_LIMIT_EXCEEDED, "local limit exceeded"),
    ],
)
def test_rejections_mean_what_the_standard_says(
    rejection: AssociateRejection, spelled: str
) -> None:
    pdu = A_ASSOCIATE_RJ()
    pdu.result = rejection.result
    pdu.source = rejection.source
    pdu.reason_diagnostic = rejection.reason
    assert pdu.reason_str.lower() == spelled


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


@pytest.mark.parametrize("service", list(Service))
def test_each_allow_flag_of_a_remote_ae_is_one_permission(service: Service) -> None:
    flag = {
        Service.FIND_WORKLIST: "allow_find_worklist",
        Service.N_ACTION: "allow_n_action",
        Service.EVENT_REPORT: "allow_event_report",
    }.get(service, f"allow_{service.value.lower()}")
    without = RemoteAE(ae_title="CT1", host="10.0.0.5", port=104, **{flag: False})
    (known,) = known_aes([without])
    assert known.allowed == frozenset(Service) - {service}


@pytest.mark.parametrize(
    ("option", "service"),
    [
        ("DicomAlwaysAllowEcho", Service.ECHO),
        ("DicomAlwaysAllowStore", Service.STORE),
        ("DicomAlwaysAllowFind", Service.FIND),
        ("DicomAlwaysAllowFindWorklist", Service.FIND_WORKLIST),
        ("DicomAlwaysAllowGet", Service.GET),
        ("DicomAlwaysAllowMove", Service.MOVE),
    ],
)
def test_what_is_open_to_everybody_is_an_option_each(option: str, service: Service) -> None:
    for value in (False, True):
        policy = AccessPolicy.of(Settings.model_validate({option: value}))
        assert policy.allows(requestor("WHO"), service) is value


def test_storage_commitment_is_for_known_aes_only() -> None:
    policy = AccessPolicy.of(Settings())
    assert not policy.allows(requestor("WHO"), Service.N_ACTION)
    assert not policy.allows(requestor("WHO"), Service.EVENT_REPORT)
