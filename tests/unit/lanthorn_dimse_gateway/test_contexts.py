"""Which presentation contexts are accepted (PS3.8 Table 9-18, Orthanc's options)."""

from __future__ import annotations

import pydicom.uid
import pytest
from pynetdicom.sop_class import _STORAGE_CLASSES

from lanthorn_dimse import AnsweredContext, ContextResult, ProposedContext, Roles
from lanthorn_dimse_gateway.contexts import (
    GE_PRIVATE_IMPLICIT,
    STORAGE_SOP_CLASSES,
    TRANSFER_SYNTAXES,
    VERIFICATION,
    ContextPolicy,
    select_by_pattern,
)
from lanthorn_dimse_gateway.scp.echo import EchoScp

CT = "1.2.840.10008.5.1.4.1.1.2"
MR = "1.2.840.10008.5.1.4.1.1.4"
PRIVATE = "1.2.826.0.1.3680043.8.498.1"
IMPLICIT, EXPLICIT = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1"
BIG_ENDIAN = "1.2.840.10008.1.2.2"
JPEG_BASELINE = "1.2.840.10008.1.2.4.50"
ORTHANC_DEFAULT = ("1.2.840.10008.1.*",)


def policy(**options: object) -> ContextPolicy:
    return ContextPolicy(**{"accepted_transfer_syntaxes": ORTHANC_DEFAULT, **options})  # type: ignore[arg-type]


def answer_of(
    policy: ContextPolicy, abstract_syntax: str, *transfer_syntaxes: str
) -> AnsweredContext:
    (answer,) = policy.answer(
        [ProposedContext(1, abstract_syntax, transfer_syntaxes or (IMPLICIT,))]
    )
    return answer


def test_every_storage_sop_class_of_pynetdicom_is_accepted_by_default() -> None:
    accepted = policy()
    assert [
        name for name, uid in _STORAGE_CLASSES.items() if not accepted.accepts_storage_of(uid)
    ] == []
    assert len(_STORAGE_CLASSES) > 150


@pytest.mark.parametrize(
    "sop_class_uid",
    [
        "1.2.840.10008.5.1.4.1.1.6",  # Ultrasound Image Storage (retired)
        "1.2.840.10008.5.1.4.1.1.9",  # Standalone Curve Storage (retired)
        "1.2.840.10008.5.1.4.1.1.66.8",  # Height Map Segmentation: newer than pydicom's dictionary
        "1.2.840.10008.5.1.4.1.1.501.1",  # DICOS CT Image Storage
        "1.2.840.10008.5.1.1.30",  # Hardcopy Color Image Storage (retired)
    ],
)
def test_retired_new_and_foreign_storage_classes_are_accepted(sop_class_uid: str) -> None:
    assert answer_of(policy(), sop_class_uid).result is ContextResult.ACCEPTANCE


@pytest.mark.parametrize(
    "abstract_syntax",
    [
        "1.2.840.10008.1.20.1",  # Storage Commitment Push Model
        "1.2.840.10008.5.1.4.1.2.2.1",  # Study Root C-FIND, not served here yet
        "1.2.840.10008.5.1.4.38.1",  # Hanging Protocol Storage has no patient
        PRIVATE,
    ],
)
def test_what_is_not_offered_is_no_supported_abstract_syntax(abstract_syntax: str) -> None:
    result = answer_of(policy(), abstract_syntax).result
    assert result is ContextResult.ABSTRACT_SYNTAX_NOT_SUPPORTED


def test_every_transfer_syntax_for_data_sets_is_in_the_list() -> None:
    ours = set(TRANSFER_SYNTAXES)
    assert set(pydicom.uid.AllTransferSyntaxes) <= ours
    for uid in ("1.2.840.10008.1.2.4.201", "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.20"):
        assert uid in ours
    assert GE_PRIVATE_IMPLICIT in ours
    assert "1.2.840.10008.1.2.6.2" not in ours  # XML Encoding


def test_orthancs_default_accepts_all_but_the_private_transfer_syntax() -> None:
    assert policy().transfer_syntaxes == set(TRANSFER_SYNTAXES) - {GE_PRIVATE_IMPLICIT}


def test_a_private_transfer_syntax_is_accepted_when_it_is_named() -> None:
    named = policy(accepted_transfer_syntaxes=("1.2.840.10008.1.*", GE_PRIVATE_IMPLICIT))
    assert answer_of(named, CT, GE_PRIVATE_IMPLICIT).transfer_syntax == GE_PRIVATE_IMPLICIT


def test_the_first_acceptable_transfer_syntax_in_the_requestors_order_is_taken() -> None:
    narrow = policy(accepted_transfer_syntaxes=(EXPLICIT, JPEG_BASELINE))
    assert answer_of(narrow, CT, IMPLICIT, JPEG_BASELINE, EXPLICIT) == AnsweredContext(
        1, CT, ContextResult.ACCEPTANCE, JPEG_BASELINE
    )
    assert answer_of(narrow, CT, EXPLICIT, JPEG_BASELINE).transfer_syntax == EXPLICIT


def test_no_acceptable_transfer_syntax_is_result_4() -> None:
    narrow = policy(accepted_transfer_syntaxes=(EXPLICIT,))
    result = answer_of(narrow, CT, IMPLICIT, BIG_ENDIAN).result
    assert result is ContextResult.TRANSFER_SYNTAXES_NOT_SUPPORTED
    assert result == 4


def test_a_context_without_transfer_syntax_is_refused() -> None:
    (answer,) = policy().answer([ProposedContext(3, CT, ())])
    assert answer.result is ContextResult.TRANSFER_SYNTAXES_NOT_SUPPORTED


