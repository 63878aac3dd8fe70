"""The header scanner: what it finds, what it refuses, and that it agrees with pydicom."""

from __future__ import annotations

import mmap
import tracemalloc
import warnings
import zlib
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.sequence import Sequence

from lanthorn_core.dicom import part10
from lanthorn_core.dicom.orthancjson import to_orthanc_json
from lanthorn_core.dicom.scan import parse_header, scan_dataset
from lanthorn_core.errors import InvalidDataset
from tests.unit.lanthorn_core.dicom.dataset_bytes import (
    BIG_ENDIAN,
    DEFLATED,
    EXPLICIT,
    IMPLICIT,
    ITEM_END,
    JPEG_BASELINE,
    SAMPLES,
    SEQUENCE_END,
    UNDEFINED,
    dataset,
    element,
    file,
    implicit,
    item,
    nested,
)

PIXEL_DATA = 0x7FE00010
STUDY_DESCRIPTION = 0x00081030
REFERENCED_IMAGES = 0x00081140
PRIVATE = 0x00091001

BROKEN = {"no_meta", "rtplan_truncated"}
WHOLE = sorted(path.stem for path in SAMPLES.glob("*.dcm") if path.stem not in BROKEN)


def deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


@pytest.mark.parametrize("name", WHOLE)
def test_it_finds_the_top_level_elements_that_pydicom_finds(name: str) -> None:
    content = part10.normalize_upload((SAMPLES / f"{name}.dcm").read_bytes())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reference = dcmread(BytesIO(content), defer_size=None)
    _, header = part10.scan_file(content)
    expected = {int(tag) for tag in reference.keys() if tag < PIXEL_DATA}  # noqa: SIM118
    assert set(header.elements) == expected
    assert header.has_pixel_data == (PIXEL_DATA in reference)


@pytest.mark.parametrize("name", WHOLE)
def test_the_pixel_data_offset_points_at_the_element_of_the_file(name: str) -> None:
    content = part10.normalize_upload((SAMPLES / f"{name}.dcm").read_bytes())
    meta, header = part10.scan_file(content)
    if header.pixel_data_offset is not None:
        order = "big" if meta.transfer_syntax_uid == BIG_ENDIAN else "little"
        at = header.pixel_data_offset
        assert int.from_bytes(content[at : at + 2], order) == 0x7FE0
        assert int.from_bytes(content[at + 2 : at + 4], order) == 0x0010
        assert at == meta.dataset_offset + len(header.encoded)


@pytest.mark.parametrize("name", WHOLE)
def test_a_header_parsed_again_is_the_same(name: str) -> None:
    content = part10.normalize_upload((SAMPLES / f"{name}.dcm").read_bytes())
    meta, header = part10.scan_file(content)
    again = parse_header(header.encoded, meta.transfer_syntax_uid)
    assert again.elements == header.elements
    assert again.encoded == header.encoded


@pytest.mark.parametrize("name", ["MR_small_implicit", "rtplan", "JPEG2000"])
def test_a_file_cut_within_an_element_is_refused(name: str) -> None:
    content = (SAMPLES / f"{name}.dcm").read_bytes()
    accepted = []
    for size in range(140, len(content), 7):
        try:
            part10.scan_file(content[:size])
        except InvalidDataset:
            continue
        accepted.append(size)
    # Cut between two elements before the pixels, nothing shows that there were more.
    _, header = part10.scan_file(content)
    boundary = part10.read_file_meta(content).dataset_offset + len(header.encoded)
    assert all(size <= boundary for size in accepted)


def test_a_deflated_file_cut_anywhere_is_refused() -> None:
    content = (SAMPLES / "image_dfl.dcm").read_bytes()
    trailer = 8  # a checksum that its writer left there, not part of the stream
    for size in range(part10.read_file_meta(content).dataset_offset, len(content) - trailer, 5):
        with pytest.raises(InvalidDataset):
            part10.scan_file(content[:size])


