"""Slots on a real Ray: what they give back, what they compute, and what survives a kill."""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
import threading
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray
import torch
from ray.util import placement_group, remove_placement_group
from ray.util.state import list_actors
from safetensors.torch import load_file

from sweeps.search.events import Retry, State, Trial
from sweeps.search.mailbox import LOST, Epoch
from sweeps.search.slot import assignment_of
from sweeps.search.storage import storage_at
from sweeps.search.trial_folder import DESCRIPTION, EPOCH, PREDICTIONS, WEIGHTS
from tests.sweeps.search.slots_processes import documented_sweep, record_training
from tests.sweeps.search.slots_small import Ran, Small, held, write_corpus
from tests.tiny import tiny_model
from tokcls.data.prepared import Prepared
from tokcls.data.word_scores import WordScores
from tokcls.labels.plan import label_schema, type_plan
from tokcls.model.evaluation import Evaluation, decode_share, evaluate
from tokcls.model.loader import load_model

pytestmark = pytest.mark.alone

ROOT = Path(__file__).resolve().parents[3]
TWO_WORKERS = ("resources.workers_per_trial=2", "train.epochs=4")
TOO_HIGH = "1e30"
EARLY = (
    f"train.learning_rate={{choice: [0.01, {TOO_HIGH}, 1e-9, 2e-9, 3e-9, 4e-9]}}",
    "train.epochs=4",
    "search.scheduler=asha",
    "search.reduction=2",
    "resources.concurrent_trials=2",
)
DRAWN = (
    "train.learning_rate={loguniform: [1e-4, 1e-2]}",
    "labels.scheme={choice: [IOB2, BIOES]}",
    "train.epochs=2",
    "search.algorithm=tpe",
    "search.scheduler=asha",
    "search.trials=5",
    "model.dropout=0.1",
)


@dataclass
class Killer:
    """Kills one worker process soon after epoch 2: its state may be written, or not yet."""

    killed: list[int] = field(default_factory=list)

    def started(self, trial: Trial) -> None:
        """Nothing to kill yet."""

    def epoch(self, trial: Trial, epoch: Epoch) -> None:
        if epoch.number == 2:
            threading.Timer(0.05, self.kill).start()

    def retried(self, trial: Trial, retry: Retry) -> None:
        """A kill is no failure of the trial."""

    def ended(self, trial: Trial) -> None:
        """Nothing to kill any more."""

    def kill(self) -> None:
        pid = worker_pids()[-1]
        os.kill(pid, signal.SIGKILL)
        self.killed.append(pid)


def worker_pids() -> list[int]:
    """The processes of Ray Train's worker groups that are alive."""
    actors = list_actors(
        address=ray.get_runtime_context().gcs_address,  # other Rays may run on this machine
        filters=[("class_name", "=", "RayTrainWorker"), ("state", "=", "ALIVE")],
    )
    return sorted(actor.pid for actor in actors if actor.pid)


@pytest.fixture(scope="module")
def small(ray_cluster: None, tmp_path_factory: pytest.TempPathFactory) -> Small:
    top = tmp_path_factory.mktemp("slots")
    return Small(top, write_corpus(top / "corpus"), tiny_model("bert", top / "bert"))


@pytest.fixture(scope="module")
def stopped_early(small: Small) -> Ran:
    return small.run("early", *EARLY)


@pytest.fixture(scope="module")
def two_workers(small: Small) -> Ran:
    return small.run("two", *TWO_WORKERS)


@pytest.fixture(scope="module", params=["epochs", "tokens"])
def twice(small: Small, request: pytest.FixtureRequest) -> tuple[Ran, Ran]:
    drawn = (*DRAWN, f"search.time={request.param}")
    first, second = (small.run(f"{name}-{request.param}", *drawn) for name in ("once", "again"))
    return first, second


