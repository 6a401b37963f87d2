"""The order of trials when a sweep is done, and the table that shows it."""

from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console

from sweeps.outcome.leaderboard import Leaderboard
from sweeps.search.events import State, Trial
from tests.sweeps.search.made_trials import make_trial

FINISHED, STOPPED, FAILED = State.FINISHED, State.STOPPED, State.FAILED


def board(*trials: Trial) -> Leaderboard:
    return Leaderboard(trials, metric="val_f1")


def order(*trials: Trial) -> list[str]:
    return [trial.trial_id for trial in board(*trials).trials]


def shown(*trials: Trial) -> list[str]:
    console = Console(file=StringIO(), width=160)
    console.print(board(*trials).table())
    file = console.file
    assert isinstance(file, StringIO)
    return file.getvalue().splitlines()


def test_trials_are_ranked_by_their_best_epoch_stopped_or_not() -> None:
    trials = (
        make_trial("t001", [0.5, 0.6], FINISHED),
        make_trial("t002", [0.7], STOPPED),
        make_trial("t003", [0.9, 0.1], FINISHED),
    )
    assert order(*trials) == ["t003", "t002", "t001"]
    winner = board(*trials).winner
    assert winner is not None
    assert winner.trial_id == "t003"


def test_ties_go_to_fewer_parameters_and_then_to_the_earlier_trial() -> None:
    trials = (
        make_trial("t004", [0.5], FINISHED, parameters=300),
        make_trial("t003", [0.5], FINISHED, parameters=200),
        make_trial("t002", [0.5], FINISHED, parameters=300),
        make_trial("t001", [0.4], FINISHED, parameters=100),
    )
    assert order(*trials) == ["t003", "t002", "t004", "t001"]


def test_failed_trials_are_last_whatever_they_came_to() -> None:
    trials = (
        make_trial("t001", [], FAILED, reason="out of memory"),
        make_trial("t002", [0.9], FAILED, reason="loss is nan"),
        make_trial("t003", [0.0], STOPPED),
    )
    assert order(*trials) == ["t003", "t001", "t002"]


def test_a_score_that_is_no_number_is_last() -> None:
    trials = (make_trial("t001", [float("nan")], FINISHED), make_trial("t002", [0.1], FINISHED))
    assert order(*trials) == ["t002", "t001"]


@pytest.mark.parametrize(
    "trials",
    [
        (),
        (make_trial("t001", [], FAILED, reason="x"), make_trial("t002", [0.9], FAILED)),
        (make_trial("t001", [float("nan")], FINISHED),),
    ],
)
def test_nobody_wins_when_no_trial_came_to_a_score(trials: tuple[Trial, ...]) -> None:
    assert board(*trials).winner is None


def test_the_table_shows_places_scores_epochs_and_what_was_drawn() -> None:
    header, first, second, third = shown(
        make_trial("t001", [0.5, 0.62, 0.6], FINISHED, values={"train.learning_rate": 0.00031}),
        make_trial("t002", [0.25], STOPPED, values={"labels.scheme": "IO"}),
        make_trial("t003", [], FAILED, reason="out of memory", values={"labels.scheme": "BIOES"}),
    )
    assert header.split() == [
        "trial", "f1", "precision", "recall", "accuracy", "loss", "epoch", "state", "params",
    ]  # fmt: skip
    scores = ["0.620", "0.620", "0.620", "0.900", "0.500"]
    epoch = ["2", "of", "3"]
    assert first.split() == ["1", "t001", *scores, *epoch, "finished", "learning_rate=0.00031"]
    assert second.split()[:3] == ["2", "t002", "0.250"]
    assert second.split()[-2:] == ["stopped", "scheme=IO"]
    assert third.split()[:3] == ["3", "t003", "-"]
    assert third.rstrip().endswith("failed    scheme=BIOES (out of memory)")


@pytest.mark.parametrize("reason", ["KeyError: '[/INST]'", "ValueError: tag [red]B-PER"])
def test_brackets_in_a_reason_are_shown_as_they_are(reason: str) -> None:
    assert reason in shown(make_trial("t001", [], FAILED, reason=reason))[-1]
