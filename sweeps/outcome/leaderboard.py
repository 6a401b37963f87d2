"""Finished trials in order: best epoch first, failed trials last, each with what it was."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from sweeps.search.events import State, Trial
from sweeps.search.progress import shown_values

COLUMNS = {"f1": "val_f1", "precision": "val_precision", "recall": "val_recall",
           "accuracy": "val_accuracy", "loss": "val_loss"}  # fmt: skip


class Leaderboard:
    """Trials by the best epoch's metric; ties go to fewer parameters, then to the earlier trial."""

    def __init__(self, trials: Sequence[Trial], *, metric: str) -> None:
        self._metric = metric
        self.trials = sorted(trials, key=self._rank)

    def _rank(self, trial: Trial) -> tuple[bool, float, float, str]:
        best = trial.best(self._metric)
        if best is None or trial.state is State.FAILED or math.isnan(best.metrics[self._metric]):
            return True, 0.0, 0.0, trial.trial_id
        return False, -best.metrics[self._metric], best.metrics["parameters"], trial.trial_id

    @property
    def winner(self) -> Trial | None:
        """The best trial that came to a score."""
        ranked = [trial for trial in self.trials if not self._rank(trial)[0]]
        return ranked[0] if ranked else None

    def table(self) -> Table:
        """Lay the trials out for a terminal or a log."""
        table = Table(box=None, pad_edge=False, header_style="bold")
        table.add_column("", justify="right")
        table.add_column("trial")
        for name in COLUMNS:
            table.add_column(name, justify="right", no_wrap=True)
        table.add_column("epoch", justify="right")
        table.add_column("state")
        table.add_column("params", overflow="fold")
        for place, trial in enumerate(self.trials, 1):
            table.add_row(str(place), *map(Text, self._row(trial)))
        return table

    def _row(self, trial: Trial) -> list[str]:
        best = trial.best(self._metric)
        scores = [f"{best.metrics[key]:.3f}" if best else "-" for key in COLUMNS.values()]
        epoch = f"{best.number} of {trial.epochs[-1].number}" if best else "-"
        what = shown_values(trial.values)
        reason = f" ({trial.reason})" if trial.reason else ""
        return [trial.trial_id, *scores, epoch, str(trial.state), what + reason]
