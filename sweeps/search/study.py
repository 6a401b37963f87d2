"""The Optuna study behind a search: what it is asked, and what it is told.

TPE is multivariate: all parameters are drawn together, from the densities of good and of other
trials (Falkner et al. 2018). Groups of parameters are not needed, since every trial has them all.
Running trials count as bad ones (constant liar), so that slots do not draw the same neighbourhood.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import TrialState

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
    "grid": lambda seed, trials: optuna.samplers.RandomSampler(seed=seed),  # all values are given
    "tpe": lambda seed, trials: optuna.samplers.TPESampler(
        seed=seed,
        n_startup_trials=min(10, math.ceil(trials / 3)),
        multivariate=True,
        constant_liar=True,
    ),
}


def distribution(verb: Verb) -> BaseDistribution:
    """Translate a verb of the file into what Optuna draws from."""
    kind = next(kind for kind in type(verb).__mro__ if kind in DISTRIBUTIONS)
    return DISTRIBUTIONS[kind](verb)


@dataclass(frozen=True)
class Draw:
    """What a study was asked for: the values in canonical form, and its own trial."""

    values: dict[str, Any]
    trial: optuna.trial.Trial


class Study:
    """Draws values of `verbs`, and learns what they came to."""

    def __init__(
        self, verbs: Mapping[str, Verb], *, algorithm: str, seed: int, trials: int
    ) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._verbs = verbs
        self._distributions = {name: distribution(verb) for name, verb in verbs.items()}
        self._study = optuna.create_study(
            direction="maximize", sampler=SAMPLERS[algorithm](seed, trials)
        )

    def ask(self, values: Mapping[str, Any] | None = None) -> Draw:
        """Draw; what `values` give is taken as it is."""
        if values:
            self._study.enqueue_trial(dict(values))
        trial = self._study.ask(self._distributions)
        drawn = {name: self._fit(name, trial.params[name]) for name in self._verbs}
        return Draw(drawn, trial)

    def _fit(self, name: str, value: Any) -> Any:
        """Give the last digit of a step as it is in the file, so that equal steps are equal."""
        verb = self._verbs[name]
        return verb.fit(value) if isinstance(verb, QUniform) else value

    def tell(self, draw: Draw, value: float | None) -> None:
        """Say what a draw came to; without a finite value it has failed."""
        if value is None or not math.isfinite(value):
            self._study.tell(draw.trial, state=TrialState.FAIL)
        else:
            self._study.tell(draw.trial, value)

    def recall(self, values: Mapping[str, Any], value: float | None) -> None:
        """Say what other values came to, in an earlier session."""
        known = value is not None and math.isfinite(value)
        self._study.add_trial(
            optuna.trial.create_trial(
                state=TrialState.COMPLETE if known else TrialState.FAIL,
                params=dict(values),
                distributions=self._distributions,
                value=value if known else None,
            )
        )

    def told(self) -> list[optuna.trial.FrozenTrial]:
        """Give all that the study knows, in the order it was asked or told."""
        return list(self._study.get_trials(deepcopy=False))
