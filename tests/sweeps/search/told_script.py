"""A scripted sweep for MLflow, what it left in a database, and a client whose calls fail."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from sweeps.search.background import InBackground
from sweeps.search.events import Retry, State, Trial
from sweeps.search.mailbox import Epoch
from sweeps.search.shown import End, SweepRun
from tests.sweeps.search.made_trials import make_trial, metrics_at

BEGAN = 1_700_000_000.0
SWEEP = SweepRun("s", "id", params={"search.trials": 2}, tags={"offline": "false"})
MUTATING = ("create_run", "log_batch", "set_terminated", "update_run")
Event = Callable[[InBackground], None]


def script() -> list[Event]:
    """Tell two trials that take turns, in steps; times are the same each time it is made."""
    trials = [make_trial(name) for name in ("t001", "t002")]
    steps: list[Event] = []
    for number, trial in enumerate(trials):
        trial.started_at = BEGAN + number
        steps.append(partial(_start, trial))
    for epoch in (1, 2, 3):
        for trial in trials:
            steps.append(partial(_epoch, trial, epoch))
    steps.append(partial(_retry, trials[1]))
    for trial, state in zip(trials, (State.FINISHED, State.FAILED), strict=True):
        steps.append(partial(_end, trial, state))
    return steps


def _start(trial: Trial, told: InBackground) -> None:
    told.started(trial)


def _epoch(trial: Trial, number: int, told: InBackground) -> None:
    trial.epochs.append(Epoch(number, metrics_at(0.1 * number), BEGAN + 60 * number))
    told.epoch(trial, trial.epochs[-1])


def _retry(trial: Trial, told: InBackground) -> None:
    trial.retries.append(Retry("out of memory", 2))
    told.retried(trial, trial.retries[-1])


def _end(trial: Trial, state: State, told: InBackground) -> None:
    trial.state, trial.ended_at = state, BEGAN + 500
    told.ended(trial)


def the_end() -> End:
    winner = make_trial("t001", [0.1, 0.2, 0.3], State.FINISHED)
    winner.ended_at = BEGAN + 500
    return End(BEGAN + 600, winner, {"val_f1": 0.3, "test_f1": 0.25})


def recorded(database: Path) -> dict[str, Any]:
    """Read all that matters off a store, ids of runs put into names; points with their times."""
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as db:
        runs = db.execute(
            "select run_uuid, name, status, start_time, end_time from runs"
        ).fetchall()
        names = {row[0]: row[1] for row in runs}
        assert len(set(names.values())) == len(runs), "no run is there twice"
        tables = {
            "params": "select run_uuid, key, value from params",
            "metrics": "select run_uuid, key, value, timestamp, step from metrics",
            "tags": "select run_uuid, key, value from tags where key not like 'mlflow.%'",
        }
        found: dict[str, Any] = {
            table: sorted((names[row[0]], *row[1:]) for row in db.execute(query))
            for table, query in tables.items()
        }
    points = [(run, key, step) for run, key, _, _, step in found["metrics"]]
    assert len(set(points)) == len(points), "no point is there twice"
    # The sweep's own run begins when it is made.
    return found | {
        "runs": sorted((row[1], row[2], row[3] * (row[1] != "s"), row[4]) for row in runs)
    }


class Faulty:
    """A client of a real store, whose call number `at` that changes something fails.

    `done` says whether it is carried out all the same, and only its answer is lost; `dead` that
    every later call fails too, and is not carried out.
    """

    def __init__(self, client: Any, at: int, *, done: bool, dead: bool = False) -> None:
        self._client, self._at, self._done, self._dead = client, at, done, dead
        self.calls = 0

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._client, name)
        return self._counted(call) if name in MUTATING else call

    def _counted(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **kwargs: Any) -> Any:
            self.calls += 1
            if self.calls < self._at or (self.calls > self._at and not self._dead):
                return call(*args, **kwargs)
            if self.calls == self._at and self._done:
                call(*args, **kwargs)
            raise ConnectionResetError("the server is gone")

        return counted
