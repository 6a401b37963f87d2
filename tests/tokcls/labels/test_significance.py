"""Whether two taggers differ: what chance alone would do to their answers."""

from __future__ import annotations

import itertools

import pytest

from tokcls.labels.significance import p_value
from tokcls.labels.spans import Span

RIGHT, WRONG = [Span(0, 1, "PER")], [Span(1, 2, "PER")]


def test_taggers_that_answer_alike_do_not_differ() -> None:
    assert p_value([RIGHT] * 50, [WRONG, *[RIGHT] * 49], [WRONG, *[RIGHT] * 49]) == 1.0


def test_one_sentence_is_chance_and_forty_of_fifty_are_not() -> None:
    gold = [RIGHT] * 50
    assert p_value(gold, gold, [WRONG, *[RIGHT] * 49]) == 1.0
    assert p_value(gold, gold, [*[WRONG] * 40, *[RIGHT] * 10]) < 0.001


def test_mistakes_in_both_directions_cancel() -> None:
    gold = [RIGHT] * 40
    one = [WRONG] * 10 + [RIGHT] * 30
    other = [RIGHT] * 10 + [WRONG] * 9 + [RIGHT] * 21
    assert p_value(gold, one, other) > 0.5


def test_the_sampled_probability_is_near_the_exact_one() -> None:
    gold = [RIGHT] * 12
    one, other = gold, [*[WRONG] * 6, *[RIGHT] * 6]
    # All spans count alike, so F1 differs by how many of six sentences kept their side.
    sides = [sum(each) for each in itertools.product((-1, 1), repeat=6)]
    exact = sum(abs(side) == 6 for side in sides) / len(sides)
    assert p_value(gold, one, other) == pytest.approx(exact, abs=0.01)


def test_the_same_seed_gives_the_same_answer() -> None:
    gold = [RIGHT] * 30
    other = [*[WRONG] * 5, *[RIGHT] * 25]
    assert p_value(gold, gold, other, seed=3) == p_value(gold, gold, other, seed=3)
    assert p_value(gold, gold, other) == p_value(gold, other, gold)


def test_no_sentence_differs_where_there_is_none() -> None:
    assert p_value([], [], []) == 1.0
