"""Remote AEs as clients put them, against what Orthanc 1.13.0 takes and refuses."""

from __future__ import annotations

from typing import Any

import pytest

from lanthorn_core.errors import InvalidParameter
from lanthorn_core.runtime.remote import remote_ae_json
from lanthorn_rest_api.modality_entries import check_symbolic_name, parse_remote_ae

DEFAULTS = {
    "AET": "AE",
    "AllowEcho": True,
    "AllowEventReport": True,
    "AllowFind": True,
    "AllowFindWorklist": True,
    "AllowGet": True,
    "AllowMove": True,
    "AllowNAction": True,
    "AllowStore": True,
    "AllowTranscoding": True,
    "Host": "h",
    "LocalAet": "",
    "Manufacturer": "Generic",
    "Port": 104,
    "RetrieveMethod": "SystemDefault",
    "Timeout": 0,
    "UseDicomTls": False,
}
RANGE = "A TCP port number must be in range [1..65535], but found: "


@pytest.mark.parametrize(
    ("body", "changed"),
    [
        (["AE", "h", 104], {}),
        (["AE", "h", "104"], {}),
        (["AE", "h", 104, "GE"], {"Manufacturer": "GE"}),
        (["AE", "h", 104, "EFilm2"], {}),
        ({"AET": "AE", "Host": "h", "Port": "104", "Unknown": 1}, {}),
        ({"AET": " AE ", "Host": "h", "Port": 104}, {}),
        (
            {"AET": "AE", "Host": "h", "Port": 104, "AllowStorageCommitment": False},
            {"AllowEventReport": False, "AllowNAction": False},
        ),
        (
            {
                **{"AET": "AE", "Host": "h", "Port": 104, "AllowEcho": False, "Timeout": 7},
                **{"LocalAet": "LO", "RetrieveMethod": "C-GET", "UseDicomTls": True},
                **{"Manufacturer": "Vitrea", "AllowTranscoding": False},
            },
            {
                **{"AllowEcho": False, "Timeout": 7, "LocalAet": "LO", "RetrieveMethod": "C-GET"},
                **{"UseDicomTls": True, "Manufacturer": "Vitrea", "AllowTranscoding": False},
            },
        ),
    ],
)
def test_a_remote_ae_is_read_with_all_that_it_leaves_out(
    body: Any, changed: dict[str, Any]
) -> None:
    assert remote_ae_json(parse_remote_ae(body)) == DEFAULTS | changed


@pytest.mark.parametrize(
    ("body", "code", "details"),
    [
        ([], 15, ""),
        (["AE", "h"], 15, ""),
        (["AE", "h", 104, "GE", 1], 15, ""),
        ([1, "h", 104], 15, ""),
        (["AE", 3, 104], 15, ""),
        (["AE", "h", "x"], 15, ""),
        (["AE", "h", 0], 3, RANGE + "0"),
        (["AE", "h", 70000], 3, RANGE + "70000"),
        (["AE", "h", 104, "Nope"], 3, 'Unknown modality manufacturer: "Nope"'),
        ("x", 15, ""),
        (12, 15, ""),
        ({}, 15, "String value expected in field: AET"),
        ({"AET": "AE", "Port": 104}, 15, "String value expected in field: Host"),
        ({"AET": "AE", "Host": "h"}, 15, ""),
        ({"AET": "AE", "Host": "h", "Port": 104.5}, 15, ""),
        ({"AET": "AE", "Host": "h", "Port": True}, 15, ""),
        (
            {"AET": "AE", "Host": "h", "Port": 104, "AllowEcho": 0},
            *(15, "Boolean value expected in field: AllowEcho"),
        ),
        (
            {"AET": "AE", "Host": "h", "Port": 104, "Timeout": "5"},
            *(15, "Integer value expected in field: Timeout"),
        ),
        (
            {"AET": "AE", "Host": "h", "Port": 104, "Timeout": -1},
            *(5, "Negative value found while expecting an unsigned int in field 'Timeout'"),
        ),
        (
            {"AET": "AE", "Host": "h", "Port": 104, "RetrieveMethod": "X"},
            *(3, 'RetrieveMethod can be "C-MOVE", "C-GET" or "SystemDefault": X'),
        ),
    ],
)
def test_what_is_no_remote_ae_is_refused_in_orthancs_words(
    body: Any, code: int, details: str
) -> None:
    with pytest.raises(InvalidParameter) as refused:
        parse_remote_ae(body)
    assert (refused.value.orthanc_code, refused.value.details) == (code, details)


@pytest.mark.parametrize("body", [["", "h", 1], ["SEVENTEEN_LETTERS", "h", 1], ["A\\B", "h", 1]])
def test_an_ae_title_that_no_association_could_carry_is_refused(body: Any) -> None:
    with pytest.raises(InvalidParameter, match="AET: "):
        parse_remote_ae(body)


def test_a_symbolic_name_has_letters_digits_dashes_and_underscores() -> None:
    check_symbolic_name("a-B_9")
    for name in ("a b", "a.b", "ä", "", "a/b"):
        with pytest.raises(InvalidParameter, match="Only alphanumeric"):
            check_symbolic_name(name)
