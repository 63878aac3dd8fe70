"""Requests that make no sense: JSON that is none, ids that are none, numbers beyond all bounds."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.hostile_files import PIXEL_DATA, dataset, element, part10
from tests.fixtures.running_lanthorn import RunningLanthorn, lanthorn_up
from tests.fixtures.unharmed import ask, ask_json, growth_below, unharmed, upload

BAD_REQUEST = (400, 8)
UNKNOWN_RESOURCE = (404, 17)
INEXISTENT_ITEM = (404, 7)
JSON_ROUTES = ["/tools/find", "/tools/count-resources", "/tools/bulk-content", "/tools/bulk-delete"]
LEVELS = ["patients", "studies", "series", "instances"]


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLanthorn]:
    folder: Path = tmp_path_factory.mktemp("bad")
    options = {"DicomPrt": 104, "Lanthorn": {"GatewayProcesses": 1, "GatewayProcesess": 3}}
    with lanthorn_up(folder, options) as running:
        assert upload(running, part10(dataset(element(PIXEL_DATA, b"OW", bytes(20))))).status == 200
        yield running


@pytest.fixture
def instance(system: RunningLanthorn) -> str:
    [public_id] = ask_json(system, "/instances")
    return str(public_id)


def test_unknown_options_are_named_at_the_start(system: RunningLanthorn) -> None:
    lines = [json.loads(line) for line in system.log_lines()]
    texts = [line["text"] for line in lines if line["event"] == "setting_questioned"]
    assert sorted(texts) == [
        "DicomPrt is not a known option; did you mean DicomPort?",
        "Lanthorn.GatewayProcesess is not a known option; did you mean Lanthorn.GatewayProcesses?",
    ]


@pytest.mark.parametrize("route", JSON_ROUTES)
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"Level": }',
        b"<xml/>",
        b"\xff\xfe\0\1",
        b"null",
        b"[]",
        b'"text"',
        b"12",
        b"9" * 10_000,
        b"[" * 500_000,
        b"[" * 100_000 + b"]" * 100_000,
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
        b'{"Level": "Study", "Query": ' + b'{"a":' * 100_000 + b"1" + b"}" * 100_001,
        b'{"\\ud800": "\\udfff"}',
    ],
    ids=lambda body: body[:12].decode("latin-1") + str(len(body)),
)
def test_what_is_no_json_object_is_a_bad_request(
    system: RunningLanthorn, route: str, body: bytes
) -> None:
    with unharmed(system), growth_below(system, 256 << 20):
        answer = ask(system, "POST", route, body)
    assert answer.error == BAD_REQUEST
    assert answer.details == "The body must contain a JSON object"


@pytest.mark.parametrize("body", [b"", b"{", b"[" * 500_000, b"\xff\xfe\0\1", b"1" * 10_000])
def test_a_lookup_takes_every_text_and_finds_nothing(system: RunningLanthorn, body: bytes) -> None:
    with unharmed(system):
        answer = ask(system, "POST", "/tools/lookup", body)
    assert answer.json == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"Level": None},
        {"Level": 5},
        {"Level": "Galaxy"},
        {"Query": None},
        {"Query": []},
        {"Query": {"PatientName": 5}},
        {"Query": {"PatientName": None}},
        {"Query": {"PatientName": "\0"}},
        {"Limit": -1},
        {"Limit": 1.5},
        {"Limit": "5"},
        {"Limit": 10**40},
        {"Since": True},
        {"CaseSensitive": 1},
        {"Labels": "x"},
        {"Labels": [1]},
        {"LabelsConstraint": "Some"},
        {"OrderBy": 5},
        {"OrderBy": [{}]},
        {"OrderBy": [{"Type": "X", "Key": "a", "Direction": "ASC"}]},
        {"MetadataQuery": 5},
        {"ParentPatient": 5},
    ],
    ids=str,
)
def test_fields_of_a_wrong_type_are_refused_by_name(
    system: RunningLanthorn, wrong: dict[str, Any]
) -> None:
    body = json.dumps({"Level": "Study", "Query": {}, **wrong}).encode()
    with unharmed(system):
        for route in ("/tools/find", "/tools/count-resources"):
            answer = ask(system, "POST", route, body)
            assert answer.status == 400
            assert answer.error[1] in (3, 8)
            assert answer.details


@pytest.mark.parametrize(
    "body",
    [
        {"Query": {"NoSuchTag": "x"}},
        {"Query": {"0010": "x"}},
        {"Query": {}, "RequestedTags": ["NoSuchTag"]},
        {"Query": {}, "OrderBy": [{"Type": "DicomTag", "Key": "NoTag", "Direction": "ASC"}]},
    ],
    ids=str,
)
def test_an_unknown_tag_is_told_as_by_orthanc(
    system: RunningLanthorn, body: dict[str, Any]
) -> None:
    with unharmed(system):
        answer = ask(system, "POST", "/tools/find", json.dumps({"Level": "Study", **body}).encode())
    assert answer.error == (500, 27)


@pytest.mark.parametrize(
    ("route", "body", "error"),
    [
        ("/tools/bulk-content", {"Resources": 5}, (400, 15)),
        ("/tools/bulk-content", {"Resources": [5]}, (400, 15)),
        ("/tools/bulk-content", {"Resources": [], "Level": 5}, (400, 15)),
        ("/tools/bulk-content", {"Resources": [], "Level": "Galaxy"}, (400, 3)),
        ("/tools/bulk-content", {"Resources": [], "Metadata": "yes"}, (400, 15)),
        ("/tools/bulk-delete", {"Resources": 5}, BAD_REQUEST),
        ("/tools/bulk-delete", {"Resources": [5]}, BAD_REQUEST),
        ("/tools/bulk-delete", {"Resources": ["\0"]}, BAD_REQUEST),
    ],
    ids=str,
)
def test_lists_of_ids_have_types(
    system: RunningLanthorn, route: str, body: dict[str, Any], error: tuple[int, int]
) -> None:
    with unharmed(system):
        assert ask(system, "POST", route, json.dumps(body).encode()).error == error


@pytest.mark.parametrize(
    "query",
    [
        {"PatientName": "*" * 5000},
        {"PatientName": "?*" * 500},
        {"PatientName": "a" * 200_000},
        {"PatientName": "%_'\"--;"},
        {"PatientName": "\\" * 1000},
        {"StudyInstanceUID": "\\".join(f"1.2.{number}" for number in range(20_000))},
        {"StudyDate": "20240101-20230101-"},
        {"StudyDate": "-"},
        {"ReferencedStudySequence": "x"},
    ],
    ids=lambda query: str(query)[:40],
)
def test_strange_constraints_are_answered(system: RunningLanthorn, query: dict[str, str]) -> None:
    body = json.dumps({"Level": "Study", "Query": query}).encode()
    with unharmed(system):
        answer = ask(system, "POST", "/tools/find", body)
    assert answer.status == 200
    assert isinstance(answer.json, list)


NO_IDS = [
    "..%2f..",
    "..%2f..%2f..%2fetc%2fpasswd",
    "%2e%2e",
    "..",
    "%00",
    "a%00b",
    "%ff%fe",
    "%c0%ae%c0%ae",
    "%ed%a0%80",
    "%",
    "%zz",
    "%0d%0aX-Injected:1",
    "*",
    "%27;--",
    "-1",
    "a" * 8000,
]


@pytest.mark.parametrize("level", LEVELS)
def test_what_is_no_id_is_an_unknown_resource(system: RunningLanthorn, level: str) -> None:
    routes = ["", "/metadata", "/metadata/LastUpdate", "/labels", "/statistics", "/archive"]
    if level == "instances":
        routes += ["/file", "/tags", "/simplified-tags", "/content", "/preview", "/frames/0/raw"]
    with unharmed(system):
        for no_id in NO_IDS:
            for route in routes:
                answer = ask(system, "GET", f"/{level}/{no_id}{route}")
                assert answer.status == 404, (no_id, route)
                assert "X-Injected" not in answer.headers
                if answer.body:
                    assert answer.error in (UNKNOWN_RESOURCE, INEXISTENT_ITEM)
            assert ask(system, "DELETE", f"/{level}/{no_id}").status == 404
            assert ask(system, "PUT", f"/{level}/{no_id}/labels/x").status == 404
            assert ask(system, "PUT", f"/{level}/{no_id}/metadata/1024", b"x").status == 404


def test_an_id_in_capitals_or_cut_is_another(system: RunningLanthorn, instance: str) -> None:
    for other in (
        instance.upper(),
        instance[:-1],
        f"{instance}x",
        f"{instance}%00",
        f"{instance}%20",
    ):
        assert ask(system, "GET", f"/instances/{other}/tags").error == UNKNOWN_RESOURCE


@pytest.mark.parametrize("collection", ["metadata", "attachments"])
def test_names_below_a_resource_lead_nowhere(
    system: RunningLanthorn, instance: str, collection: str
) -> None:
    with unharmed(system):
        for name in [*NO_IDS, "9" * 5000, "-" + "9" * 5000]:
            path = f"/instances/{instance}/{collection}/{name}"
            assert ask(system, "GET", path).status in (400, 404), name
            assert ask(system, "PUT", path, b"x").status in (400, 403, 404), name
            assert ask(system, "DELETE", path).status in (400, 403, 404), name
    assert ask_json(system, f"/instances/{instance}/attachments") == ["dicom"]


@pytest.mark.parametrize(
    "frame", ["-1", "1", "99999999999999999999", "9" * 5000, "x", "%00", "1e1", "0x0"]
)
def test_a_frame_that_is_not_there_is_not_found(
    system: RunningLanthorn, instance: str, frame: str
) -> None:
    with unharmed(system):
        for kind in ("raw", "preview", "image-uint8", "rendered"):
            answer = ask(system, "GET", f"/instances/{instance}/frames/{frame}/{kind}")
            assert 400 <= answer.status < 500


@pytest.mark.parametrize("path", NO_IDS)
def test_no_file_of_the_machine_is_served(system: RunningLanthorn, path: str) -> None:
    for folder in ("/", "/ui/", "/app/", "/ui/app/", "/tools/"):
        answer = ask(system, "GET", f"{folder}{path}")
        assert b"root:" not in answer.body
        assert answer.status < 500


@pytest.mark.parametrize("level", LEVELS)
def test_windows_beyond_all_bounds_are_empty_or_whole(system: RunningLanthorn, level: str) -> None:
    everything = ask_json(system, f"/{level}")
    for many in (str(2**63), "9" * 30, "9" * 5000):
        assert ask_json(system, f"/{level}?since=0&limit={many}") == everything
        assert ask_json(system, f"/{level}?since={many}&limit=1") == []


@pytest.mark.parametrize("number", ["-1", "x", "", "1.5", "1e3", "0x10", "%00", "%D9%A1", "%2B1"])
def test_windows_are_given_in_numbers(system: RunningLanthorn, number: str) -> None:
    for level in LEVELS:
        for window in (f"since=0&limit={number}", f"since={number}&limit=1"):
            assert ask(system, "GET", f"/{level}?{window}").error == (400, 5)


@pytest.mark.parametrize("number", ["9" * 30, "9" * 5000, "-1", "x", "%00"])
def test_the_changes_take_what_they_understand(system: RunningLanthorn, number: str) -> None:
    for name in ("since", "limit", "to"):
        assert "Done" in ask_json(system, f"/changes?{name}={number}")


@pytest.mark.parametrize(
    "header",
    [
        {"Content-Encoding": "br"},
        {"X-HTTP-Method-Override": "TRACE"},
        {"Authorization": "Basic \xff\xff"},
        {"If-None-Match": "\xff"},
        {"Range": "bytes=-" + "9" * 5000},
        {"Range": "bytes=5-1"},
        {"Accept": "\xff;q=x"},
        {"Cookie": "a" * 10_000},
    ],
    ids=lambda header: str(header)[:30],
)
def test_strange_headers_break_nothing(
    system: RunningLanthorn, instance: str, header: dict[str, str]
) -> None:
    with unharmed(system):
        for route in ("tags", "preview", "attachments/dicom/data", "metadata/ReceptionDate"):
            assert ask(system, "GET", f"/instances/{instance}/{route}", headers=header).status < 500
