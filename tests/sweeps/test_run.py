"""`python -m sweeps.run` from a file to a registered model, as a person types it: real Ray, MLflow.

Two sweeps tell the whole story. The first goes through; the second learns too slowly, is
interrupted in its second trial, resumed, interrupted while its winner is bundled, and resumed.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sweeps.space.space import load_space
from tests.sweeps.run_left import SLOW_LEARNER, TEXTS, Resumed, Sweep, answers, ours
from tests.sweeps.run_made import (
    command,
    environment,
    interrupted,
    make_world,
    newest,
    processes_of,
)
from tests.tokcls.inference.test_pipeline_parity import allowed

pytestmark = pytest.mark.slow

LOAD_AND_PREDICT = """
import json, sys, mlflow
mlflow.set_tracking_uri("sqlite:///mlflow.db")
model = mlflow.pyfunc.load_model("models:/ner-small@champion")
json.dump(model.predict(json.load(sys.stdin)), sys.stdout)
"""
RAY_LINES = re.compile(
    r"\(raylet\)|\(pid=|INFO worker\.py|Started a local Ray|ray::|\[.*core_worker"
)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def full(world: Path) -> Sweep:
    done = command(world, "s.yaml")
    assert done.code == 0, done.err
    return Sweep(world, newest(world), done)


@pytest.fixture(scope="module")
def resumed(full: Sweep) -> Resumed:
    first = interrupted(
        full.world, "s.yaml", *SLOW_LEARNER, at=lambda line: line.startswith("t002 epoch 2")
    )
    assert first.code == 130, first.err
    run = newest(full.world)
    after_first = Sweep(full.world, run, first).statuses_now()
    arguments = ("s.yaml", *SLOW_LEARNER, "--resume")
    second = interrupted(full.world, *arguments, at=lambda line: line.startswith("bundling"))
    assert second.code == 130, "the interrupt was swallowed and the sweep went on"
    after_second = Sweep(full.world, run, second).statuses_now()
    lose_last_line(run / "ledger.jsonl", '"ended"')
    done = command(full.world, *arguments)
    assert done.code == 0, done.err
    return Resumed(full.world, run, done, first, second, (after_first, after_second))


def lose_last_line(path: Path, event: str) -> None:
    """Leave the ledger as a kill does that comes between an epoch and the trial's end."""
    *kept, last = path.read_text(encoding="utf-8").splitlines(keepends=True)
    assert event in last
    path.write_text("".join(kept), encoding="utf-8")


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
            "model.safetensors",
            "predictions.npz",
        }


def test_ctrl_c_ends_a_sweep_soon_and_says_how_to_go_on(resumed: Resumed) -> None:
    assert resumed.first.seconds < 40
    quoted = " ".join(f"'{each}'" if "{" in each else each for each in SLOW_LEARNER)
    assert f"python -m sweeps.run s.yaml {quoted} --resume" in resumed.first.err
    assert str(resumed.run) in resumed.first.err
    assert "t001 finished" in resumed.first.err
    assert "Traceback" not in resumed.first.err
    assert resumed.first.out == ""


def test_ctrl_c_is_heard_when_all_trials_are_over(resumed: Resumed) -> None:
    assert resumed.second.seconds < 40
    assert "--resume" in resumed.second.err
    assert "Traceback" not in resumed.second.err
    assert resumed.second.out == ""


def test_a_resumed_sweep_goes_on_in_its_own_folder(resumed: Resumed) -> None:
    assert newest(resumed.world) == resumed.run
    assert "t001 started" not in resumed.second.err
    assert re.search(r"t002 started, from epoch [2-5]: ", resumed.second.err)
    assert resumed.done.code == 0
    assert len(re.findall(r"^\d +t00[12] ", resumed.done.out, re.M)) == 2


def test_no_trial_and_no_epoch_is_run_twice(resumed: Resumed) -> None:
    assert resumed.events.started == ["t001", "t002", "t002", "t002"]
    assert resumed.events.ended == ["t001", "t002"]
    assert resumed.events.epochs == {trial: [1, 2, 3, 4, 5, 6] for trial in ("t001", "t002")}


def test_mlflow_goes_on_with_the_same_runs(resumed: Resumed) -> None:
    assert set(resumed.children) == {"t001", "t002"}
    assert resumed.steps("t001") == [1, 2, 3, 4, 5, 6]
    assert resumed.steps("t002") == [1, 2, 3, 4, 5, 6]
    assert resumed.parent.info.status == "FINISHED"
    for run in resumed.children.values():
        assert (run.info.status, run.data.tags["status"]) == ("FINISHED", "finished")


def test_no_run_looks_as_if_it_still_went_on_after_ctrl_c(resumed: Resumed) -> None:
    in_a_trial, while_bundling = resumed.statuses
    assert in_a_trial == {"": "KILLED", "t001": "FINISHED", "t002": "KILLED"}
    assert while_bundling == {"": "KILLED", "t001": "FINISHED", "t002": "FINISHED"}


def test_a_resumed_winner_has_its_test_scores_in_mlflow(resumed: Resumed) -> None:
    (winner,) = (run for run in resumed.children.values() if "test_f1" in run.data.metrics)
    assert winner.data.tags["winner"] == "true"
    assert winner.data.metrics["test_f1"] == resumed.parent.data.metrics["test_f1"]


def test_a_worse_model_is_registered_but_not_champion(full: Sweep, resumed: Resumed) -> None:
    message = r"registered: models:/ner-small/2 \(not champion: validation f1 0\.\d+, version 1 has"
    assert re.search(message, resumed.done.out)
    assert f"python -m sweeps.serve {resumed.bundle}" in resumed.done.out
    model = resumed.client.get_registered_model("ner-small")
    assert {name: str(number) for name, number in model.aliases.items()} == {"champion": "1"}
    versions = resumed.client.search_model_versions("name = 'ner-small'")
    assert {int(each.version) for each in versions} == {1, 2}


def test_what_is_finished_or_changed_is_not_resumed(resumed: Resumed) -> None:
    done = command(resumed.world, "s.yaml", *SLOW_LEARNER, "--resume")
    assert done.code == 2
    assert "is finished; run without --resume" in done.err
    assert "starting Ray" not in done.err
    assert newest(resumed.world) == resumed.run


def test_ctrl_c_while_ray_starts_leaves_no_process(tmp_path: Path) -> None:
    folder = make_world(tmp_path)
    done = interrupted(folder, "s.yaml", at=lambda line: "starting Ray" in line, later=3.0)
    assert done.code == 130
    assert "interrupted" in done.err
    assert "Traceback" not in done.err
    assert done.seconds < 20
    assert processes_of(folder) == []


def test_ctrl_c_before_the_first_trial_promises_nothing_to_resume(tmp_path: Path) -> None:
    folder = make_world(tmp_path)
    done = interrupted(folder, "s.yaml", at=lambda line: "tokenising the corpus ..." in line)
    assert done.code == 130
    assert "Traceback" not in done.err
    if "--resume" in done.err:
        again = command(folder, "s.yaml", "--resume", limit=15)
        assert "nothing to resume" not in again.err
