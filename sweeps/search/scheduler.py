"""Which trials are stopped early: successive halving behind Tune's scheduler interface.

Trials are known by our own ids, so that a resumed sweep goes on with the curves it has. The rule
itself is in `rungs`; this file says how work is measured.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from sweeps.errors import SweepError
from sweeps.search.events import Trial
from sweeps.search.rungs import Point, Rungs
from sweeps.search.slot import METRICS, TRIAL, VALUES
from sweeps.space.space import EPOCHS, SearchSpace

BACKBONE = "model.backbone"


@dataclass(frozen=True)
class _Measure:
    """How the work of a trial is counted: `total` takes the work before, and an epoch's metrics."""

    metric: str
    total: Callable[[float, float], float]
    bracketed: bool = True


MEASURES: Mapping[str, _Measure] = {
    "epochs": _Measure("epoch", lambda before, epoch: epoch, bracketed=False),
    "tokens": _Measure("train_tokens", lambda before, tokens: tokens),  # all so far
    "seconds": _Measure("train_seconds", lambda before, seconds: before + seconds),
}

LAID_FLAT = f"{METRICS}/"  # how Tune shows a scheduler what a result keeps under METRICS


class Asha(FIFOScheduler):
    """Asynchronous successive halving of the trials of `space`."""

    def __init__(self, space: SearchSpace) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        search = space.sweep.search
        self._time, self._measure = search.time, MEASURES[search.time]
        self._score = search.metric
        self._most_epochs = space.epochs[1]
        grace = min(search.grace, self._most_epochs)
        first = float(grace) if search.time == "epochs" else None
        self.rungs = Rungs(grace=grace, reduction=search.reduction, first=first)

    def replay(self, past: Sequence[Trial]) -> None:
        """Show the rungs what earlier sessions saw."""
        for trial in past:
            self._add(trial.trial_id, trial.values)
            for epoch in trial.epochs:
                score = epoch.metrics[self._score]
                self._report(trial.trial_id, epoch.number, score, epoch.metrics)

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        self._add(trial.config[TRIAL], trial.config.get(VALUES, {}))

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        if "epoch" not in result or self._score not in result:  # a failure
            return str(TrialScheduler.CONTINUE)
        name = trial.config[TRIAL]
        metrics = {
            key.removeprefix(LAID_FLAT): value
            for key, value in result.items()
            if key.startswith(LAID_FLAT)
        }
        goes_on = self._report(name, result["epoch"], result[self._score], metrics)
        return str(TrialScheduler.CONTINUE if goes_on else TrialScheduler.STOP)

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
        """Tune shows a trial's last result here only; those that come later are compared to it."""
        self.on_trial_result(tune_controller, trial, result)

    def _add(self, name: str, values: Mapping[str, Any]) -> None:
        bracket = str(values.get(BACKBONE, "")) if self._measure.bracketed else ""
        self.rungs.add(name, bracket=bracket, epochs=int(values.get(EPOCHS, self._most_epochs)))

    def _report(self, name: str, epoch: int, score: float, metrics: Mapping[str, float]) -> bool:
        measured = {"epoch": float(epoch), **metrics}.get(self._measure.metric)
        if measured is None:
            raise SweepError(
                f"{name}: epoch {epoch} reports no {self._measure.metric}, which "
                f"search.time = {self._time} counts; write search.time: epochs"
            )
        work = self._measure.total(self.rungs.curves[name].work, measured)
        return self.rungs.report(name, Point(epoch, work, score))

    def debug_string(self) -> str:
        return f"successive halving by {self._time}: {dict(self.rungs.describe())}"


def build_scheduler(space: SearchSpace, past: Sequence[Trial]) -> TrialScheduler:
    """Make the scheduler that the file asks for, knowing what has happened already.

    Raises SweepError if the work of a past trial is not known.
    """
    if space.sweep.search.scheduler == "none":
        return FIFOScheduler()  # type: ignore[no-untyped-call]
    scheduler = Asha(space)
    scheduler.replay(past)
    return scheduler