def test_a_mapped_file_is_scanned_in_place_and_may_be_closed(tmp_path: Path) -> None:
    path = tmp_path / "large.dcm"
    pixels = 32 << 20
    with path.open("wb") as out:
        out.write(file(dataset() + element(PIXEL_DATA, "OW", b"", pixels)))
        out.truncate(out.tell() + pixels)
    with path.open("rb") as source:
        mapped = mmap.mmap(source.fileno(), 0, access=mmap.ACCESS_READ)
        tracemalloc.start()
        _, header = part10.scan_file(mapped)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        mapped.close()
    assert header.pixel_data_offset == path.stat().st_size - pixels - 12
    assert peak < 1 << 20


@pytest.mark.parametrize("vr", ["OB", "UT", "UN", "SQ"])
def test_a_length_of_3_gigabytes_in_a_small_file_is_refused(vr: str) -> None:
    encoded = dataset(element(PRIVATE, vr, b"ab", 3_000_000_000))
    with pytest.raises(InvalidDataset, match=r"\(0009,1001\).* 3000000000 bytes long"):
        scan_dataset(encoded, EXPLICIT)


def test_a_length_beyond_the_end_is_refused_in_implicit_vr() -> None:
    with pytest.raises(InvalidDataset, match="says it is 100 bytes long, but 2 are left"):
        scan_dataset(implicit(0x00100010, b"ab", 100), IMPLICIT)


@pytest.mark.parametrize("encoded", [b"\x08\x00\x05", element(PRIVATE, "OB", b"")[:9]])
def test_an_element_header_cut_short_is_refused(encoded: bytes) -> None:
    with pytest.raises(InvalidDataset, match="ends within an element"):
        scan_dataset(encoded, EXPLICIT)


@pytest.mark.parametrize("defined", [True, False])
def test_a_thousand_nested_sequences_are_refused(defined: bool) -> None:
    with pytest.raises(InvalidDataset, match="sequences nested deeper than 64"):
        scan_dataset(dataset(nested(1000, defined=defined)), EXPLICIT)


@pytest.mark.parametrize("defined", [True, False])
def test_what_is_nested_as_deep_as_allowed_can_be_read_and_rendered(defined: bool) -> None:
    content = file(dataset(nested(64, defined=defined)))
    answer = to_orthanc_json(part10.read_dataset(content), style="short", default_encoding="Latin1")
    depth, level = 0, answer
    while "0008,1140" in level:
        depth += 1
        level = level["0008,1140"][0]
    assert depth == 64


@pytest.mark.parametrize("count", [1, 8, 512])
def test_zeros_behind_the_data_set_are_refused(count: int) -> None:
    with pytest.raises(InvalidDataset):
        scan_dataset(dataset(tail=bytes(count)), EXPLICIT)


def test_data_set_trailing_padding_is_accepted() -> None:
    padding = element(0xFFFCFFFC, "OB", bytes(100))
    header = scan_dataset(
        dataset(element(PIXEL_DATA, "OB", b"abcd"), tail=padding), EXPLICIT, base_offset=1000
    )
    assert header.pixel_data_offset == 1000 + len(header.encoded)
    assert header.pixel_data_vr == "OB"


def test_an_item_delimitation_item_ends_the_data_set() -> None:
    header = scan_dataset(dataset(tail=ITEM_END + b"what follows is no DICOM"), EXPLICIT)
    assert header.encoded == dataset()


def test_a_sequence_delimitation_item_alone_is_refused() -> None:
    with pytest.raises(InvalidDataset, match="unexpected"):
        scan_dataset(dataset(tail=SEQUENCE_END), EXPLICIT)


def test_of_an_element_that_occurs_twice_the_first_counts() -> None:
    second = element(STUDY_DESCRIPTION, "LO", b"second")
    encoded = dataset(element(STUDY_DESCRIPTION, "LO", b"first "), tail=second)
    assert scan_dataset(encoded, EXPLICIT).value(STUDY_DESCRIPTION) == b"first "
    assert part10.read_dataset(file(encoded)).StudyDescription == "first"


def test_a_second_pixel_data_is_ignored() -> None:
    pixels = element(PIXEL_DATA, "OB", b"abcd")
    header = scan_dataset(dataset(pixels, tail=element(PIXEL_DATA, "OB", b"ef")), EXPLICIT)
    assert header.pixel_data_offset == len(dataset())


