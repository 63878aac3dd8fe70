"""Receipt ids and the keys made of them."""

from __future__ import annotations

import uuid

import pytest

from lanthorn_core.usecases.receipts import (
    hour_prefix,
    new_receipt_id,
    object_key,
    receipt_of,
    received_at,
)

MOMENT_S = 1_700_000_000.125


def test_a_receipt_id_is_a_uuid_of_version_7_that_tells_its_moment() -> None:
    receipt_id = new_receipt_id(MOMENT_S)
    assert uuid.UUID(receipt_id).version == 7
    assert uuid.UUID(receipt_id).variant == uuid.RFC_4122
    assert received_at(receipt_id) == MOMENT_S


def test_receipt_ids_of_later_moments_sort_later() -> None:
    ids = [new_receipt_id(MOMENT_S + step) for step in range(5)]
    assert ids == sorted(ids)
    assert len({new_receipt_id(MOMENT_S) for _ in range(100)}) == 100


def test_a_key_lies_under_its_hour_and_gives_its_receipt_back() -> None:
    receipt_id = new_receipt_id(MOMENT_S)
    key = object_key(receipt_id)
    assert key == f"instances/v1/2023/11/14/22/{receipt_id}.dcm"
    assert key.startswith(hour_prefix(MOMENT_S))
    assert receipt_of(key) == receipt_id


def test_other_names_are_no_receipts() -> None:
    with pytest.raises(ValueError, match="badly formed"):
        received_at("readme")
