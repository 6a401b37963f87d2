"""The files of one trial: the best epoch's weights and predictions, and the state to restart from.

    best/model.safetensors    weights of the best epoch so far; removed when better trials are over
    best/predictions.npz      its spans and its per-sentence counts on the validation split
    best/epoch.json           which epoch it was, and its metrics
    last.ckpt                 full state to restart from; removed when the trial is over

Everything is written beside its place and renamed: a kill leaves the old file or the new one.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tokcls.model.evaluation import Evaluation


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a file beside `path`, then flush it to disk and put it in place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.part")
    write(beside)
    with beside.open("rb+") as file:
        os.fsync(file.fileno())
    beside.replace(path)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as JSON, whole or not at all."""
    write_whole(path, lambda beside: beside.write_text(json.dumps(value) + "\n", encoding="utf-8"))


@dataclass(frozen=True)
class SavedEpoch:
    """An epoch (counted from 1) and its metrics as they stand in the trial's folder."""

    number: int
    metrics: dict[str, float]


class TrialFolder:
    """Reads and writes one trial's files."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.weights = self.folder / "best" / "model.safetensors"
        self.predictions = self.folder / "best" / "predictions.npz"
        self.state = self.folder / "last.ckpt"

    def best(self) -> SavedEpoch | None:
        """Read which epoch is the best so far."""
        path = self.folder / "best" / "epoch.json"
        if not path.is_file():
            return None
        found = json.loads(path.read_text(encoding="utf-8"))
        return SavedEpoch(int(found["number"]), found["metrics"])

    def save_best(
        self,
        number: int,
        metrics: dict[str, float],
        evaluation: Evaluation,
        save_weights: Callable[[Path], object],
    ) -> None:
        """Keep an epoch as the best one: weights, predictions, and last the note that says so."""
        write_whole(self.weights, save_weights)
        write_whole(self.predictions, lambda path: _write_predictions(path, evaluation))
        write_json(self.folder / "best" / "epoch.json", {"number": number, "metrics": metrics})

    def save_state(self, save: Callable[[Path], object]) -> None:
        """Keep the full state after an epoch, in place of the one before."""
        write_whole(self.state, save)

    def drop_state(self) -> None:
        """Remove the restart state, when the trial is over."""
        self.state.unlink(missing_ok=True)

    def drop_weights(self) -> int:
        """Remove the best weights, and what a kill left half written; returns the bytes freed."""
        beside = self.folder.glob("**/.*.part")
        freed = 0
        for path in (self.weights, *beside):
            if path.is_file():
                freed += path.stat().st_size
                path.unlink(missing_ok=True)
        return freed


def folder_of(sweep: Path, trial_id: str) -> Path:
    """Where a trial's files are."""
    return sweep / "trials" / trial_id


def has_weights(sweep: Path, trial_id: str) -> bool:
    """Whether a trial can still be made into a model."""
    return TrialFolder(folder_of(sweep, trial_id)).weights.is_file()


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
