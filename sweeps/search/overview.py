"""The sweep's own run in MLflow counts its trials as the terminal does, and has the best score."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from sweeps.search.events import Retry, State, Trial
from sweeps.search.mailbox import Epoch
from sweeps.search.shown import Point, points


class Overview:
    """A listener that gives `log` the sweep's figures after each epoch and each end of a trial.

    A figure's step is the number of epochs and ends of trials so far, so no step comes twice, also
    when a sweep is resumed.
    """

    def __init__(self, log: Callable[[Sequence[Point]], None], *, total: int, metric: str) -> None:
        self._log = log
        self._total, self._metric = total, metric
        self._begun: set[str] = set()
        self._ended: Counter[State] = Counter()
        self._epochs = 0
        self._best: float | None = None

    def recall(self, past: Iterable[Trial]) -> None:
        """Count what earlier sessions did."""
        for trial in past:
            self._begun.add(trial.trial_id)
            for epoch in trial.epochs:
                self._count(epoch)
            if trial.over:
                self._ended[trial.state] += 1

    def started(self, trial: Trial) -> None:
        self._begun.add(trial.trial_id)

    def epoch(self, trial: Trial, epoch: Epoch) -> None:
        self._count(epoch)
        self._tell(epoch.at)

    def retried(self, trial: Trial, retry: Retry) -> None:
        """A trial that goes on is counted already."""

    def ended(self, trial: Trial) -> None:
        self._ended[trial.state] += 1
        self._tell(trial.ended_at or time.time())

    def _count(self, epoch: Epoch) -> None:
        self._epochs += 1
        score = epoch.metrics[self._metric]
        self._best = score if self._best is None else max(self._best, score)

    def _tell(self, at: float) -> None:
        over = self._ended.total()
        figures = {
            "trials_over": float(over),
            "trials_running": float(len(self._begun) - over),
            "trials_waiting": float(max(0, self._total - len(self._begun))),
            "trials_failed": float(self._ended[State.FAILED]),
        }
        best = {} if self._best is None else {f"best_{self._metric}": self._best}
        self._log(points(figures | best, at, self._epochs + over))
