"""Counting sub-operations, and the final response that follows from them."""

from __future__ import annotations

from io import BytesIO

import pytest
from pynetdicom.dsutils import decode

from lanthorn_dimse_gateway.scp.retrieve_counts import SubOperationCounts, encode_failed_list


def counted(*statuses: int | None) -> SubOperationCounts:
    counts = SubOperationCounts(remaining=len(statuses))
    for number, status in enumerate(statuses):
        counts.record(f"1.2.{number}", status)
    return counts


@pytest.mark.parametrize(
    ("statuses", "final"),
    [
        ((), 0x0000),
        ((0x0000, 0x0000), 0x0000),
        ((0x0000, 0xA700), 0xB000),
        ((0x0000, None), 0xB000),
        ((0x0000, 0xB007), 0xB000),
        ((0xB000, 0xC000), 0xB000),
        ((0xA700, 0xC123), 0xA702),
        ((None,), 0xA702),
    ],
)
def test_the_final_status_follows_from_what_was_counted(
    statuses: tuple[int | None, ...], final: int
) -> None:
    assert counted(*statuses).final_status == final


def test_every_status_counts_in_its_class() -> None:
    counts = counted(0x0000, 0xB000, 0xB006, 0x0107, 0x0116, 0xA900, 0xC000, 0x0122, 0x0110, None)
    assert (counts.remaining, counts.completed, counts.warning, counts.failed) == (0, 1, 4, 5)
    assert counts.failed_uids == ["1.2.5", "1.2.6", "1.2.7", "1.2.8", "1.2.9"]


def test_remaining_is_told_only_where_it_belongs() -> None:
    counts = SubOperationCounts(remaining=70_000)
    assert counts.as_fields(with_remaining=True)["remaining"] == 0xFFFF
    assert "remaining" not in counts.as_fields(with_remaining=False)


@pytest.mark.parametrize("transfer_syntax", ["", ".1", ".2"])
@pytest.mark.parametrize("count", [1, 2, 2000])
def test_the_failed_list_reads_back_whatever_its_length(transfer_syntax: str, count: int) -> None:
    uids = [f"1.2.826.0.1.3680043.9.9999.3.1{number:030}" for number in range(count)]
    encoded = encode_failed_list(uids, "1.2.840.10008.1.2" + transfer_syntax)
    assert len(encoded) % 2 == 0
    read = decode(BytesIO(encoded), transfer_syntax == "", transfer_syntax != ".2")
    element = read["FailedSOPInstanceUIDList"]
    if element.VR == "UN":  # PS3.5 Section 6.2.2: too long for UI in explicit VR
        assert element.value.decode().rstrip("\0").split("\\") == uids
    else:
        assert ([element.value] if count == 1 else list(element.value)) == uids
