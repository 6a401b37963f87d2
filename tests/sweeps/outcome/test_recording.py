"""What a driver that is cut off leaves in MLflow: runs that ended, unless another goes on with
them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from sweeps.outcome.delivery import recording
from sweeps.search.events import State, Trial
from sweeps.search.ledger import Ledger
from sweeps.search.resume import Recalled
from sweeps.search.shown import End, Figures
from tests.sweeps.search.made_trials import make_space, make_trial


class Store:
    """Writes down what MLflow is told."""

    uri = "sqlite:///none.db"

    def __init__(self) -> None:
        self.told: list[str] = []

    def open(self) -> None:
        self.told.append("open")

    def write(self, trial: Trial) -> None:
        self.told.append(trial.trial_id)

    def survey(self, steps: Sequence[Figures], tags: Mapping[str, str]) -> None:
        self.told.append(f"{len(steps)} steps")

    def close(self, end: End) -> None:
        self.told.append("closed")


def cut_off(folder: Path, *, followed: bool, past: Recalled | None = None) -> list[str]:
    """Interrupt a recording that had time to write, and give what MLflow was told."""
    store, ready = Store(), SimpleNamespace(space=make_space(folder))
    parts: Any = (ready, Ledger(folder), store, past or Recalled([], []), None)
    with suppress(KeyboardInterrupt), recording(*parts, followed=lambda: followed) as record:
        assert record.tracking.settle(within=5) == []
        raise KeyboardInterrupt
    return store.told


def test_the_runs_of_a_driver_that_is_interrupted_have_ended(tmp_path: Path) -> None:
    assert cut_off(tmp_path, followed=False) == ["open", "closed"]


def test_the_runs_of_a_driver_that_was_followed_are_left_to_the_other(tmp_path: Path) -> None:
    assert cut_off(tmp_path, followed=True) == ["open"]


def test_figures_of_earlier_sessions_are_offered_again(tmp_path: Path) -> None:
    kept, left_out = (make_trial(name, [0.5], State.FINISHED) for name in ("t001", "t002"))
    told = cut_off(tmp_path, followed=True, past=Recalled([kept], [left_out]))
    assert told == ["open", "t001", "4 steps"]
