"""What a person sees while a sweep runs: a live table on a terminal, plain lines elsewhere.

A listener in the driver; knows what trials tell, nothing of Ray.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence, Set
from types import TracebackType
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from sweeps.console import duration
from sweeps.search.events import Retry, State, Trial
from sweeps.search.mailbox import Epoch
from sweeps.search.remaining import Remaining

STYLES = {State.RUNNING: "cyan", State.FINISHED: "green", State.STOPPED: "dim", State.FAILED: "red"}
MOST_ROWS = 20


class Progress:
    """Shows trials as they go; used as a context manager around the search."""

    def __init__(
        self, console: Console, *, total: int, slots: int, metric: str, remaining: Remaining
    ) -> None:
        self._console = console
        self._total, self._slots, self._metric = total, slots, metric
        self._trials: dict[str, Trial] = {}
        self._remaining = remaining
        self._live = Live(
            get_renderable=self._render,
            console=console,
            refresh_per_second=2,
            transient=True,
            # What others print belongs into the log, not above the table.
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def recall(self, past: Sequence[Trial]) -> None:
        """Know the trials of an earlier session."""
        self._trials |= {trial.trial_id: trial for trial in past}

    def __enter__(self) -> Progress:
        if self._console.is_terminal:
            self._live.start()
        self._line(self._waiting())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._live.stop()

    def started(self, trial: Trial) -> None:
        self._trials[trial.trial_id] = trial
        again = f", from epoch {trial.last.number}" if trial.last else ""
        self._line(f"{trial.trial_id} started{again}: {shown_values(trial.values)}")

    def epoch(self, trial: Trial, epoch: Epoch) -> None:
        self._remaining.epoch(trial, epoch, time.monotonic())
        metrics = epoch.metrics
        self._line(
            f"{trial.trial_id} epoch {epoch.number}: f1 {metrics['val_f1']:.3f}, "
            f"train loss {metrics['train_loss']:.3f}, {metrics['words_per_second']:,.0f} words/s"
        )

    def retried(self, trial: Trial, retry: Retry) -> None:
        smaller = f", batches cut into {retry.division}" if retry.division > 1 else ""
        self._line(f"{trial.trial_id} goes on after a failure{smaller}: {retry.reason}")

    def ended(self, trial: Trial) -> None:
        best = trial.best(self._metric)
        reached = f", best f1 {best.metrics[self._metric]:.3f}" if best else ""
        reason = f": {trial.reason}" if trial.reason else ""
        self._line(f"{trial.trial_id} {trial.state}{reached}{reason}; {self._summary()}")

    def note(self, text: str) -> None:
        """Say what is no trial's own: slots that come, go or wait. A table stays below it."""
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    def _waiting(self) -> str:
        return f"waiting for {self._slots} slot{'s' * (self._slots != 1)} to start (15 to 40 s) ..."

    def _line(self, text: str) -> None:
        if not self._console.is_terminal:
            self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    def _summary(self) -> str:
        states = [trial.state for trial in self._trials.values()]
        over = sum(trial.over for trial in self._trials.values())
        waiting = max(0, self._total - len(states))
        parts = [
            f"{over} of {self._total} trials over",
            f"{states.count(State.RUNNING)} running",
            f"{waiting} waiting",
        ]
        if states.count(State.FAILED):
            parts.append(f"{states.count(State.FAILED)} failed")
        if (best := self._best()) is not None:
            parts.append(f"best f1 {best[0]:.3f} ({best[1]})")
        left = self._remaining.seconds(self._trials.values(), time.monotonic())
        if left is not None:
            parts.append(f"about {duration(left)} left")
        return ", ".join(parts)

    def _best(self) -> tuple[float, str] | None:
        bests = [(trial.best(self._metric), trial.trial_id) for trial in self._trials.values()]
        scores = [(best.metrics[self._metric], name) for best, name in bests if best]
        return max(scores, key=lambda score: score[0], default=None)

    def _render(self) -> Group:
        table = Table(box=None, pad_edge=False, header_style="bold")
        for name, justify in COLUMNS.items():
            table.add_column(name, justify=justify, no_wrap=name != "params")
        differing = self._differing()
        for trial in self._shown():
            table.add_row(*map(Text, self._row(trial, differing)), style=STYLES[trial.state])
        if not self._trials:
            return Group(Text(self._waiting()))
        return Group(table, Text(self._summary()))

    def _shown(self) -> list[Trial]:
        """The newest trials, but all that run before any that is over."""
        by_age = list(self._trials.values())
        kept = sorted(reversed(by_age), key=lambda trial: trial.over)[:MOST_ROWS]
        return sorted(kept, key=by_age.index)

    def _differing(self) -> set[str]:
        """The drawn keys that have not the same value in all trials; all while there is one."""
        trials = list(self._trials.values())
        first = trials[0].values if trials else {}
        others = [trial.values for trial in trials[1:]]
        drawn = {key for values in (first, *others) for key in values}
        missing = object()
        return {
            key
            for key in drawn
            if not others or any(v.get(key, missing) != first.get(key, missing) for v in others)
        }

    def _row(self, trial: Trial, differing: Set[str]) -> list[str]:
        last, best = trial.last, trial.best(self._metric)
        waits = trial.state is State.RUNNING and last is None
        return [
            trial.trial_id,
            "starting" if waits else str(trial.state),
            f"{last.number if last else 0}/{trial.config['train']['epochs']}",
            f"{last.metrics[self._metric]:.3f}" if last else "",
            f"{best.metrics[self._metric]:.3f}" if best else "",
            f"{last.metrics['words_per_second']:,.0f}" if last else "",
            trial.reason or shown_values({k: v for k, v in trial.values.items() if k in differing}),
        ]


COLUMNS: Mapping[str, Any] = {
    "trial": "left",
    "state": "left",
    "epoch": "right",
    "f1": "right",
    "best": "right",
    "words/s": "right",
    "params": "left",
}


def shown_values(values: Mapping[str, Any]) -> str:
    """Write drawn values shortly: last part of the key, numbers to three digits."""
    return ", ".join(f"{key.rsplit('.', 1)[-1]}={_short(value)}" for key, value in values.items())


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