def test_unordered_elements_and_odd_lengths_are_accepted() -> None:
    header = scan_dataset(dataset(tail=element(STUDY_DESCRIPTION, "LO", b"odd")), EXPLICIT)
    assert header.value(STUDY_DESCRIPTION) == b"odd"


def test_a_vr_to_come_has_a_long_length_and_a_slip_a_short_one() -> None:
    encoded = dataset(element(PRIVATE, "ZZ", b"future"), element(PRIVATE + 1, "??", b"slip"))
    header = scan_dataset(encoded, EXPLICIT)
    assert header.value(PRIVATE) == b"future"
    assert header.value(PRIVATE + 1) == b"slip"
    read = part10.read_dataset(file(encoded))
    assert read[PRIVATE].value == b"future"


@pytest.mark.parametrize("vr", ["\0\0", "A\x01", "\xffO"])
def test_a_vr_that_is_not_printable_is_refused(vr: str) -> None:
    with pytest.raises(InvalidDataset, match=r"unexpected \(0009,1001\)"):
        scan_dataset(dataset(element(PRIVATE, vr, b"ab")), EXPLICIT)


@pytest.mark.parametrize("vr", ["OB", "UT", "ZZ"])
def test_only_sequences_have_an_undefined_length(vr: str) -> None:
    encoded = dataset(element(PRIVATE, vr, item(b"abcd") + SEQUENCE_END, UNDEFINED))
    with pytest.raises(InvalidDataset, match=f"VR {vr} has an undefined length"):
        scan_dataset(encoded, EXPLICIT)


def test_un_of_undefined_length_is_a_sequence_in_implicit_vr() -> None:
    content = item(implicit(0x00081150, b"1.2\0")) + SEQUENCE_END
    encoded = dataset(element(REFERENCED_IMAGES, "UN", content, UNDEFINED))
    header = scan_dataset(encoded, EXPLICIT)
    assert header.value(REFERENCED_IMAGES) == content
    read = part10.read_dataset(file(encoded))
    assert read[REFERENCED_IMAGES].value[0].ReferencedSOPClassUID == "1.2"


INNER = element(0x00081150, "UI", b"1.2\0")


@pytest.mark.parametrize(
    ("content", "length"),
    [
        (item(INNER), None),
        (item(INNER, UNDEFINED) + ITEM_END, None),
        (item(INNER) + SEQUENCE_END, UNDEFINED),
        (item(INNER, UNDEFINED) + ITEM_END + SEQUENCE_END, UNDEFINED),
        (b"", None),
        (SEQUENCE_END, UNDEFINED),
        (item() + item(), None),
    ],
)
def test_sequences_of_every_layout_are_walked(content: bytes, length: int | None) -> None:
    after = element(0x00081190, "UR", b"x ")
    encoded = dataset(element(REFERENCED_IMAGES, "SQ", content, length), after)
    header = scan_dataset(encoded, EXPLICIT)
    assert header.value(REFERENCED_IMAGES) == content
    assert header.value(0x00081190) == b"x "


@pytest.mark.parametrize(
    ("content", "length", "complaint"),
    [
        (item(INNER, UNDEFINED), UNDEFINED, "."),
        (item(INNER, UNDEFINED) + SEQUENCE_END, UNDEFINED, "unexpected"),
        (item(INNER), UNDEFINED, "."),
        (INNER, None, "expected an item"),
        (b"1234", None, "lacks its end"),
        (item(element(PRIVATE, "LO", b"ab", 50)), None, "50 bytes long"),
        (item(item(INNER)), None, "unexpected"),
        (item(INNER), 1000, "1000 bytes long"),
    ],
)
def test_broken_sequences_are_refused(content: bytes, length: int | None, complaint: str) -> None:
    encoded = dataset(element(REFERENCED_IMAGES, "SQ", content, length))
    with pytest.raises(InvalidDataset, match=complaint):
        scan_dataset(encoded, EXPLICIT)


@pytest.mark.parametrize("length", [len(INNER) - 2, len(INNER) + 2, 200])
def test_a_wrong_length_of_an_item_is_no_reason_to_refuse(length: int) -> None:
    encoded = dataset(element(REFERENCED_IMAGES, "SQ", item(INNER, length)))
    read = part10.read_dataset(file(encoded))
    assert read[REFERENCED_IMAGES].value[0].ReferencedSOPClassUID == "1.2"


