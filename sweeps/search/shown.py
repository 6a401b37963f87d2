"""What MLflow is to show of a sweep and its trials: parameters, points, tags, how they ended.

Knows nothing of MLflow itself. All of it follows from the ledger, times included, so that it is the
same when it is written again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from sweeps.search.events import State, Trial

STATUS = {
    State.RUNNING: "RUNNING",
    State.FINISHED: "FINISHED",
    State.STOPPED: "FINISHED",
    State.FAILED: "FAILED",
}
HEADLINE = ("val_f1", "val_precision", "val_recall", "val_accuracy", "val_loss")
SEEN_BY = "val_f1"  # the last of an epoch: where it was written, the whole epoch was
FIGURES_SEEN_BY = "trials_over"  # the same for the sweep's own figures
WHOLE = ("types", "score_types")  # maps whose keys come from the corpus: one parameter each
LONGEST_VALUE = 6000


@dataclass(frozen=True)
class SweepRun:
    """The sweep's own run; `run_id` is known from ledgers of older versions only.

    `resumed` says that it and its trials' runs may be there already.
    """

    name: str
    sweep_id: str
    params: Mapping[str, Any] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    run_id: str = ""
    resumed: bool = False


@dataclass(frozen=True)
class End:
    """How a sweep ended, and when (seconds since 1970): without a winner it was cut off."""

    at: float
    winner: Trial | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Point:
    """One value of one metric, at a time in milliseconds since 1970."""

    name: str
    value: float
    at: int
    step: int


@dataclass(frozen=True, slots=True)
class Figures:
    """How a sweep stood after so many steps (counted from 1), at a time in seconds since 1970."""

    step: int
    at: float
    values: Mapping[str, float]


def points(metrics: Mapping[str, float], at: float, step: int) -> list[Point]:
    """Write measured values as points, the one that an epoch or a step is known by last."""
    names = sorted(metrics, key=lambda name: name in (SEEN_BY, FIGURES_SEEN_BY))
    return [Point(name, metrics[name], milliseconds(at), step) for name in names]


def points_of(trial: Trial, but: set[int]) -> Iterator[Point]:
    """Give the points of a trial's epochs, those with a number in `but` left out, and its best."""
    for epoch in trial.epochs:
        if epoch.number not in but:
            yield from points(epoch.metrics, epoch.at, epoch.number)
    best = trial.best(SEEN_BY)
    if trial.over and best is not None:
        kept = {f"best_{name}": best.metrics[name] for name in HEADLINE}
        kept["best_epoch"] = float(best.number)
        yield from points(kept, trial.ended_at or best.at, 0)


def points_of_sweep(steps: Iterable[Figures], but: set[int]) -> Iterator[Point]:
    """Give the points of a sweep's own figures, those of steps in `but` left out."""
    for each in steps:
        if each.step not in but:
            yield from points(each.values, each.at, each.step)


def tags_of(trial: Trial) -> dict[str, str]:
    """Give what a trial's run is filtered by."""
    tags = {"config_hash": trial.config_hash, "status": trial.state.value, "reason": trial.reason}
    if trial.retries:
        tags |= {"retries": str(len(trial.retries)), "retried": trial.retries[-1].reason}
    if trial.division > 1:
        tags["batches_cut_into"] = str(trial.division)
    return tags


def cut(values: Mapping[str, str]) -> dict[str, str]:
    """Leave out what is empty, and cut what is longer than a store takes."""
    return {key: value[:LONGEST_VALUE] for key, value in values.items() if value}


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Turn nested configuration into dotted names and texts, as MLflow wants parameters."""
    flat: dict[str, str] = {}
    for key, value in values.items():
        if isinstance(value, Mapping) and key not in WHOLE:
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value if isinstance(value, str) else json.dumps(value)
    return flat


def milliseconds(at: float) -> int:
    """Turn seconds into MLflow's unit."""
    return round(at * 1000)
