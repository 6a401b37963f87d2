"""From scores to tags: the best tag of each word, or the best sequence that a scheme allows.

Nothing is trained here: an allowed step costs nothing, a forbidden one everything (Viterbi 1967).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tokcls.labels.schemes import Transitions

Floats = npt.NDArray[np.floating[Any]]
Ids = npt.NDArray[np.int32]
Indices = npt.NDArray[np.int64]
Doubles = npt.NDArray[np.float64]

# Bounds the [sentences, T, T] table of one Viterbi step to 32 MiB.
_CELLS = 4 * 2**20


def log_softmax(logits: Floats) -> npt.NDArray[np.float32]:
    """Turn logits [..., T] into log-probabilities of the same shape, safe for large logits."""
    shifted = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
    total = np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return np.asarray(shifted - total, np.float32)


def decode_tags(scores: Sequence[Floats], transitions: Transitions | None) -> list[Ids]:
    """Choose the tags of each sentence: scores float[n, T] (log-probabilities) give int32[n] ids.

    Without transitions every word gets its own best tag. With them each sentence gets the allowed
    sequence of the highest total; where the best tags already make an allowed sequence, that is it.
    Equal totals go to the sequence that comes first, so the lowest id wins as in argmax.
    """
    best = best_tags(scores)
    if transitions is None:
        return best
    repair = np.flatnonzero(is_broken(best, transitions)).tolist()
    # Sentences of like length go together, so that few rows wait for a long one to end.
    repair.sort(key=lambda number: -len(best[number]))
    rows = max(1, _CELLS // len(transitions.start) ** 2)
    for at in range(0, len(repair), rows):
        chunk = repair[at : at + rows]
        repaired = _viterbi([scores[number] for number in chunk], transitions)
        for number, ids in zip(chunk, repaired, strict=True):
            best[number] = ids
    return best


def best_tags(scores: Sequence[Floats]) -> list[Ids]:
    """Choose each word's own best tag, whatever stands beside it."""
    return [sentence.argmax(axis=-1).astype(np.int32) for sentence in scores]


def is_broken(tags: Sequence[Ids], transitions: Transitions) -> npt.NDArray[np.bool_]:
    """Tell of each of S sentences' tag ids whether a step among them is forbidden: bool[S]."""
    lengths = np.array([len(ids) for ids in tags], np.int64)
    filled = np.flatnonzero(lengths)
    broken = np.zeros(len(tags), bool)
    if len(filled) == 0:
        return broken
    flat = np.concatenate(tags)
    ends = np.cumsum(lengths)[filled]
    starts = ends - lengths[filled]
    allowed = np.ones(len(flat), bool)
    allowed[1:] = transitions.between[flat[:-1], flat[1:]]
    allowed[starts] = transitions.start[flat[starts]]
    allowed[ends - 1] &= transitions.end[flat[ends - 1]]
    broken[np.repeat(np.arange(len(tags)), lengths)[~allowed]] = True
    return broken


@dataclass(frozen=True)
class _Costs:
    """Transitions as what they add to a score: 0 where allowed, else minus infinity."""

    start: Doubles
    between: Doubles
    end: Doubles


def _costs(transitions: Transitions) -> _Costs:
    def cost(allowed: npt.NDArray[np.bool_]) -> Doubles:
        return np.where(allowed, 0.0, -np.inf)

    return _Costs(cost(transitions.start), cost(transitions.between), cost(transitions.end))


def _viterbi(scores: Sequence[Floats], transitions: Transitions) -> list[Ids]:
    """Decode sentences that come longest first, none of them empty.

    The words of all sentences lie end to end without padding, and each step takes only the
    sentences that reach that far: memory grows with the number of words, whatever the longest
    sentence. The recursion runs from the last word to the first, so that the walk forward can take
    the lowest id on ties.
    """
    costs = _costs(transitions)
    flat = np.concatenate(scores).astype(np.float64)
    lengths = np.array([len(sentence) for sentence in scores], np.int64)
    starts = np.cumsum(lengths) - lengths
    rest = np.tile(costs.end, (len(scores), 1))
    following = np.zeros(flat.shape, np.int32)
    for step in range(int(lengths[0]) - 1, 0, -1):
        active = int((lengths > step).sum())
        value = flat[starts[:active] + step] + rest[:active]
        table = costs.between[None] + value[:, None, :]
        choice = table.argmax(axis=-1)
        rest[:active] = np.take_along_axis(table, choice[..., None], axis=-1)[..., 0]
        following[starts[:active] + step] = choice
    first = (costs.start + flat[starts] + rest).argmax(axis=-1)
    return _walk(first, following, starts, lengths)


def _walk(first: Indices, following: Ids, starts: Indices, lengths: Indices) -> list[Ids]:
    """Follow `following[word, tag of the word before]` from each sentence's first tag."""
    ids = np.zeros(len(following), np.int32)
    ids[starts] = first
    for step in range(1, int(lengths[0])):
        at = starts[: int((lengths > step).sum())] + step
        ids[at] = following[at, ids[at - 1]]
    return np.split(ids, starts[1:])
