from __future__ import annotations

import contextlib
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pynetdicom.pdu import A_ABORT_RQ, A_ASSOCIATE_AC, A_ASSOCIATE_RJ, A_ASSOCIATE_RQ

from lanthorn_dimse import (
    AnsweredContext,
    AssociateAcceptance,
    AssociateRejection,
    AssociateRequest,
    ContextResult,
    ProtocolError,
    Roles,
    UserIdentity,
    propose,
)
from lanthorn_dimse.associate_pdus import (
    acceptance_pdu,
    decode_acceptance,
    decode_request,
    request_pdu,
    supports_version_1,
)
from lanthorn_dimse.negotiation import agreed_contexts
from lanthorn_dimse.pdus import abort_pdu, decode_rejection, rejection_pdu
from tests.fixtures import dimse_bytes as raw

UIDS = st.integers(0, 10**12).map("1.2.{}".format)
TITLES = st.text("ABCXYZ019_", min_size=1, max_size=16)
ROLES = st.dictionaries(UIDS, st.builds(Roles, scu=st.booleans(), scp=st.booleans()), max_size=3)
EXTENDED = st.dictionaries(UIDS, st.binary(min_size=1, max_size=10), max_size=3)
IDENTITIES = st.builds(
    UserIdentity,
    type=st.just(2),
    primary=st.binary(min_size=1, max_size=20),
    secondary=st.binary(min_size=1, max_size=20),
    response_requested=st.booleans(),
)
REQUESTS = st.builds(
    AssociateRequest,
    calling_ae_title=TITLES,
    called_ae_title=TITLES,
    contexts=st.lists(
        st.tuples(UIDS, st.lists(UIDS, min_size=1, max_size=4)), min_size=1, max_size=5
    ).map(propose),
    roles=ROLES,
    extended=EXTENDED,
    user_identity=st.none() | IDENTITIES,
    maximum_length=st.integers(0, 0xFFFFFFFF),
    implementation_class_uid=UIDS,
    implementation_version_name=TITLES,
)


def answer(request: AssociateRequest, result: ContextResult) -> AssociateAcceptance:
    return AssociateAcceptance(
        tuple(
            AnsweredContext(
                each.context_id, each.abstract_syntax, result, each.transfer_syntaxes[0]
            )
            for each in request.contexts
        ),
        roles=request.roles,
        extended=request.extended,
        user_identity_response=b"welcome",
    )


@settings(max_examples=50, deadline=None)
@given(REQUESTS)
def test_a_request_is_read_as_it_was_written(request: AssociateRequest) -> None:
    encoded = request_pdu(request)
    assert decode_request(encoded[6:]) == request
    assert supports_version_1(encoded[6:])


@settings(max_examples=50, deadline=None)
@given(REQUESTS, st.sampled_from(ContextResult))
def test_an_acceptance_is_read_as_it_was_written(
    request: AssociateRequest, result: ContextResult
) -> None:
    acceptance = answer(request, result)
    identity = request.user_identity
    if identity is None or not identity.response_requested:
        expected = replace(acceptance, user_identity_response=None)
    else:
        expected = acceptance
    assert decode_acceptance(acceptance_pdu(request, acceptance)[6:], request) == expected


def test_nothing_is_answered_that_was_not_asked() -> None:
    acceptance = replace(
        answer(REQUEST, ContextResult.ACCEPTANCE),
        roles={"1.2.3": Roles(scu=True, scp=True)},
        extended={"1.2.3": b"\1"},
    )
    found = decode_acceptance(acceptance_pdu(REQUEST, acceptance)[6:], REQUEST)
    assert (found.roles, found.extended, found.user_identity_response) == ({}, {}, None)


@settings(max_examples=50, deadline=None)
@given(REQUESTS)
def test_pynetdicom_reads_the_same(request: AssociateRequest) -> None:
    pdu = A_ASSOCIATE_RQ()
    pdu.decode(request_pdu(request))
    assert pdu.calling_ae_title == request.calling_ae_title
    assert pdu.called_ae_title == request.called_ae_title
    found = [(each.context_id, each.abstract_syntax) for each in pdu.presentation_context]
    assert found == [(each.context_id, each.abstract_syntax) for each in request.contexts]
    accepted = A_ASSOCIATE_AC()
    accepted.decode(acceptance_pdu(request, answer(request, ContextResult.ACCEPTANCE)))
    assert [each.result for each in accepted.presentation_context] == [0] * len(request.contexts)


@settings(max_examples=50, deadline=None)
@given(REQUESTS, st.data())
def test_a_request_with_a_wrong_byte_is_read_or_refused(
    request: AssociateRequest, data: st.DataObject
) -> None:
    body = bytearray(request_pdu(request)[6:])
    body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(ProtocolError):
        decode_request(bytes(body))