@pytest.mark.parametrize("transfer_syntax_uid", [JPEG_BASELINE, EXPLICIT])
def test_encapsulated_pixel_data_is_walked_to_its_end(transfer_syntax_uid: str) -> None:
    fragments = item() + item(b"abcd") + item(b"odd") + SEQUENCE_END
    padding = element(0xFFFCFFFC, "OB", bytes(10))
    encoded = dataset(element(PIXEL_DATA, "OB", fragments, UNDEFINED), tail=padding)
    header = scan_dataset(encoded, transfer_syntax_uid)
    assert header.pixel_data_offset == len(dataset())


@pytest.mark.parametrize(
    ("fragments", "complaint"),
    [
        (item() + item(b"abcd"), "lacks its Sequence Delimitation Item"),
        (item() + item(b"abcd", 100) + SEQUENCE_END, "100 bytes long"),
        (item() + item(b"abcd", UNDEFINED) + SEQUENCE_END, "4294967295 bytes long"),
        (item() + ITEM_END + SEQUENCE_END, "expected a fragment"),
        (item() + b"junkjunk" + SEQUENCE_END, "expected a fragment"),
        (item() + SEQUENCE_END[:6], "lacks its Sequence Delimitation Item"),
    ],
)
def test_broken_encapsulation_is_refused(fragments: bytes, complaint: str) -> None:
    encoded = dataset(element(PIXEL_DATA, "OB", fragments, UNDEFINED))
    with pytest.raises(InvalidDataset, match=complaint):
        scan_dataset(encoded, JPEG_BASELINE)


def test_an_icon_may_be_encapsulated_within_a_sequence() -> None:
    fragments = item() + item(b"\xfe\xff\x0d\xe0") + SEQUENCE_END
    pixels = element(PIXEL_DATA, "OB", fragments, UNDEFINED)
    icon = element(0x00880200, "SQ", item(pixels, UNDEFINED) + ITEM_END + SEQUENCE_END, UNDEFINED)
    header = scan_dataset(dataset(icon, element(PIXEL_DATA, "OB", b"ab")), EXPLICIT)
    assert header.pixel_data_offset == len(dataset(icon))


@pytest.mark.parametrize(
    ("uid", "encoded"),
    [
        ("1.2.3.4.5", dataset()),
        ("1.2.3.4.5", implicit(0x00080018, b"1.2.3.4\0")),
        ("1.2.3.4.5", element(0x00080018, "UI", b"1.2.3.4\0", order=">")),
        ("1.2.840.113619.5.2", implicit(0x00080018, b"1.2.3.4\0")),
        ("1.2.840.10008.1.2.8.1", dataset()),
    ],
)
def test_unknown_transfer_syntaxes_are_read_as_they_look(uid: str, encoded: bytes) -> None:
    assert scan_dataset(encoded, uid).value(0x00080018) == b"1.2.3.4\0"


def test_a_deflated_data_set_is_inflated_up_to_its_pixels() -> None:
    pixels = element(PIXEL_DATA, "OW", bytes(300_000))
    header = scan_dataset(deflate(dataset(pixels)), DEFLATED, base_offset=500)
    assert header.encoded == dataset()
    assert header.pixel_data_offset is None
    assert header.pixel_data_vr == "OW"
    assert header.has_pixel_data


def test_a_deflated_header_larger_than_the_first_step_is_read() -> None:
    large = element(0x00420011, "OB", bytes(500_000))
    header = scan_dataset(deflate(dataset(large)), DEFLATED)
    assert header.encoded == dataset(large)
    assert not header.has_pixel_data


@pytest.mark.parametrize(
    ("stream", "complaint"),
    [
        (deflate(dataset())[:-3], "truncated"),
        (b"\xff" * 100, "broken"),
        (b"", "truncated"),
        (deflate(dataset(element(PIXEL_DATA, "OB", b"ab", 5_000_000))), "bytes too early"),
        (deflate(dataset(element(PRIVATE, "OB", b"ab", 5_000_000))), "5000000 bytes long"),
        (deflate(dataset(element(PIXEL_DATA, "OB", b"ab"), tail=b"junk")), "within an element"),
    ],
)
def test_broken_deflate_streams_are_refused(stream: bytes, complaint: str) -> None:
    with pytest.raises(InvalidDataset, match=complaint):
        scan_dataset(stream, DEFLATED)


