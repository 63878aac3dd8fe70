"""Ask a Lanthorn and a real Orthanc the same, and print where they differ.

A tool that is run by hand, on two servers that hold nothing yet::

    python -m tests.compare.compare_with_orthanc --lanthorn URL --orthanc URL [--files FOLDER]

It uploads the same files to both, then walks the GET routes of every resource and a list of
requests with bodies. Compared are status, content type and body; what must differ (dates,
identifiers of receipts, stability) is masked. To add a route, add it to `RESOURCE_ROUTES`,
`PLAIN_ROUTES` or `POSTS`.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx2

from tests.compare.byte_routes import BYTE_ROUTES, comparable_bytes

PLURALS: Final = ("patients", "studies", "series", "instances")

RESOURCE_ROUTES: Final[dict[str, tuple[str, ...]]] = {
    "": PLURALS,
    "?short": PLURALS,
    "?full": PLURALS,
    "?requested-tags=Rows;Modality;PatientID;StudyDate;PatientComments;RequestAttributesSequence": (
        PLURALS
    ),
    "?requested-tags=PatientName;ImageType;PixelSpacing&full": PLURALS,
    "/metadata": PLURALS,
    "/metadata?expand": PLURALS,
    "/metadata?expand&numeric": PLURALS,
    "/metadata/MainDicomTagsSignature": PLURALS,
    "/metadata/Nothing": PLURALS,
    "/metadata/ModifiedFrom": PLURALS,
    "/labels": PLURALS,
    "/labels/nothing": PLURALS,
    "/statistics": PLURALS,
    "/module": PLURALS,
    "/module?simplify": PLURALS,
    "/module?short": PLURALS,
    "/module-patient": ("studies",),
    "/shared-tags?simplify": PLURALS[:3],
    "/instances-tags?short": PLURALS[:3],
    "/attachments": PLURALS,
    "/attachments/dicom/size": PLURALS,
    "/attachments/dicom/info": ("instances",),
    "/attachments/dicom/md5": ("instances",),
    "/attachments/dicom/data": ("instances",),
    "/protected": ("patients",),
    "/studies": ("patients",),
    "/series": ("patients", "studies", "instances"),
    "/series?expand=false": ("patients", "studies"),
    "/instances": PLURALS[:3],
    "/instances?short": PLURALS[:3],
    "/instances?requested-tags=Rows;Modality": PLURALS[:3],
    "/patient": PLURALS[1:],
    "/study": PLURALS[2:],
    "/nothing": PLURALS,
    **BYTE_ROUTES,
}
"""What is asked below each resource, and at which levels."""

PLAIN_ROUTES: Final = (
    "/nothing",
    "/patients/",
    "/patients//",
    "/patients?expand",
    "/patients?expand=false",
    "/patients?expand=maybe",
    "/patients?limit=1",
    "/patients?since=0",
    "/patients?since=x&limit=1",
    "/patients?since=1000&limit=5",
    "/patients/nothing",
    "/studies/nothing/series",
    "/studies/nothing/metadata",
    "/studies/nothing/labels",
    "/studies/nothing/shared-tags",
    "/instances/nothing/attachments",
    "/instances/nothing/metadata/Origin",
    "/patients/nothing/protected",
    *(
        f"/{plural}?response-content={content}"
        for plural in PLURALS
        for content in ("MainDicomTags", "Metadata;Labels", "Children;Parent", "Status", "Nothing")
    ),
    "/studies?expand&requested-tags=ModalitiesInStudy;NumberOfStudyRelatedSeries",
    "/studies?expand&requested-tags=SOPClassesInStudy;NumberOfStudyRelatedInstances",
    "/series?expand&requested-tags=NumberOfSeriesRelatedInstances",
    "/patients?expand&requested-tags=NumberOfPatientRelatedStudies",
    "/patients?expand&requested-tags=NumberOfPatientRelatedInstances",
    "/instances?expand&requested-tags=InstanceAvailability",
    "/instances?expand&requested-tags=Nothing",
    "/statistics",
    "/exports",
    "/jobs",
    "/jobs?expand",
    "/jobs/nothing",
    "/queries",
    "/modalities",
    "/modalities?expand",
    "/modalities/nothing",
    "/modalities/nothing/configuration",
    "/peers",
    "/peers?expand",
    "/peers/nothing",
    "/plugins/nothing",
    "/plugins/explorer.js",
    "/changes?limit=0",
    "/changes?type=Nothing",
    "/changes?since=1000000",
    "/tools/labels",
    "/tools/default-encoding",
    "/tools/generate-uid",
    "/tools/generate-uid?level=nothing",
    "/tools/unknown-sop-class-accepted",
    "/app",
)

STUDY: Final[dict[str, Any]] = {"Level": "Study", "Query": {}}


def _finds() -> Iterator[Any]:
    yield STUDY | {"Expand": True}
    yield {"Level": "Study"}
    yield {"Query": {}}
    yield {"Level": "nothing", "Query": {}}
    yield []
    for level in ("Patient", "studies", "Series", "image"):
        yield {"Level": level, "Query": {}, "Expand": True, "Full": True}
        yield {"Level": level, "Query": {"PatientID": "1CT1"}, "Expand": True}
        yield {"Level": level, "Query": {"PatientName": "*comp*"}}
        yield {"Level": level, "Query": {"PatientName": "*comp*"}, "CaseSensitive": True}
        yield {"Level": level, "Query": {"PatientName": ""}}
        yield {"Level": level, "Query": {"PatientID": "4MR1\\1CT1"}}
        yield {"Level": level, "Query": {}, "Limit": 0, "Since": 1000}
    yield {"Level": "Study", "Query": {"StudyDate": "20040101-20041231"}}
    yield {"Level": "Study", "Query": {"StudyDate": "20040826-"}}
    yield {"Level": "Study", "Query": {"StudyDate": "-19990101"}}
    yield {"Level": "Study", "Query": {"StudyDate": ""}}
    yield {"Level": "Study", "Query": {"ModalitiesInStudy": "CT\\MR"}}
    yield {"Level": "Study", "Query": {"StudyDescription": "e?1"}}
    yield {"Level": "Study", "Query": {"StudyDescription": "E+1"}}
    yield {"Level": "Study", "Query": {"0008,0050": ""}, "RequestedTags": ["Rows"], "Expand": True}
    yield {"Level": "Series", "Query": {"Modality": "CT"}}
    yield {"Level": "Series", "Query": {"Modality": "ct"}}
    yield {"Level": "Instance", "Query": {"Rows": "128"}}
    yield {"Level": "Instance", "Query": {"Rows": "128", "Modality": "CT"}}
    yield {"Level": "Instance", "Query": {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.2"}}
    yield {"Level": "Instance", "Query": {"PatientName": "buc^jérôme"}}
    yield {"Level": "Instance", "Query": {"PatientName": "buc^jerome"}}
    yield {"Level": "Study", "Query": {"StudyInstanceUID": "1.*"}}
    yield {"Level": "Study", "Query": {"Nothing": "1"}}
    yield {"Level": "Study", "Query": {"Rows": 1}}
    for field, value in (
        ("Limit", -1),
        ("Limit", "1"),
        ("Since", -1),
        ("CaseSensitive", 1),
        ("Labels", "a"),
        ("Labels", [1]),
        ("LabelsConstraint", "x"),
        ("RequestedTags", "x"),
        ("RequestedTags", ["x"]),
        ("ResponseContent", ["x"]),
        ("ResponseContent", ["Labels", "Metadata"]),
        ("OrderBy", "x"),
        ("OrderBy", [{"Type": "DicomTag"}]),
        ("OrderBy", [{"Type": "DicomTag", "Key": "x", "Direction": "ASC"}]),
        ("OrderBy", [{"Type": "DicomTag", "Key": "StudyDate", "Direction": "x"}]),
        ("OrderBy", [{"Type": "Metadata", "Key": "x", "Direction": "ASC"}]),
        ("MetadataQuery", {"x": "a"}),
        ("MetadataQuery", []),
        ("ParentPatient", "x"),
        ("ParentPatient", 1),
        ("ParentPatient", "fa558bce-587a86d3-ad0da9b3-9d043d9d-4f5c5718"),
    ):
        yield STUDY | {field: value}
    yield {"Level": "Instance", "Query": {}, "MetadataQuery": {"TransferSyntax": "*.1.2.1"}}
    yield {"Level": "Instance", "Query": {}, "MetadataQuery": {"Origin": "restapi"}}


ORDERED: Final = (
    {"Level": "Study", "Query": {}, "OrderBy": [{"Type": "DicomTag", "Key": "StudyDate"}]},
    {"Level": "Series", "Query": {}, "OrderBy": [{"Type": "DicomTag", "Key": "SeriesNumber"}]},
    {"Level": "Patient", "Query": {}, "OrderBy": [{"Type": "DicomTag", "Key": "PatientName"}]},
)
"""Searches whose order counts, by the values of the key."""

ONE_STUDY: Final = "8a8cf898-ca27c490-d0c7058c-929d0581-2bbf104d"

POSTS: Final[tuple[tuple[str, Any], ...]] = (
    *(("/tools/find", body) for body in _finds()),
    ("/tools/find", b"nothing"),
    ("/tools/find", b'{"Level":"Study","Query":{"PatientID":"1CT1"},/* why */}'),
    *(("/tools/count-resources", {"Level": level, "Query": {}}) for level in ("Patient", "Image")),
    ("/tools/count-resources", {"Level": "Study", "Query": {"PatientID": "1CT1"}}),
    ("/tools/count-resources", {}),
    ("/tools/lookup", b"1CT1"),
    ("/tools/lookup", b"nothing"),
    ("/tools/bulk-content", {"Resources": [ONE_STUDY, "nothing"]}),
    ("/tools/bulk-content", {"Resources": [ONE_STUDY], "Level": "Instance", "Full": True}),
    ("/tools/bulk-content", {"Resources": [ONE_STUDY], "Level": "Patient", "Metadata": False}),
    ("/tools/bulk-content", {"Resources": "nothing"}),
    ("/tools/bulk-content", {"Resources": [1]}),
    ("/tools/bulk-content", {"Resources": [], "Level": 1}),
    ("/tools/bulk-content", {"Resources": [], "Metadata": 1}),
    ("/tools/bulk-content", []),
    ("/tools/bulk-delete", {"Resources": ["nothing"]}),
    ("/tools/bulk-delete", {"Resources": [1]}),
    ("/tools/bulk-delete", {}),
    ("/patients", b""),
    ("/system", b""),
)

CHANGING: Final[tuple[tuple[str, str, bytes, dict[str, str]], ...]] = (
    ("PUT", f"/studies/{ONE_STUDY}/labels/b_1", b"", {}),
    ("PUT", f"/studies/{ONE_STUDY}/labels/A-2", b"", {}),
    ("PUT", f"/studies/{ONE_STUDY}/labels/a.b", b"", {}),
    ("PUT", "/studies/nothing/labels/a", b"", {}),
    ("GET", f"/studies/{ONE_STUDY}/labels", b"", {}),
    ("GET", f"/studies/{ONE_STUDY}", b"", {}),
    ("GET", f"/studies/{ONE_STUDY}/labels/b_1", b"", {}),
    ("GET", "/tools/labels", b"", {}),
    ("POST", "/tools/find", json.dumps(STUDY | {"Labels": ["b_1", "A-2"]}).encode(), {}),
    ("POST", "/tools/find", json.dumps(STUDY | {"Labels": ["b_1", "c"]}).encode(), {}),
    (
        "POST",
        "/tools/find",
        json.dumps(STUDY | {"Labels": ["b_1", "c"], "LabelsConstraint": "Any"}).encode(),
        {},
    ),
    (
        "POST",
        "/tools/find",
        json.dumps(STUDY | {"Labels": ["b_1"], "LabelsConstraint": "None"}).encode(),
        {},
    ),
    (
        "POST",
        "/tools/find",
        json.dumps(STUDY | {"Labels": [], "LabelsConstraint": "None"}).encode(),
        {},
    ),
    ("DELETE", f"/studies/{ONE_STUDY}/labels/b_1", b"", {}),
    ("DELETE", f"/studies/{ONE_STUDY}/labels/b_1", b"", {}),
    ("DELETE", f"/studies/{ONE_STUDY}/labels/a.b", b"", {}),
    ("PUT", f"/studies/{ONE_STUDY}/metadata/1024", b"hello", {}),
    ("GET", f"/studies/{ONE_STUDY}/metadata/1024", b"", {}),
    ("GET", f"/studies/{ONE_STUDY}/metadata?expand", b"", {}),
    (
        "GET",
        f"/studies/{ONE_STUDY}/metadata/1024",
        b"",
        {"If-None-Match": '"0-5d41402abc4b2a76b9719d911017c592"'},
    ),
    ("GET", f"/studies/{ONE_STUDY}/metadata/1024", b"", {"If-None-Match": "nothing"}),
    (
        "PUT",
        f"/studies/{ONE_STUDY}/metadata/1024",
        b"hello2",
        {"If-Match": '"7-5d41402abc4b2a76b9719d911017c592"'},
    ),
    (
        "PUT",
        f"/studies/{ONE_STUDY}/metadata/1024",
        b"hello2",
        {"If-Match": '"0-5d41402abc4b2a76b9719d911017c592"'},
    ),
    ("PUT", f"/studies/{ONE_STUDY}/metadata/1024", b"hello3", {}),
    ("PUT", f"/studies/{ONE_STUDY}/metadata/nothing", b"hello", {}),
    ("PUT", f"/studies/{ONE_STUDY}/metadata/LastUpdate", b"hello", {}),
    ("PUT", "/studies/nothing/metadata/1024", b"hello", {}),
    ("DELETE", f"/studies/{ONE_STUDY}/metadata/LastUpdate", b"", {}),
    ("DELETE", f"/studies/{ONE_STUDY}/metadata/1024", b"", {}),
    ("DELETE", f"/studies/{ONE_STUDY}/metadata/1024", b"", {}),
    ("PUT", "/patients/fa558bce-587a86d3-ad0da9b3-9d043d9d-4f5c5718/protected", b"1", {}),
    ("GET", "/patients/fa558bce-587a86d3-ad0da9b3-9d043d9d-4f5c5718/protected", b"", {}),
    ("GET", "/patients/fa558bce-587a86d3-ad0da9b3-9d043d9d-4f5c5718", b"", {}),
    ("PUT", "/patients/fa558bce-587a86d3-ad0da9b3-9d043d9d-4f5c5718/protected", b"2", {}),
    ("PUT", "/patients/nothing/protected", b"1", {}),
    ("PUT", "/patients/fa558bce-587a86d3-ad0da9b3-9d043d9d-4f5c5718/protected", b"0", {}),
    ("HEAD", "/patients", b"", {}),
    ("OPTIONS", "/patients", b"", {}),
    ("PATCH", "/patients", b"", {}),
    ("GET", "/patients/nothing?_method=delete", b"", {}),
    ("GET", "/patients/nothing?_method=nothing", b"", {}),
    ("POST", "/patients/nothing", b"", {"X-HTTP-Method-Override": "DELETE"}),
    ("GET", "/patients/nothing", b"", {"X-HTTP-Method-Override": "PUT"}),
    ("DELETE", "/instances/nothing", b"", {}),
    ("DELETE", "/instances/f689ddd2-662f8fe1-8b18180d-ec2a2cee-937917af", b"", {}),
    ("DELETE", f"/studies/{ONE_STUDY}", b"", {}),
    ("GET", "/patients/fa558bce-587a86d3-ad0da9b3-9d043d9d-4f5c5718", b"", {}),
    ("GET", "/statistics", b"", {}),
    ("DELETE", "/changes", b"", {}),
    ("DELETE", "/exports", b"", {}),
)
"""Requests that change something, in an order that matters; they come last."""

MASKED: Final = frozenset(
    {
        "Date",
        "FileUuid",
        "IsStable",
        "Last",
        "LastUpdate",
        "ReceptionDate",
        "Seq",
        "Uuid",
        "7",  # LastUpdate by number
        "2",  # ReceptionDate by number
    }
)
"""Members of which only the presence is compared."""

COMPARED_HEADERS: Final = (
    "allow",
    "content-disposition",
    "etag",
    "location",
    "www-authenticate",
)

NOT_COMPARED: Final = frozenset({"4301", "PixelDataVR", "17"})
"""Attachments that plugins of the real one make; a metadata that only we tell, and its number."""


@dataclass(frozen=True)
class Answer:
    """What is compared of an answer."""

    status: int
    content_type: str
    headers: dict[str, str]
    body: Any


class Comparison:
    """Both servers, and the count of what was asked and what differed."""

    def __init__(self, lanthorn: str, orthanc: str) -> None:
        self._clients = [
            httpx2.Client(base_url=url, timeout=60, trust_env=False) for url in (lanthorn, orthanc)
        ]
        self.asked = 0
        self.different = 0

    def upload(self, files: list[Path]) -> None:
        """Store the same files in both."""
        for path in files:
            self.ask("POST", "/instances", content=path.read_bytes(), called=path.name)

    def ask(
        self,
        method: str,
        path: str,
        *,
        content: bytes = b"",
        headers: dict[str, str] | None = None,
        called: str = "",
    ) -> None:
        """Ask both, and print what differs."""
        answers = []
        for client in self._clients:
            answer = client.request(method, path, content=content or None, headers=headers)
            answers.append(_comparable(answer))
        self.asked += 1
        ours, theirs = answers
        differences = list(_differences(ours, theirs))
        if differences:
            self.different += 1
            shown = called or content[:300].decode("utf-8", "replace")
            sys.stdout.write(f"{method} {path} {shown} {headers or ''}\n")
            for difference in differences:
                sys.stdout.write(f"    {difference}\n")

    def ids(self, plural: str) -> list[str]:
        """Ids of the resources that both have; says which only one of them has."""
        ours, theirs = (set(client.get(f"/{plural}").json()) for client in self._clients)
        if ours != theirs:
            self.different += 1
            sys.stdout.write(f"{plural}: ours {ours - theirs}, theirs {theirs - ours}\n")
        return sorted(ours & theirs)

    def ask_ordered(self, body: dict[str, Any], direction: str) -> None:
        """Search in both in an order, and compare the values of the key in that order."""
        [order] = body["OrderBy"]
        asked = body | {"Expand": True, "OrderBy": [order | {"Direction": direction}]}
        values = []
        for client in self._clients:
            found = client.post("/tools/find", content=json.dumps(asked)).json()
            values.append([one["MainDicomTags"].get(order["Key"]) for one in found])
        self.asked += 1
        if values[0] != values[1]:
            self.different += 1
            sys.stdout.write(f"order by {order['Key']} {direction}\n    {values}\n")


def _comparable(answer: httpx2.Response) -> Answer:
    content_type = answer.headers.get("content-type", "")
    is_json = answer.content[:1] in {b"{", b"["}
    body = comparable_bytes(content_type, answer.content)
    if is_json:
        body = _masked(json.loads(answer.content))
    headers = {name: answer.headers[name] for name in COMPARED_HEADERS if name in answer.headers}
    if "/attachments/" in str(answer.request.url):  # its revision is not an MD5 here
        headers.pop("etag", None)
        headers.pop("content-disposition", None)
    return Answer(answer.status_code, content_type, headers, body)


def _masked(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: "…" if key in MASKED else _masked(member)
            for key, member in value.items()
            if key not in NOT_COMPARED
        }
    if isinstance(value, list):
        members = [_masked(member) for member in value if str(member) not in NOT_COMPARED]
        return sorted(members, key=lambda member: json.dumps(member, sort_keys=True))
    return value


def _differences(ours: Answer, theirs: Answer) -> Iterator[str]:
    if ours.status != theirs.status:
        yield f"status {ours.status}, theirs {theirs.status} {_told(theirs.body)}"
        return
    if theirs.status >= 400 and not theirs.body:
        return  # we say more, which nobody minds
    if ours.content_type != theirs.content_type:
        yield f"content type {ours.content_type}, theirs {theirs.content_type}"
    if ours.headers != theirs.headers:
        yield f"headers {ours.headers}, theirs {theirs.headers}"
    yield from _body_differences("", ours.body, theirs.body)


def _body_differences(where: str, ours: Any, theirs: Any) -> Iterator[str]:
    if isinstance(ours, dict) and isinstance(theirs, dict):
        if "OrthancStatus" in theirs and "Details" not in theirs:
            ours = {key: value for key, value in ours.items() if key != "Details"}
        for key in sorted(ours.keys() | theirs.keys()):
            if key not in ours:
                yield f"{where}/{key} is missing, theirs {_told(theirs[key])}"
            elif key not in theirs:
                yield f"{where}/{key} is too much: {_told(ours[key])}"
            else:
                yield from _body_differences(f"{where}/{key}", ours[key], theirs[key])
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for number, (our, their) in enumerate(zip(ours, theirs, strict=True)):
            yield from _body_differences(f"{where}/{number}", our, their)
    elif ours != theirs:
        yield f"{where} {_told(ours)}, theirs {_told(theirs)}"


def _told(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 300 else f"{text[:300]}…"


def main() -> int:
    """Compare; returns 1 when something differs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--lanthorn", required=True)
    parser.add_argument("--orthanc", required=True)
    parser.add_argument("--files", type=Path, default=Path("tests/data/pydicom"))
    arguments = parser.parse_args()
    comparison = Comparison(arguments.lanthorn, arguments.orthanc)
    comparison.upload(sorted(arguments.files.glob("*.dcm")))
    for path in PLAIN_ROUTES:
        comparison.ask("GET", path)
    for path, body in POSTS:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        comparison.ask("POST", path, content=content)
    for ordered in ORDERED:
        for direction in ("ASC", "DESC"):
            comparison.ask_ordered(ordered, direction)
    for plural in PLURALS:
        for public_id in comparison.ids(plural):
            for route, plurals in RESOURCE_ROUTES.items():
                if plural in plurals:
                    comparison.ask("GET", f"/{plural}/{public_id}{route}")
    for method, path, content, headers in CHANGING:
        comparison.ask(method, path, content=content, headers=headers)
    sys.stdout.write(f"{comparison.asked} asked, {comparison.different} different\n")
    return 1 if comparison.different else 0


if __name__ == "__main__":
    sys.exit(main())