@settings(max_examples=50, deadline=None)
@given(REQUESTS, st.data())
def test_an_acceptance_with_a_wrong_byte_is_read_or_refused(
    request: AssociateRequest, data: st.DataObject
) -> None:
    body = bytearray(acceptance_pdu(request, answer(request, ContextResult.ACCEPTANCE))[6:])
    body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(ProtocolError):
        acceptance = decode_acceptance(bytes(body), request)
        agreed_contexts(request, acceptance, is_acceptor=False)


def test_a_request_with_items_without_end_is_refused() -> None:
    body = raw.associate_rq(more=raw.item(0x7F, b"") * 20_000)[6:]
    with pytest.raises(ProtocolError, match="too many") as caught:
        decode_request(body)
    assert caught.value.reason == 6  # PS3.8 Table 9-26, invalid PDU parameter value


def test_an_ae_title_keeps_what_is_no_ascii_at_bay() -> None:
    request = decode_request(raw.associate_rq(calling=b"M\xdcNCHEN", called=b"  B  ")[6:])
    assert (request.calling_ae_title, request.called_ae_title) == (
        "M\N{REPLACEMENT CHARACTER}NCHEN",
        "B",
    )
    assert b"M?NCHEN" in acceptance_pdu(request, answer(request, ContextResult.ACCEPTANCE))


def test_the_asynchronous_operations_window_is_told() -> None:
    item = raw.item(0x53, b"\x00\x08\x00\x02")
    body = raw.associate_rq(user=raw.user_information(item))[6:]
    assert decode_request(body).asynchronous_operations == (8, 2)


def test_short_pdus_are_pynetdicoms() -> None:
    rejection = A_ASSOCIATE_RJ()
    rejection.decode(rejection_pdu(AssociateRejection(2, 3, 1)))
    assert (rejection.result, rejection.source, rejection.reason_diagnostic) == (2, 3, 1)
    assert decode_rejection(rejection.encode()[6:]) == AssociateRejection(2, 3, 1)
    abort = A_ABORT_RQ()
    abort.decode(abort_pdu(2, 6))
    assert (abort.source, abort.reason_diagnostic) == (2, 6)


REQUEST = AssociateRequest(
    "A", "B", propose([("1.2.3", ["1.2.840.10008.1.2"]), ("1.2.4", ["1.2.840.10008.1.2"])])
)


@pytest.mark.parametrize(
    ("wanted", "granted", "requestor_is"),
    [
        (None, None, (True, False)),
        (Roles(scu=False, scp=True), None, (True, False)),
        (None, Roles(scu=False, scp=True), (True, False)),
        (Roles(scu=False, scp=True), Roles(scu=False, scp=True), (False, True)),
        (Roles(scu=True, scp=True), Roles(scu=True, scp=True), (True, True)),
        (Roles(scu=True, scp=True), Roles(scu=False, scp=True), (False, True)),
        (Roles(scu=False, scp=True), Roles(scu=True, scp=True), (False, True)),
    ],
)
def test_roles_are_what_both_sides_say(
    wanted: Roles | None, granted: Roles | None, requestor_is: tuple[bool, bool]
) -> None:
    # PS3.7 Section D.3.3.4: the default roles apply unless both sides spoke.
    request = replace(REQUEST, roles={} if wanted is None else {"1.2.3": wanted})
    acceptance = replace(
        answer(REQUEST, ContextResult.ACCEPTANCE),
        roles={} if granted is None else {"1.2.3": granted},
    )
    requestor = agreed_contexts(request, acceptance, is_acceptor=False)[1]
    acceptor = agreed_contexts(request, acceptance, is_acceptor=True)[1]
    assert (requestor.as_scu, requestor.as_scp) == requestor_is
    assert (acceptor.as_scp, acceptor.as_scu) == requestor_is


@pytest.mark.parametrize(
    "context",
    [
        AnsweredContext(5, "1.2.3", ContextResult.ACCEPTANCE, "1.2.840.10008.1.2"),
        AnsweredContext(1, "1.2.3", ContextResult.ACCEPTANCE, "1.2.840.10008.1.2.4.50"),
        AnsweredContext(1, "1.2.3", ContextResult.USER_REJECTION, "1.2.840.10008.1.2"),
    ],
)
def test_an_answer_to_what_was_not_proposed_is_not_used(context: AnsweredContext) -> None:
    assert agreed_contexts(REQUEST, AssociateAcceptance((context,)), is_acceptor=False) == {}


def test_a_proposal_has_at_most_128_contexts_with_a_transfer_syntax_each() -> None:
    assert propose([("1.2", ["1.3"])] * 128)[-1].context_id == 255
    with pytest.raises(ValueError, match="129 presentation contexts"):
        propose([("1.2", ["1.3"])] * 129)
    with pytest.raises(ValueError, match=r"no transfer syntax for 1\.2"):
        propose([("1.2", [])])


def test_a_secret_is_not_shown() -> None:
    assert "secret" not in repr(UserIdentity(2, b"me", b"secret"))
