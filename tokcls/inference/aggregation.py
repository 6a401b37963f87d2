"""From labelled sub-words to entities by Hugging Face's strategies, which know nothing of schemes.

The rules are those that `transformers.TokenClassificationPipeline` documents: labels are read as
B-/I-, neighbours of one type are one entity unless a B- begins a new one, and an entity's score is
the mean of its parts'. Of a long text's windows each sub-word is read from that with most context.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import numpy.typing as npt

from tokcls.inference.sub_words import SubWords

Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Labelled:
    """A stretch of text with a label and a score: a sub-word or a word, later an entity."""

    label: str
    score: float
    start: int
    end: int


@dataclass(frozen=True)
class SubWord(Labelled):
    """A labelled sub-word: its place among the text's tokens, and how its tokenizer writes it."""

    number: int
    piece: str


def each_alone(given: SubWords, labels: Sequence[str]) -> list[SubWord]:
    """Label each sub-word by its best label."""
    found = []
    for piece, chances in zip(given.pieces, given.chances, strict=True):
        label, score = _of_first(chances[None])
        place = piece.start, piece.end, piece.number
        found.append(SubWord(labels[label], score, *place, piece.text))
    return found


def by_word(
    given: SubWords, labels: Sequence[str], choose: Callable[[Doubles], tuple[int, float]]
) -> list[Labelled]:
    """Label each word by what `choose` makes of its sub-words' probabilities."""
    found = []
    for _, group in groupby(range(len(given.pieces)), key=lambda at: given.pieces[at].word):
        places = list(group)
        first, last = places[0], places[-1]
        label, score = choose(given.chances[first : last + 1])
        found.append(
            Labelled(labels[label], score, given.pieces[first].start, given.pieces[last].end)
        )
    return found


def _of_first(chances: Doubles) -> tuple[int, float]:
    label = int(chances[0].argmax())
    return label, float(chances[0, label])


def _of_mean(chances: Doubles) -> tuple[int, float]:
    mean = chances.mean(axis=0)
    label = int(mean.argmax())
    return label, float(mean[label])


def _of_surest(chances: Doubles) -> tuple[int, float]:
    surest = chances[int(chances.max(axis=1).argmax())]
    label = int(surest.argmax())
    return label, float(surest[label])


CHOICES = {"first": _of_first, "average": _of_mean, "max": _of_surest}


def grouped(parts: Sequence[Labelled]) -> Iterator[Labelled]:
    """Join neighbours of one type; what is outside of all entities is a group `O` of its own."""
    run: list[Labelled] = []
    for part in parts:
        if run and (_type(part.label) != _type(run[-1].label) or part.label.startswith("B-")):
            yield _joined(run)
            run = []
        run.append(part)
    if run:
        yield _joined(run)


def _type(label: str) -> str:
    return label[2:] if label.startswith(("B-", "I-")) else label


def _joined(run: Sequence[Labelled]) -> Labelled:
    score = sum(part.score for part in run) / len(run)
    return Labelled(_type(run[0].label), score, run[0].start, run[-1].end)


def aggregated(given: SubWords, labels: Sequence[str], strategy: str) -> list[Labelled]:
    """Find what a strategy finds: sub-words for `none`, else entities, `O` among them."""
    if strategy == "none":
        return [*each_alone(given, labels)]
    simple = strategy == "simple"
    parts = each_alone(given, labels) if simple else by_word(given, labels, CHOICES[strategy])
    # The blank before a word may be a sub-word by itself, and has no place in the text: it parts
    # what it stands between, as in the pipeline, but there is nothing of it to show.
    return [each for each in grouped(parts) if each.start < each.end]
