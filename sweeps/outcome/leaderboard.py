"""Finished trials in order: best epoch first, failed trials last, each with what it was."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from sweeps.search.events import Trial, standing
from sweeps.search.progress import shown_values

COLUMNS = {"f1": "val_f1", "precision": "val_precision", "recall": "val_recall",
           "accuracy": "val_accuracy", "loss": "val_loss"}  # fmt: skip


class Leaderboard:
    """Trials by the best epoch's metric; ties go to fewer parameters, then to the earlier trial."""

    def __init__(self, trials: Sequence[Trial], *, metric: str) -> None:
        self.metric = metric
        self.trials = sorted(trials, key=lambda trial: standing(trial, metric))

    @property
    def winner(self) -> Trial | None:
        """The best trial that came to a score."""
        first = self.trials[0] if self.trials else None
        return None if first is None or standing(first, self.metric).unranked else first

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
        best = trial.best(self.metric)
        scores = [f"{best.metrics[key]:.3f}" if best else "-" for key in COLUMNS.values()]
        epoch = f"{best.number} of {trial.epochs[-1].number}" if best else "-"
        what = shown_values(trial.values)
        reason = f" ({trial.reason})" if trial.reason else ""
        return [trial.trial_id, *scores, epoch, str(trial.state), what + reason]
