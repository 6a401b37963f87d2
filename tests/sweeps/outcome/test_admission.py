"""A faster engine is admitted by what it does to the scores."""

from __future__ import annotations

import pytest

from sweeps.outcome.admission import judge
from tokcls.labels.spans import Span

A, B = [Span(0, 1, "PER")], [Span(1, 2, "PER")]


def test_an_engine_that_finds_the_same_is_admitted() -> None:
    judged = judge([A] * 20, [A] * 20, [A] * 20)
    assert judged["admitted"] is True
    assert judged["f1_difference"] == 0.0
    assert judged["agreement"] == 1.0
    assert judged["sentences_that_differ"] == 0


@pytest.mark.parametrize(("lost", "admitted"), [(1, True), (2, True), (3, False)])
def test_of_few_spans_two_may_be_lost(lost: int, admitted: bool) -> None:
    gold = [A] * 100
    judged = judge(gold, gold, [B] * lost + [A] * (100 - lost))
    assert judged["admitted"] is admitted
    assert judged["f1_difference"] == pytest.approx(-lost / 100)
    assert judged["f1_loss_allowed"] == pytest.approx(0.02)


@pytest.mark.parametrize(("lost", "admitted"), [(4, True), (5, False)])
def test_of_many_spans_a_fifth_of_a_point_may_be_lost(lost: int, admitted: bool) -> None:
    gold = [A] * 2000
    assert judge(gold, gold, [B] * lost + [A] * (2000 - lost))["admitted"] is admitted


def test_a_small_loss_that_is_no_chance_is_refused() -> None:
    # Every difference is a loss: 18 of 20,000 spans are within the bound, and cannot be chance.
    gold = [A] * 20_000
    judged = judge(gold, gold, [B] * 18 + [A] * 19_982)
    assert judged["p_value"] < 0.001
    assert judged["f1_difference"] > -judged["f1_loss_allowed"]
    assert judged["admitted"] is False


def test_an_engine_that_is_better_is_admitted() -> None:
    gold = [A] * 100
    judged = judge(gold, [B] * 50 + [A] * 50, gold)
    assert judged["admitted"] is True
    assert judged["f1_difference"] == pytest.approx(0.5)
