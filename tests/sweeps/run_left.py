"""What a sweep leaves, as tests look at it: its files, its runs in MLflow, what its model finds."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tests.sweeps.run_made import SPLITS, Done, ledger
from tests.tiny import examples
from tokcls.inference.predictor import Predictor

SLOW_LEARNER = ("train.learning_rate={loguniform: [1e-6, 1e-5]}", "train.epochs=6")
TEXTS = [" ".join(words) for words, _ in examples(100)[SPLITS["valid"]]]
Answers = list[list[tuple[str, int, int]]]


@dataclass(frozen=True)
class Sweep:
    """A sweep that has run in `world`, and what it left."""

    world: Path
    run: Path
    done: Done

    @property
    def bundle(self) -> Path:
        return self.run / "bundle"

    @cached_property
    def events(self) -> Any:
        return ledger(self.run)

    @cached_property
    def client(self) -> Any:
        from mlflow.tracking import MlflowClient

        return MlflowClient(tracking_uri=f"sqlite:///{self.world / 'mlflow.db'}")

    @cached_property
    def parent(self) -> Any:
        found = self.client.search_runs(
            [self.client.get_experiment_by_name("small-runs").experiment_id],
            filter_string=f"tags.folder = '{self.run}'",
        )
        assert len(found) == 1, "one parent run a sweep"
        return found[0]

    @cached_property
    def children(self) -> dict[str, Any]:
        """The trials' runs by name."""
        found = self.client.search_runs(
            [self.parent.info.experiment_id],
            filter_string=f"tags.`mlflow.parentRunId` = '{self.parent.info.run_id}'",
        )
        by_name = {run.info.run_name: run for run in found}
        assert len(by_name) == len(found), "no trial has two runs"
        return by_name

    def statuses_now(self) -> dict[str, str]:
        """Ask MLflow for the status of every run."""
        runs = Sweep(self.world, self.run, self.done)
        children = {name: run.info.status for name, run in runs.children.items()}
        return {"": runs.parent.info.status, **children}

    def steps(self, trial: str, metric: str = "val_f1") -> list[int]:
        history = self.client.get_metric_history(self.children[trial].info.run_id, metric)
        return [each.step for each in history]


@dataclass(frozen=True)
class Resumed(Sweep):
    """A sweep that was interrupted in a trial, then when all trials were over, then lost a line."""

    first: Done
    second: Done
    statuses: tuple[dict[str, str], dict[str, str]]
    """of the sweep's run and its trials' in MLflow, after each interrupt"""


def answers(entities: Any) -> Answers:
    """Reduce entities in the Hugging Face form to type and place."""
    return [[(one["entity_group"], one["start"], one["end"]) for one in each] for each in entities]


def ours(bundle: Path) -> Answers:
    found = Predictor.from_bundle(bundle).predict_texts(TEXTS)
    return answers([[entity.as_dict() for entity in each] for each in found])
