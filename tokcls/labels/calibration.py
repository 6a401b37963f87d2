"""How sure a model may be of a span: the product of its words' probabilities, at a temperature.

A temperature divides scores before the softmax (Guo et al. 2017, "On Calibration of Modern Neural
Networks"). It changes no decision: every sequence's total is divided alike.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from tokcls.labels.decoding import log_softmax

Floats = npt.NDArray[np.floating[Any]]
Doubles = npt.NDArray[np.float64]
Ids = npt.NDArray[np.int32]

TEMPERATURES = np.geomspace(0.1, 10.0, 201)  # tried in fitting: 2.3% apart
BINS = 15  # as in the paper


def log_sureness(rows: Floats, ids: Ids, temperature: float) -> Doubles:
    """Log-probability of the decided tag of each word: rows float[n, T] and ids give float64[n]."""
    scaled = rows if temperature == 1.0 else log_softmax(rows / temperature)
    return scaled[np.arange(len(ids)), ids].astype(np.float64)


@dataclass
class Evidence:
    """Spans that a model decided on, word by word, and whether each is right."""

    rows: list[Floats] = field(default_factory=list)
    ids: list[Ids] = field(default_factory=list)
    right: list[bool] = field(default_factory=list)

    def add(self, rows: Floats, ids: Ids, *, right: bool) -> None:
        """Take in one span: log-probabilities float[words, T] and decided ids int32[words]."""
        self.rows.append(rows)
        self.ids.append(ids)
        self.right.append(right)

    def scores(self, temperature: float) -> Doubles:
        """The score of each span, float64[spans]."""
        return self.scorer()(temperature)

    def scorer(self) -> Callable[[float], Doubles]:
        """Give `scores` of the spans that are here now, to be asked often."""
        if not self.rows:
            return lambda temperature: np.zeros(0)
        rows, ids = np.concatenate(self.rows), np.concatenate(self.ids)
        starts = np.cumsum([0, *(len(ids) for ids in self.ids[:-1])])

        def scores(temperature: float) -> Doubles:
            sure = log_sureness(rows, ids, temperature)
            return np.minimum(1.0, np.exp(np.add.reduceat(sure, starts)))

        return scores


def fit_temperature(evidence: Evidence) -> float:
    """Choose the temperature at which the spans' scores have the least log loss; 1.0 without spans.

    Right and wrong count as a little less than certain, the fewer spans the more, so that a few
    spans that are all right do not make the model sure of everything (Platt 1999).
    """
    right = np.array(evidence.right, bool)
    if not len(right):
        return 1.0
    hits, misses = int(right.sum()), int((~right).sum())
    target = np.where(right, (hits + 1) / (hits + 2), 1 / (misses + 2))

    scores = evidence.scorer()

    def loss(temperature: float) -> float:
        score = np.clip(scores(temperature), 1e-12, 1 - 1e-12)
        return float(-(target * np.log(score) + (1 - target) * np.log1p(-score)).mean())

    return round(float(min(TEMPERATURES, key=loss)), 4)


def expected_calibration_error(scores: Sequence[float] | Doubles, right: Sequence[bool]) -> float:
    """Mean gap between score and share of right spans over equal bins of scores, by their sizes.

    0.0 without spans. Source: Naeini et al. 2015, with `BINS` bins.
    """
    values, hits = np.asarray(scores, np.float64), np.asarray(right, np.float64)
    if not len(values):
        return 0.0
    bins = np.minimum((values * BINS).astype(np.int64), BINS - 1)
    gaps = np.bincount(bins, values - hits, minlength=BINS)
    return float(np.abs(gaps).sum() / len(values))
