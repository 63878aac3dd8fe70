"""What a sender proposes, and which context it uses."""

from __future__ import annotations

import pytest

from lanthorn_core.errors import UnsupportedTransferSyntax
from lanthorn_dimse import AcceptedContext
from lanthorn_dimse_gateway.scu.store_contexts import (
    MAXIMUM_CONTEXTS,
    ContextChoice,
    Encoded,
    propose_storage,
)

CT, MR = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4"
IMPLICIT, EXPLICIT, BIG = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"
JPEG, RLE = "1.2.840.10008.1.2.4.70", "1.2.840.10008.1.2.5"


def accepted(*contexts: tuple[str, str], as_scu: bool = True) -> list[AcceptedContext]:
    return [
        AcceptedContext(2 * place + 1, abstract, transfer, as_scu=as_scu, as_scp=not as_scu)
        for place, (abstract, transfer) in enumerate(contexts)
    ]


def test_every_stored_syntax_has_a_context_beside_the_native_ones() -> None:
    wanted = [Encoded(CT, JPEG), Encoded(CT, EXPLICIT), Encoded(CT, JPEG), Encoded(MR, RLE)]
    assert propose_storage(wanted, preferred=IMPLICIT, transcoding=True) == [
        (
            (CT, (JPEG,)),
            (CT, (EXPLICIT,)),
            (CT, (IMPLICIT,)),
            (CT, (BIG,)),
            (MR, (RLE,)),
            (MR, (IMPLICIT,)),
            (MR, (EXPLICIT, BIG)),
        )
    ]


def test_without_transcoding_only_stored_syntaxes_are_proposed() -> None:
    wanted = [Encoded(CT, JPEG), Encoded(CT, EXPLICIT)]
    assert propose_storage(wanted, preferred=EXPLICIT, transcoding=False) == [
        ((CT, (JPEG,)), (CT, (EXPLICIT,)))
    ]


def test_more_than_128_contexts_become_several_associations() -> None:
    wanted = [Encoded(f"1.2.3.{number}", JPEG) for number in range(100)]
    associations = propose_storage(wanted, preferred=EXPLICIT, transcoding=True)
    assert [len(contexts) for contexts in associations] == [126, 126, 48]
    proposed = {abstract for contexts in associations for abstract, _ in contexts}
    assert proposed == {sop_class_uid for sop_class_uid, _ in wanted}
    for contexts in associations:
        # All contexts of a SOP class are on one association.
        assert {abstract: contexts.count((abstract, (JPEG,))) for abstract, _ in contexts}.keys()
        for abstract, _ in contexts:
            assert sum(each == abstract for each, _ in contexts) == 3


def test_one_sop_class_in_more_syntaxes_than_fit_is_split() -> None:
    wanted = [Encoded(CT, f"1.2.3.{number}") for number in range(200)]
    associations = propose_storage(wanted, preferred=EXPLICIT, transcoding=True)
    assert all(len(contexts) <= MAXIMUM_CONTEXTS for contexts in associations)
    stored = [group[0] for contexts in associations for _, group in contexts if len(group) == 1]
    assert set(stored) >= {transfer_syntax_uid for _, transfer_syntax_uid in wanted}


@pytest.mark.parametrize("text", ["", "foo", "1.2\u00e9", "1." + "2" * 63, "1.2\n"])
def test_what_is_no_uid_is_not_proposed(text: str) -> None:
    wanted = [Encoded(CT, text), Encoded(text, EXPLICIT)]
    assert propose_storage(wanted, preferred=EXPLICIT, transcoding=True) == []


def test_the_stored_syntax_is_used_where_the_peer_takes_it() -> None:
    contexts = accepted((CT, EXPLICIT), (MR, JPEG), (CT, JPEG))
    chosen = ContextChoice(contexts, preferred=EXPLICIT, transcoding=True)(Encoded(CT, JPEG))
    assert chosen.context_id == 5


@pytest.mark.parametrize(("preferred", "context_id"), [(EXPLICIT, 3), (IMPLICIT, 1), (BIG, 3)])
def test_else_a_native_one_the_preferred_first(preferred: str, context_id: int) -> None:
    contexts = accepted((CT, IMPLICIT), (CT, EXPLICIT))
    chosen = ContextChoice(contexts, preferred=preferred, transcoding=True)(Encoded(CT, JPEG))
    assert chosen.context_id == context_id


@pytest.mark.parametrize(
    ("contexts", "transcoding"),
    [
        (accepted((CT, IMPLICIT)), False),
        (accepted((MR, JPEG)), True),
        (accepted((CT, RLE)), True),
        (accepted((CT, JPEG), as_scu=False), True),
        ([], True),
    ],
)
def test_without_a_context_an_instance_cannot_go(
    contexts: list[AcceptedContext], transcoding: bool
) -> None:
    with pytest.raises(UnsupportedTransferSyntax):
        ContextChoice(contexts, preferred=EXPLICIT, transcoding=transcoding)(Encoded(CT, JPEG))
