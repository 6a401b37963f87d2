"""When a sweep trained and when it did not, read from its ledger.

What a user pays for is training: from an epoch's first step to its last, and the scoring of its
validation split (`train_seconds` + `validation_seconds`). All else is overhead: reports, files,
the way to the next trial. A worker's clock gives lengths, the ledger's the moments: an epoch's
line is written when its training and the writing of its best weights are over.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Trained:
    """One epoch's training and scoring: seconds since 1970."""

    trial: str
    began: float
    ended: float


@dataclass(frozen=True)
class Timeline:
    """A sweep's epochs in the order they were reported, and when the last trial was over."""

    epochs: Sequence[Trained]
    over: float

    def all_slots_from(self, slots: int) -> float:
        """When the last slot to start took its first step: the first trials are one a slot."""
        return max(sorted(epochs[0].began for epochs in self.by_trial())[:slots])

    def trained_from(self, moment: float) -> float:
        """Seconds of training after `moment`, summed over the slots."""
        return sum(max(0.0, epoch.ended - max(moment, epoch.began)) for epoch in self.epochs)

    def by_trial(self) -> list[list[Trained]]:
        """Each trial's epochs, the trials in the order of their first report."""
        trials: dict[str, list[Trained]] = {}
        for epoch in self.epochs:
            trials.setdefault(epoch.trial, []).append(epoch)
        return list(trials.values())

    def between_epochs(self) -> list[float]:
        """Seconds from the end of an epoch's training to the next epoch of the same trial."""
        pairs = [pair for epochs in self.by_trial() for pair in pairwise(epochs)]
        return [after.began - before.ended for before, after in pairs]


def read_events(ledger: Path) -> list[dict[str, Any]]:
    """Read a ledger's lines."""
    return [json.loads(line) for line in ledger.read_text(encoding="utf-8").splitlines()]


def timeline(events: Iterable[Mapping[str, Any]]) -> Timeline:
    """Place every epoch of a ledger in time."""
    epochs, over = [], 0.0
    for event in events:
        if event["event"] == "ended":
            over = event["time"]
        elif event["event"] == "epoch":
            metrics = event["metrics"]
            ended = event["time"] - metrics["saving_seconds"]
            seconds = metrics["train_seconds"] + metrics["validation_seconds"]
            epochs.append(Trained(event["trial"], ended - seconds, ended))
    return Timeline(epochs, over)
