"""Uploads that cannot be kept: each is answered as Orthanc does, and leaves nothing."""

from __future__ import annotations

import gzip
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.fixtures.hostile_files import (
    GIBIBYTE,
    PIXEL_DATA,
    SERIES_INSTANCE_UID,
    SOP_CLASS_UID,
    SOP_INSTANCE_UID,
    STUDY_INSTANCE_UID,
    dataset,
    deflate_bomb,
    element,
    encrypted_zip,
    gzip_bomb,
    nested_sequences,
    part10,
    text,
    zip_bomb,
    zip_of,
)
from tests.fixtures.running_lanthorn import RunningLanthorn, lanthorn_up
from tests.fixtures.unharmed import (
    ask,
    ask_json,
    growth_below,
    object_files,
    unharmed,
    upload,
    wait_until_no_garbage,
)

BAD_FILE = (400, 15)
INEXISTENT_TAG = (404, 21)
ENCAPSULATED_DOCUMENT = 0x0042_0011
GZIP = {"Content-Encoding": "gzip"}
# What is larger than memory allows: bombs inflate to several times this.
BOUND_BYTES = GIBIBYTE // 2


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLanthorn]:
    folder: Path = tmp_path_factory.mktemp("bad")
    with lanthorn_up(folder, {"Lanthorn": {"GatewayProcesses": 1}}) as running:
        yield running


def with_pixels(size_bytes: int = 200) -> bytes:
    return part10(dataset(element(PIXEL_DATA, b"OW", bytes(size_bytes))))


@pytest.mark.parametrize("body", [b"<html>not DICOM</html>" * 9, bytes(200), b"\0", bytes(3 << 20)])
def test_what_is_no_dicom_is_refused_with_its_size(system: RunningLanthorn, body: bytes) -> None:
    with unharmed(system):
        answer = upload(system, body)
    assert answer.error == BAD_FILE
    assert answer.details == f"Cannot parse an invalid DICOM file (size: {len(body)} bytes)"


def test_an_empty_body_is_refused_as_such(system: RunningLanthorn) -> None:
    with unharmed(system):
        answer = upload(system, b"")
    assert answer.error == BAD_FILE
    assert answer.details == "Received an empty DICOM file"


def test_a_file_truncated_within_an_element_is_broken_and_between_two_incomplete(
    system: RunningLanthorn,
) -> None:
    header = dataset()
    whole = part10(header)
    pixels = element(PIXEL_DATA, b"OW", bytes(200))
    between = []
    with unharmed(system):
        for kept in range(1, len(whole)):
            answer = upload(system, whole[:kept])
            if answer.error == INEXISTENT_TAG:
                between.append(kept)
                continue
            assert answer.error == BAD_FILE, kept
            assert str(kept) in answer.details
        for kept in (1, 4, 8, 11, 12, 13, len(pixels) - 1):
            assert upload(system, whole + pixels[:kept]).error == BAD_FILE
    # Behind the seven elements of the meta information, then behind SOP Class and Instance UID,
    # name, patient and study.
    assert len(between) == 7 + 5
    assert between[6] == len(part10(b""))


def test_a_large_file_that_is_truncated_leaves_nothing_of_what_was_spooled(
    system: RunningLanthorn,
) -> None:
    file = with_pixels(4 << 20)
    with unharmed(system):
        assert upload(system, file[:-1]).error == BAD_FILE
        assert upload(system, file[: 2 << 20]).error == BAD_FILE


@pytest.mark.parametrize("tag", [SOP_INSTANCE_UID, STUDY_INSTANCE_UID, SERIES_INSTANCE_UID])
def test_a_file_without_one_of_its_uids_is_told_which(system: RunningLanthorn, tag: int) -> None:
    with unharmed(system):
        answer = upload(system, part10(dataset(without={tag})))
    assert answer.error == INEXISTENT_TAG
    assert f"({tag >> 16:04x},{tag & 0xFFFF:04x})" in answer.details


@pytest.mark.parametrize("tag", [SOP_INSTANCE_UID, STUDY_INSTANCE_UID, SERIES_INSTANCE_UID])
def test_a_uid_that_is_empty_is_refused_as_well(system: RunningLanthorn, tag: int) -> None:
    with unharmed(system):
        answer = upload(system, part10(dataset(text(tag, b"UI", ""), without={tag})))
    assert answer.error in (BAD_FILE, INEXISTENT_TAG)


@pytest.mark.parametrize(
    "identifier",
    [
        text(STUDY_INSTANCE_UID, b"UI", "1.2." + "3" * 253),
        element(STUDY_INSTANCE_UID, b"SQ", b""),
        element(STUDY_INSTANCE_UID, b"OB", b"1.2.3\0"),
    ],
    ids=["too long", "items", "bytes"],
)
def test_a_uid_that_is_no_short_text_is_refused(system: RunningLanthorn, identifier: bytes) -> None:
    with unharmed(system):
        answer = upload(system, part10(dataset(identifier, without={STUDY_INSTANCE_UID})))
    assert answer.status == 400


