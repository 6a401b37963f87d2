"""A span's score is the product of its words' probabilities, at the temperature that fits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokcls.labels.calibration import (
    Evidence,
    expected_calibration_error,
    fit_temperature,
    log_sureness,
)
from tokcls.labels.decoding import decode_tags, log_softmax
from tokcls.labels.schemes import SCHEMES

TAGS = SCHEMES["BIOES"].tags(("LOC", "PER"))


def rows(*logits: list[float]) -> np.ndarray:
    return log_softmax(np.array(logits, np.float32))


def test_a_spans_score_is_the_product_over_its_words() -> None:
    evidence = Evidence()
    evidence.add(rows([0.0, 0.0], [0.0, 0.0]), np.array([0, 1], np.int32), right=True)
    evidence.add(rows([0.0, 0.0]), np.array([0], np.int32), right=True)
    assert evidence.scores(1.0) == pytest.approx([0.25, 0.5])


def test_a_temperature_of_one_changes_nothing_and_a_high_one_makes_unsure() -> None:
    row, ids = rows([2.0, 0.0, 0.0]), np.array([0], np.int32)
    assert log_sureness(row, ids, 1.0) == pytest.approx(row[0, 0])
    assert np.exp(log_sureness(row, ids, 1e6)) == pytest.approx(1 / 3, abs=1e-4)
    assert np.exp(log_sureness(row, ids, 1e-2)) == pytest.approx(1.0)


@given(st.integers(0, 2**32 - 1), st.floats(0.1, 10))
def test_a_temperature_changes_no_decision(seed: int, temperature: float) -> None:
    scores = np.random.default_rng(seed).normal(size=(7, len(TAGS))).astype(np.float32)
    transitions = SCHEMES["BIOES"].transitions(TAGS)
    (before,) = decode_tags([log_softmax(scores)], transitions)
    (after,) = decode_tags([log_softmax(scores / temperature)], transitions)
    total = [float(log_softmax(scores)[np.arange(7), ids].sum()) for ids in (before, after)]
    assert total[0] == pytest.approx(total[1], abs=1e-3)


def drawn(true_temperature: float, spans: int = 4000) -> Evidence:
    """Spans of one word whose chance to be right is what their scores are at a temperature."""
    rng = np.random.default_rng(5)
    evidence = Evidence()
    for logits in rng.normal(0, 4, (spans, 3)).astype(np.float32):
        row = log_softmax(logits[None])
        best = int(row.argmax())
        chance = float(np.exp(log_softmax(row / true_temperature)[0, best]))
        evidence.add(row, np.array([best], np.int32), right=bool(rng.random() < chance))
    return evidence


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_the_temperature_is_found_that_the_spans_were_drawn_at(temperature: float) -> None:
    evidence = drawn(temperature)
    found = fit_temperature(evidence)
    assert found == pytest.approx(temperature, rel=0.15)
    errors = [expected_calibration_error(evidence.scores(t), evidence.right) for t in (1.0, found)]
    assert errors[1] < 0.03
    assert errors[1] <= errors[0] + 0.005


def test_without_spans_nothing_is_changed() -> None:
    assert fit_temperature(Evidence()) == 1.0
    assert Evidence().scores(2.0).shape == (0,)
    assert expected_calibration_error([], []) == 0.0


def test_a_few_right_spans_make_no_model_sure_of_everything() -> None:
    evidence = Evidence()
    for _ in range(3):
        evidence.add(rows([1.0, 0.0]), np.array([0], np.int32), right=True)
    assert evidence.scores(fit_temperature(evidence)) == pytest.approx([0.8] * 3, abs=0.02)


@pytest.mark.parametrize(
    ("scores", "right", "error"),
    [
        ([0.9] * 10, [True] * 9 + [False], 0.0),
        ([0.9] * 10, [True] * 10, 0.1),
        ([1.0, 0.0], [True, False], 0.0),
        ([0.31, 0.32, 0.99], [True, False, True], (2 * abs(0.5 - 0.315) + 0.01) / 3),
    ],
)
def test_the_calibration_error_is_the_mean_gap_over_bins(
    scores: list[float], right: list[bool], error: float
) -> None:
    assert expected_calibration_error(scores, right) == pytest.approx(error, abs=1e-9)
