"""Texts as the bytes of a character set, and back again."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lanthorn_core.dicom.charset import DEFAULT_ENCODINGS, decoder_for
from lanthorn_core.dicom.textencoding import UTF8, encoder_for


@pytest.mark.parametrize("default_encoding", sorted(DEFAULT_ENCODINGS))
@settings(max_examples=60, deadline=None)
@given(text=st.text(st.characters(exclude_categories=["C"], max_codepoint=0xFFFF), max_size=12))
def test_what_can_be_encoded_is_read_back_by_the_term_that_is_named(
    default_encoding: str, text: str
) -> None:
    encoder = encoder_for(default_encoding)
    encoded = encoder.encode(text)
    if encoded is not None:
        decoder = decoder_for(encoder.specific_character_set, default_encoding)
        assert decoder.decode(encoded) == text


@pytest.mark.parametrize(
    ("default_encoding", "text", "encoded"),
    [
        ("Latin1", "Jérôme", b"J\xe9r\xf4me"),
        ("Latin1", "王", None),
        ("Ascii", "é", None),
        ("Japanese", "ﾔﾏﾀﾞ", b"\xd4\xcf\xc0\xde"),
        ("Japanese", "山", None),
        ("Japanese", "¥", None),
        ("JapaneseKanji", "¥", None),
        ("JapaneseKanji", "山田^太", b"\x1b$B;3ED\x1b(B^\x1b$BB@\x1b(B"),
        ("Korean", "洪^吉", b"\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce"),
    ],
)
def test_characters_that_a_set_lacks_are_told(
    default_encoding: str, text: str, encoded: bytes | None
) -> None:
    assert encoder_for(default_encoding).encode(text) == encoded
    assert UTF8.encode(text) == text.encode()
