"""What is left to register or to write to MLflow: said when it cannot be done, done by --resume."""

from __future__ import annotations

import io
import time
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

import sweeps.outcome.delivery as delivery_module
from sweeps.console import Stages
from sweeps.errors import RegistryError
from sweeps.outcome.delivery import deliver, left_from, make_tracker, recording
from sweeps.outcome.finish import Finished
from sweeps.outcome.leaderboard import Leaderboard
from sweeps.preflight import Ready, preflight
from sweeps.search.events import State, Trial
from sweeps.search.ledger import History, Ledger, read_ledger
from sweeps.space.space import load_space
from tests.sweeps.run_made import Done, command, environment, make_world
from tests.sweeps.search.made_trials import make_trial
from tests.sweeps.search.test_tracking import closed_port
from tests.tokcls.inference.made import make_bundle

pytestmark = pytest.mark.slow

MEASURED = ("f1", "precision", "recall", "accuracy", "loss")
METRICS = {f"{split}_{name}": 0.5 for split in ("val", "test") for name in MEASURED}
RUN = Path("runs/small/2026-01-01T00-00-00")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    make_world(folder)
    make_bundle(folder / RUN)
    return folder


@pytest.fixture
def ready(world: Path, monkeypatch: pytest.MonkeyPatch) -> Ready:
    monkeypatch.chdir(world)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return preflight(load_space(world / "s.yaml", []))


def trials_of(ready: Ready) -> list[Trial]:
    """Make trials that are over, one a scheme."""
    trials = []
    for number, scheme in enumerate(("IOB2", "BIOES"), 1):
        values = {"labels.scheme": scheme, "train.learning_rate": 0.015}
        trial = make_trial(f"t{number:03}", [0.2 * number], State.FINISHED, values=values)
        config = ready.space.trial(values)
        trial.config, trial.config_hash = config.model_dump(mode="json"), config.config_hash
        trial.ended_at = trial.started_at + 1
        trials.append(trial)
    return trials


def ledger_of(ready: Ready, folder: Path) -> History:
    """Write the ledger of a sweep that came as far as its bundle."""
    space, ledger = ready.space, Ledger(folder)
    file = {"space": space.to_yaml(), "space_hash": space.space_hash}
    ledger.open_sweep(name="small", corpus=ready.corpus.fingerprint, sweep_id="one", **file)
    for trial in trials_of(ready):
        ledger.started(trial)
        ledger.epoch(trial, trial.epochs[0])
        ledger.ended(trial)
    bundle = str(Path(RUN / "bundle").resolve())
    ledger.write("bundled", winner="t002", bundle=bundle, metrics=METRICS)
    return read_ledger(folder)


def delivered(ready: Ready, folder: Path) -> tuple[Finished, str, list[str]]:
    """Deliver to a server that is not there; give what was said and the ledger's events too."""
    history = ledger_of(ready, folder)
    left = left_from(history, ready.space)
    assert left is not None
    said = io.StringIO()
    stages = Stages(Console(file=said, width=1000))
    board = Leaderboard(history.trials, metric="val_f1")
    tracker = make_tracker(ready, folder, history)
    ledger, still = Ledger(folder), lambda: False
    with recording(ready, ledger, tracker, left.past, stages, followed=still) as record:
        outcome = deliver(record, board, left.winner, left.bundle, history.after)
    return outcome.bundle, said.getvalue(), list(read_ledger(folder).after)


@pytest.fixture
def down(monkeypatch: pytest.MonkeyPatch) -> str:
    uri = f"http://127.0.0.1:{closed_port()}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setattr(delivery_module, "MOVES_WITHIN_S", 0.5)
    monkeypatch.setattr(delivery_module, "INTERRUPTED_WITHIN_S", 0.5)
    return uri


def test_what_a_server_that_is_down_lacks_is_named_and_the_sweep_is_done(
    ready: Ready, down: str, tmp_path: Path, world: Path
) -> None:
    space = load_space(world / "s.yaml", ["output.register_as=null"])
    began = time.monotonic()
    bundle, said, events = delivered(Ready(space, ready.corpus, ready.backbones, False), tmp_path)
    assert time.monotonic() - began < 15
    assert bundle.metrics == METRICS
    assert f"MLflow at {down} does not answer, and lacks the sweep's own run, t001, t002" in said
    assert "--resume" in said
    assert events == ["bundled", "done"]


def test_registering_without_a_server_is_an_error_within_seconds(
    ready: Ready, down: str, tmp_path: Path
) -> None:
    began = time.monotonic()
    with pytest.raises(RegistryError, match=f"{down} does not answer"):
        delivered(ready, tmp_path)
    assert time.monotonic() - began < 15
    assert list(read_ledger(tmp_path).after) == ["bundled"]


def test_another_file_or_a_bundle_that_is_gone_is_more_than_delivering(
    ready: Ready, tmp_path: Path
) -> None:
    history = ledger_of(ready, tmp_path)
    space = ready.space
    assert left_from(None, space) is None
    assert left_from(replace(history, space=f"{history.space}\n# more"), space) is None
    bundled = history.after["bundled"]
    for lacking in ({"bundle": str(tmp_path / "gone")}, {"winner": "t009"}):
        after = {"bundled": bundled | lacking}
        assert left_from(replace(history, after=after), space) is None


@pytest.fixture(scope="module")
def resumed(world: Path) -> list[Done]:
    """Resume a sweep that came as far as its bundle, lose the lines after that, and go on twice."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(world)
        patch.setenv("HF_HUB_OFFLINE", "1")
        ledger_of(preflight(load_space("s.yaml", [])), RUN)
    path = world / RUN / "ledger.jsonl"
    text = path.read_text()
    first = command(world, "s.yaml", "--resume", env=environment())
    path.write_text(text)
    return [first, *(command(world, "s.yaml", "--resume", env=environment()) for _ in range(2))]


def test_resuming_registers_and_writes_to_mlflow_and_does_nothing_else(
    world: Path, resumed: list[Done]
) -> None:
    from mlflow.tracking import MlflowClient

    for done in resumed[:2]:
        assert done.code == 0, done.err
        assert "starting Ray" not in done.err
        assert "registered: models:/ner-small/1 (champion: " in done.out
    assert resumed[2].code == 2
    assert "nothing to resume" in resumed[2].err
    client = MlflowClient(tracking_uri=f"sqlite:///{world / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("small-runs")
    assert experiment is not None
    runs = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    assert {name: run.info.status for name, run in runs.items()} == {
        "small": "FINISHED",
        "t001": "FINISHED",
        "t002": "FINISHED",
    }
    assert runs["t002"].data.tags["winner"] == "true"
    counts = {"trials_over": 2, "trials_running": 0, "trials_waiting": 0, "trials_failed": 0}
    assert runs["small"].data.metrics == METRICS | counts | {"best_val_f1": 0.4}
    steps = client.get_metric_history(runs["small"].info.run_id, "trials_over")
    assert sorted(point.step for point in steps) == [1, 2, 3, 4]
    for run, metric in (("small", "val_f1"), ("t002", "test_f1"), ("t002", "best_val_f1")):
        assert len(client.get_metric_history(runs[run].info.run_id, metric)) == 1
    assert len(client.search_model_versions("name = 'ner-small'")) == 1
    assert list(read_ledger(world / RUN).after) == ["bundled", "registered", "done", "tracked"]
