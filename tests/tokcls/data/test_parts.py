"""Words fall into the parts that a running text has, and spans survive the way there and back."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from tokcls.data.parts import parts_of, to_parts, to_words
from tokcls.data.words import split
from tokcls.labels.spans import Span

WORDS = st.lists(st.text(min_size=1, max_size=6), max_size=12)


def test_a_word_falls_into_the_parts_that_a_running_text_has() -> None:
    words = ["Jean-Luc", "of", "the", "U.S.", "paid", "$", "3.5m"]
    parts = parts_of(words)
    assert list(parts.texts) == [word.text for word in split(" ".join(words))]
    assert parts.word.tolist() == [0, 0, 0, 1, 2, 3, 3, 3, 3, 4, 5, 6, 6, 6]


def test_a_word_that_the_rule_finds_empty_stays_whole() -> None:
    assert parts_of([" ", "a"]).texts == (" ", "a")


@settings(deadline=None)
@given(WORDS)
def test_every_word_has_a_part_and_parts_keep_the_order(words: list[str]) -> None:
    parts = parts_of(words)
    assert sorted(set(parts.word.tolist())) == list(range(len(words)))
    assert parts.word.tolist() == sorted(parts.word.tolist())
    assert len(parts.texts) == len(parts.word)


@settings(deadline=None)
@given(WORDS, st.data())
def test_spans_come_back_from_parts_as_they_went(words: list[str], data: st.DataObject) -> None:
    parts = parts_of(words)
    cuts = data.draw(st.lists(st.integers(0, len(words)), unique=True).map(sorted))
    spans = [Span(a, b, "X") for a, b in zip(cuts[::2], cuts[1::2], strict=False)]
    there = to_parts(spans, parts.word)
    assert list(to_words(there, parts.word).values()) == spans


def test_a_word_that_two_spans_touch_goes_to_the_first() -> None:
    parts = parts_of(["Paris-London", "train"])
    found = to_words([Span(0, 1, "LOC"), Span(2, 3, "ORG"), Span(3, 4, "MISC")], parts.word)
    assert list(found.values()) == [Span(0, 1, "LOC"), Span(1, 2, "MISC")]
