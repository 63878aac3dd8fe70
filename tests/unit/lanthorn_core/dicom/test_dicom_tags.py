"""Names of tags, main tags, modules, public identifiers and character sets."""

from __future__ import annotations

import pytest

from lanthorn_core.dicom.charset import DEFAULT_ENCODINGS, decoder_for
from lanthorn_core.dicom.identifiers import Identity, public_id, public_ids
from lanthorn_core.dicom.maintags import MAIN_TAGS, signature
from lanthorn_core.dicom.modules import MODULE_TAGS
from lanthorn_core.dicom.tags import format_tag, parse_tag, tag_name, vr_of_tag
from lanthorn_core.errors import InvalidParameter, UnknownTag


@pytest.mark.parametrize(
    "text",
    ["PatientName", "0010,0010", "0010-0010", "00100010"],
)
def test_a_tag_is_read_in_every_spelling(text: str) -> None:
    assert parse_tag(text) == 0x00100010


@pytest.mark.parametrize(
    ("text", "tag"),
    [
        ("0008,103E", 0x0008103E),
        ("0008103e", 0x0008103E),
        ("RETIRED_StudyIDIssuer", 0x00320012),
        ("NameToUse", 0x00100012),
        ("OtherPatientIDs", 0x00101000),
        ("RETIRED_EthnicGroup", 0x00102160),
    ],
)
def test_less_usual_spellings_are_read(text: str, tag: int) -> None:
    assert parse_tag(text) == tag


@pytest.mark.parametrize("text", ["", "NoSuchTag", "0010", "0010,001", "0010:0010", "patientname"])
def test_an_unknown_tag_is_named_and_nothing_else(text: str) -> None:
    with pytest.raises(UnknownTag) as caught:
        parse_tag(text)
    assert caught.value.details == text


@pytest.mark.parametrize(
    ("tag", "creator", "name"),
    [
        (0x00100010, None, "PatientName"),
        (0x00101000, None, "OtherPatientIDs"),
        (0x00080001, None, "RETIRED_LengthToEnd"),
        (0x00102160, None, "RETIRED_EthnicGroup"),
        (0x00080000, None, "GenericGroupLength"),
        (0x00020000, None, "FileMetaInformationGroupLength"),
        (0x00090000, None, "PrivateGroupLength"),
        (0x00010000, None, "IllegalGroupLength"),
        (0x00090010, None, "PrivateCreator"),
        (0x60003000, None, "OverlayData"),
        (0x60023000, None, "OverlayData"),
        (0x50000005, None, "RETIRED_CurveDimensions"),
        (0x00081234, None, "Unknown Tag & Data"),
        (0x00091001, "GEMS_IDEN_01", "FullFidelity"),
        (0x00091101, "GEMS_IDEN_01", "FullFidelity"),
        (0x00191014, "GEMS_ACQU_01", "EndNumberForBaseline"),
        (0x00251010, "CMR42 CIRCLECVI", "WorkspaceID"),
        (0x70031004, "DLX_ANNOT_01", "TextAnnotation"),
        (0x00091001, "NOBODY", "Unknown Tag & Data"),
        (0x00091001, None, "Unknown Tag & Data"),
        (0x00100012, None, "NameToUse"),
    ],
)
def test_tags_are_named_as_orthanc_names_them(tag: int, creator: str | None, name: str) -> None:
    assert tag_name(tag, creator) == name


@pytest.mark.parametrize(
    ("tag", "creator", "vr"),
    [
        (0x00100010, None, "PN"),
        (0x7FE00010, None, "OW"),
        (0x00283006, None, "OW"),
        (0x00280106, None, "US or SS"),
        (0x00100012, None, "LT"),
        (0x00080000, None, "UL"),
        (0x00090010, None, "LO"),
        (0x00091001, "GEMS_IDEN_01", "LO"),
        (0x00091001, None, "UN"),
        (0x00081234, None, "UN"),
    ],
)
def test_the_dictionary_knows_value_representations(tag: int, creator: str | None, vr: str) -> None:
    assert vr_of_tag(tag, creator) == vr


def test_the_signatures_are_those_of_orthanc() -> None:
    assert signature("Patient") == "0010,0010;0010,0020;0010,0030;0010,0040;0010,1000"
    assert signature("Instance", [0x00281050, 0x00080018]) == (
        "0008,0012;0008,0013;0008,0018;0020,0012;0020,0013;0020,0032;0020,0037;0020,0100;"
        "0020,4000;0028,0008;0028,1050;0054,1330"
    )


