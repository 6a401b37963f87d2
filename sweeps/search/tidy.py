"""What is removed while a sweep runs: restart states, and weights that cannot win any more.

Predictions and metrics of every trial stay. The best trial's weights always stay, and so does all
that a running trial has.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path

from sweeps.search.events import Retry, Trial, standing
from sweeps.search.mailbox import Epoch
from sweeps.search.trial_folder import TrialFolder, folder_of
from sweeps.space.sizes import shown_bytes

logger = logging.getLogger(__name__)


class Tidy:
    """A listener of the sweep: keeps the weights of `keep_top` trials, and to a budget in bytes."""

    def __init__(
        self, sweep: Path, *, metric: str, keep_top: int, budget: int | None = None
    ) -> None:
        self._sweep, self._metric = sweep, metric
        self._keep_top, self._budget = keep_top, budget
        self._trials: dict[str, Trial] = {}
        self._said = False

    def recall(self, past: Iterable[Trial]) -> None:
        """Know the trials of earlier sessions, and obey the file as it is now."""
        self._trials |= {trial.trial_id: trial for trial in past}
        for trial in self._trials.values():
            if trial.over:
                self._folder(trial).drop_state()
        self._tidy()

    def started(self, trial: Trial) -> None:
        self._trials[trial.trial_id] = trial

    def epoch(self, trial: Trial, epoch: Epoch) -> None:
        if self._budget is not None:
            self._tidy()

    def retried(self, trial: Trial, retry: Retry) -> None:
        """A trial that goes on needs all it has."""

    def ended(self, trial: Trial) -> None:
        self._folder(trial).drop_state()
        self._tidy()

    def _tidy(self) -> None:
        over = (trial for trial in self._trials.values() if trial.over)
        ranked = sorted(over, key=lambda trial: standing(trial, self._metric))
        best = [trial for trial in ranked if not standing(trial, self._metric).unranked]
        kept = best[: self._keep_top]
        for trial in ranked:
            if trial not in kept:
                self._folder(trial).drop_weights()
        if self._budget is not None:
            self._save_up(kept[1:], self._budget)

    def _save_up(self, kept: list[Trial], budget: int) -> None:
        """Remove weights until the trials fit: of an earlier space first, then from the last."""
        trials = self._sweep / "trials"
        used = used_by(trials)
        others = [path for path in sorted(trials.glob("*")) if path.name not in self._trials]
        for folder in (*others, *(self._folder(trial).folder for trial in reversed(kept))):
            if used <= budget:
                return
            used -= TrialFolder(folder).drop_weights()
        if used > budget and not self._said:
            self._said = True
            logger.warning(
                "the trials take %s, more than output.disk_budget (%s): the best one and those "
                "that run need it",
                shown_bytes(used),
                shown_bytes(budget),
            )

    def _folder(self, trial: Trial) -> TrialFolder:
        return TrialFolder(folder_of(self._sweep, trial.trial_id))


def used_by(folder: Path) -> int:
    """Add up the files below a folder; one that goes meanwhile takes nothing."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except FileNotFoundError:
            continue
    return total
