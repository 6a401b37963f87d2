"""The sweep's own run in MLflow counts its trials, and no step comes twice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sweeps.search.events import State, Trial
from sweeps.search.mailbox import Epoch
from sweeps.search.overview import Overview
from sweeps.search.shown import Point
from tests.sweeps.search.made_trials import make_trial, metrics_at

Logged = list[tuple[int, Mapping[str, float]]]


def overview(total: int = 3) -> tuple[Overview, Logged]:
    logged: Logged = []

    def log(points: Sequence[Point]) -> None:
        (step,) = {point.step for point in points}
        logged.append((step, {point.name: point.value for point in points}))

    return Overview(log, total=total, metric="val_f1"), logged


def run(listener: Overview, trial: Trial, *scores: float, state: State = State.FINISHED) -> None:
    listener.started(trial)
    for number, score in enumerate(scores, 1):
        listener.epoch(trial, Epoch(number, metrics_at(score)))
    trial.state = state
    listener.ended(trial)


def test_trials_are_counted_and_the_best_is_told() -> None:
    listener, logged = overview()
    run(listener, make_trial("t001"), 0.4, 0.6, 0.5)
    run(listener, make_trial("t002"), state=State.FAILED)
    step, figures = logged[-1]
    assert step == 5
    assert figures == {
        "trials_over": 2,
        "trials_running": 0,
        "trials_waiting": 1,
        "trials_failed": 1,
        "best_val_f1": 0.6,
    }


def test_no_step_comes_twice_also_when_a_sweep_is_resumed() -> None:
    listener, logged = overview()
    run(listener, make_trial("t001"), 0.4, 0.6)
    interrupted = make_trial("t002", [0.9])
    again, later = overview()
    again.recall([make_trial("t001", [0.4, 0.6], State.FINISHED), interrupted])
    again.started(interrupted)
    again.epoch(interrupted, Epoch(2, metrics_at(0.3)))
    steps = [step for step, _ in logged]
    assert steps == [1, 2, 3]
    assert [step for step, _ in later] == [5]
    assert later[0][1]["best_val_f1"] == 0.9
    assert later[0][1]["trials_running"] == 1
