"""From one row of scores per word to spans, counts and metrics, the same for every trial and rank.

Knows nothing of torch: a network's outputs arrive as arrays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add

import numpy as np
from numpy.typing import NDArray

from tokcls.data.parts import to_words
from tokcls.data.prepared import PreparedSplit
from tokcls.errors import TokclsError
from tokcls.labels.ceiling import Ceiling, ceiling
from tokcls.labels.decoding import best_tags, decode_tags, is_broken
from tokcls.labels.plan import TypePlan
from tokcls.labels.schema import LabelSchema
from tokcls.labels.schemes import SCHEMES
from tokcls.labels.scoring import Counts, per_sentence
from tokcls.labels.spans import Span
from tokcls.labels.tally import Tally, tally

Spans = tuple[Span, ...]


@dataclass(frozen=True)
class Share:
    """One rank's share of a split, scored: sentences by index, their predicted spans, the sums.

    Spans are of the scored types; `loss` is summed over `words`, and `per_sentence` is
    int32[sentences, types, (tp, fp, fn)].
    """

    sentences: NDArray[np.int64]
    spans: tuple[Spans, ...]
    tally: Tally
    per_sentence: NDArray[np.int32]
    loss: float
    words: int


@dataclass(frozen=True)
class Evaluation:
    """What one pass over a split gave. `per_sentence` is int32[sentences, types, (tp, fp, fn)]."""

    spans: tuple[Spans, ...]
    tally: Tally
    per_sentence: NDArray[np.int32]
    loss: float
    ceiling: Ceiling

    @property
    def counts(self) -> Counts:
        """What precision, recall and F1 are made of."""
        return self.tally.counts

    def metrics(self, prefix: str) -> dict[str, float]:
        """Flatten into `{prefix}_precision`, `_recall`, `_f1`, ..., and by type `_f1_TYPE`, ..."""
        own = {f"{prefix}_loss": self.loss, f"{prefix}_ceiling_f1": self.ceiling.f1}
        return self.tally.metrics(prefix) | own


def decode_share(
    split: PreparedSplit,
    sentences: NDArray[np.int64],
    scores: Sequence[NDArray[np.float32]],
    schema: LabelSchema,
    plan: TypePlan,
    *,
    decoding: str,
) -> Share:
    """Decode and score the log-probabilities (float32[parts, tags] each) of some sentences.

    The loss is that of each word's first part.

    Raises TokclsError if a gold span was not scored.
    """
    transitions = SCHEMES[schema.scheme].transitions(schema.tags)
    tags = decode_tags(scores, transitions if decoding == "viterbi" else None)
    loss, spans = 0.0, []
    for sentence, rows, ids in zip(sentences, scores, tags, strict=True):
        word = split.word_of(sentence)
        gold = schema.encode_ids(plan.learned.apply(split.gold_parts(sentence)), len(rows))
        first = np.flatnonzero(np.diff(word, prepend=-1))
        loss -= float(rows[first, gold[first]].sum(dtype=np.float64))
        found = to_words(schema.decode_ids(ids), word).values()
        spans.append(plan.judged.apply(tuple(found)))
    wanted = [plan.scored.apply(split.gold[sentence]) for sentence in sentences]
    lengths = [split.lengths[sentence] for sentence in sentences]
    return Share(
        sentences=sentences,
        spans=tuple(spans),
        tally=tally(
            wanted,
            spans,
            lengths,
            plan.types,
            unseen=_unseen(split, sentences, plan),
            invalid=int(is_broken(best_tags(scores), transitions).sum()),
        ),
        per_sentence=per_sentence(wanted, spans, plan.types),
        loss=loss,
        words=sum(lengths),
    )


def _unseen(
    split: PreparedSplit, sentences: NDArray[np.int64], plan: TypePlan
) -> NDArray[np.bool_]:
    """Tell of each scored gold span of some sentences, end to end, whether training knew it."""
    starts = np.cumsum([0, *map(len, split.gold)])
    numbers = [
        starts[sentence] + at
        for sentence in sentences
        for at, span in enumerate(split.gold[sentence])
        if plan.scored.of(span.type) is not None
    ]
    return split.unseen[np.array(numbers, np.int64)]


def evaluate(
    split: PreparedSplit, shares: Sequence[Share], schema: LabelSchema, plan: TypePlan
) -> Evaluation:
    """Join all ranks' shares: counts are summed, and no rank's F1 is averaged with another's.

    Raises TokclsError if a sentence was not decided exactly once, or a gold span was not scored.
    """
    order = np.concatenate([share.sentences for share in shares])
    if not np.array_equal(np.sort(order), np.arange(len(split.gold))):
        raise TokclsError(
            f"{len(split.gold)} sentences must each be predicted once, "
            f"got {len(order)} predictions for {len(np.unique(order))} of them"
        )
    spans = [predicted for share in shares for predicted in share.spans]
    back = np.argsort(order)
    total = reduce(add, (share.tally for share in shares))
    _check_all_scored(split, plan, total.counts)
    words = sum(share.words for share in shares)
    return Evaluation(
        spans=tuple(spans[number] for number in back),
        tally=total,
        per_sentence=np.concatenate([share.per_sentence for share in shares])[back],
        loss=sum(share.loss for share in shares) / max(words, 1),
        ceiling=ceiling(
            [plan.learned.apply(gold) for gold in split.gold],
            SCHEMES[schema.scheme],
            judged=plan.judged,
        ),
    )


def _check_all_scored(split: PreparedSplit, plan: TypePlan, counts: Counts) -> None:
    """Hold the sum of the counts against the file: nothing may get lost on the way."""
    dropped = plan.dropped(split.in_file)
    wanted = sum(split.in_file.values()) - sum(dropped.values())
    scored = int((counts.tp + counts.fn).sum())
    if scored != wanted:
        left = ", ".join(f"{n} {type_}" for type_, n in dropped.items())
        besides = f" (and {left}, which labels.score_types drops)" if dropped else ""
        raise TokclsError(
            f"every gold span must be scored: the file has {wanted}{besides}, scored {scored}"
        )
