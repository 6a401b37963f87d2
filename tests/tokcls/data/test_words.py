"""Words and their places in the very string."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import normalizers

from tokcls.data.words import Word, split
from tokcls.errors import InputError


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", []),
        (" \t\r\n\u00a0\u3000\u2028", []),
        ("Hi, there!", ["Hi", ",", "there", "!"]),
        ("one\r\ntwo\u00a0three\u3000four", ["one", "two", "three", "four"]),
        ("“don\u2019t”—U.S.", ["“", "don", "\u2019", "t", "”", "—", "U", ".", "S", "."]),
        ("\U0001f600 \U00020000x", ["\U0001f600", "\U00020000", "x"]),
        ("cafe\u0301 nai\u0308ve", ["cafe\u0301", "nai\u0308ve"]),
        ("zero\u200bwidth", ["zero\u200bwidth"]),
        ("東京abc東京", ["東", "京", "abc", "東", "京"]),
        ("€5 3.5%", ["€5", "3", ".", "5", "%"]),
    ],
)
def test_white_space_marks_and_ideographs_separate_words(text: str, words: list[str]) -> None:
    assert [word.text for word in split(text)] == words


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=60))
def test_places_index_the_very_string_in_order_and_miss_only_white_space(text: str) -> None:
    end = 0
    for word in split(text):
        assert text[word.start : word.end] == word.text != ""
        assert text[end : word.start].strip() == ""
        end = word.end
    assert text[end:].strip() == ""


def test_the_ideographs_are_those_that_bert_sets_apart() -> None:
    theirs = normalizers.BertNormalizer(
        clean_text=False, handle_chinese_chars=True, strip_accents=False, lowercase=False
    )
    letters = [chr(code) for code in range(0x3000, 0x30000) if chr(code).isalpha()]
    for letter in letters:
        apart = theirs.normalize_str(letter) != letter
        assert (len(split(f"a{letter}")) == 2) == apart, f"U+{ord(letter):04X}"


def test_a_place_is_counted_in_characters_not_bytes() -> None:
    assert split("\U0001f600é 東x") == [
        Word("\U0001f600é", 0, 2),
        Word("東", 3, 4),
        Word("x", 4, 5),
    ]


def test_half_a_surrogate_pair_is_refused_with_its_place() -> None:
    with pytest.raises(InputError, match=r"character 2 .*U\+D83D.*send the whole character"):
        split("a \ud83d b")
