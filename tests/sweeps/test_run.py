"""`python -m sweeps.run` from a file to a registered model, as a person types it: real Ray, MLflow.

One sweep tells the story; what becomes of one that is interrupted is in `test_run_resumed`.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import Any

import pytest

from sweeps.space.space import load_space
from tests.sweeps.run_left import TEXTS, Sweep, answers, ours
from tests.sweeps.run_made import (
    command,
    environment,
    processes_of,
)
from tests.tokcls.inference.test_pipeline_parity import allowed

pytestmark = pytest.mark.alone

LOAD_AND_PREDICT = """
import json, sys, mlflow
mlflow.set_tracking_uri("sqlite:///mlflow.db")
model = mlflow.pyfunc.load_model("models:/ner-small@champion")
json.dump(model.predict(json.load(sys.stdin)), sys.stdout)
"""
RAY_LINES = re.compile(
    r"\(raylet\)|\(pid=|INFO worker\.py|Started a local Ray|ray::|\[.*core_worker"
)


def test_stdout_has_the_leaderboard_and_what_to_do_next(full: Sweep) -> None:
    lines = full.done.out.splitlines()
    head = "trial f1 precision recall accuracy loss epoch state params"
    assert lines[0].split() == head.split()
    for place, line in enumerate(lines[1:3], 1):
        pattern = rf"{place} +t00\d( +\d\.\d{{3}}){{5}} +\d of 2 +finished +"
        assert re.match(pattern + r"scheme=\w+, learning_rate=0\.01\d+", line)
    assert "mlflow ui --backend-store-uri sqlite:///mlflow.db" in full.done.out
    assert "python -m sweeps.serve models:/ner-small@champion" in full.done.out
    assert "curl -s http://127.0.0.1:8000/predict" in full.done.out
    assert "on test, scored once: f1 " in full.done.out
    assert "registered: models:/ner-small/1 (champion: " in full.done.out
    assert f"bundle: {full.bundle}" in full.done.out


def test_stderr_says_each_stage_and_each_trial(full: Sweep) -> None:
    places = [
        full.done.err.find(stage)
        for stage in (
            "reading s.yaml",
            "looking up backbones and corpus",
            f"the log of Ray goes to {full.run / 'ray.log'}",
            "starting Ray (7 to 15 s)",
            "opening MLflow",
            "tokenising the corpus",
            "training two batches of each backbone",
            "estimated time: at most",
            "2 trials in 1 slot",
            "t001 started",
            "t001 epoch 1",
            "t001 finished",
            "t002 started",
            "t002 finished",
            "bundling t00",
            "registering in MLflow",
        )
    ]
    assert -1 not in places
    assert places == sorted(places)


def test_what_ray_says_goes_to_its_log_only(full: Sweep) -> None:
    assert (full.run / "ray.log").stat().st_size > 0
    for text in (full.done.out, full.done.err):
        assert not RAY_LINES.search(text)
        assert "Warning" not in text


def test_a_finished_sweep_leaves_no_process(full: Sweep) -> None:
    assert processes_of(full.world) == []


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_pipeline_loads_the_bundle_and_finds_what_we_find(full: Sweep) -> None:
    from transformers import pipeline

    theirs: Any = pipeline("token-classification", str(full.bundle), aggregation_strategy="first")
    clean = allowed(full.bundle, TEXTS)
    assert sum(clean) >= 5
    found = ours(full.bundle)
    assert any(found)
    for text, same, entities in zip(TEXTS, clean, found, strict=True):
        if same:
            assert answers([theirs(text)]) == [entities], text


def test_the_registered_champion_predicts_the_same_in_mlflow(full: Sweep) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOAD_AND_PREDICT],
        cwd=full.world,
        env=environment(),
        input=json.dumps(TEXTS),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert answers(json.loads(done.stdout)) == ours(full.bundle)


@pytest.mark.parametrize("named", [True, False])
def test_predict_prints_the_same_entities(full: Sweep, *, named: bool) -> None:
    model = ("--model", str(full.bundle)) if named else ()
    done = command(full.world, *model, "--json", *TEXTS, module="tokcls.predict")
    assert done.code == 0, done.err
    assert answers(map(json.loads, done.out.splitlines())) == ours(full.bundle)


def test_the_winners_checkpoint_finds_what_its_bundle_finds(full: Sweep) -> None:
    trial = str(full.run / "trials" / full.events.winner)
    done = command(full.world, "--model", trial, "--json", *TEXTS, module="tokcls.predict")
    assert done.code == 0, done.err
    assert answers(map(json.loads, done.out.splitlines())) == ours(full.bundle)


def test_mlflow_has_a_parent_and_a_child_for_each_trial(full: Sweep) -> None:
    assert set(full.children) == {"t001", "t002"}
    assert full.parent.info.status == "FINISHED"
    assert full.parent.data.tags["offline"] == "false"
    assert full.parent.data.params["search.algorithm"] == "random"
    assert full.parent.data.params["searched.train.learning_rate"]
    hashes = {run.data.tags["config_hash"] for run in full.children.values()}
    assert len(hashes) == 2
    for run in full.children.values():
        assert run.info.status == "FINISHED"
        assert run.data.tags["status"] == "finished"
        assert float(run.data.params["train.learning_rate"]) >= 1e-2
        assert run.data.params["labels.scheme"] in ("IOB2", "BIOES")
        assert run.data.params["model.backbone"] == "./bert"


def test_the_sweeps_own_run_counts_its_trials(full: Sweep) -> None:
    shown = full.parent.data.metrics
    assert (shown["trials_over"], shown["trials_running"], shown["trials_waiting"]) == (2, 0, 0)
    assert shown["best_val_f1"] == max(
        each.data.metrics["best_val_f1"] for each in full.children.values()
    )
    assert full.parent.data.tags["time_left"] == "none"
    history = full.client.get_metric_history(full.parent.info.run_id, "trials_over")
    assert [(each.step, each.value) for each in history] == [
        (1, 0.0), (2, 0.0), (3, 1.0), (4, 1.0), (5, 1.0), (6, 2.0)
    ]  # fmt: skip


def test_training_took_about_as_long_as_was_estimated(full: Sweep) -> None:
    # A tiny sweep, and perhaps a busy machine: an order of magnitude.
    took = sum(
        each.value
        for run in full.children.values()
        for each in full.client.get_metric_history(run.info.run_id, "train_seconds")
    )
    estimated = 3600 * float(full.parent.data.params["estimate.hours_expected"])
    assert took / 10 < estimated < 10 * took


def test_each_child_says_whether_it_ran_offline(full: Sweep) -> None:
    assert {run.data.tags.get("offline") for run in full.children.values()} == {"false"}


@pytest.mark.parametrize(
    "metric",
    ["val_precision", "val_recall", "val_f1", "val_accuracy", "val_loss", "train_loss",
     "words_per_second", "train_seconds", "validation_seconds", "saving_seconds", "peak_memory_mb"],
)  # fmt: skip
def test_each_epoch_is_a_step_of_each_metric(full: Sweep, metric: str) -> None:
    assert full.steps("t001", metric) == [1, 2]
    assert full.steps("t002", metric) == [1, 2]


def test_the_way_from_trial_to_trial_is_measured(full: Sweep) -> None:
    assert "turnaround_seconds" in full.children["t002"].data.metrics
    assert full.children["t002"].data.metrics["turnaround_seconds"] >= 0.0


def test_only_the_winner_has_test_scores(full: Sweep) -> None:
    scored = {
        name
        for name, run in full.children.items()
        if any(metric.startswith("test_") for metric in run.data.metrics)
    }
    assert scored == {full.events.winner}
    manifest = json.loads((full.bundle / "tokcls.json").read_text())
    winner = full.children[full.events.winner].data.metrics
    assert manifest["metrics"]["test_f1"] == winner["test_f1"]
    assert manifest["metrics"]["test_f1"] == full.parent.data.metrics["test_f1"]


def test_the_winners_file_is_one_configuration(full: Sweep) -> None:
    space = load_space(full.run / "winner.yaml")
    assert space.parameters == {}
    assert space.trials == 1
    drawn = full.children[full.events.winner].data.tags["config_hash"]
    assert space.trial({}).config_hash == drawn


def test_files_of_trials_are_kept_and_restart_states_are_not(full: Sweep) -> None:
    for trial in ("t001", "t002"):
        folder = full.run / "trials" / trial
        assert {path.name for path in folder.rglob("*") if path.is_file()} == {
            "epoch.json",
            "model.json",
            "model.safetensors",
            "predictions.npz",
        }
