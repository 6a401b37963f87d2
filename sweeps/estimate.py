"""How long a sweep takes and what it leaves on disk, from two batches of each of its backbones.

Only arithmetic; `search/probe.py` measures. Hours are training and validation in the slots: neither
the start of Ray nor the bundling of the winner.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from random import Random
from statistics import mean
from typing import Any

from sweeps.console import duration
from sweeps.disk import WEIGHTS, disk_needed
from sweeps.search.resources import SlotPlan
from sweeps.search.rungs import Point, Rungs
from sweeps.space.config import SearchConfig
from sweeps.space.sizes import shown_bytes
from sweeps.space.space import SearchSpace

PLAYED = 10  # searches with scores by chance, of which the mean is taken
PLAYED_TRIALS = 100  # in one of them at most: what is stopped is then much the same share


@dataclass(frozen=True)
class Measured:
    """What one slot of a backbone showed; seconds, and bytes of memory.

    `largest_seconds` and `typical_seconds` are those of a batch, `training_seconds` and
    `validation_seconds` of one epoch. `memory` is what a worker takes for training at most, beyond
    what it takes anyway, out of `capacity`, its GPU's or its machine's.
    """

    parameters: int
    largest_seconds: float
    typical_seconds: float
    training_seconds: float
    validation_seconds: float
    words_per_second: float
    memory: int
    capacity: int

    @property
    def epoch_seconds(self) -> float:
        return self.training_seconds + self.validation_seconds


@dataclass(frozen=True)
class Estimate:
    """What `trials` trials cost in `slots` slots; `epochs` is how many a trial has at most.

    `seconds_at_most`: all trials have the slowest backbone and none is stopped. `seconds_expected`:
    backbones come equally often, and as many trials are stopped as if scores came by chance.
    `checkpoints` trials keep their weights, of `checkpoint_bytes` at most; `disk_bytes` is what a
    sweep takes at most while it runs.
    """

    trials: int
    slots: int
    epochs: int
    epochs_expected: float
    seconds_at_most: float
    seconds_expected: float
    checkpoints: int
    checkpoint_bytes: int
    disk_bytes: int
    backbones: Mapping[str, Measured]

    def lines(self) -> list[str]:
        """Say it for people."""
        lines = [_of_backbone(name, each) for name, each in self.backbones.items()]
        trials = "1 trial" if self.trials == 1 else f"{self.trials} trials"
        kept = f"{self.checkpoints} x {shown_bytes(self.checkpoint_bytes)}"
        return [
            *lines,
            f"estimated time: at most {duration(self.seconds_at_most)} of training, about "
            f"{duration(self.seconds_expected)} expected ({trials} of "
            f"{self.epochs_expected:.2g} of {self.epochs} epochs, {self.slots} at once)",
            f"estimated disk: at most {shown_bytes(self.disk_bytes)} while it runs (weights, "
            f"states, bundle); weights that stay: {kept}",
        ]

    def to_json(self) -> dict[str, Any]:
        """Give a plain dict: the fields, and hours."""
        hours = {
            "hours_at_most": self.seconds_at_most / 3600,
            "hours_expected": self.seconds_expected / 3600,
        }
        return asdict(self) | hours

    def params(self) -> dict[str, str]:
        """What MLflow's run of the sweep shows of it."""
        figures = {name: self.to_json()[name] for name in SHOWN}
        return {f"estimate.{name}": f"{value:.4g}" for name, value in figures.items()}


SHOWN = ("hours_at_most", "hours_expected", "epochs_expected", "checkpoints", "disk_bytes")


def estimate(
    space: SearchSpace, plan: SlotPlan, measured: Mapping[str, Measured], *, trials: int
) -> Estimate:
    """Reckon what `trials` trials of a space cost, `measured` by backbone."""
    epochs = space.epochs[1]
    expected = expected_epochs(space.sweep.search, mean(space.epochs), trials)
    slots = max(1, min(plan.slots, trials))
    seconds = [each.epoch_seconds for each in measured.values()]
    parameters = max(each.parameters for each in measured.values())
    keep_top = space.sweep.output.keep_top
    return Estimate(
        trials=trials,
        slots=slots,
        epochs=epochs,
        epochs_expected=expected,
        seconds_at_most=math.ceil(trials / slots) * epochs * max(seconds),
        seconds_expected=trials * expected * mean(seconds) / slots,
        checkpoints=min(trials, keep_top),
        checkpoint_bytes=parameters * WEIGHTS,
        disk_bytes=disk_needed(parameters, slots, min(keep_top, trials - 1)),
        backbones=dict(measured),
    )


def expected_epochs(search: SearchConfig, epochs: float, trials: int) -> float:
    """Mean epochs a trial gets, of `epochs`: ASHA's own rule on scores that came by chance.

    A trial's score is drawn once and stays, so that the figure is that of trials which tell early
    what they are worth; where they do not, or where search learns, more go on.
    """
    whole = round(epochs)
    if search.scheduler == "none" or whole < 1 or trials < 1:
        return epochs
    grace, run = min(search.grace, whole), 0
    chance, played = Random(0), min(trials, PLAYED_TRIALS)
    for _ in range(PLAYED):
        rungs = Rungs(grace=grace, reduction=search.reduction, first=float(grace))
        for number in range(played):
            run += _epochs_of(rungs, str(number), whole, chance.random())
    return epochs / whole * run / (PLAYED * played)


def _epochs_of(rungs: Rungs, name: str, epochs: int, score: float) -> int:
    """Play one trial and count the epochs that it is let go through."""
    rungs.add(name, bracket="", epochs=epochs)
    for epoch in range(1, epochs + 1):
        if not rungs.report(name, Point(epoch, float(epoch), score)):
            return epoch
    return epochs


def _of_backbone(name: str, each: Measured) -> str:
    return (
        f"{name}: {each.words_per_second:,.0f} words/s, {each.epoch_seconds:.3g} s an epoch; its "
        f"largest batch {each.largest_seconds:.2g} s, {shown_bytes(each.memory)} of memory"
    )
