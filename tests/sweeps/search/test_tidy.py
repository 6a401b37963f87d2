"""What is removed while a sweep runs, and what never is."""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path

import pytest

from sweeps.search.events import State, Trial
from sweeps.search.storage import storage_at
from sweeps.search.tidy import Tidy
from sweeps.search.trial_folder import (
    DESCRIPTION,
    EPOCH,
    PREDICTIONS,
    STATE,
    WEIGHTS,
    TrialFolder,
    folder_of,
    has_weights,
)
from tests.sweeps.search.made_trials import make_trial

SIZES = {WEIGHTS: 1000, DESCRIPTION: 0, PREDICTIONS: 1, EPOCH: 30, STATE: 300}


def files(sweep: Path, name: str) -> TrialFolder:
    """Write what workers leave in a trial's folder."""
    folder = trial_folder(sweep, name)
    for file, size in SIZES.items():
        folder.storage.write(file, partial(Path.write_bytes, data=b"x" * size))
    return folder


def trial_folder(sweep: Path, name: str) -> TrialFolder:
    return folder_of(storage_at(sweep), name)


def tidy_of(sweep: Path, *, keep_top: int, budget: int | None = None) -> Tidy:
    return Tidy(storage_at(sweep), metric="val_f1", keep_top=keep_top, budget=budget)


def used(sweep: Path) -> int:
    return sum(stored.size for stored in storage_at(sweep / "trials").files().values())


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
    return [folder.name for folder in folders if has_weights(storage_at(sweep), folder.name)]


def test_weights_of_the_best_trials_stay_and_the_predictions_of_all(tmp_path: Path) -> None:
    tidy = tidy_of(tmp_path, keep_top=2)
    for number, f1 in enumerate((0.3, 0.5, 0.4, 0.2), 1):
        run(tmp_path, tidy, number, f1)
    assert with_weights(tmp_path) == ["t002", "t003"]
    for number in range(1, 5):
        folder = trial_folder(tmp_path, f"t{number:03d}")
        assert {*folder.storage.files()} - {WEIGHTS, DESCRIPTION} == {PREDICTIONS, EPOCH}
        assert (DESCRIPTION in folder.storage) == (WEIGHTS in folder.storage)


def test_a_running_trial_keeps_all_that_it_has(tmp_path: Path) -> None:
    tidy = tidy_of(tmp_path, keep_top=1, budget=1)
    running = run(tmp_path, tidy, 1, 0.1, State.RUNNING)
    run(tmp_path, tidy, 2, 0.9)
    assert with_weights(tmp_path) == ["t001", "t002"]
    assert STATE in trial_folder(tmp_path, "t001").storage
    running.state = State.STOPPED
    tidy.ended(running)
    assert with_weights(tmp_path) == ["t002"]


def test_a_failed_trial_keeps_no_weights_and_no_half_written_file(tmp_path: Path) -> None:
    tidy = tidy_of(tmp_path, keep_top=5)
    (tmp_path / "trials" / "t001" / "best").mkdir(parents=True)
    part = tmp_path / "trials" / "t001" / "best" / ".model.safetensors.part"
    part.write_bytes(b"half")
    trial = make_trial("t001", [0.9])
    tidy.started(trial)
    trial.state = State.FAILED
    tidy.ended(trial)
    assert not part.exists()


def test_what_a_kill_left_half_written_goes_with_the_end_of_the_best_trial_too(
    tmp_path: Path,
) -> None:
    tidy = tidy_of(tmp_path, keep_top=1)
    folder = files(tmp_path, "t001")
    parts = [".last.ckpt.0a1b2c3d.part", "best/.model.safetensors.0a1b2c3d.part"]
    for part in parts:
        Path(folder.storage.root, part).write_bytes(b"half")
    trial = make_trial("t001", [0.9])
    tidy.recall([trial])
    assert {*parts} < {*folder.storage.files()}, "it may still be written"
    trial.state = State.FINISHED
    tidy.ended(trial)
    assert {*folder.storage.files()} == {WEIGHTS, DESCRIPTION, PREDICTIONS, EPOCH}


def test_equal_trials_stay_as_the_leaderboard_ranks_them(tmp_path: Path) -> None:
    tidy = tidy_of(tmp_path, keep_top=1)
    for number, parameters in enumerate((200.0, 100.0, 100.0), 1):
        trial = make_trial(f"t{number:03d}", [0.5], State.FINISHED, parameters=parameters)
        files(tmp_path, trial.trial_id)
        tidy.started(trial)
        tidy.ended(trial)
    assert with_weights(tmp_path) == ["t002"]


def test_a_budget_takes_the_worst_first_and_never_the_best(tmp_path: Path) -> None:
    room = 3 * SIZES[WEIGHTS] + SIZES[STATE] + 200  # two that are over, and one that runs
    tidy = tidy_of(tmp_path, keep_top=10, budget=room)
    left = []
    for number, f1 in enumerate((0.3, 0.5, 0.4, 0.2), 1):
        run(tmp_path, tidy, number, f1)
        assert used(tmp_path) <= room
        left.append(with_weights(tmp_path))
    assert left[2] == ["t001", "t002", "t003"]
    assert left[3] == ["t002", "t003", "t004"]  # while t004 ran, t001 was the last


def test_a_budget_that_cannot_be_kept_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tidy = tidy_of(tmp_path, keep_top=3, budget=10)
    with caplog.at_level(logging.WARNING, "sweeps"):
        run(tmp_path, tidy, 1, 0.5)
        run(tmp_path, tidy, 2, 0.4)
    assert with_weights(tmp_path) == ["t001"]
    assert caplog.text.count("more than output.disk_budget") == 1


def test_a_resumed_sweep_obeys_the_file_as_it_is_now(tmp_path: Path) -> None:
    first = tidy_of(tmp_path, keep_top=5)
    past = [run(tmp_path, first, number, number / 10) for number in range(1, 4)]
    files(tmp_path, "t009")  # of an earlier search space
    tidy_of(tmp_path, keep_top=2).recall(past)
    assert with_weights(tmp_path) == ["t002", "t003", "t009"]
    tidy_of(tmp_path, keep_top=2, budget=2500).recall(past)
    assert with_weights(tmp_path) == ["t002", "t003"]


def test_an_interrupted_trial_is_not_tidied_before_it_goes_on(tmp_path: Path) -> None:
    files(tmp_path, "t001")
    tidy_of(tmp_path, keep_top=1, budget=1).recall([make_trial("t001", [0.1])])
    assert with_weights(tmp_path) == ["t001"]
    assert STATE in trial_folder(tmp_path, "t001").storage


def test_a_storage_that_fails_stops_nothing_and_is_tidied_when_it_answers(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tidy = tidy_of(tmp_path, keep_top=1)
    run(tmp_path, tidy, 1, 0.9)
    trials = tmp_path / "trials"
    trials.rename(tmp_path / "elsewhere")
    trials.write_text("no folder")
    with caplog.at_level(logging.WARNING, "sweeps"):
        for number in (2, 3):
            tidy.ended(make_trial(f"t{number:03d}", [0.1], State.FINISHED))
    assert caplog.text.count("cannot be tidied, the sweep goes on") == 1
    trials.unlink()
    (tmp_path / "elsewhere").rename(trials)
    run(tmp_path, tidy, 4, 0.5)
    assert with_weights(tmp_path) == ["t001"]
