"""Remote AEs and peers as Orthanc's configuration and routes write them."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from lanthorn_core.runtime.remote import Peer, RemoteAEEntry, remote_ae_json


def test_a_remote_ae_of_three_values_is_what_orthanc_1_13_shows() -> None:
    assert remote_ae_json(RemoteAEEntry.model_validate(["A", "h", "104"]).remote_ae) == {
        "AET": "A",
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


@pytest.mark.parametrize("more", [{}, {"AllowEventReport": True}])
def test_storage_commitment_is_two_permissions_and_counts_more_than_each(
    more: dict[str, bool],
) -> None:
    entry = {"AET": "A", "Host": "h", "Port": 1, "AllowStorageCommitment": False}
    refused = RemoteAEEntry.model_validate({**entry, **more}).remote_ae
    assert (refused.allow_n_action, refused.allow_event_report) == (False, False)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("Vitrea", "Vitrea"),
        ("EFilm2", "Generic"),
        ("Dcm4Chee", "Generic"),
        ("SyngoVia", "GenericNoWildcardInDates"),
    ],
)
def test_obsolete_manufacturers_have_a_successor(written: str, read: str) -> None:
    assert RemoteAEEntry.model_validate(["A", "h", 1, written]).manufacturer == read


def test_outer_spaces_of_an_ae_title_are_not_significant() -> None:
    assert RemoteAEEntry.model_validate([" A B ", "h", 1]).ae_title == "A B"


@pytest.mark.parametrize(
    "entry",
    [
        [],
        ["A", "h"],
        ["A", "h", 1, "Generic", "more"],
        ["", "h", 1],
        ["SEVENTEEN_LETTERS", "h", 1],
        ["A\\B", "h", 1],
        ["Ä", "h", 1],
        ["A", "", 1],
        ["A", "h", 65536],
        ["A", "h", 1, "Acme"],
        {"AET": "A", "Host": "h", "Port": 1, "LocalAet": "\\"},
        "A",
        None,
    ],
)
def test_what_is_no_remote_ae_is_refused(entry: Any) -> None:
    with pytest.raises(ValidationError):
        RemoteAEEntry.model_validate(entry)


@pytest.mark.parametrize(
    "entry",
    [
        ["http://h/", "alice", "sesame"],
        {"Url": "http://h/", "Username": "alice", "Password": "sesame"},
        {"URL": "http://h/", "Username": "alice", "Password": "sesame"},
    ],
)
def test_a_peer_may_be_written_in_three_ways(entry: Any) -> None:
    peer = Peer.model_validate(entry)
    assert (peer.url, peer.username, peer.password.get_secret_value()) == (
        "http://h/",
        "alice",
        "sesame",
    )


@pytest.mark.parametrize("entry", [[], ["http://h/", "alice"], ["ftp://h/"], {"Username": "x"}])
def test_what_is_no_peer_is_refused(entry: Any) -> None:
    with pytest.raises(ValidationError):
        Peer.model_validate(entry)
