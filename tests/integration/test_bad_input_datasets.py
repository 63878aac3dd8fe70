"""Data sets that break the rules and are kept nevertheless: every face shows them somehow."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from tests.fixtures.dimse_sender import EncodedInstance, Sender
from tests.fixtures.hostile_files import (
    PATIENT_COMMENTS,
    PATIENT_ID,
    PATIENT_NAME,
    SPECIFIC_CHARACTER_SET,
    STUDY_INSTANCE_UID,
    dataset,
    element,
    nested_sequences,
    part10,
    text,
)
from tests.fixtures.running_lanthorn import RunningLanthorn, lanthorn_up
from tests.fixtures.unharmed import (
    Answer,
    ask,
    ask_json,
    object_files,
    spool_files,
    upload,
    wait_until_no_garbage,
)

STUDY_DATE = 0x0008_0020


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLanthorn]:
    folder: Path = tmp_path_factory.mktemp("bad")
    with lanthorn_up(folder, {"Lanthorn": {"GatewayProcesses": 1}}) as running:
        yield running


ODD_DATASETS = {
    # Bytes where a VR belongs: not two capital letters, still printable (PS3.5 Section 6.2).
    "VR z?": dataset(element(PATIENT_COMMENTS, b"z?", b"abcd")),
    "VR ??": dataset(element(PATIENT_COMMENTS, b"??", b"")),
    # Values that their VR does not allow.
    "half a number": dataset(element(PATIENT_COMMENTS, b"US", b"abc")),
    "seven bytes of FD": dataset(element(PATIENT_COMMENTS, b"FD", bytes(7))),
    "not a number": dataset(element(PATIENT_COMMENTS, b"FL", b"\0\0\xc0\x7f")),
    "half a tag": dataset(element(PATIENT_COMMENTS, b"AT", b"abc")),
    "no date": dataset(element(PATIENT_COMMENTS, b"DA", b"not a date")),
    "no time": dataset(element(PATIENT_COMMENTS, b"TM", b"\xff\xff")),
    "no integer": dataset(element(PATIENT_COMMENTS, b"IS", b"12abc ")),
    "no decimal": dataset(element(PATIENT_COMMENTS, b"DS", b"1e999999")),
    "every byte": dataset(element(PATIENT_COMMENTS, b"LO", bytes(range(256)))),
    "a name of carets": dataset(element(PATIENT_COMMENTS, b"PN", b"^" * 500)),
    # VRs that the tag does not have.
    "a date of bytes": dataset(element(STUDY_DATE, b"OB", b"\xff\xfe\0\1")),
    "a name of numbers": dataset(element(PATIENT_NAME, b"US", b"\1\0\2\0"), without={PATIENT_NAME}),
    "a name of items": dataset(
        element(PATIENT_NAME, b"SQ", nested_sequences(0, undefined_length=False)),
        without={PATIENT_NAME},
    ),
    "no patient id": dataset(without={PATIENT_ID}),
    # UIDs that are none.
    "a UID of other bytes": dataset(
        element(STUDY_INSTANCE_UID, b"UI", b"1.2.\xff\xfe.. 3"), without={STUDY_INSTANCE_UID}
    ),
    "a long UID": dataset(
        text(STUDY_INSTANCE_UID, b"UI", "1.2." + "3" * 252), without={STUDY_INSTANCE_UID}
    ),
    "a UID of markup": dataset(
        text(STUDY_INSTANCE_UID, b"UI", "<script>../../x</script>"), without={STUDY_INSTANCE_UID}
    ),
    # Character sets.
    "charset of numbers": dataset(element(SPECIFIC_CHARACTER_SET, b"US", b"\1\2")),
    "charset of bytes": dataset(element(SPECIFIC_CHARACTER_SET, b"OB", b"\1\2")),
    "charset of items": dataset(element(SPECIFIC_CHARACTER_SET, b"SQ", b"")),
    "charset of an unknown type": dataset(element(SPECIFIC_CHARACTER_SET, b"UN", b"ISO_IR 192")),
    "charset too long": dataset(charset=b"x" * 600),
    "two hundred charsets": dataset(charset=b"\\".join([b"ISO 2022 IR 87"] * 200)),
}

BROKEN_NAMES = [
    b"M\xfcl\xff",
    b"\x1b",
    b"\x1b$B",
    b"\x1b$B\x1b(Qx\x1b$)C^Ren\xe9",
    b"\x1b$)C\xfb\xf3\x1b(J\xd4\xcf",
    b"a\x1b%/I\xff",
    b"\x1b$B\xff\xff\xff",
    b"\xed\xa0\x80\xf8\x88",
    b"a\0b\0c ",
]
CHARSETS = [
    None,
    b"NOSUCH",
    b"\\NOSUCH",
    b"\xff\xfe\0\0",
    b"\\\\\\",
    b"utf-8",
    b"ISO_IR 100",
    b"ISO_IR 192",
    b"ISO_IR 166",
    b"GB18030",
    b"ISO 2022 IR 87",
    b"\\ISO 2022 IR 87",
    b"\\ISO 2022 IR 149",
    b"ISO_IR 100\\ISO_IR 192",
    b"ISO 2022 IR 13\\ISO 2022 IR 87\\ISO 2022 IR 159",
]


def shown(system: RunningLanthorn, stored: dict[str, str]) -> dict[str, Answer]:
    """Ask for an instance in every way; whatever it is, it must not be an error of ours."""
    instance, study = stored["Path"], f"/studies/{stored['ParentStudy']}"
    paths = [
        *(f"{instance}{route}" for route in ("", "/tags", "/tags?short", "/simplified-tags")),
        *(f"{instance}{route}" for route in ("/content", "/content/PatientName", "/header")),
        *(f"{instance}{route}" for route in ("/metadata?expand", "/file", "/module")),
        *(f"{study}{route}" for route in ("", "/shared-tags", "/module", "/module-patient")),
        f"{study}/instances-tags?simplify",
        f"{study}?requested-tags=PatientComments;StudyDate;ContentSequence",
        f"{study}/archive",
        f"/patients/{stored['ParentPatient']}",
    ]
    answers = {path: ask(system, "GET", path) for path in paths}
    for path, answer in answers.items():
        is_absent = path.endswith("/content/PatientName") and answer.status == 404
        assert answer.status == 200 or is_absent, (path, answer)
    preview = ask(system, "GET", f"{instance}/preview")
    assert preview.status == 415  # it has no pixels
    return answers


def find(system: RunningLanthorn, level: str, **query: str) -> list[dict[str, Any]]:
    body = {
        "Level": level,
        "Query": query,
        "Expand": True,
        "RequestedTags": ["PatientName", "PatientComments"],
    }
    answer = ask(system, "POST", "/tools/find", json.dumps(body).encode())
    assert answer.status == 200, answer
    found: list[dict[str, Any]] = answer.json
    return found


@pytest.mark.parametrize("name", ODD_DATASETS)
def test_an_odd_data_set_is_kept_bit_for_bit_and_shown(system: RunningLanthorn, name: str) -> None:
    file = part10(ODD_DATASETS[name])
    stored = upload(system, file)
    assert stored.status == 200, stored
    answers = shown(system, stored.json)
    assert answers[f"{stored.json['Path']}/file"].body == file
    archive = answers[f"/studies/{stored.json['ParentStudy']}/archive"].body
    with zipfile.ZipFile(io.BytesIO(archive)) as packed:
        assert [packed.read(entry) for entry in packed.namelist()] == [file]
    assert stored.json["ID"] in {one["ID"] for one in find(system, "Instance", PatientComments="*")}


@pytest.mark.parametrize("charset", CHARSETS)
def test_no_character_set_and_no_escape_sequence_breaks_anything(
    system: RunningLanthorn, charset: bytes | None
) -> None:
    for name in BROKEN_NAMES:
        stored = upload(system, part10(dataset(charset=charset, patient_name=name)))
        assert stored.status == 200
        study = f"/studies/{stored.json['ParentStudy']}"
        for route in ("/tags", "/simplified-tags", "/content/PatientName"):
            assert ask(system, "GET", f"{stored.json['Path']}{route}").status == 200
        for route in ("", "/instances-tags?simplify", "/archive"):
            assert ask(system, "GET", f"{study}{route}").status == 200
    uid = "1.2.826.0.1.3680043.8.498.5"
    context = str(CTImageStorage), str(ExplicitVRLittleEndian)
    with Sender("127.0.0.1", system.dicom_port, [context]) as sender:
        for name in BROKEN_NAMES:
            encoded = dataset(charset=charset, patient_name=name, sop_instance_uid=uid)
            assert sender.store(EncodedInstance(context[0], uid, context[1], encoded)) == 0
    assert len(find(system, "Study")) == ask_json(system, "/statistics")["CountStudies"]
    assert spool_files(system) == []


@pytest.mark.parametrize(
    ("charset", "name", "expected"),
    [
        (None, b"M\xfcller", "Müller"),
        (b"\\\\", b"M\xfcller", "Müller"),
        (b"NOSUCH", b"M\xfcller^Ren\xe9", "Mller^Ren"),
        (b"NOSUCH", b"a\x1b$Bb", "a$Bb"),
        (b"\xff\xfe", b"M\xfcller", "Mller"),
        (b"ISO_IR 192", b"M\xfcller", "Mller"),
        (b"ISO_IR 100\\NOSUCH", b"M\xfcller", "Müller"),
        (b"\\ISO 2022 IR 87", b"Yamada\x1b$B;3E", "Yamada山"),
        (b"\\ISO 2022 IR 87", b"\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B", "山田^太郎"),
    ],
)
def test_broken_text_reads_as_in_orthanc(
    system: RunningLanthorn, charset: bytes | None, name: bytes, expected: str
) -> None:
    stored = upload(system, part10(dataset(charset=charset, patient_name=name))).json
    tags = ask_json(system, f"{stored['Path']}/simplified-tags")
    study = ask_json(system, f"/studies/{stored['ParentStudy']}")
    assert tags["PatientName"] == expected
    assert study["PatientMainDicomTags"]["PatientName"] == expected


def test_controls_of_a_text_in_ascii_read_as_in_orthanc(system: RunningLanthorn) -> None:
    comments = element(PATIENT_COMMENTS, b"LT", b"a\tb\r\nc\x07d\x1b\xe9 ")
    stored = upload(system, part10(dataset(comments, charset=b"ISO_IR 6"))).json
    tags = ask_json(system, f"{stored['Path']}/simplified-tags")
    assert tags["PatientComments"] == "ab\ncd"


def test_every_object_belongs_to_an_instance(system: RunningLanthorn) -> None:
    uid = "1.2.826.0.1.3680043.8.498.6"
    file = part10(dataset(sop_instance_uid=uid, charset=b"NOSUCH"))
    assert upload(system, file).json["Status"] == "Success"
    wait_until_no_garbage(system)
    listed = ask_json(system, "/instances?expand")
    keys = {path.stem for path in object_files(system)}
    assert {one["FileUuid"] for one in listed} == keys
