"""What is removed while a sweep runs, and what never is."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from sweeps.search.events import State, Trial
from sweeps.search.tidy import Tidy, used_by
from sweeps.search.trial_folder import TrialFolder, folder_of, has_weights
from tests.sweeps.search.made_trials import make_trial

WEIGHTS, STATE = 1000, 300


def files(sweep: Path, name: str) -> TrialFolder:
    """Write what workers leave in a trial's folder."""
    folder = TrialFolder(folder_of(sweep, name))
    folder.weights.parent.mkdir(parents=True)
    folder.weights.write_bytes(b"w" * WEIGHTS)
    folder.predictions.write_bytes(b"p")
    (folder.folder / "best" / "epoch.json").write_text(json.dumps({"number": 1, "metrics": {}}))
    folder.state.write_bytes(b"s" * STATE)
    return folder


def run(sweep: Path, tidy: Tidy, number: int, f1: float, state: State = State.FINISHED) -> Trial:
    """Let a trial start, score and end as the driver tells it."""
    trial = make_trial(f"t{number:03d}", [f1])
    files(sweep, trial.trial_id)
    tidy.started(trial)
    tidy.epoch(trial, trial.epochs[-1])
    if state is not State.RUNNING:
        trial.state = state
        tidy.ended(trial)
    return trial


def with_weights(sweep: Path) -> list[str]:
    folders = sorted((sweep / "trials").iterdir())
    return [folder.name for folder in folders if has_weights(sweep, folder.name)]


def test_weights_of_the_best_trials_stay_and_the_predictions_of_all(tmp_path: Path) -> None:
    tidy = Tidy(tmp_path, metric="val_f1", keep_top=2)
    for number, f1 in enumerate((0.3, 0.5, 0.4, 0.2), 1):
        run(tmp_path, tidy, number, f1)
    assert with_weights(tmp_path) == ["t002", "t003"]
    for number in range(1, 5):
        folder = TrialFolder(folder_of(tmp_path, f"t{number:03d}"))
        assert folder.predictions.is_file()
        assert folder.best() is not None
        assert not folder.state.exists()


def test_a_running_trial_keeps_all_that_it_has(tmp_path: Path) -> None:
    tidy = Tidy(tmp_path, metric="val_f1", keep_top=1, budget=1)
    running = run(tmp_path, tidy, 1, 0.1, State.RUNNING)
    run(tmp_path, tidy, 2, 0.9)
    assert with_weights(tmp_path) == ["t001", "t002"]
    assert TrialFolder(folder_of(tmp_path, "t001")).state.exists()
    running.state = State.STOPPED
    tidy.ended(running)
    assert with_weights(tmp_path) == ["t002"]


def test_a_failed_trial_keeps_no_weights_and_no_half_written_file(tmp_path: Path) -> None:
    tidy = Tidy(tmp_path, metric="val_f1", keep_top=5)
    (tmp_path / "trials" / "t001" / "best").mkdir(parents=True)
    part = tmp_path / "trials" / "t001" / "best" / ".model.safetensors.part"
    part.write_bytes(b"half")
    trial = make_trial("t001", [0.9])
    tidy.started(trial)
    trial.state = State.FAILED
    tidy.ended(trial)
    assert not part.exists()


def test_equal_trials_stay_as_the_leaderboard_ranks_them(tmp_path: Path) -> None:
    tidy = Tidy(tmp_path, metric="val_f1", keep_top=1)
    for number, parameters in enumerate((200.0, 100.0, 100.0), 1):
        trial = make_trial(f"t{number:03d}", [0.5], State.FINISHED, parameters=parameters)
        files(tmp_path, trial.trial_id)
        tidy.started(trial)
        tidy.ended(trial)
    assert with_weights(tmp_path) == ["t002"]


def test_a_budget_takes_the_worst_first_and_never_the_best(tmp_path: Path) -> None:
    room = 3 * WEIGHTS + STATE + 200  # two that are over, and one that runs
    tidy = Tidy(tmp_path, metric="val_f1", keep_top=10, budget=room)
    left = []
    for number, f1 in enumerate((0.3, 0.5, 0.4, 0.2), 1):
        run(tmp_path, tidy, number, f1)
        assert used_by(tmp_path / "trials") <= room
        left.append(with_weights(tmp_path))
    assert left[2] == ["t001", "t002", "t003"]
    assert left[3] == ["t002", "t003", "t004"]  # while t004 ran, t001 was the last


def test_a_budget_that_cannot_be_kept_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tidy = Tidy(tmp_path, metric="val_f1", keep_top=3, budget=10)
    with caplog.at_level(logging.WARNING, "sweeps"):
        run(tmp_path, tidy, 1, 0.5)
        run(tmp_path, tidy, 2, 0.4)
    assert with_weights(tmp_path) == ["t001"]
    assert caplog.text.count("more than output.disk_budget") == 1


def test_a_resumed_sweep_obeys_the_file_as_it_is_now(tmp_path: Path) -> None:
    first = Tidy(tmp_path, metric="val_f1", keep_top=5)
    past = [run(tmp_path, first, number, number / 10) for number in range(1, 4)]
    files(tmp_path, "t009")  # of an earlier search space
    Tidy(tmp_path, metric="val_f1", keep_top=2).recall(past)
    assert with_weights(tmp_path) == ["t002", "t003", "t009"]
    Tidy(tmp_path, metric="val_f1", keep_top=2, budget=2500).recall(past)
    assert with_weights(tmp_path) == ["t002", "t003"]


def test_an_interrupted_trial_is_not_tidied_before_it_goes_on(tmp_path: Path) -> None:
    files(tmp_path, "t001")
    Tidy(tmp_path, metric="val_f1", keep_top=1, budget=1).recall([make_trial("t001", [0.1])])
    assert with_weights(tmp_path) == ["t001"]
    assert TrialFolder(folder_of(tmp_path, "t001")).state.exists()


def test_a_folder_that_is_not_there_takes_nothing(tmp_path: Path) -> None:
    assert used_by(tmp_path / "none") == 0