@pytest.mark.parametrize("tag", [PIXEL_DATA, 0x00420011])
def test_a_deflate_bomb_is_refused_in_bounded_memory(tag: int) -> None:
    size = 200 << 20
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    bomb = packer.compress(dataset() + element(tag, "OB", b"", size))
    for _ in range(size >> 20):
        bomb += packer.compress(bytes(1 << 20))
    bomb += packer.flush()
    tracemalloc.start()
    with pytest.raises(InvalidDataset, match=r"grows beyond|would have to be in memory"):
        scan_dataset(bomb, DEFLATED, max_inflated_bytes=100 << 20)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 200 << 20


TEXTS = st.text(
    st.characters(codec="ascii", min_codepoint=32, exclude_characters="\\"), max_size=20
)
ELEMENTS = st.one_of(
    st.tuples(st.just(STUDY_DESCRIPTION), st.just("LO"), TEXTS),
    st.tuples(st.just(0x00280010), st.just("US"), st.integers(0, 65535)),
    st.tuples(st.just(0x00720082), st.just("SV"), st.integers(-5, 5)),
    st.tuples(st.just(0x00189073), st.just("FD"), st.floats(allow_nan=False)),
    st.tuples(st.just(0x00420011), st.just("OB"), st.binary(max_size=70).map(lambda b: b + b)),
    st.tuples(st.just(0x0040A160), st.just("UT"), TEXTS),
    st.tuples(st.just(PRIVATE), st.just("UN"), st.binary(max_size=9).map(lambda b: b + b)),
    st.tuples(st.just(0x00091002), st.just("LO"), TEXTS),
)


def fill(
    elements: list[tuple[int, str, object]], inner: list[Dataset], *, undefined: bool
) -> Dataset:
    made = Dataset()
    for tag, vr, value in elements:
        made.add_new(tag, vr, value)
    if inner:
        for one in inner:
            one.is_undefined_length_sequence_item = undefined
        made.add_new(REFERENCED_IMAGES, "SQ", Sequence(inner))
        made[REFERENCED_IMAGES].is_undefined_length = undefined
    return made


DATASETS = st.recursive(
    st.builds(fill, st.lists(ELEMENTS, max_size=6), st.just([]), undefined=st.booleans()),
    lambda inner: st.builds(
        fill, st.lists(ELEMENTS, max_size=4), st.lists(inner, max_size=3), undefined=st.booleans()
    ),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    made=DATASETS,
    uid=st.sampled_from([EXPLICIT, IMPLICIT, BIG_ENDIAN, DEFLATED]),
    pixels=st.none() | st.binary(min_size=2, max_size=40).map(lambda b: b + b),
)
def test_it_agrees_with_pydicom_on_generated_data_sets(
    made: Dataset, uid: str, pixels: bytes | None
) -> None:
    made.add_new(0x00080018, "UI", "1.2.3.4")
    if pixels is not None:
        made.add_new(PIXEL_DATA, "OW", pixels)
    out = DicomBytesIO()
    out.is_implicit_VR, out.is_little_endian = uid == IMPLICIT, uid != BIG_ENDIAN
    write_dataset(out, made)
    plain = out.getvalue()
    header = scan_dataset(deflate(plain) if uid == DEFLATED else plain, uid)

    meta = FileMetaDataset()
    meta.TransferSyntaxUID = EXPLICIT if uid == DEFLATED else uid
    reference = dcmread(BytesIO(file(plain, meta.TransferSyntaxUID)), stop_before_pixels=True)
    assert list(header.elements) == sorted(int(tag) for tag in reference.keys())  # noqa: SIM118
    assert plain.startswith(header.encoded)
    assert header.has_pixel_data == (pixels is not None)
    ours = part10.read_dataset(file(deflate(plain) if uid == DEFLATED else plain, uid))
    assert {**ours.to_json_dict()} == {**reference.to_json_dict()}
    whole = part10.read_dataset(
        file(deflate(plain) if uid == DEFLATED else plain, uid), until_pixels=False
    )
    assert whole.get("PixelData") == pixels
