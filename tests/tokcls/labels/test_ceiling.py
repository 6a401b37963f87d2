from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokcls.data.parts import parts_of, to_parts, to_words
from tokcls.labels.ceiling import Ceiling, ceiling
from tokcls.labels.schemes import SCHEMES
from tokcls.labels.spans import Span
from tokcls.labels.types import TypeMap

GOLD = [[Span(0, 1, "LOC"), Span(1, 3, "LOC"), Span(3, 4, "ORG")], [], [Span(0, 2, "GPE")]]
TOUCHING = [[Span(0, 1, "GPE"), Span(1, 2, "LOC")]]


@pytest.mark.parametrize("scheme", [name for name in SCHEMES if name != "IO"])
def test_every_scheme_but_io_can_write_all_gold(scheme: str) -> None:
    assert ceiling(GOLD, SCHEMES[scheme]) == Ceiling(gold=4, lost=0, f1=1.0)


def test_what_io_merges_is_counted_as_lost() -> None:
    # Of four spans two are found, and one is read that nobody marked.
    assert ceiling(GOLD, SCHEMES["IO"]) == Ceiling(gold=4, lost=2, f1=4 / 7)


def test_a_merge_of_types_lowers_what_io_can_reach() -> None:
    merged = TypeMap({"GPE": "LOC"})
    assert ceiling(TOUCHING, SCHEMES["IO"]).lost == 0
    assert ceiling(TOUCHING, SCHEMES["IO"], judged=merged).lost == 0
    assert ceiling([merged.apply(TOUCHING[0])], SCHEMES["IO"]).lost == 2
    assert ceiling([merged.apply(TOUCHING[0])], SCHEMES["IOE2"]).lost == 0


def test_nothing_to_find_has_no_ceiling() -> None:
    assert ceiling([[]], SCHEMES["IO"]) == Ceiling(gold=0, lost=0, f1=0.0)


@given(
    words=st.lists(st.sampled_from(("Jean-Luc", "U.S.", "Oslo", "3.5")), min_size=4, max_size=9),
    cuts=st.lists(st.booleans(), min_size=9, max_size=9),
    scheme=st.sampled_from([*SCHEMES]),
)
def test_parts_of_words_change_nothing_of_what_a_scheme_can_write(
    words: list[str], cuts: list[bool], scheme: str
) -> None:
    bounds = [0, *(at for at in range(1, len(words)) if cuts[at]), len(words)]
    spans = [Span(a, b, "X") for a, b in pairwise(bounds) if a % 3]
    word = parts_of(words).word
    over_parts = SCHEMES[scheme].expressible(to_parts(spans, word))
    assert [*to_words(over_parts, word).values()] == SCHEMES[scheme].expressible(spans)
