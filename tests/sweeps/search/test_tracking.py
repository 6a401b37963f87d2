"""What MLflow is told, read back from a real store."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sweeps.errors import RegistryError
from sweeps.search.events import Retry, State, Trial
from sweeps.search.mailbox import Epoch
from sweeps.search.shown import End, Figures, SweepRun, flatten
from sweeps.search.tracking import DEFAULT_URI, PARENT_TAG, Tracker, tracking_uri
from tests.sweeps.search.made_trials import make_trial, metrics_at
from tests.sweeps.search.told_script import Faulty

PARAMS = {"searched.train.learning_rate": "loguniform", "search.trials": 3}
TAGS = {"sweep": "s", "offline": "false"}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """One sqlite store for all tests: making its tables takes seconds."""
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow') / 'mlflow.db'}"


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def opened(uri: str, name: str, **more: Any) -> Tracker:
    """Open the run of a sweep in an experiment of its own."""
    tracker = Tracker(uri, name, SweepRun("s", f"id-{name}", **more))
    tracker.connect()
    tracker.open()
    return tracker


def run_of(tracker: Tracker, trial_id: str = "") -> Any:
    """Read a trial's run, or the sweep's own."""
    return tracker._client.get_run(tracker.run_of(trial_id))


def runs_of(tracker: Tracker) -> list[Any]:
    return list(tracker._client.search_runs([tracker._experiment_id]))


def history(tracker: Tracker, trial_id: str, metric: str) -> list[Any]:
    return list(tracker._client.get_metric_history(tracker.run_of(trial_id), metric))


def over(name: str, scores: list[float], state: State = State.FINISHED) -> Trial:
    trial = make_trial(name, scores, state)
    trial.ended_at = trial.started_at + 60
    return trial


@pytest.mark.slow
def test_a_sweep_is_a_parent_run_with_a_child_a_trial(store: str) -> None:
    tracker = opened(store, "family", params=PARAMS, tags=TAGS)
    for name in ("t001", "t002"):
        tracker.write(make_trial(name))
    runs = {run.info.run_name: run for run in runs_of(tracker)}
    assert set(runs) == {"s", "t001", "t002"}
    assert runs["s"].data.params == {
        "searched.train.learning_rate": "loguniform",
        "search.trials": "3",
    }
    assert TAGS.items() <= runs["s"].data.tags.items()
    for name in ("t001", "t002"):
        tags = runs[name].data.tags
        assert tags[PARENT_TAG] == runs["s"].info.run_id
        assert tags["config_hash"] == f"hash-{name}"
        assert tags["status"] == "running"
        assert tags["offline"] == "false"
        assert runs[name].info.status == "RUNNING"


@pytest.mark.slow
def test_a_trial_has_flat_parameters_and_metrics_with_steps_and_true_times(store: str) -> None:
    tracker = opened(store, "one trial")
    trial = make_trial("t001")
    trial.started_at = 1_700_000_000.0
    for number, f1 in enumerate((0.25, 0.75, 0.5), 1):
        trial.epochs.append(Epoch(number, metrics_at(f1), 1_700_000_000.0 + 100 * number))
        tracker.write(trial)
    trial.retries.append(Retry("out of memory", 2))
    trial.state, trial.ended_at = State.FINISHED, 1_700_000_333.5
    tracker.write(trial)
    run = run_of(tracker, "t001")
    assert run.data.params == {
        "train.learning_rate": "0.0001",
        "train.epochs": "3",
        "model.backbone": "b",
    }
    told = [
        (point.step, point.value, point.timestamp) for point in history(tracker, "t001", "val_f1")
    ]
    assert told == [
        (1, 0.25, 1_700_000_100_000),
        (2, 0.75, 1_700_000_200_000),
        (3, 0.5, 1_700_000_300_000),
    ]
    assert run.data.metrics["words_per_second"] == 1234.0
    assert run.data.metrics["best_val_f1"] == 0.75
    assert run.data.metrics["best_epoch"] == 2
    assert run.data.tags["status"] == "finished"
    assert (run.data.tags["retries"], run.data.tags["batches_cut_into"]) == ("1", "2")
    assert run.info.status == "FINISHED"
    assert (run.info.start_time, run.info.end_time) == (1_700_000_000_000, 1_700_000_333_500)


@pytest.mark.slow
def test_epochs_of_more_metrics_than_a_call_takes_are_all_written(store: str) -> None:
    tracker = opened(store, "many")
    types = {f"val_f1_{number}": 0.5 for number in range(700)}
    trial = make_trial("t001", [0.1, 0.2, 0.3])
    for epoch in trial.epochs:
        epoch.metrics.update(types)
    tracker.write(trial)
    for metric in ("val_f1", "val_f1_0", "val_f1_699"):
        assert [point.step for point in history(tracker, "t001", metric)] == [1, 2, 3]


@pytest.mark.slow
def test_a_failed_trial_says_why(store: str) -> None:
    tracker = opened(store, "failed")
    trial = over("t001", [], State.FAILED)
    trial.reason = "out of memory " * 1000
    tracker.write(trial)
    run = run_of(tracker, "t001")
    assert run.info.status == "FAILED"
    assert run.data.tags["status"] == "failed"
    assert run.data.tags["reason"].startswith("out of memory")


@pytest.mark.slow
def test_the_winner_and_the_sweep_end_with_their_figures(store: str) -> None:
    tracker = opened(store, "winner")
    trial = over("t001", [0.5])
    tracker.write(trial)
    scores = {"val_f1": 0.5, "test_f1": 0.4}
    tracker.close(End(trial.started_at + 100, trial, scores))
    child, whole = run_of(tracker, "t001"), run_of(tracker)
    assert child.data.tags["winner"] == "true"
    assert child.data.metrics["test_f1"] == 0.4
    assert child.info.end_time == round(trial.started_at * 1000) + 60_000
    assert whole.data.metrics == scores
    assert whole.info.status == "FINISHED"


@pytest.mark.slow
def test_a_resumed_sweep_opens_the_same_runs_again(store: str) -> None:
    first = opened(store, "resumed", params=PARAMS, tags=TAGS)
    done, cut = over("t001", [0.5]), make_trial("t002", [0.1])
    for trial in (done, cut):
        first.write(trial)
    first.close(End(done.started_at + 100))
    assert run_of(first).info.status == "KILLED"
    assert run_of(first, "t001").info.status == "FINISHED"
    assert run_of(first, "t002").info.status == "KILLED"

    second = opened(store, "resumed", params={"search.trials": 99}, resumed=True)
    assert second.run_of("") == first.run_of("")
    assert run_of(second).info.status == "RUNNING"
    cut.epochs.append(Epoch(2, metrics_at(0.2)))
    for trial in (done, cut, make_trial("t003")):
        second.write(trial)
    assert second.run_of("t002") == first.run_of("t002")
    assert run_of(second, "t002").info.status == "RUNNING"
    assert sorted(run.info.run_name for run in runs_of(second)) == ["s", "t001", "t002", "t003"]
    assert run_of(second).data.params["search.trials"] == "3"
    assert [point.step for point in history(second, "t002", "val_f1")] == [1, 2]
    assert [point.step for point in history(second, "t001", "val_f1")] == [1]


@pytest.mark.slow
def test_the_sweeps_figures_are_written_once_and_gaps_are_filled(store: str) -> None:
    steps = [Figures(n, 1_700_000_000.0 + n, {"trials_over": float(n)}) for n in range(1, 400)]
    first = opened(store, "figures")
    first.survey(steps[:2], {"time_left": "about 2 h"})
    first.survey([*steps[:2], steps[3]], {})  # the third was never written
    second = opened(store, "figures", resumed=True)
    second.survey(steps[:300], {})
    second._client = Faulty(second._client, 1, done=True)
    with pytest.raises(ConnectionResetError):
        second.survey(steps, {"time_left": "none"})
    second.survey(steps, {"time_left": "none"})
    told = sorted((point.step, point.value) for point in history(second, "", "trials_over"))
    assert told == [(number, float(number)) for number in range(1, 400)]
    assert run_of(second).data.tags["time_left"] == "none"


@pytest.mark.slow
def test_a_trial_whose_end_the_ledger_lost_has_its_figures_once(store: str) -> None:
    trial = over("t001", [0.5])
    opened(store, "lost end").write(trial)
    second = opened(store, "lost end", resumed=True)
    trial.state = State.RUNNING
    second.write(trial)
    trial.state, trial.ended_at = State.FINISHED, trial.started_at + 90
    second.write(trial)
    assert run_of(second, "t001").info.end_time == round(trial.started_at * 1000) + 90_000
    for metric in ("best_val_f1", "best_epoch", "val_f1"):
        assert len(history(second, "t001", metric)) == 1


@pytest.mark.slow
def test_runs_of_a_sweep_from_before_tags_are_found_by_their_ids_and_names(store: str) -> None:
    first = opened(store, "older")
    own = first.run_of("")
    first.write(make_trial("t001", [0.1]))
    for run_id, tag in ((own, "sweep_id"), (first.run_of("t001"), "trial")):
        first._client.delete_tag(run_id, tag)
    second = opened(store, "older", run_id=own, resumed=True)
    second.write(over("t001", [0.1]))
    assert len(runs_of(second)) == 2
    assert run_of(second, "t001").info.status == "FINISHED"


@pytest.mark.slow
@pytest.mark.parametrize("uri", ["sqlite:///{file}/mlflow.db", "sqlite:///{file}", "ftp://{file}"])
def test_a_store_that_cannot_be_opened_is_a_registry_error(tmp_path: Path, uri: str) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("neither a folder nor a database")
    with pytest.raises(RegistryError, match=r"cannot be used: \S"):
        Tracker(uri.format(file=file), "s", SweepRun("s", "id")).connect()


@pytest.mark.slow
def test_a_server_that_is_not_there_at_the_start_is_a_registry_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    uri = f"http://127.0.0.1:{closed_port()}"
    with pytest.raises(RegistryError, match=f"MLflow at {uri} cannot be used: "):
        Tracker(uri, "s", SweepRun("s", "id")).connect()


@pytest.mark.slow
def test_a_server_that_is_not_there_is_found_out_in_seconds() -> None:
    # In a process of its own, so that it can be given up: MLflow tries again for minutes.
    code = (
        "from sweeps.errors import RegistryError\n"
        "from sweeps.search.shown import SweepRun\n"
        "from sweeps.search.tracking import Tracker\n"
        "try:\n"
        f"    Tracker('http://127.0.0.1:{closed_port()}', 's', SweepRun('s', 'i')).connect()\n"
        "except RegistryError:\n"
        "    print('said')\n"
    )
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=root, timeout=45
    )
    assert done.stdout == "said\n", done.stderr


@pytest.mark.slow
def test_the_environment_is_as_it_was_once_mlflow_was_called(
    store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "77")
    before = dict(os.environ)
    opened(store, "environment").write(make_trial("t001"))
    assert dict(os.environ) == before


def test_the_environment_wins_over_the_file_and_the_file_over_the_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert tracking_uri(None) == DEFAULT_URI
    assert tracking_uri("sqlite:///mine.db") == "sqlite:///mine.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000")
    assert tracking_uri("sqlite:///mine.db") == "http://127.0.0.1:5000"


def test_nested_configuration_is_flattened_into_dotted_names() -> None:
    nested = {"train": {"learning_rate": 1e-4, "warmup": None}, "x": [1, "a"], "s": "IOB2"}
    assert flatten(nested) == {
        "train.learning_rate": "0.0001",
        "train.warmup": "null",
        "x": '[1, "a"]',
        "s": "IOB2",
    }
    assert flatten({"labels": {"types": {"MISC": None}, "score_types": None}}) == {
        "labels.types": '{"MISC": null}',
        "labels.score_types": "null",
    }
    assert flatten({"data": {"source": {"train": Path("a").name}}}, "p.") == {
        "p.data.source.train": "a"
    }
