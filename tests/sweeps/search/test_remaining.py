"""The time left follows from the work that is left and the pace of this session."""

from __future__ import annotations

import pytest

from sweeps.search.events import State, Trial
from sweeps.search.mailbox import Epoch
from sweeps.search.remaining import Remaining
from tests.sweeps.search.made_trials import make_trial, metrics_at


def train(remaining: Remaining, trial: Trial, now: float, seconds: float = 0.0) -> None:
    """Let a trial come through one more epoch."""
    metrics = metrics_at(0.5) | {"train_seconds": seconds}
    trial.epochs.append(Epoch(len(trial.epochs) + 1, metrics))
    remaining.epoch(trial, trial.epochs[-1], now)


def test_before_the_first_epoch_the_estimate_speaks() -> None:
    remaining = Remaining(trials=6, slots=2, epochs=3, costs={"b": 10.0})
    assert remaining.seconds([], 0.0) == 6 * 3 * 10 / 2
    assert remaining.seconds([make_trial("t001")], 50.0) == 90
    assert Remaining(trials=6, slots=2, epochs=3).seconds([], 0.0) is None


def test_the_pace_of_the_session_corrects_it() -> None:
    remaining = Remaining(trials=2, slots=1, epochs=3, costs={"b": 10.0})
    trial = make_trial("t001")
    train(remaining, trial, now=100.0, seconds=40.0)
    # One epoch of six took 40 s: training was four times as slow as it seemed.
    assert remaining.seconds([trial], 100.0) == pytest.approx(5 * 40)
    train(remaining, trial, now=140.0)
    assert remaining.seconds([trial], 140.0) == pytest.approx(4 * 40)


def test_a_running_trial_counts_by_the_epochs_it_has() -> None:
    remaining = Remaining(trials=1, slots=1, epochs=3, costs={"b": 10.0})
    assert remaining.seconds([make_trial("t001", [0.1, 0.2])], 0.0) == 10
    assert remaining.seconds([make_trial("t001", [0.1, 0.2, 0.3])], 0.0) is None


def test_a_large_backbone_counts_for_more() -> None:
    remaining = Remaining(trials=2, slots=1, epochs=2, costs={"b": 1.0, "large": 9.0})
    small, large = make_trial("t001"), make_trial("t002")
    large.config = {"train": {"epochs": 2}, "model": {"backbone": "large"}}
    train(remaining, small, now=1.0, seconds=1.0)
    assert remaining.seconds([small, large], 1.0) == pytest.approx(1 + 18)


def test_what_earlier_sessions_did_is_no_pace_of_this_one() -> None:
    remaining = Remaining(trials=3, slots=1, epochs=2)
    past = [make_trial(f"t00{number}", [0.1, 0.2], State.FINISHED) for number in (1, 2)]
    assert remaining.seconds(past, 0.0) is None
    trial = make_trial("t003")
    train(remaining, trial, now=1000.0, seconds=30.0)
    assert remaining.seconds([*past, trial], 1000.0) == pytest.approx(30)


def test_trials_that_are_stopped_early_make_the_others_shorter() -> None:
    remaining = Remaining(trials=10, slots=1, epochs=3, costs={"b": 10.0})
    stopped = [make_trial(f"t00{number}", [0.1], State.STOPPED) for number in range(5)]
    # Six trials say what is usual: the one that was expected, and five of one epoch.
    assert remaining.seconds(stopped, 0.0) == pytest.approx(5 * 10 * 8 / 6)
    failed = [make_trial(f"t00{number}", [], State.FAILED) for number in range(5)]
    assert remaining.seconds(failed, 0.0) == pytest.approx(5 * 10 * 3)


def test_a_trial_that_asha_let_go_further_than_usual_has_one_more_epoch_at_least() -> None:
    remaining = Remaining(trials=1, slots=1, epochs=1.2, costs={"b": 10.0})
    assert remaining.seconds([make_trial("t001", [0.1, 0.2])], 0.0) == 10


def test_a_sweep_that_is_over_has_no_time_left() -> None:
    remaining = Remaining(trials=1, slots=1, epochs=3, costs={"b": 10.0})
    assert remaining.seconds([make_trial("t001", [0.5], State.STOPPED)], 9.0) is None