def test_a_file_without_a_sop_class_is_kept_as_by_orthanc(system: RunningLanthorn) -> None:
    answer = upload(system, part10(dataset(without={SOP_CLASS_UID})))
    assert answer.status == 200
    tags = ask_json(system, f"{answer.json['Path']}/simplified-tags")
    assert tags["PatientID"] == "HOSTILE"
    assert "SOPClassUID" not in tags


@pytest.mark.parametrize(
    ("tag", "vr"), [(ENCAPSULATED_DOCUMENT, b"OB"), (PIXEL_DATA, b"OW"), (0x0040_A730, b"SQ")]
)
def test_three_gigabytes_in_a_kilobyte_are_not_believed(
    system: RunningLanthorn, tag: int, vr: bytes
) -> None:
    file = part10(dataset(element(tag, vr, bytes(600), length=3 * GIBIBYTE)))
    with unharmed(system), growth_below(system, 64 << 20):
        assert upload(system, file).error == BAD_FILE


@pytest.mark.parametrize(
    ("tag", "vr", "size_bytes"),
    [(ENCAPSULATED_DOCUMENT, b"OB", 2 * GIBIBYTE), (PIXEL_DATA, b"OW", 3 * GIBIBYTE)],
    ids=["in an element", "in the pixels"],
)
def test_a_deflate_bomb_does_not_go_off(
    system: RunningLanthorn, tag: int, vr: bytes, size_bytes: int
) -> None:
    bomb = deflate_bomb(tag, vr, size_bytes)
    assert len(bomb) < size_bytes / 500
    with unharmed(system), growth_below(system, BOUND_BYTES):
        assert upload(system, bomb).error == BAD_FILE


def test_many_deflate_bombs_at_once_stay_within_bounds(system: RunningLanthorn) -> None:
    bomb = deflate_bomb(ENCAPSULATED_DOCUMENT, b"OB", 2 * GIBIBYTE)
    with unharmed(system), growth_below(system, 2 * BOUND_BYTES), ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: upload(system, bomb), range(6)))
    assert {answer.error for answer in answers} == {BAD_FILE}


