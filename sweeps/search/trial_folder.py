"""The files of one trial: the best epoch's weights and predictions, and the state to restart from.

    best/model.safetensors    weights of the best epoch so far; removed when better trials are over
    best/model.json           how they predict (`tokcls.trained`); goes with them
    best/predictions.npz      its spans and its per-sentence counts on the validation split
    best/epoch.json           which epoch it was, and its metrics
    last.ckpt                 full state to restart from; removed when the trial is over

They lie in the sweep's storage. Each is there whole or not at all: a kill leaves the old one.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sweeps.search.storage import PART, Storage, storage_at, write_json
from tokcls import trained
from tokcls.model.evaluation import Evaluation
from tokcls.trained import BEST, Description, write_description

TRIALS, STATE = trained.TRIALS, trained.STATE
WEIGHTS, PREDICTIONS = f"{BEST}/{trained.WEIGHTS}", f"{BEST}/predictions.npz"
EPOCH, DESCRIPTION = f"{BEST}/{trained.EPOCH}", f"{BEST}/{trained.DESCRIPTION}"


@dataclass(frozen=True)
class SavedEpoch:
    """An epoch (counted from 1) and its metrics as they stand in the trial's folder."""

    number: int
    metrics: dict[str, float]


class TrialFolder:
    """Reads and writes one trial's files; every method raises OSError if the storage fails."""

    def __init__(self, place: str | Path | Storage) -> None:
        """Take the place as a path, a URI, or a part of a storage."""
        self.storage = place if isinstance(place, Storage) else storage_at(place)

    def __str__(self) -> str:
        return str(self.storage)

    def best(self) -> SavedEpoch | None:
        """Read which epoch is the best so far."""
        text = self.storage.read(EPOCH)
        if text is None:
            return None
        found = json.loads(text)
        return SavedEpoch(int(found["number"]), found["metrics"])

    def save_best(
        self,
        number: int,
        metrics: dict[str, float],
        evaluation: Evaluation,
        save_weights: Callable[[Path], object],
    ) -> None:
        """Keep an epoch as the best one: weights, predictions, and last the note that says so."""
        self.storage.write(WEIGHTS, save_weights)
        self.storage.write(PREDICTIONS, lambda path: _write_predictions(path, evaluation))
        write_json(self.storage, EPOCH, {"number": number, "metrics": metrics})

    def describe(self, make: Callable[[], Description]) -> None:
        """Keep how the trial's weights predict, if there are any; it is the same in all epochs."""
        if WEIGHTS in self.storage and DESCRIPTION not in self.storage:
            self.storage.write(DESCRIPTION, lambda path: write_description(path, make()))

    def weights(self) -> AbstractContextManager[Path | None]:
        """Lend the best weights as a file of this machine; None if there are none."""
        return self.storage.local(WEIGHTS)

    def state(self) -> AbstractContextManager[Path | None]:
        """Lend the state to restart from as a file of this machine; None if there is none."""
        return self.storage.local(STATE)

    def save_state(self, save: Callable[[Path], object]) -> None:
        """Keep the full state after an epoch, in place of the one before."""
        self.storage.write(STATE, save)


def is_state(name: str) -> bool:
    """Whether a file is of no use once its trial is over: a restart state, or half written."""
    return name.endswith((f"/{STATE}", PART))


def is_weights(name: str) -> bool:
    """Whether a file is weights, what is of no use without them, or half written by a kill."""
    return name.endswith((f"/{WEIGHTS}", f"/{DESCRIPTION}", PART))


def folder_of(sweep: Storage, trial_id: str) -> TrialFolder:
    """A trial's files, in the sweep's storage."""
    return TrialFolder(sweep.below(TRIALS, trial_id))


def has_weights(sweep: Storage, trial_id: str) -> bool:
    """Whether a trial can still be made into a model."""
    return WEIGHTS in folder_of(sweep, trial_id).storage


def _write_predictions(path: Path, evaluation: Evaluation) -> None:
    """Write spans as rows (sentence, start, end, type) beside the per-sentence counts."""
    types = evaluation.counts.types
    rows = [
        (sentence, span.start, span.end, types.index(span.type))
        for sentence, spans in enumerate(evaluation.spans)
        for span in spans
    ]
    with path.open("wb") as file:
        np.savez_compressed(
            file,
            spans=np.array(rows, dtype=np.int32).reshape(-1, 4),
            types=np.array(types),
            counts=evaluation.per_sentence,
        )
