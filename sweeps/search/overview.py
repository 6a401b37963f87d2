"""The sweep's own run in MLflow shows what the terminal shows: how many trials are where, the best.

A listener that stands before the tracker and tells it everything; it counts events, not trials, so
that it says the same in a thread that lags behind.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping

from sweeps.search.events import Listener, Retry, State, Trial
from sweeps.search.mailbox import Epoch


class Overview:
    """Passes events on to `tracker`, and after each logs the sweep's figures with `log`.

    A figure's step is the number of epochs and ends of trials so far, so no step comes twice, also
    when a sweep is resumed.
    """

    def __init__(
        self,
        tracker: Listener,
        log: Callable[[Mapping[str, float], int], None],
        *,
        total: int,
        metric: str,
    ) -> None:
        self._tracker, self._log = tracker, log
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
        self._tracker.started(trial)

    def epoch(self, trial: Trial, epoch: Epoch) -> None:
        self._tracker.epoch(trial, epoch)
        self._count(epoch)
        self._tell()

    def retried(self, trial: Trial, retry: Retry) -> None:
        self._tracker.retried(trial, retry)

    def ended(self, trial: Trial) -> None:
        self._tracker.ended(trial)
        self._ended[trial.state] += 1
        self._tell()

    def _count(self, epoch: Epoch) -> None:
        self._epochs += 1
        score = epoch.metrics[self._metric]
        self._best = score if self._best is None else max(self._best, score)

    def _tell(self) -> None:
        over = self._ended.total()
        figures = {
            "trials_over": over,
            "trials_running": len(self._begun) - over,
            "trials_waiting": max(0, self._total - len(self._begun)),
            "trials_failed": self._ended[State.FAILED],
        }
        best = {} if self._best is None else {f"best_{self._metric}": self._best}
        self._log(
            {name: float(count) for name, count in figures.items()} | best, self._epochs + over
        )
