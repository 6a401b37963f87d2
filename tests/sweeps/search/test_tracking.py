"""What MLflow is told, read back from a real store; and what happens when it cannot be reached."""

from __future__ import annotations

import json
import logging
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from sweeps.errors import RegistryError
from sweeps.search.events import State
from sweeps.search.mailbox import Epoch
from sweeps.search.tracking import DEFAULT_URI, PARENT_TAG, Tracker, flatten, tracking_uri
from tests.sweeps.search.made_trials import make_trial, metrics_at

PARAMS = {"searched.train.learning_rate": "loguniform", "search.trials": 3}
TAGS = {"sweep": "s", "offline": "false"}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """One sqlite store for all tests: making its tables takes seconds."""
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow') / 'mlflow.db'}"


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def run_of(tracker: Tracker, run_id: str) -> Any:
    return tracker._client.get_run(run_id)


def runs_of(tracker: Tracker) -> list[Any]:
    return list(tracker._client.search_runs([tracker.experiment_id]))


@pytest.mark.slow
def test_a_sweep_is_a_parent_run_with_a_child_a_trial(store: str) -> None:
    tracker = Tracker(store, "family")
    parent = tracker.open_sweep("conll", PARAMS, TAGS)
    for name in ("t001", "t002"):
        tracker.started(make_trial(name))
    runs = {run.info.run_name: run for run in runs_of(tracker)}
    assert set(runs) == {"conll", "t001", "t002"}
    assert runs["conll"].info.run_id == parent == tracker.run_id
    assert runs["conll"].data.params == {
        "searched.train.learning_rate": "loguniform",
        "search.trials": "3",
    }
    assert TAGS.items() <= runs["conll"].data.tags.items()
    for name in ("t001", "t002"):
        tags = runs[name].data.tags
        assert tags[PARENT_TAG] == parent
        assert tags["config_hash"] == f"hash-{name}"
        assert tags["status"] == "running"
        assert runs[name].info.status == "RUNNING"


@pytest.mark.slow
def test_a_trial_has_flat_parameters_and_metrics_with_steps(store: str) -> None:
    tracker = Tracker(store, "one trial")
    tracker.open_sweep("s", {}, {})
    trial = make_trial("t001")
    tracker.started(trial)
    for number, f1 in enumerate((0.25, 0.75, 0.5), 1):
        epoch = Epoch(number, metrics_at(f1))
        trial.epochs.append(epoch)
        tracker.epoch(trial, epoch)
    trial.state = State.FINISHED
    tracker.ended(trial)
    run = run_of(tracker, trial.run_id)
    assert run.data.params == {
        "train.learning_rate": "0.0001",
        "train.epochs": "3",
        "model.backbone": "b",
    }
    history = tracker._client.get_metric_history(trial.run_id, "val_f1")
    assert [(metric.step, metric.value) for metric in history] == [(1, 0.25), (2, 0.75), (3, 0.5)]
    assert run.data.metrics["words_per_second"] == 1234.0
    assert run.data.metrics["best_val_f1"] == 0.75
    assert run.data.metrics["best_epoch"] == 2
    assert run.data.tags["status"] == "finished"
    assert run.info.status == "FINISHED"


@pytest.mark.slow
def test_a_failed_trial_says_why(store: str) -> None:
    tracker = Tracker(store, "failed")
    tracker.open_sweep("s", {}, {})
    trial = make_trial("t001")
    tracker.started(trial)
    trial.state, trial.reason = State.FAILED, "out of memory " * 1000
    tracker.ended(trial)
    run = run_of(tracker, trial.run_id)
    assert run.info.status == "FAILED"
    assert run.data.tags["status"] == "failed"
    assert run.data.tags["reason"].startswith("out of memory")


@pytest.mark.slow
def test_the_winner_and_the_sweep_end_with_their_figures(store: str) -> None:
    tracker = Tracker(store, "winner")
    parent = tracker.open_sweep("s", {}, {})
    trial = make_trial("t001", [0.5], State.FINISHED)
    tracker.started(trial)
    tracker.ended(trial)
    scores = {"val_f1": 0.5, "test_f1": 0.4}
    tracker.log_winner(trial, scores)
    tracker.close_sweep(done=True, metrics=scores)
    child, whole = run_of(tracker, trial.run_id), run_of(tracker, parent)
    assert child.data.tags["winner"] == "true"
    assert child.data.metrics["test_f1"] == 0.4
    assert whole.data.metrics == scores
    assert whole.info.status == "FINISHED"


