"""What happens in a sweep, told by the driver to whoever listens: ledger, MLflow, progress.

A trial's history is the fold of its events, so a sweep that is resumed sees what the first run saw.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from sweeps.search.mailbox import Epoch


class State(StrEnum):
    """RUNNING in a ledger that nobody writes any more means interrupted."""

    RUNNING = "running"
    FINISHED = "finished"
    STOPPED = "stopped"
    FAILED = "failed"


@dataclass(frozen=True)
class Retry:
    """A failure after which a trial goes on, with its batches cut into `division` parts."""

    reason: str
    division: int


@dataclass
class Trial:
    """One trial and all its epochs so far; `values` are what the searcher drew."""

    trial_id: str
    values: Mapping[str, Any]
    config: Mapping[str, Any]
    config_hash: str
    state: State = State.RUNNING
    reason: str = ""
    epochs: list[Epoch] = field(default_factory=list)
    started_at: float = field(default_factory=time.time)
    ended_at: float | None = None
    retries: list[Retry] = field(default_factory=list)

    @property
    def over(self) -> bool:
        return self.state is not State.RUNNING

    @property
    def division(self) -> int:
        """Into how many parts its batches are cut, since larger ones did not fit into memory."""
        return self.retries[-1].division if self.retries else 1

    @property
    def last(self) -> Epoch | None:
        return self.epochs[-1] if self.epochs else None

    def best(self, metric: str) -> Epoch | None:
        """The earliest epoch with the highest `metric`."""
        return max(self.epochs, key=lambda epoch: epoch.metrics[metric], default=None)


@dataclass(frozen=True, order=True)
class Standing:
    """A trial's place among others, the best first: ties go to fewer parameters, then by name."""

    unranked: bool
    score: float
    parameters: float
    trial_id: str


def standing(trial: Trial, metric: str) -> Standing:
    """Rank a trial by its best epoch; one that failed or came to no number comes last."""
    best = trial.best(metric)
    if best is None or trial.state is State.FAILED or math.isnan(best.metrics[metric]):
        return Standing(True, 0.0, 0.0, trial.trial_id)
    return Standing(False, -best.metrics[metric], best.metrics["parameters"], trial.trial_id)


class Listener(Protocol):
    """Each is called in the driver, in order, after `trial` was brought up to date."""

    def started(self, trial: Trial) -> None: ...

    def epoch(self, trial: Trial, epoch: Epoch) -> None: ...

    def retried(self, trial: Trial, retry: Retry) -> None: ...

    def ended(self, trial: Trial) -> None: ...