def test_pixels_that_inflate_to_a_gigabyte_are_kept_and_never_held(
    system: RunningLanthorn,
) -> None:
    answer = upload(system, deflate_bomb(PIXEL_DATA, b"OW", GIBIBYTE))
    assert answer.status == 200
    path = answer.json["Path"]
    with growth_below(system, GIBIBYTE * 3 // 4):
        assert ask_json(system, f"{path}/simplified-tags")["PatientID"] == "HOSTILE"
        assert ask(system, "GET", f"{path}/content/7fe0-0010/0").error == BAD_FILE
        assert ask(system, "GET", f"{path}/frames/0/raw").status == 500
        assert ask(system, "GET", f"{path}/preview").status == 415
    assert ask(system, "DELETE", path).status == 200
    wait_until_no_garbage(system)  # it would go while another test counts the files


@pytest.mark.parametrize("undefined_length", [False, True])
def test_sequences_nested_a_thousand_deep_are_refused(
    system: RunningLanthorn, undefined_length: bool
) -> None:
    nested = nested_sequences(1000, undefined_length=undefined_length)
    with unharmed(system):
        assert upload(system, part10(dataset(nested))).error == BAD_FILE


@pytest.mark.parametrize("undefined_length", [False, True])
def test_sequences_nested_as_deep_as_is_allowed_are_shown(
    system: RunningLanthorn, undefined_length: bool
) -> None:
    nested = nested_sequences(64, undefined_length=undefined_length)
    answer = upload(system, part10(dataset(nested)))
    assert answer.status == 200
    for route in ("tags", "tags?short", "simplified-tags", "content"):
        assert ask(system, "GET", f"{answer.json['Path']}/{route}").status == 200
    study = f"/studies/{answer.json['ParentStudy']}?requested-tags=ContentSequence"
    [item] = ask_json(system, study)["RequestedTags"]["ContentSequence"]
    depth = 1
    while item:
        [item] = item["ContentSequence"]
        depth += 1
    assert depth == 64


@pytest.mark.parametrize("vr", [b"ZZ", b"\0\0", b"\xff\xfe", b"O\x01"])
def test_bytes_that_are_no_vr_are_refused(system: RunningLanthorn, vr: bytes) -> None:
    file = part10(dataset(element(0x0010_4000, vr, b"abcd")))
    with unharmed(system):
        assert upload(system, file).error == BAD_FILE


def test_names_in_an_archive_lead_nowhere(system: RunningLanthorn) -> None:
    names = ["../../../up.dcm", "/tmp/absolute.dcm", "..\\back.dcm", "a/../../b.dcm", "nul\0.dcm"]
    before = object_files(system)
    answer = upload(system, zip_of({name: part10(dataset()) for name in names}))
    assert [one["Status"] for one in answer.json] == ["Success"] * len(names)
    assert len(object_files(system) - before) == len(names)
    around = set(system.data_folder.parent.rglob("*.dcm"))
    assert around == object_files(system)
    assert not Path("/tmp/absolute.dcm").exists()


def test_an_archive_within_an_archive_stays_closed(system: RunningLanthorn) -> None:
    inner = zip_of({"a.dcm": part10(dataset())})
    with unharmed(system):
        answer = upload(system, zip_of({"inner.zip": inner, "readme.txt": b"nothing" * 99}))
    assert answer.status == 200
    assert answer.json == []


@pytest.mark.parametrize(
    ("bomb", "reason"),
    [
        (lambda: zip_bomb(2 * GIBIBYTE, said_bytes=2 * GIBIBYTE), "more than is allowed"),
        (lambda: zip_bomb(2 * GIBIBYTE, said_bytes=5000), "larger than it says"),
        (lambda: zip_bomb(200 << 20, said_bytes=200 << 20), "larger than it says"),
    ],
    ids=["honest", "lying", "within the limits"],
)
def test_a_zip_bomb_does_not_go_off(
    system: RunningLanthorn, bomb: Callable[[], bytes], reason: str
) -> None:
    with unharmed(system), growth_below(system, BOUND_BYTES):
        answer = upload(system, bomb())
    assert answer.error == BAD_FILE
    assert reason in answer.details


def test_an_encrypted_archive_is_no_success(system: RunningLanthorn) -> None:
    with unharmed(system):
        answer = upload(system, encrypted_zip({"a.dcm": part10(dataset())}))
    assert answer.error == BAD_FILE
    assert "encrypted" in answer.details


def test_of_a_damaged_archive_the_rest_is_kept_and_the_damage_is_told(
    system: RunningLanthorn,
) -> None:
    first, second = part10(dataset()), part10(dataset())
    archive = bytearray(zip_of({"1.dcm": first, "2.dcm": second}, method=zipfile.ZIP_STORED))
    archive[archive.find(first) + len(first) - 1] ^= 1
    before = object_files(system)
    answer = upload(system, bytes(archive))
    assert answer.error == BAD_FILE
    assert "checksum" in answer.details
    [kept] = object_files(system) - before
    assert kept.read_bytes() == second


def test_a_truncated_archive_is_refused_as_a_whole(system: RunningLanthorn) -> None:
    archive = zip_of({"1.dcm": part10(dataset()), "2.dcm": part10(dataset())})
    with unharmed(system):
        for kept in (4, 30, len(archive) // 2, len(archive) - 22, len(archive) - 1):
            answer = upload(system, archive[:kept])
            assert answer.error == BAD_FILE
            assert answer.details == "Cannot open ZIP archive from memory buffer"


@pytest.mark.parametrize("cut", [1, 8, 20, 300])
def test_a_truncated_gzip_body_is_refused(system: RunningLanthorn, cut: int) -> None:
    with unharmed(system):
        answer = upload(system, gzip.compress(with_pixels(5000), 0)[:-cut], GZIP)
    assert answer.error == BAD_FILE
    assert answer.details == "Truncated gzip input"


def test_what_is_not_gzip_is_no_gzip_body(system: RunningLanthorn) -> None:
    with unharmed(system):
        answer = upload(system, with_pixels(), GZIP)
    assert answer.error == BAD_FILE
    assert answer.details == "Cannot inflate a broken gzip body"


def test_a_gzip_bomb_does_not_go_off(system: RunningLanthorn) -> None:
    with unharmed(system), growth_below(system, BOUND_BYTES):
        answer = upload(system, gzip_bomb(2 * GIBIBYTE), GZIP)
    assert answer.error == BAD_FILE
    assert answer.details == "The gzip body inflates to more than is allowed"


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("multipart/form-data; boundary=x", b"no boundary at all" * 20),
        ("multipart/form-data; boundary=x", b"--x\r\nA: b\r\n\r\nhello\r\n--x--\r\n"),
        ("multipart/form-data; boundary=x", b"--x\r\nA: b\r\n\r\n" + with_pixels()),
        ("multipart/form-data; boundary=" + "x" * 5000, with_pixels()),
    ],
    ids=["another body", "no DICOM", "no end", "endless boundary"],
)
def test_a_broken_form_is_refused(system: RunningLanthorn, content_type: str, body: bytes) -> None:
    with unharmed(system):
        assert upload(system, body, {"Content-Type": content_type}).error == BAD_FILE
