"""Scores of predicted against gold spans, as counts that can be added up over sentences and ranks.

A span counts as found when its start, end and type are all right (the rule of `conlleval`); totals
are micro-averaged over types. A quotient 0/0 is 0.0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tokcls.labels.spans import Span

Longs = npt.NDArray[np.int64]
Spans = Sequence[Sequence[Span]]

_TP, _FP, _FN, _KINDS = 0, 1, 2, 3


@dataclass(frozen=True)
class Scores:
    """Micro-averaged span scores, and the share of words read right; all from 0 to 1."""

    precision: float
    recall: float
    f1: float
    accuracy: float


@dataclass(frozen=True)
class TypeScores:
    """Span scores of one type, from 0 to 1, and the number of its gold spans."""

    precision: float
    recall: float
    f1: float
    gold: int


@dataclass(frozen=True, eq=False)
class Counts:
    """Spans found, invented and missed per type, and words right; `+` merges two counts.

    `tp`, `fp` and `fn` are int64[len(types)]. Compare two of them by `vector()`.
    """

    types: tuple[str, ...]
    tp: Longs
    fp: Longs
    fn: Longs
    correct_words: int
    words: int

    def __add__(self, other: Counts) -> Counts:
        if self.types != other.types:
            raise ValueError(
                f"counts can be added only over the same types, got {self.types} and {other.types}"
            )
        return Counts.from_vector(self.types, self.vector() + other.vector())

    def vector(self) -> Longs:
        """Flatten to int64[3 * len(types) + 2]; the sum over ranks is the vector of the whole."""
        words = np.array([self.correct_words, self.words], np.int64)
        return np.concatenate([self.tp, self.fp, self.fn, words])

    @classmethod
    def from_vector(cls, types: Sequence[str], vector: npt.NDArray[np.integer[Any]]) -> Counts:
        """Rebuild counts from what `vector` gave.

        Raises:
            ValueError: the vector is not that of so many types.
        """
        size = len(types)
        if vector.shape != (_KINDS * size + 2,):
            raise ValueError(
                f"counts of {size} types are {_KINDS * size + 2} numbers, got shape {vector.shape}"
            )
        tp, fp, fn = vector[: _KINDS * size].astype(np.int64).reshape(_KINDS, size)
        return cls(tuple(types), tp, fp, fn, int(vector[-2]), int(vector[-1]))

    def scores(self) -> Scores:
        """Score all types together."""
        tp, fp, fn = int(self.tp.sum()), int(self.fp.sum()), int(self.fn.sum())
        return Scores(
            precision=_ratio(tp, tp + fp),
            recall=_ratio(tp, tp + fn),
            f1=_ratio(2 * tp, 2 * tp + fp + fn),
            accuracy=_ratio(self.correct_words, self.words),
        )

    def per_type(self) -> dict[str, TypeScores]:
        """Score each type by itself."""
        rows = zip(self.types, self.tp.tolist(), self.fp.tolist(), self.fn.tolist(), strict=True)
        return {
            type_: TypeScores(
                precision=_ratio(tp, tp + fp),
                recall=_ratio(tp, tp + fn),
                f1=_ratio(2 * tp, 2 * tp + fp + fn),
                gold=tp + fn,
            )
            for type_, tp, fp, fn in rows
        }


def count(gold: Spans, predicted: Spans, lengths: Sequence[int], types: Sequence[str]) -> Counts:
    """Count S sentences of `lengths` words.

    Words are compared in their IOB2 reading, so that accuracy means the same under every scheme.

    Raises:
        ValueError: the numbers of sentences differ, a type is not in `types`, or a span leaves its
            sentence.
    """
    events = _events(gold, predicted, types)
    size = _KINDS * len(types)
    # An event is numbered (sentence, type, kind); the remainder forgets the sentence.
    table = np.bincount(events % max(size, 1), minlength=size).reshape(len(types), _KINDS)
    right = _word_codes(gold, lengths, types) == _word_codes(predicted, lengths, types)
    tp, fp, fn = np.ascontiguousarray(table.T, np.int64)
    return Counts(tuple(types), tp, fp, fn, int(right.sum()), len(right))


def per_sentence(gold: Spans, predicted: Spans, types: Sequence[str]) -> npt.NDArray[np.int32]:
    """Count each sentence by itself: int32[S, len(types), 3] of (tp, fp, fn).

    Raises:
        ValueError: the numbers of sentences differ, or a type is not in `types`.
    """
    shape = (len(gold), len(types), _KINDS)
    counted = np.bincount(_events(gold, predicted, types), minlength=int(np.prod(shape)))
    return counted.reshape(shape).astype(np.int32)


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def _events(gold: Spans, predicted: Spans, types: Sequence[str]) -> Longs:
    """Number every found, invented or missed span: (sentence * len(types) + type) * 3 + kind."""
    _check_sentences(gold=len(gold), predicted=len(predicted))
    index = {type_: number for number, type_ in enumerate(types)}
    events: list[int] = []
    try:
        for number, (true, guessed) in enumerate(zip(gold, predicted, strict=True)):
            if not true and not guessed:
                continue
            base = number * len(types)
            one, two = set(true), set(guessed)
            for kind, spans in ((_TP, one & two), (_FP, two - one), (_FN, one - two)):
                events.extend((base + index[span.type]) * _KINDS + kind for span in spans)
    except KeyError as error:
        raise ValueError(
            f"a span has type {error.args[0]!r}, which is not among the types scored: {list(types)}"
        ) from None
    return np.array(events, np.int64)


def _word_codes(spans: Spans, lengths: Sequence[int], types: Sequence[str]) -> Longs:
    """Give each word of all sentences, end to end, the number of its IOB2 tag."""
    _check_sentences(spans=len(spans), lengths=len(lengths))
    index = {type_: 2 * number + 1 for number, type_ in enumerate(types)}
    codes = np.zeros(sum(lengths), np.int64)
    offset = 0
    for sentence, length in zip(spans, lengths, strict=True):
        for start, end, type_ in sentence:
            if end > length:
                raise ValueError(f"a span ends at word {end} of a sentence of {length} words")
            codes[offset + start] = index[type_]
            codes[offset + start + 1 : offset + end] = index[type_] + 1
        offset += length
    return codes


def _check_sentences(**numbers: int) -> None:
    if len(set(numbers.values())) > 1:
        raise ValueError(f"there must be one entry per sentence in each list, got {numbers}")