def test_contexts_of_one_sop_class_are_answered_one_by_one() -> None:
    proposed = [
        ProposedContext(1, CT, (JPEG_BASELINE,)),
        ProposedContext(3, CT, (EXPLICIT, JPEG_BASELINE)),
        ProposedContext(5, CT, (IMPLICIT,)),
    ]
    answers = policy().answer(proposed)
    assert [(a.context_id, a.transfer_syntax) for a in answers] == [
        (1, JPEG_BASELINE),
        (3, EXPLICIT),
        (5, IMPLICIT),
    ]


@pytest.mark.parametrize("transfer_syntax", [IMPLICIT, EXPLICIT, BIG_ENDIAN])
def test_verification_takes_the_native_transfer_syntaxes(transfer_syntax: str) -> None:
    narrow = policy(
        accepted_transfer_syntaxes=(JPEG_BASELINE,), services=EchoScp().abstract_syntaxes
    )
    answer = answer_of(narrow, VERIFICATION, JPEG_BASELINE, transfer_syntax)
    assert (answer.result, answer.transfer_syntax) == (ContextResult.ACCEPTANCE, transfer_syntax)


def test_unknown_sop_classes_are_accepted_only_on_request() -> None:
    unknown = policy(unknown_sop_class_accepted=True)
    assert unknown.accepts_storage_of(PRIVATE)
    assert not policy().accepts_storage_of(PRIVATE)
    # Known to the Standard, so not unknown: the other services are not meant.
    assert not unknown.accepts_storage_of("1.2.840.10008.5.1.4.1.2.2.1")


def test_accepted_sop_classes_replace_the_list() -> None:
    only_ct = policy(accepted_sop_classes=(CT,))
    assert only_ct.sop_classes == {CT}
    assert answer_of(only_ct, MR).result is ContextResult.ABSTRACT_SYNTAX_NOT_SUPPORTED


def test_an_accepted_sop_class_may_be_private() -> None:
    assert policy(accepted_sop_classes=(CT, PRIVATE)).sop_classes == {CT, PRIVATE}


def test_wildcards_select_known_sop_classes() -> None:
    ct_family = policy(accepted_sop_classes=(f"{CT}.*", MR))
    assert CT not in ct_family.sop_classes
    assert {f"{CT}.1", f"{CT}.2", MR} <= ct_family.sop_classes


def test_rejected_sop_classes_win() -> None:
    rejecting = policy(
        accepted_sop_classes=(CT, MR),
        rejected_sop_classes=("1.2.840.10008.5.1.4.1.1.?", "1.2.826.*"),
        unknown_sop_class_accepted=True,
    )
    assert rejecting.sop_classes == frozenset()
    assert not rejecting.accepts_storage_of(PRIVATE)


def test_a_question_mark_stands_for_one_character() -> None:
    assert select_by_pattern(["1.2.?"], ["1.2.3", "1.2.33", "1.2."]) == {"1.2.3"}


def test_a_dot_in_a_pattern_is_a_dot() -> None:
    assert select_by_pattern(["1.2*"], ["1.2.3", "1x2"]) == {"1.2.3"}


def test_the_lists_have_no_doubles() -> None:
    assert len(set(STORAGE_SOP_CLASSES)) == len(STORAGE_SOP_CLASSES)
    assert len(set(TRANSFER_SYNTAXES)) == len(TRANSFER_SYNTAXES)


def test_of_other_services_the_transfer_syntax_that_we_prefer_is_taken() -> None:
    study_root = "1.2.840.10008.5.1.4.1.2.2.1"
    offering = policy(services={study_root: (EXPLICIT, IMPLICIT)})
    assert answer_of(offering, study_root, IMPLICIT, EXPLICIT).transfer_syntax == EXPLICIT
    assert answer_of(offering, study_root, IMPLICIT).transfer_syntax == IMPLICIT
    refused = answer_of(offering, study_root, JPEG_BASELINE)
    assert refused.result is ContextResult.TRANSFER_SYNTAXES_NOT_SUPPORTED


AS_RECEIVER = Roles(scu=False, scp=True)
READ_ONLY = {"rejected_sop_classes": ("*",)}


@pytest.mark.parametrize("sop_class_uid", [CT, PRIVATE])
def test_who_wants_to_receive_gets_contexts_for_what_is_not_taken(sop_class_uid: str) -> None:
    (answer,) = policy(**READ_ONLY).answer(
        [ProposedContext(1, sop_class_uid, ("1.2.3.4", GE_PRIVATE_IMPLICIT))],
        {sop_class_uid: AS_RECEIVER},
    )
    assert answer.result is ContextResult.ACCEPTANCE
    assert answer.transfer_syntax == GE_PRIVATE_IMPLICIT


def test_nobody_receives_instances_of_what_is_no_storage_class() -> None:
    find = "1.2.840.10008.5.1.4.1.2.2.1"
    (answer,) = policy().answer([ProposedContext(1, find, (IMPLICIT,))], {find: AS_RECEIVER})
    assert answer.result is ContextResult.ABSTRACT_SYNTAX_NOT_SUPPORTED


def test_roles_are_agreed_on_as_proposed_but_for_what_is_not_taken() -> None:
    both = Roles(scu=True, scp=True)
    proposed = {CT: both, MR: AS_RECEIVER}
    assert policy().agreed_roles(proposed) == proposed
    assert policy(**READ_ONLY).agreed_roles(proposed) == {CT: AS_RECEIVER, MR: AS_RECEIVER}
