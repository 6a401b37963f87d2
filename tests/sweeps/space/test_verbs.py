"""Verbs: what they accept, what they span, how they print."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweeps.space.verbs import (
    MAX_VALUES,
    Choice,
    Grid,
    Int,
    LogUniform,
    QUniform,
    Uniform,
    Verb,
    build,
    canonical,
)

VERBS: list[tuple[Verb, tuple[Any, ...], int | None]] = [
    (Choice(("a", 2)), ("a", 2), 2),
    (Grid((1, 2, 3)), (1, 2, 3), 3),
    (Uniform(0.0, 0.3), (0.0, 0.3), None),
    (LogUniform(1e-5, 1e-3), (1e-5, 1e-3), None),
    (QUniform(0.1, 0.5, 0.1), (0.1, 0.5), 5),
    (Int(1, 8), (1, 8), 8),
]


@pytest.mark.parametrize(("verb", "corners", "size"), VERBS)
def test_a_verb_knows_its_corners_and_its_size(
    verb: Verb, corners: tuple[Any, ...], size: int | None
) -> None:
    assert verb.corners() == corners
    assert verb.size() == size


@pytest.mark.parametrize("verb", [row[0] for row in VERBS])
def test_the_repr_of_a_verb_makes_an_equal_verb(verb: Verb) -> None:
    assert eval(repr(verb)) == verb
    assert build(verb.verb, verb.args) == verb


@pytest.mark.parametrize(
    ("name", "args", "message"),
    [
        ("loguniform", [0, 0.1], r"loguniform needs 0 < low < high, got \[0, 0.1\]"),
        ("loguniform", [1e-3, 1e-5], "needs 0 < low < high"),
        ("uniform", [0.3, 0.1], r"uniform needs low < high, got \[0.3, 0.1\]"),
        ("uniform", [0.3, 0.3], "needs low < high"),
        ("uniform", [0.3], r"takes \[low, high\] as numbers, got \[0.3\]"),
        ("uniform", [True, 2], "as numbers"),
        ("uniform", ["a", 2], "as numbers"),
        ("uniform", 3, r"takes \[low, high\], got 3"),
        ("uniform", [0, math.inf], "needs finite numbers"),
        ("uniform", [math.nan, 1], "needs finite numbers"),
        ("quniform", [0, 1, 0], "step > 0"),
        ("quniform", [0, 1, 0.3], "a whole number of steps"),
        ("quniform", [0, 1], r"takes \[low, high, step\]"),
        ("int", [1, 2.5], "int needs whole numbers"),
        ("int", [5, 1], "int needs low < high"),
        ("choice", [], r"choice needs at least one value, got \[\]"),
        ("choice", "abc", "choice takes a list of values"),
        ("choice", {"a": 1}, "choice takes a list of values"),
        ("choice", ["a", "b", "a"], "needs different values, got 'a' twice"),
        ("choice", [1, 1.0], "needs different values"),
        ("choice", [math.nan], "must be finite"),
        ("choice", list(range(MAX_VALUES + 1)), "takes at most 1000 values, got 1001"),
        ("grid", [], "grid needs at least one value"),
    ],
)
def test_wrong_arguments_get_the_rule_and_then_the_values(
    name: str, args: Any, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        build(name, args)


def test_one_and_true_are_different_choices() -> None:
    assert Choice((1, True, "1")).size() == 3


def test_a_grid_is_not_equal_to_a_choice() -> None:
    assert Grid((1, 2)) != Choice((1, 2))


def test_maps_go_to_a_searcher_as_canonical_json_and_come_back() -> None:
    verb = Choice(({"b": 1, "a": [2]}, "plain", [1, 2]))
    told = [canonical(value) for value in verb.values]
    assert told == ['{"a":[2],"b":1}', "plain", "[1,2]"]
    assert [verb.original(value) for value in told] == list(verb.values)


@given(st.floats(1e-6, 1e3), st.integers(1, 200), st.floats(1e-4, 10))
def test_quniform_ends_exactly_where_its_steps_do(low: float, steps: int, step: float) -> None:
    assert QUniform(low, low + steps * step, step).size() == steps + 1
