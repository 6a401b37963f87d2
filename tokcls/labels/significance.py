"""Whether two taggers really differ on the same sentences: paired approximate randomisation.

Method: Noreen (1989), for F1 in Yeh (2000): the answers of both are exchanged sentence by sentence
at random; how often is the difference then at least as large as the one that was seen?
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tokcls.labels.spans import Span

Spans = Sequence[Sequence[Span]]
ROUNDS, AT_ONCE = 9999, 500


def p_value(gold: Spans, one: Spans, other: Spans, *, seed: int = 0) -> float:
    """Give the two-sided probability of such a difference in F1 between two that are alike.

    From 1 / 10,000 to 1; spans are compared whole, as `scoring` does.
    """
    a, b = _counts(gold, one), _counts(gold, other)
    total = sum(len({*spans}) for spans in gold)
    moved = (b - a)[(a != b).any(axis=1)]
    if not len(moved):
        return 1.0
    both = a.sum(axis=0), b.sum(axis=0)
    seen = abs(_f1(both[0], total) - _f1(both[1], total))
    random, as_large = np.random.default_rng(seed), 0
    for begun in range(0, ROUNDS, AT_ONCE):
        rows = min(AT_ONCE, ROUNDS - begun)
        shift = random.integers(0, 2, (rows, len(moved)), np.int64) @ moved
        apart = np.abs(_f1(both[0] + shift, total) - _f1(both[1] - shift, total))
        as_large += int((apart >= seen - 1e-12).sum())
    return (as_large + 1) / (ROUNDS + 1)


def f1(gold: Spans, found: Spans) -> float:
    """Compute F1, from 0 to 1, of spans that are compared whole; 0/0 is 0.0."""
    counts = _counts(gold, found).sum(axis=0)
    return float(_f1(counts, sum(len({*spans}) for spans in gold)))


def _counts(gold: Spans, found: Spans) -> npt.NDArray[np.int64]:
    """Count each sentence's right spans, and its spans: int64[S, 2]."""
    pairs = ((len({*g} & {*f}), len({*f})) for g, f in zip(gold, found, strict=True))
    return np.array([*pairs], np.int64).reshape(-1, 2)


def _f1(counts: npt.NDArray[np.int64], gold: int) -> npt.NDArray[np.float64]:
    """Compute F1 of counts int64[..., 2]."""
    whole = np.maximum(1, counts[..., 1] + gold)
    scores: npt.NDArray[np.float64] = 2 * counts[..., 0] / whole
    return scores
