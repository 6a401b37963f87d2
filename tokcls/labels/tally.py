"""All that is counted of predictions, as one sum: over sentences, and over ranks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tokcls.labels.mistakes import Mistakes, mistakes
from tokcls.labels.scoring import Counts, count
from tokcls.labels.spans import Span

Spans = Sequence[Sequence[Span]]
_REFUSED = re.compile(r"[^A-Za-z0-9_.-]")


@dataclass(frozen=True)
class Found:
    """How many of some gold spans were found."""

    found: int
    gold: int

    def __add__(self, other: Found) -> Found:
        return Found(self.found + other.found, self.gold + other.gold)


@dataclass(frozen=True)
class Tally:
    """Counts, mistakes by kind, and what was found of the entities that training knew or did not.

    `invalid` of `sentences` had best tags that break their scheme.
    """

    counts: Counts
    mistakes: Mistakes
    seen: Found
    unseen: Found
    invalid: int
    sentences: int

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            counts=self.counts + other.counts,
            mistakes=self.mistakes + other.mistakes,
            seen=self.seen + other.seen,
            unseen=self.unseen + other.unseen,
            invalid=self.invalid + other.invalid,
            sentences=self.sentences + other.sentences,
        )

    def metrics(self, prefix: str) -> dict[str, float]:
        """Flatten into `{prefix}_f1`, ...; a recall of no gold spans is left out."""
        micro = self.counts.scores()
        values = {
            f"{prefix}_precision": micro.precision,
            f"{prefix}_recall": micro.recall,
            f"{prefix}_f1": micro.f1,
            f"{prefix}_accuracy": micro.accuracy,
            f"{prefix}_gold_spans": float((self.counts.tp + self.counts.fn).sum()),
            f"{prefix}_invalid_argmax": self.invalid / max(self.sentences, 1),
        }
        named = metric_names(self.counts.types)
        for type_, scores in self.counts.per_type().items():
            name = named[type_]
            values[f"{prefix}_precision_{name}"] = scores.precision
            values[f"{prefix}_recall_{name}"] = scores.recall
            values[f"{prefix}_f1_{name}"] = scores.f1
        for name, part in (("seen", self.seen), ("unseen", self.unseen)):
            if part.gold:
                values[f"{prefix}_recall_{name}"] = part.found / part.gold
        for kind, number in vars(self.mistakes).items():
            values[f"{prefix}_errors_{kind}"] = float(number)
        return values


def metric_names(types: Sequence[str]) -> dict[str, str]:
    """Name each type as trackers allow, and no two alike: a letter that they refuse becomes `_`."""
    names: dict[str, str] = {}
    taken = {"seen", "unseen"}  # recalls of their own
    for type_ in types:
        name = plain = _REFUSED.sub("_", type_)
        number = 1
        while name in taken:
            number += 1
            name = f"{plain}_{number}"
        taken.add(name)
        names[type_] = name
    return names


def tally(
    gold: Spans,
    predicted: Spans,
    lengths: Sequence[int],
    types: Sequence[str],
    *,
    unseen: npt.NDArray[np.bool_],
    invalid: int,
) -> Tally:
    """Count S sentences of `lengths` words; `unseen` is bool, one a gold span, end to end.

    Raises:
        ValueError: the numbers of sentences or gold spans differ, a type is not in `types`, or a
            span leaves its sentence.
    """
    known = [set(spans) for spans in predicted]
    found = np.array(
        [span in guessed for spans, guessed in zip(gold, known, strict=True) for span in spans],
        bool,
    )
    if len(found) != len(unseen):
        raise ValueError(f"unseen must say of {len(found)} gold spans, got {len(unseen)}")
    return Tally(
        counts=count(gold, predicted, lengths, types),
        mistakes=mistakes(gold, predicted),
        seen=Found(int(found[~unseen].sum()), int((~unseen).sum())),
        unseen=Found(int(found[unseen].sum()), int(unseen.sum())),
        invalid=invalid,
        sentences=len(gold),
    )
