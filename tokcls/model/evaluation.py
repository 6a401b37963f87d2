"""From one row of scores per word to spans, counts and metrics, the same for every trial and rank.

Knows nothing of torch: a network's outputs arrive as arrays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tokcls.data.parts import to_words
from tokcls.data.prepared import PreparedSplit
from tokcls.errors import TokclsError
from tokcls.labels.decoding import decode_tags
from tokcls.labels.schema import LabelSchema
from tokcls.labels.schemes import SCHEMES
from tokcls.labels.scoring import Counts, count, per_sentence
from tokcls.labels.spans import Span

Spans = tuple[Span, ...]


@dataclass(frozen=True)
class Share:
    """One rank's share of a split: sentences by index, their predicted spans, their summed loss."""

    sentences: NDArray[np.int64]
    spans: tuple[Spans, ...]
    loss: float
    words: int


@dataclass(frozen=True)
class Evaluation:
    """What one pass over a split gave. `per_sentence` is int32[sentences, types, (tp, fp, fn)]."""

    spans: tuple[Spans, ...]
    counts: Counts
    per_sentence: NDArray[np.int32]
    loss: float

    def metrics(self, prefix: str) -> dict[str, float]:
        """Flatten into `{prefix}_precision`, `_recall`, `_f1`, ..., and by type `_f1_TYPE`, ..."""
        micro = self.counts.scores()
        values = {
            f"{prefix}_precision": micro.precision,
            f"{prefix}_recall": micro.recall,
            f"{prefix}_f1": micro.f1,
            f"{prefix}_accuracy": micro.accuracy,
            f"{prefix}_loss": self.loss,
        }
        for name, scores in self.counts.per_type().items():
            values[f"{prefix}_precision_{name}"] = scores.precision
            values[f"{prefix}_recall_{name}"] = scores.recall
            values[f"{prefix}_f1_{name}"] = scores.f1
        return values


def decode_share(
    split: PreparedSplit,
    sentences: NDArray[np.int64],
    scores: Sequence[NDArray[np.float32]],
    schema: LabelSchema,
    *,
    decoding: str,
) -> Share:
    """Decode the log-probabilities (float32[parts, tags] each) of some sentences of a split.

    The loss is that of each word's first part.
    """
    scheme = SCHEMES[schema.scheme]
    transitions = scheme.transitions(schema.tags) if decoding == "viterbi" else None
    tags = decode_tags(scores, transitions)
    loss, spans = 0.0, []
    for sentence, rows, ids in zip(sentences, scores, tags, strict=True):
        word = split.word_of(sentence)
        gold = schema.encode_ids(split.gold_parts(sentence), len(rows))
        first = np.flatnonzero(np.diff(word, prepend=-1))
        loss -= float(rows[first, gold[first]].sum(dtype=np.float64))
        spans.append(tuple(to_words(schema.decode_ids(ids), word).values()))
    return Share(
        sentences=sentences,
        spans=tuple(spans),
        loss=loss,
        words=sum(split.lengths[sentence] for sentence in sentences),
    )


def evaluate(split: PreparedSplit, shares: Sequence[Share], types: tuple[str, ...]) -> Evaluation:
    """Join all ranks' shares and score them as spans against the gold of the file.

    Raises TokclsError if a sentence was not decided exactly once, or a gold span was not scored.
    """
    order = np.concatenate([share.sentences for share in shares])
    if not np.array_equal(np.sort(order), np.arange(len(split.gold))):
        raise TokclsError(
            f"{len(split.gold)} sentences must each be predicted once, "
            f"got {len(order)} predictions for {len(np.unique(order))} of them"
        )
    spans: list[Spans] = [()] * len(split.gold)
    for share in shares:
        for sentence, predicted in zip(share.sentences, share.spans, strict=True):
            spans[int(sentence)] = predicted
    counts = count(split.gold, spans, split.lengths, types)
    scored, given = int((counts.tp + counts.fn).sum()), sum(map(len, split.gold))
    if scored != given:
        raise TokclsError(f"every gold span must be scored: the file has {given}, scored {scored}")
    words = sum(share.words for share in shares)
    return Evaluation(
        spans=tuple(spans),
        counts=counts,
        per_sentence=per_sentence(split.gold, spans, types),
        loss=sum(share.loss for share in shares) / max(words, 1),
    )
