"""What is removed while a sweep runs: restart states, and weights that cannot win any more.

Predictions and metrics of every trial stay. The best trial's weights always stay, and so does all
that a running trial has.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

from sweeps.search.events import Retry, Trial, standing
from sweeps.search.mailbox import Epoch
from sweeps.search.storage import Storage
from sweeps.search.trial_folder import TRIALS, is_state, is_weights
from sweeps.space.sizes import shown_bytes

logger = logging.getLogger(__name__)


class Tidy:
    """A listener of the sweep: keeps the weights of `keep_top` trials, and to a budget in bytes.

    A storage that fails stops nothing: what is left is removed when it answers again.
    """

    def __init__(
        self, sweep: Storage, *, metric: str, keep_top: int, budget: int | None = None
    ) -> None:
        self._storage, self._metric = sweep.below(TRIALS), metric
        self._keep_top, self._budget = keep_top, budget
        self._trials: dict[str, Trial] = {}
        self._failed = self._said = False

    def recall(self, past: Iterable[Trial]) -> None:
        """Know the trials of earlier sessions, and obey the file as it is now."""
        self._trials |= {trial.trial_id: trial for trial in past}
        self._try()

    def started(self, trial: Trial) -> None:
        self._trials[trial.trial_id] = trial

    def epoch(self, trial: Trial, epoch: Epoch) -> None:
        if self._budget is not None:
            self._try()

    def retried(self, trial: Trial, retry: Retry) -> None:
        """A trial that goes on needs all it has."""

    def ended(self, trial: Trial) -> None:
        self._try()

    def _try(self) -> None:
        try:
            self._tidy()
            self._failed = False
        except OSError as error:
            if not self._failed:
                logger.warning("%s cannot be tidied, the sweep goes on: %s", self._storage, error)
            self._failed = True

    def _tidy(self) -> None:
        left = {name: stored.size for name, stored in self._storage.files().items()}
        over = (trial for trial in self._trials.values() if trial.over)
        ranked = sorted(over, key=lambda trial: standing(trial, self._metric))
        best = [trial for trial in ranked if not standing(trial, self._metric).unranked]
        kept = best[: self._keep_top]
        for trial in ranked:
            self._remove(left, trial.trial_id, is_state)
            if trial not in kept:
                self._remove(left, trial.trial_id, is_weights)
        if self._budget is not None:
            self._save_up(left, [trial.trial_id for trial in kept[1:]], self._budget)

    def _save_up(self, left: dict[str, int], kept: list[str], budget: int) -> None:
        """Remove weights until the trials fit: of an earlier space first, then from the last."""
        others = sorted({_trial(name) for name in left} - {*self._trials})
        for trial_id in (*others, *reversed(kept)):
            if sum(left.values()) <= budget:
                return
            self._remove(left, trial_id, is_weights)
        if sum(left.values()) > budget and not self._said:
            self._said = True
            logger.warning(
                "the trials take %s, more than output.disk_budget (%s): the best one and those "
                "that run need it",
                shown_bytes(sum(left.values())),
                shown_bytes(budget),
            )

    def _remove(self, left: dict[str, int], trial_id: str, what: Callable[[str], bool]) -> None:
        """Remove files of a trial from the storage, and from `left`, the sizes by name."""
        for name in [name for name in left if _trial(name) == trial_id and what(name)]:
            self._storage.delete(name)
            del left[name]


def _trial(name: str) -> str:
    """The trial that a file below the trials' folder belongs to."""
    return name.partition("/")[0]
