"""The commands printed at the end are those that work from here."""

from __future__ import annotations

from pathlib import Path

import pytest

from sweeps.outcome.finish import Finished
from sweeps.outcome.leaderboard import Leaderboard
from sweeps.outcome.registry import Registered
from sweeps.outcome.report import Outcome, next_steps
from sweeps.search.tracking import DEFAULT_URI
from tests.sweeps.search.made_trials import make_trial


def outcome(tracking: str, registered: Registered | None) -> Outcome:
    trial = make_trial(scores=[0.5])
    board = Leaderboard([trial], metric="val_f1")
    bundle = Finished(Path("/b"), {})
    return Outcome(Path("/s"), board, trial, bundle, registered, tracking)


@pytest.fixture(autouse=True)
def no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def test_a_champion_is_served_by_its_alias_and_anything_else_by_its_folder() -> None:
    champion = Registered("ner", "2", champion=True, why="better")
    beaten = Registered("ner", "3", champion=False, why="worse")
    assert dict(next_steps(outcome(DEFAULT_URI, champion)))["serve the model"] == (
        "python -m sweeps.serve models:/ner@champion"
    )
    for registered in (beaten, None):
        steps = dict(next_steps(outcome(DEFAULT_URI, registered)))
        assert steps["serve the model"] == "python -m sweeps.serve /b"


def test_another_tracking_store_is_named_where_a_command_must_find_it() -> None:
    champion = Registered("ner", "1", champion=True, why="first")
    steps = dict(next_steps(outcome("http://mlflow:5000", champion)))
    assert steps["compare the trials in MLflow"] == "open http://mlflow:5000"
    assert steps["serve the model"].startswith("MLFLOW_TRACKING_URI=http://mlflow:5000 python")
