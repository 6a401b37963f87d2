from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from seqeval.metrics import (  # type: ignore[import-untyped]
    accuracy_score,
    f1_score,
    precision_score,
    recall_score,
)

from tokcls.labels.schemes import SCHEMES
from tokcls.labels.scoring import Counts, count, per_sentence
from tokcls.labels.spans import Span

# A busy machine is no failure.
unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

TYPES = ("LOC", "ORG")
IOB2 = SCHEMES["IOB2"]
Pair = tuple[list[str], list[str]]


@st.composite
def taggings(draw: st.DrawFn) -> list[Pair]:
    """Gold and predicted tags of some sentences, valid or not."""
    tag = st.sampled_from(IOB2.tags(TYPES))
    pair = st.integers(1, 8).flatmap(
        lambda size: st.tuples(
            st.lists(tag, min_size=size, max_size=size), st.lists(tag, min_size=size, max_size=size)
        )
    )
    return draw(st.lists(pair, min_size=1, max_size=5))


def read(pairs: list[Pair], side: int) -> list[list[Span]]:
    return [IOB2.decode(pair[side]) for pair in pairs]


def counted(pairs: list[Pair]) -> Counts:
    return count(read(pairs, 0), read(pairs, 1), [len(gold) for gold, _ in pairs], TYPES)


@unhurried
@given(pairs=taggings())
def test_scores_equal_those_of_seqeval(pairs: list[Pair]) -> None:
    gold, predicted = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    scores = counted(pairs).scores()
    for ours, theirs in (
        (scores.precision, precision_score),
        (scores.recall, recall_score),
        (scores.f1, f1_score),
    ):
        assert ours == pytest.approx(theirs(gold, predicted, zero_division=0))
    rewritten = [
        [IOB2.encode(IOB2.decode(pair[side]), len(pair[side])) for pair in pairs] for side in (0, 1)
    ]
    assert scores.accuracy == pytest.approx(accuracy_score(*rewritten))


@unhurried
@given(pairs=taggings())
def test_scores_of_each_type_equal_those_of_seqeval(pairs: list[Pair]) -> None:
    gold, predicted = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    seen = {tag[2:] for pair in pairs for tags in pair for tag in tags if tag != "O"}
    theirs = f1_score(gold, predicted, average=None, zero_division=0)
    ours = counted(pairs).per_type()
    assert [ours[type_].f1 for type_ in sorted(seen)] == pytest.approx(list(theirs))
    assert [ours[type_].gold for type_ in TYPES if type_ not in seen] == [0] * (2 - len(seen))


@unhurried
@given(one=taggings(), two=taggings())
def test_counts_of_parts_add_up_to_the_counts_of_the_whole(
    one: list[Pair], two: list[Pair]
) -> None:
    total = counted(one) + counted(two)
    assert total.vector().tolist() == counted(one + two).vector().tolist()
    again = Counts.from_vector(TYPES, total.vector())
    assert again.scores() == total.scores()
    assert (again + count([], [], [], TYPES)).vector().tolist() == total.vector().tolist()


@unhurried
@given(pairs=taggings())
def test_per_sentence_counts_sum_to_the_totals(pairs: list[Pair]) -> None:
    table = per_sentence(read(pairs, 0), read(pairs, 1), TYPES)
    total = counted(pairs)
    assert table.shape == (len(pairs), 2, 3)
    assert table.dtype == np.int32
    assert table.sum(axis=0).T.tolist() == [total.tp.tolist(), total.fp.tolist(), total.fn.tolist()]


def test_each_kind_of_mistake_is_counted_where_it_belongs() -> None:
    gold = [[Span(0, 2, "LOC"), Span(3, 4, "ORG")], []]
    guess = [[Span(0, 1, "LOC"), Span(3, 4, "ORG")], [Span(0, 1, "ORG")]]
    counts = count(gold, guess, [5, 2], TYPES)
    assert counts.tp.tolist() == [0, 1]
    assert counts.fp.tolist() == [1, 1]
    assert counts.fn.tolist() == [1, 0]
    assert (counts.correct_words, counts.words) == (5, 7)
    assert per_sentence(gold, guess, TYPES).tolist() == [
        [[0, 1, 1], [1, 0, 0]],
        [[0, 0, 0], [0, 1, 0]],
    ]


def test_nothing_to_find_scores_zero_and_not_an_error() -> None:
    scores = count([], [], [], TYPES).scores()
    assert (scores.precision, scores.recall, scores.f1, scores.accuracy) == (0.0, 0.0, 0.0, 0.0)
    assert count([], [], [], ()).scores() == scores
    assert per_sentence([], [], TYPES).shape == (0, 2, 3)


def test_a_type_that_is_not_scored_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="type 'PER', which is not among the types scored"):
        count([[Span(0, 1, "PER")]], [[]], [1], TYPES)


def test_unequal_numbers_of_sentences_are_refused() -> None:
    with pytest.raises(ValueError, match="'gold': 1, 'predicted': 0"):
        per_sentence([[]], [], TYPES)
    with pytest.raises(ValueError, match="'lengths': 2"):
        count([[]], [[]], [1, 1], TYPES)


def test_a_span_beyond_its_sentence_is_refused() -> None:
    with pytest.raises(ValueError, match="ends at word 3 of a sentence of 2 words"):
        count([[Span(1, 3, "LOC")], []], [[], []], [2, 5], TYPES)


def test_counts_over_other_types_are_not_added() -> None:
    with pytest.raises(ValueError, match="only over the same types"):
        count([], [], [], TYPES) + count([], [], [], ("LOC",))
    with pytest.raises(ValueError, match=r"counts of 1 types are 5 numbers, got shape \(8,\)"):
        Counts.from_vector(("LOC",), count([], [], [], TYPES).vector())


def test_half_a_million_words_are_scored_in_a_second() -> None:
    random = np.random.default_rng(3)
    gold = [
        [Span(at, at + 2, TYPES[at % 2]) for at in range(int(random.integers(4)), 20, 5)]
        for _ in range(25_000)
    ]
    guess = [spans[::2] for spans in gold]
    started = time.perf_counter()
    counts = count(gold, guess, [22] * len(gold), TYPES)
    spent = time.perf_counter() - started
    assert counts.words == 550_000
    # Budget 1 s on a quiet machine; the bound leaves room for a busy one.
    assert spent < 3