def test_main_tags_have_the_names_of_the_dictionary() -> None:
    for main_tags in MAIN_TAGS.values():
        for tag, keyword in main_tags:
            assert tag_name(tag) == keyword
        assert list(main_tags) == sorted(main_tags)


def test_the_modules_are_those_of_orthanc() -> None:
    assert {level: len(tags) for level, tags in MODULE_TAGS.items()} == {
        "Patient": 24,
        "Study": 17,
        "Series": 27,
        "Instance": 22,
    }
    assert 0x00290109 in MODULE_TAGS["Series"]


def test_public_identifiers_are_those_of_orthanc() -> None:
    identity = Identity(
        "1CT1",
        "1.3.6.1.4.1.5962.1.2.1.20040119072730.12322",
        "1.3.6.1.4.1.5962.1.3.1.1.20040119072730.12322",
        "1.3.6.1.4.1.5962.1.1.1.1.1.20040119072730.12322",
    )
    assert public_ids(identity) == (
        "fa558bce-587a86d3-ad0da9b3-9d043d9d-4f5c5718",
        "8a8cf898-ca27c490-d0c7058c-929d0581-2bbf104d",
        "93034833-163e42c3-bc9a428b-194620cf-2c5799e5",
        "f689ddd2-662f8fe1-8b18180d-ec2a2cee-937917af",
    )
    assert public_id("") == "da39a3ee-5e6b4b0d-3255bfef-95601890-afd80709"


def test_tags_are_written_in_lower_case() -> None:
    assert format_tag(0x7FE00010) == "7fe0,0010"


@pytest.mark.parametrize(
    ("terms", "value", "text"),
    [
        (None, b"J\xe9r\xf4me", "Jérôme"),
        ("", b"J\xe9r\xf4me", "Jérôme"),
        ("ISO_IR 100", b"J\xe9r\xf4me", "Jérôme"),
        ("iso_ir 100", b"J\xe9r\xf4me", "Jérôme"),
        ("ISO_IR_100", b"J\xe9r\xf4me", "Jérôme"),
        ("ISO_IR 192", "王^小東".encode(), "王^小東"),
        ("ISO_IR 192", b"a\xffb", "ab"),
        ("GB18030", "王^小东".encode("gb18030"), "王^小东"),
        ("ISO_IR 13", "ﾔﾏﾀﾞ".encode("shift_jis"), "ﾔﾏﾀﾞ"),
        ("ISO_IR 203", b"\xa4", "€"),
        ("no such set", b"J\xe9r\xf4me", "Jrme"),
        ("\\ISO 2022 IR 87", b"\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B", "山田^太郎"),
        ("ISO 2022 IR 6\\ISO 2022 IR 87", b"\x1b$B;3ED\x1b(B^A", "山田^A"),
        ("ISO 2022 IR 13\\ISO 2022 IR 87", b"\xd4\xcf=\x1b$B;3ED\x1b(J=\xd4", "ﾔﾏ=山田=ﾔ"),
        ("\\ISO 2022 IR 149", b"\x1b$)C\xbb\xe7\xc8\xb8^\x1b$)C\xb1\xe8", "사회^김"),
        ("\\ISO 2022 IR 58", b"\x1b$)A\xcd\xf5^\x1b$)A\xd0\xa1", "王^小"),
        ("ISO 2022 IR 100\\ISO 2022 IR 144", b"\xe9\x1b-L\xbf^\xe9", "éП^é"),
        ("ISO_IR 100", b"\x1b$B;3", "\x1b$B;3"),
        ("\\", b"J\xe9", "Jé"),
        ("ISO 2022 IR 6\\ISO 2022 IR 100", b"J\xe9", "Jé"),
    ],
)
def test_text_is_decoded_by_its_character_set(terms: str | None, value: bytes, text: str) -> None:
    assert decoder_for(terms, "Latin1").decode(value) == text


@pytest.mark.parametrize("name", sorted(DEFAULT_ENCODINGS))
def test_every_default_encoding_reads_ascii(name: str) -> None:
    assert decoder_for(None, name).decode(b"Doe^John") == "Doe^John"


def test_an_unknown_default_encoding_is_refused() -> None:
    with pytest.raises(InvalidParameter, match="'Klingon', expected one of Ascii"):
        decoder_for(None, "Klingon")
