"""The sweep's own run in MLflow says what the terminal says: trials by state, best score, time."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from sweeps.console import duration
from sweeps.search.events import Retry, State, Trial
from sweeps.search.mailbox import Epoch
from sweeps.search.remaining import Remaining
from sweeps.search.shown import Figures

TIME_LEFT = "time_left"  # the tag of it; unlike figures, it is another in every session
Log = Callable[[Sequence[Figures], Mapping[str, str]], None]


@dataclass(frozen=True)
class _Event:
    """A trial that starts; with an epoch, or as it ended: a step."""

    at: float
    trial: Trial
    epoch: Epoch | None = None
    end: bool = False


class Overview:
    """A listener that has `log` show the sweep's figures after each epoch and each end of a trial.

    A figure's step is the number of epochs and ends of trials so far. All follow from the ledger,
    so they are the same in every session, and `log` is given all of them each time; and as a tag
    the time that is left, if `remaining` reckons it.
    """

    def __init__(
        self, log: Log, *, total: int, metric: str, remaining: Remaining | None = None
    ) -> None:
        self._log, self._remaining = log, remaining
        self._total, self._metric = total, metric
        self._begun: dict[str, Trial] = {}
        self._ended: Counter[State] = Counter()
        self._best: float | None = None
        self._steps: list[Figures] = []

    def recall(self, kept: Sequence[Trial], left_out: Sequence[Trial] = ()) -> None:
        """Go through what earlier sessions did; trials `left_out` have steps, but do not count."""
        dropped = {trial.trial_id for trial in left_out}
        events = (event for trial in (*kept, *left_out) for event in _events(trial))
        for event in sorted(events, key=lambda event: event.at):
            if event.trial.trial_id not in dropped:
                self._count(event)
            if event.epoch is not None or event.end:
                self._step(event.at)
        if self._steps:
            self._log(self._steps, self._time_left())

    def started(self, trial: Trial) -> None:
        self._count(_Event(trial.started_at, trial))

    def epoch(self, trial: Trial, epoch: Epoch) -> None:
        self._tell(_Event(epoch.at, trial, epoch))

    def retried(self, trial: Trial, retry: Retry) -> None:
        """A trial that goes on is counted already."""

    def ended(self, trial: Trial) -> None:
        self._tell(_Event(trial.ended_at or time.time(), trial, end=True))

    def _tell(self, event: _Event) -> None:
        self._count(event)
        self._step(event.at)
        self._log(self._steps, self._time_left())

    def _time_left(self) -> dict[str, str]:
        if self._remaining is None:
            return {}
        if self._ended.total() >= self._total:
            return {TIME_LEFT: "none"}
        left = self._remaining.seconds(self._begun.values(), time.monotonic())
        return {TIME_LEFT: "unknown" if left is None else f"about {duration(left)}"}

    def _count(self, event: _Event) -> None:
        self._begun[event.trial.trial_id] = event.trial
        if event.epoch is not None:
            score = event.epoch.metrics[self._metric]
            self._best = score if self._best is None else max(self._best, score)
        if event.end:
            self._ended[event.trial.state] += 1

    def _step(self, at: float) -> None:
        over = self._ended.total()
        counts = {
            "trials_over": float(over),
            "trials_running": float(len(self._begun) - over),
            "trials_waiting": float(max(0, self._total - len(self._begun))),
            "trials_failed": float(self._ended[State.FAILED]),
        }
        best = {} if self._best is None else {f"best_{self._metric}": self._best}
        self._steps.append(Figures(len(self._steps) + 1, at, counts | best))


def _events(trial: Trial) -> Iterator[_Event]:
    yield _Event(trial.started_at, trial)
    for epoch in trial.epochs:
        yield _Event(epoch.at, trial, epoch)
    if trial.over:
        yield _Event(trial.ended_at or trial.started_at, trial, end=True)
