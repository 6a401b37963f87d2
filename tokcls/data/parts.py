"""Words fall into parts: what a model labels, in training as in serving.

A running text is split at every punctuation mark (`words.split`), while corpora keep `Jean-Luc`,
`U.S.` or `3.5` as one word. So that a model meets in training what it will be shown when it serves,
each corpus word is split by the same rule, spans are carried over to parts, and what is predicted
on parts is carried back to words before it is scored.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tokcls.data.words import split
from tokcls.labels.spans import Span


@dataclass(frozen=True)
class Parts:
    """The parts of one sentence's words; `word[i]` (int32, rising) is the word of part i."""

    texts: tuple[str, ...]
    word: npt.NDArray[np.int32]


def parts_of(words: Sequence[str]) -> Parts:
    """Split every word; one in which the rule finds nothing stays whole, so no word is lost."""
    texts: list[str] = []
    word: list[int] = []
    for number, text in enumerate(words):
        found = [text] if text.isalnum() else [part.text for part in split(text)] or [text]
        texts += found
        word += [number] * len(found)
    return Parts(tuple(texts), np.array(word, dtype=np.int32))


def to_parts(spans: Sequence[Span], word: npt.NDArray[np.int32]) -> list[Span]:
    """Carry spans over words to spans over parts, whole words becoming all of their parts."""
    return [
        Span(
            int(np.searchsorted(word, span.start)),
            int(np.searchsorted(word, span.end)),
            span.type,
        )
        for span in spans
    ]


def to_words(spans: Sequence[Span], word: npt.NDArray[np.int32]) -> dict[Span, Span]:
    """Carry spans over parts to spans over words; a word goes to the first span that touches it.

    Gives the span over words by the span over parts; a span left without a word is not in it.
    """
    found: dict[Span, Span] = {}
    free = 0
    for span in spans:
        start, end = max(free, int(word[span.start])), int(word[span.end - 1]) + 1
        if start < end:
            found[span] = Span(start, end, span.type)
            free = end
    return found
