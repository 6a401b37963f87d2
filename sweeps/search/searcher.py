"""What is tried next: an Optuna study behind Tune's searcher interface, for random, grid and TPE.

Interrupted trials come first, under their old names; what is over already is told to the study, so
that a resumed sweep knows its past. The limit on trials at once lives here too.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import TrialState
from ray.tune.search import Searcher

from sweeps.search.events import State, Trial
from sweeps.search.slot import RESUMED_AT, TRIAL, VALUES
from sweeps.space.space import SearchSpace
from sweeps.space.verbs import Choice, Int, LogUniform, QUniform, Uniform, Verb, canonical

DISTRIBUTIONS: Mapping[type, Callable[[Any], BaseDistribution]] = {
    Choice: lambda verb: CategoricalDistribution([canonical(value) for value in verb.values]),
    Uniform: lambda verb: FloatDistribution(verb.low, verb.high),
    LogUniform: lambda verb: FloatDistribution(verb.low, verb.high, log=True),
    QUniform: lambda verb: FloatDistribution(verb.low, verb.high, step=verb.step),
    Int: lambda verb: IntDistribution(verb.low, verb.high),
}
SAMPLERS: Mapping[str, Callable[[int, int], optuna.samplers.BaseSampler]] = {
    "random": lambda seed, trials: optuna.samplers.RandomSampler(seed=seed),
    "grid": lambda seed, trials: optuna.samplers.RandomSampler(seed=seed),  # all is enqueued
    "tpe": lambda seed, trials: optuna.samplers.TPESampler(
        seed=seed, n_startup_trials=min(10, math.ceil(trials / 3))
    ),
}


def distribution(verb: Verb) -> BaseDistribution:
    """Translate a verb of the file into what Optuna draws from."""
    kind = next(kind for kind in type(verb).__mro__ if kind in DISTRIBUTIONS)
    return DISTRIBUTIONS[kind](verb)


class SpaceSearcher(Searcher):
    """Draws the trials of `space`; `past` are those that an earlier run of the sweep started."""

    def __init__(self, space: SearchSpace, *, at_once: int, past: Sequence[Trial] = ()) -> None:
        search = space.sweep.search
        super().__init__(metric=search.metric, mode="max")
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._space = space
        self._at_once = at_once
        self._total = space.trials
        self._distributions = {key: distribution(verb) for key, verb in space.parameters.items()}
        self._study = optuna.create_study(
            direction="maximize",
            sampler=SAMPLERS[search.algorithm](space.seed + len(past), self._total),
        )
        self._live: dict[str, optuna.trial.Trial] = {}
        self._given = len(past)
        self._waiting = [trial for trial in past if not trial.over]
        self._recall(trial for trial in past if trial.over)
        for trial in self._waiting:  # before the points of a grid: what is asked for first
            self._study.enqueue_trial(dict(trial.values))
        if search.algorithm == "grid":
            self._enqueue_grid(past)

    def _recall(self, trials: Iterable[Trial]) -> None:
        metric = self._space.sweep.search.metric
        for trial in trials:
            best = trial.best(metric)
            state = TrialState.COMPLETE if best else TrialState.FAIL
            self._study.add_trial(
                optuna.trial.create_trial(
                    state=state,
                    params=dict(trial.values),
                    distributions=self._distributions,
                    value=best.metrics[metric] if best else None,
                )
            )

    def _enqueue_grid(self, past: Sequence[Trial]) -> None:
        verbs = self._space.parameters
        known = [dict(trial.values) for trial in past]
        for values in itertools.product(*(verb.corners() for verb in verbs.values())):
            point = dict(zip(verbs, map(canonical, values), strict=True))
            if point not in known:
                self._study.enqueue_trial(point)

    def suggest(self, trial_id: str) -> Any:
        """Give the next trial; None: not now; FINISHED: no more."""
        if len(self._live) >= self._at_once:
            return None
        if self._waiting:
            return self._resume(trial_id, self._waiting.pop(0))
        if self._given >= self._total:
            return Searcher.FINISHED
        drawn = self._study.ask(self._distributions)
        self._live[trial_id] = drawn
        self._given += 1
        return self._trial(f"t{self._given:03d}", dict(drawn.params), 0)

    def _resume(self, trial_id: str, waiting: Trial) -> dict[str, Any]:
        drawn = self._live[trial_id] = self._study.ask(self._distributions)
        for epoch in waiting.epochs:
            drawn.report(epoch.metrics[self._space.sweep.search.metric], epoch.number)
        reported = waiting.last.number if waiting.last else 0
        return self._trial(waiting.trial_id, dict(waiting.values), reported)

    @staticmethod
    def _trial(trial_id: str, values: dict[str, Any], reported: int) -> dict[str, Any]:
        return {TRIAL: trial_id, VALUES: values, RESUMED_AT: reported}

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        drawn = self._live.get(trial_id)
        if drawn is not None and self.metric in result:
            drawn.report(result[self.metric], result["epoch"])

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Tell the study the best value that the trial came to, early stop or not."""
        drawn = self._live.pop(trial_id, None)
        if drawn is None:
            return
        known = self._study.get_trials(deepcopy=False)[drawn.number].intermediate_values
        seen = list(known.values())
        if result and self.metric in result:  # Tune shows a trial's last result here only
            seen.append(result[self.metric])
        if seen and not error:
            self._study.tell(drawn, max(seen))
        else:
            self._study.tell(drawn, state=TrialState.FAIL)

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save: the ledger is what a sweep resumes from."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing to restore; see `save`."""


def state_of(result: Mapping[str, Any], epochs: int) -> tuple[State, str]:
    """Read from a trial's last result how it ended."""
    if "failed" in result:
        return State.FAILED, str(result["failed"])
    return (State.FINISHED if result.get("epoch") == epochs else State.STOPPED), ""