@pytest.mark.slow
def test_a_resumed_sweep_opens_the_same_runs_again(store: str) -> None:
    first = Tracker(store, "resumed")
    parent = first.open_sweep("s", PARAMS, TAGS)
    over = make_trial("t001", [0.5], State.FINISHED)
    cut = make_trial("t002", [0.1])
    for trial in (over, cut):
        first.started(trial)
        first.epoch(trial, trial.epochs[0])
    first.ended(over)
    first.close_sweep(done=False)
    assert run_of(first, parent).info.status == "KILLED"
    assert run_of(first, over.run_id).info.status == "FINISHED"
    assert run_of(first, cut.run_id).info.status == "KILLED"

    second = Tracker(store, "resumed")
    assert second.open_sweep("s", {"search.trials": 99}, TAGS, parent) == parent
    assert run_of(second, parent).info.status == "RUNNING"
    again = make_trial("t002", [0.1])
    second.started(again)
    assert again.run_id == cut.run_id
    second.epoch(again, Epoch(2, metrics_at(0.2)))
    new = make_trial("t003")
    second.started(new)
    assert sorted(run.info.run_name for run in runs_of(second)) == ["s", "t001", "t002", "t003"]
    assert run_of(second, parent).data.params["search.trials"] == "3"
    history = second._client.get_metric_history(cut.run_id, "val_f1")
    assert [metric.step for metric in history] == [1, 2]


@pytest.mark.slow
@pytest.mark.parametrize("uri", ["sqlite:///{file}/mlflow.db", "sqlite:///{file}", "ftp://{file}"])
def test_a_store_that_cannot_be_opened_is_a_registry_error(tmp_path: Path, uri: str) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("neither a folder nor a database")
    with pytest.raises(RegistryError, match=r"cannot be used: \S"):
        Tracker(uri.format(file=file), "s")


@pytest.mark.slow
def test_a_server_that_is_not_there_at_the_start_is_a_registry_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    uri = f"http://127.0.0.1:{closed_port()}"
    with pytest.raises(RegistryError, match=f"MLflow at {uri} cannot be used: "):
        Tracker(uri, "s")


@pytest.mark.slow
def test_a_server_that_is_not_there_is_found_out_in_seconds() -> None:
    # In a process of its own, so that it can be given up: MLflow tries again for minutes.
    code = (
        "from sweeps.errors import RegistryError\n"
        "from sweeps.search.tracking import Tracker\n"
        "try:\n"
        f"    Tracker('http://127.0.0.1:{closed_port()}', 's')\n"
        "except RegistryError:\n"
        "    print('said')\n"
    )
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=root, timeout=45
    )
    assert done.stdout == "said\n", done.stderr


class Server(BaseHTTPRequestHandler):
    """As much of MLflow's REST interface as a sweep needs to begin."""

    def do_GET(self) -> None:
        self._reply({"experiment": {"experiment_id": "7", "name": "s"}})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self._reply({"run": {"info": {"run_id": "r1", "run_uuid": "r1", "status": "RUNNING"}}})

    def _reply(self, body: object) -> None:
        raw = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, format: str, *args: object) -> None:
        return


@contextmanager
def serving() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.slow
def test_a_server_that_goes_away_is_said_once_and_stops_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_ENABLE_ASYNC_LOGGING", "false")
    with serving() as uri:
        tracker = Tracker(uri, "s")
        assert tracker.open_sweep("s", PARAMS, TAGS) == "r1"
    with caplog.at_level(logging.WARNING, logger="sweeps"):
        trial = make_trial("t001", [0.5])
        tracker.started(trial)
        tracker.epoch(trial, trial.epochs[0])
        trial.state = State.FINISHED
        tracker.ended(trial)
        tracker.log_winner(trial, {"test_f1": 0.5})
        tracker.close_sweep(done=True, metrics={})
    assert trial.run_id == ""
    (said,) = [record for record in caplog.records if record.name.startswith("sweeps")]
    assert uri in said.getMessage()
    assert "the sweep goes on" in said.getMessage()


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
