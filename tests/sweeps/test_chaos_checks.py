"""What the chaos benchmark looks for is seen where it is: in a ledger, in MLflow, in /proc."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from benchmarks._chaos_checks import ledger_wrong, mlflow_wrong, processes_left
from sweeps.search.events import Trial
from sweeps.search.ledger import NAME, VERSION, History, read_ledger
from sweeps.search.shown import End, SweepRun
from sweeps.search.tracking import Tracker
from tests.sweeps.run_made import MARK, environment
from tests.sweeps.search.made_trials import metrics_at

CONFIGURATIONS = {"a": 2, "b": 1}
DONE = {"event": "done", "winner": "t001", "bundle": ""}


def told(folder: Path, *lines: Mapping[str, Any]) -> History:
    """Read a ledger of these lines, with a header before them."""
    header = {"event": "sweep", "version": VERSION, "name": "small", "space": "", "run_id": ""}
    text = "".join(json.dumps({"time": 1.0, **line}) + "\n" for line in (header, *lines))
    (folder / NAME).write_text(text, encoding="utf-8")
    return read_ledger(folder)


def trial(name: str, config_hash: str, epochs: int, state: str = "finished") -> list[Any]:
    about = {"values": {}, "config": {}, "config_hash": config_hash}
    scored = [{"number": each, "metrics": metrics_at(0.5)} for each in range(1, epochs + 1)]
    return [
        {"event": "started", "trial": name, **about},
        *({"event": "epoch", "trial": name, **each} for each in scored),
        {"event": "ended", "trial": name, "state": state, "reason": "why"},
    ]


GOOD = [*trial("t001", "a", 2), *trial("t002", "b", 1), DONE]


def test_a_ledger_with_one_good_trial_a_configuration_is_good(tmp_path: Path) -> None:
    assert ledger_wrong(told(tmp_path, *GOOD), CONFIGURATIONS) == []


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        ([*trial("t001", "a", 2), DONE], "b never ran"),
        (GOOD[:-1], "the sweep is not done"),
        ([*trial("t001", "a", 1), *trial("t002", "b", 1), DONE], "t001 has epochs [1]"),
        ([*trial("t001", "a", 2), *trial("t002", "b", 1, "failed"), DONE], "t002 is failed: why"),
        ([*GOOD[:-1], *trial("t003", "b", 1), DONE], "b ran 2 times"),
        ([*GOOD[:-1], *trial("t003", "c", 0), DONE], "c is not of the space"),
    ],
)
def test_a_ledger_that_is_not_as_it_should_be_is_seen(
    tmp_path: Path, lines: list[Any], found: str
) -> None:
    assert found in ledger_wrong(told(tmp_path, *lines), CONFIGURATIONS)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """One sqlite store for all tests: making its tables takes seconds."""
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow') / 'mlflow.db'}"


def tracked(uri: str, experiment: str, trials: list[Trial]) -> Tracker:
    """Write trials and the sweep's end, the first as its winner."""
    tracker = Tracker(uri, experiment, SweepRun("small", f"id-{experiment}"))
    tracker.connect()
    tracker.open()
    for each in trials:
        tracker.write(each)
    tracker.close(End(2.0, trials[0]))
    return tracker


def test_a_store_with_one_ended_run_a_trial_is_good(tmp_path: Path, store: str) -> None:
    history = told(tmp_path, *GOOD)
    tracked(store, "good", history.trials)
    assert mlflow_wrong(store, "good", history) == []


def test_what_is_twice_in_a_store_or_still_runs_is_seen(tmp_path: Path, store: str) -> None:
    history = told(tmp_path, *GOOD)
    tracked(store, "bad", history.trials)
    again = Tracker(store, "bad", SweepRun("small", "another"))
    again.connect()
    again.open()
    again.write(history.trials[0])
    assert mlflow_wrong(store, "bad", history) == [
        "2 runs of the sweep itself",
        "runs of trials: {'t001': 2, 't002': 1}",
        "small is RUNNING",
    ]


def test_an_epoch_that_a_store_lacks_or_has_twice_is_seen(tmp_path: Path, store: str) -> None:
    history = told(tmp_path, *GOOD)
    first, second = history.trials
    tracker = tracked(store, "steps", [first, second])
    first.epochs.pop()
    tracker._client.log_metric(tracker.run_of("t002"), "val_f1", 0.5, step=1)
    assert sorted(mlflow_wrong(store, "steps", history)) == [
        "t001 has steps [1, 2]",
        "t002 has steps [1, 1]",
    ]


@contextmanager
def process(title: str, mark: Path) -> Iterator[int]:
    """Have a process of this title, marked as started by `mark`."""
    env = environment(**{MARK: str(mark)})
    with subprocess.Popen([title, "60"], executable="/bin/sleep", env=env) as sleeping:
        try:
            yield sleeping.pid
        finally:
            sleeping.kill()


def test_a_process_that_stays_is_seen_but_not_what_any_ray_has(tmp_path: Path) -> None:
    driver, cluster = tmp_path / "driver", tmp_path / "cluster"
    with (
        process("ray::IDLE", cluster),
        process("raylet", cluster),
        process("ray::RayTrainWorker.execute", cluster) as worker,
        process("python", driver) as child,
    ):
        assert processes_left(driver, cluster) == {
            str(worker): "ray::RayTrainWorker.execute",
            str(child): "of the driver",
        }
    assert processes_left(driver, cluster) == {}
