"""Which trial is served when weights are gone or were never saved, and what is said of it."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from sweeps.errors import NothingFinished, SweepError
from sweeps.outcome.choice import Choice, choose
from sweeps.outcome.leaderboard import Leaderboard
from sweeps.search.events import State, Trial
from sweeps.search.storage import storage_at, write_json
from sweeps.search.trial_folder import EPOCH, WEIGHTS, folder_of
from tests.sweeps.search.made_trials import make_trial

LOG = Path("ray.log")


def chosen(folder: Path, *trials: Trial) -> Choice:
    return choose(Leaderboard(trials, metric="val_f1"), storage_at(folder), LOG)


def saved(folder: Path, trial_id: str, epoch: int, f1: float) -> None:
    """Leave what a worker leaves of its best epoch."""
    storage = folder_of(storage_at(folder), trial_id).storage
    storage.write(WEIGHTS, partial(Path.write_bytes, data=b"w"))
    write_json(storage, EPOCH, {"number": epoch, "metrics": {"val_f1": f1}})


def over(name: str, *scores: float) -> Trial:
    return make_trial(name, scores, State.FINISHED)


def test_the_best_trial_is_served(tmp_path: Path) -> None:
    saved(tmp_path, "t001", 1, 0.5)
    saved(tmp_path, "t002", 2, 0.6)
    choice = chosen(tmp_path, over("t001", 0.5, 0.4), over("t002", 0.5, 0.6))
    assert (choice.winner.trial_id, choice.notes) == ("t002", [])


def test_the_next_best_is_served_where_the_best_has_no_weights(tmp_path: Path) -> None:
    saved(tmp_path, "t001", 1, 0.5)
    choice = chosen(tmp_path, over("t001", 0.5), over("t002", 0.6))
    assert choice.winner.trial_id == "t001"
    (note,) = choice.notes
    assert note.startswith("t002 is best, but its weights were removed")


def test_a_trial_whose_best_epoch_was_not_saved_says_which_one_is_served(tmp_path: Path) -> None:
    saved(tmp_path, "t001", 1, 0.5)
    choice = chosen(tmp_path, over("t001", 0.5, 0.75, 0.625))
    assert choice.winner.trial_id == "t001"
    (note,) = choice.notes
    assert "ranked by epoch 2 (val_f1 0.750), whose weights could not be saved" in note
    assert "served is its epoch 1 (0.500)" in note


def test_trials_that_came_to_scores_but_saved_no_weights_are_not_told_as_failed(
    tmp_path: Path,
) -> None:
    with pytest.raises(SweepError, match=r"no trial's weights are in .*; make room") as caught:
        chosen(tmp_path, over("t001", 0.5), over("t002", 0.6))
    assert not isinstance(caught.value, NothingFinished)
    assert "more trials than 2 (search.trials)" in str(caught.value)
    assert "without more trials --resume finds the same" in str(caught.value)


def test_no_trial_with_a_score_is_nothing_finished_and_says_each_reason(tmp_path: Path) -> None:
    failed = make_trial("t001", state=State.FAILED, reason="out of memory")
    with pytest.raises(NothingFinished, match=r"see ray.log\nt001: out of memory"):
        chosen(tmp_path, failed)
