"""How much longer a sweep takes: from the work that is left, and the pace of this session.

Work is epochs, each weighed by what two batches of its backbone said that it costs. So a large
backbone's trial counts for more than a small one's, and what ASHA stops early for less.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from statistics import mean

from sweeps.estimate import Estimate
from sweeps.search.events import State, Trial
from sweeps.search.mailbox import Epoch


def remaining_of(estimate: Estimate | None, *, trials: int, slots: int) -> Remaining:
    """Reckon with what was estimated; None: no trial is left to be run."""
    if estimate is None:
        return Remaining(trials=trials, slots=slots, epochs=0.0)
    costs = {name: each.epoch_seconds for name, each in estimate.backbones.items()}
    return Remaining(trials=trials, slots=slots, epochs=estimate.epochs_expected, costs=costs)


class Remaining:
    """Reckons the seconds left for `trials` trials, of which `slots` run at once.

    `epochs` is how many a trial is expected to have, and `costs` how many seconds one takes, by
    backbone; where costs are not known, nothing is said before the first epoch.
    """

    def __init__(
        self, *, trials: int, slots: int, epochs: float, costs: Mapping[str, float] | None = None
    ) -> None:
        self._trials, self._slots, self._epochs = trials, slots, epochs
        self._costs = dict(costs or {})
        self._usual = mean(self._costs.values()) if self._costs else 1.0
        self._work = 0.0
        self._began: float | None = None

    def epoch(self, trial: Trial, epoch: Epoch, now: float) -> None:
        """Note an epoch of this session; the clock runs since the first one's training began."""
        if self._began is None:
            self._began = now - epoch.metrics.get("train_seconds", 0.0)
        self._work += self._cost(trial)

    def seconds(self, trials: Iterable[Trial], now: float) -> float | None:
        """Say what is left at `now`, None where nobody knows; `trials` are all that were begun."""
        known = list(trials)
        usual = self._epochs_of_a_trial(known)
        left = max(0, self._trials - len(known)) * usual * self._usual
        for trial in known:
            if not trial.over:
                left += self._cost(trial) * self._epochs_left(trial, usual)
        if not left:
            return None
        if self._began is not None and now > self._began:
            return left / self._work * (now - self._began)
        return left / self._slots if self._costs else None

    def _epochs_of_a_trial(self, trials: Iterable[Trial]) -> float:
        """What was expected counts as one more trial beside those that are over."""
        ended = [len(each.epochs) for each in trials if each.over and each.state != State.FAILED]
        return mean([self._epochs, *ended])

    @staticmethod
    def _epochs_left(trial: Trial, usual: float) -> float:
        """A trial that came further than usual has one more epoch at least, if there is one."""
        done, most = len(trial.epochs), int(trial.config["train"]["epochs"])
        return max(0.0, min(float(most), max(usual, done + 1.0)) - done)

    def _cost(self, trial: Trial) -> float:
        return self._costs.get(trial.config["model"]["backbone"], self._usual)
