"""The sweep's own run in MLflow counts its trials, and no step comes twice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from sweeps.search.events import State, Trial
from sweeps.search.ledger import Ledger, read_ledger
from sweeps.search.mailbox import Epoch
from sweeps.search.overview import TIME_LEFT, Overview
from sweeps.search.remaining import Remaining
from sweeps.search.shown import Figures
from tests.sweeps.search.made_trials import make_trial, metrics_at

Told = list[Figures]


def overview(total: int = 3) -> tuple[Overview, Told]:
    """Give an overview, and all that it last told."""
    told: Told = []

    def log(steps: Sequence[Figures], tags: Mapping[str, str]) -> None:
        assert [*steps][: len(told)] == told, "what was told is told again"
        told[:] = steps

    return Overview(log, total=total, metric="val_f1"), told


def run(listener: Overview, trial: Trial, *scores: float, state: State = State.FINISHED) -> None:
    listener.started(trial)
    for number, score in enumerate(scores, 1):
        listener.epoch(trial, Epoch(number, metrics_at(score)))
    trial.state = state
    listener.ended(trial)


def test_trials_are_counted_and_the_best_is_told() -> None:
    listener, told = overview()
    run(listener, make_trial("t001"), 0.4, 0.6, 0.5)
    run(listener, make_trial("t002"), state=State.FAILED)
    assert [each.step for each in told] == [1, 2, 3, 4, 5]
    assert told[-1].values == {
        "trials_over": 2,
        "trials_running": 0,
        "trials_waiting": 1,
        "trials_failed": 1,
        "best_val_f1": 0.6,
    }


def test_every_session_tells_the_same_steps_of_what_was_before(tmp_path: Path) -> None:
    listener, told = overview()
    ledger = Ledger(tmp_path)
    ledger.open_sweep(name="s", space="", space_hash="", corpus="c")
    first, second = make_trial("t001"), make_trial("t002")
    for each in (ledger, listener):
        each.started(first)
        each.started(second)
    for number, (trial, score) in enumerate([(first, 0.4), (second, 0.9), (first, 0.6)], 1):
        trial.epochs.append(Epoch(1 + number // 3, metrics_at(score), first.started_at + number))
        for each in (ledger, listener):
            each.epoch(trial, trial.epochs[-1])
    first.state, first.ended_at = State.FINISHED, first.started_at + 4
    for each in (ledger, listener):
        each.ended(first)
    again, later = overview()
    again.recall(read_ledger(tmp_path).trials)
    shown = [[(each.step, each.values, round(each.at)) for each in one] for one in (told, later)]
    assert len(told) == 4
    assert shown[0] == shown[1]
    again.started(second)
    again.epoch(second, Epoch(2, metrics_at(0.3)))
    assert later[-1].step == 5
    assert later[-1].values["best_val_f1"] == 0.9
    assert later[-1].values["trials_running"] == 1


def test_a_trial_that_the_file_holds_no_more_keeps_its_steps_and_does_not_count() -> None:
    listener, told = overview()
    dropped = make_trial("t001", [0.9, 0.9], State.FINISHED)
    listener.recall([make_trial("t002", [0.4], State.FINISHED)], [dropped])
    run(listener, make_trial("t003"), 0.5)
    assert [each.step for each in told] == [1, 2, 3, 4, 5, 6, 7]
    assert told[-1].values["best_val_f1"] == 0.5
    assert told[-1].values["trials_over"] == 2


def test_the_time_left_is_told_as_the_terminal_tells_it() -> None:
    left: list[str] = []
    remaining = Remaining(trials=2, slots=1, epochs=2, costs={"b": 90.0})
    listener = Overview(
        lambda steps, tags: left.append(tags[TIME_LEFT]),
        total=2,
        metric="val_f1",
        remaining=remaining,
    )
    listener.recall([make_trial("t001", [0.4, 0.5], State.FINISHED)])
    run(listener, make_trial("t002"), 0.5)
    assert left[0] == "about 3 min"  # two epochs of 90 s
    assert left[-1] == "none"