@pytest.fixture(scope="module")
def two_gpus(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = str(tmp_path_factory.mktemp("gpus"))
    script = [sys.executable, "-m", "tests.sweeps.search.slots_processes", folder]
    done = subprocess.run(script, cwd=ROOT, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr[-3000:]
    said: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return said


def test_torch_takes_as_many_threads_as_the_worker_has_cpus(two_gpus: dict[str, Any]) -> None:
    assert [worker["threads"] for worker in two_gpus["workers"]] == [2, 2]


def test_two_workers_on_two_gpus_get_one_each(two_gpus: dict[str, Any]) -> None:
    said = two_gpus
    assert said["plan"] == {"workers": 2, "gpus": 1.0, "cpus": 2.0, "slots": 1}
    assert said["backend"] == "nccl"
    assert [worker["world"] for worker in said["workers"]] == [2, 2]
    assert {worker["visible"] for worker in said["workers"]} == {"0", "1"}
    assert said["without"] == ""  # who asks for none sees none


def test_a_trial_that_raises_fails_alone(stopped_early: Ran) -> None:
    failed = [trial for trial in stopped_early.trials if trial.state is State.FAILED]
    assert [trial.values["train.learning_rate"] for trial in failed] == [float(TOO_HIGH)]
    assert "not a finite number" in failed[0].reason
    others = [trial for trial in stopped_early.trials if trial not in failed]
    assert {trial.state for trial in others} == {State.FINISHED, State.STOPPED}
    assert sum(trial.state is State.STOPPED for trial in others) >= 3
    assert all(trial.epochs and not trial.reason for trial in others)


def test_early_stops_and_a_replaced_group_give_everything_back(stopped_early: Ran) -> None:
    assert stopped_early.held == {}


def test_the_documented_pattern_gives_everything_back_too(small: Small) -> None:
    # Ray's own cleaner finds its cluster by this variable, or by being the machine's only one.
    environment = {"RAY_ADDRESS": ray.get_runtime_context().gcs_address}
    task = ray.remote(num_cpus=0, runtime_env={"env_vars": environment})(documented_sweep)
    assert ray.get(task.remote(str(small.top / "documented"))) == [1, 6]
    assert held() == {}


def test_what_is_held_is_seen(ray_cluster: None) -> None:
    group = placement_group([{"CPU": 1}])
    ray.get(group.ready())
    found = held(seconds=1.0)
    remove_placement_group(group)
    assert found["CPU"] == 1.0
    assert "CREATED" in found.values()
    assert held() == {}


@pytest.mark.parametrize("name", ["stopped_early", "two_workers"])
def test_a_trial_that_is_over_leaves_its_best_epoch_and_no_restart_state(
    name: str, request: pytest.FixtureRequest
) -> None:
    ran: Ran = request.getfixturevalue(name)
    left = {}
    for trial in ran.trials:
        folder = ran.folder(trial)
        left[trial.trial_id] = {*folder.storage.files()}
        best, expected = folder.best(), trial.best("val_f1")
        assert (best.number if best else None) == (expected.number if expected else None)
    whole = {WEIGHTS, DESCRIPTION, PREDICTIONS, EPOCH}
    assert left == {trial.trial_id: whole if trial.epochs else set() for trial in ran.trials}


def test_two_workers_report_what_one_process_computes(two_workers: Ran) -> None:
    (trial,) = two_workers.trials
    assert trial.state is State.FINISHED
    assert [epoch.number for epoch in trial.epochs] == [1, 2, 3, 4]
    best = trial.best("val_f1")
    assert best is not None
    assert best.metrics["val_f1"] > 0.3
    again = recomputed(two_workers, trial)
    for name, value in again.metrics("val").items():
        assert best.metrics[name] == pytest.approx(value, abs=1e-4), name
    with (
        two_workers.folder(trial).storage.local(PREDICTIONS) as path,
        np.load(str(path)) as saved,
    ):
        assert np.array_equal(saved["counts"], again.per_sentence)
        scored = int(saved["counts"][:, :, [0, 2]].sum())
    data = prepared(two_workers, trial)
    assert scored == sum(map(len, data.splits["validation"].gold))


def prepared(ran: Ran, trial: Trial) -> Prepared:
    data: Prepared = ray.get(assignment_of(ran.materials, trial).data)
    return data


def recomputed(ran: Ran, trial: Trial) -> Evaluation:
    """Score the best epoch's weights on validation, window by window, with nothing of Lightning."""
    assignment, data = assignment_of(ran.materials, trial), prepared(ran, trial)
    schema = label_schema(assignment.config.labels, data.types)
    pad_id = data.tokenizing.pad_id
    network = load_model(assignment.backbone, schema, dropout=0.0, pad_id=pad_id)
    network.train(False)
    with ran.folder(trial).weights() as weights:
        network.load_state_dict(load_file(str(weights)))
    split = data.splits["validation"]
    scores = WordScores(split.encoded, split.windows, schema.unread)
    for number in range(len(split.windows)):
        ids = torch.tensor([window_ids(data, "validation", number)])
        with torch.no_grad():
            logits = network(input_ids=ids).logits.numpy()
        scores.add(np.array([number]), logits, offset=len(data.tokenizing.prefix))
    everything = np.arange(len(split.gold))
    plan = type_plan(assignment.config.labels, data.types)
    share = decode_share(split, everything, scores.by_sentence(), schema, plan, decoding="viterbi")
    return evaluate(split, [share], schema, plan)


def window_ids(data: Prepared, split: str, number: int) -> list[int]:
    """One window as the network reads it, without padding."""
    encoded, windows = data.splits[split].encoded, data.splits[split].windows
    text = encoded.ids[windows.start[number] : windows.end[number]]
    return [*data.tokenizing.prefix, *text.tolist(), *data.tokenizing.suffix]


def test_two_workers_train_every_window_once_an_epoch(two_workers: Ran, tmp_path: Path) -> None:
    materials, (trial,) = two_workers.materials, two_workers.trials
    assignment = assignment_of(materials, trial)
    assignment = replace(assignment, folder=storage_at(tmp_path / "trial"))
    task = ray.remote(num_cpus=0)(record_training)
    ray.get(task.remote(assignment, materials.plan, str(tmp_path)))
    data = prepared(two_workers, trial)
    count = len(data.splits["train"].windows)
    assert count > len(data.splits["train"].gold)
    expected = Counter(tuple(window_ids(data, "train", number)) for number in range(count))
    ranks = [
        [json.loads(line) for line in (tmp_path / f"{rank}.jsonl").read_text().splitlines()]
        for rank in range(2)
    ]
    for epoch in range(assignment.config.train.epochs):
        shares = [[tuple(ids) for at, ids in rank if at == epoch] for rank in ranks]
        assert all(shares)
        assert Counter(shares[0]) + Counter(shares[1]) == expected


def test_a_killed_worker_costs_no_epoch(small: Small, two_workers: Ran) -> None:
    killer = Killer()
    ran = small.run("killed", *TWO_WORKERS, listeners=[killer])
    assert len(killer.killed) == 1
    (trial,) = ran.trials
    assert (trial.state, trial.reason) == (State.FINISHED, "")
    numbers = [("epoch", number) for number in range(1, 5)]
    assert ran.told.of(trial.trial_id) == [("started", 0), *numbers, ("ended", 0)]
    assert [LOST in epoch.note for epoch in trial.epochs].count(True) == 1
    assert ran.held == {}
    for ours, unharmed in zip(trial.epochs, two_workers.trials[0].epochs, strict=True):
        for name in ("val_loss", "val_f1", "train_loss"):
            assert ours.metrics[name] == pytest.approx(unharmed.metrics[name], abs=1e-3), name


def test_the_next_trial_of_a_slot_starts_within_a_second(twice: tuple[Ran, Ran]) -> None:
    for ran in twice:
        first, *later = ran.trials
        assert "turnaround_seconds" not in first.epochs[0].metrics
        seconds = [trial.epochs[0].metrics["turnaround_seconds"] for trial in later]
        assert min(seconds) > 0.0
        assert statistics.median(seconds) <= 1.0


def test_the_same_seed_gives_the_same_trials_and_scores(twice: tuple[Ran, Ran]) -> None:
    first, second = ([scored(trial) for trial in ran.trials] for ran in twice)
    assert len(first) == 5
    assert len({config_hash for _, config_hash, _, _ in first}) == 5
    assert first == second


def scored(trial: Trial) -> tuple[str, str, State, list[tuple[float, float]]]:
    scores = [(epoch.metrics["val_f1"], epoch.metrics["val_loss"]) for epoch in trial.epochs]
    return trial.trial_id, trial.config_hash, trial.state, scores
