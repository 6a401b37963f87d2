"""A corpus made ready for one tokenizer: what its trials share, whatever their label schema.

Flat arrays, so that an object store can hand them to many processes without a copy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tokcls.data.corpus import Corpus, Sentence
from tokcls.data.parts import parts_of, to_parts
from tokcls.data.windows import Encoded, Tokenizing, Windows, cut, encode
from tokcls.labels.spans import Span


@dataclass(frozen=True)
class PreparedSplit:
    """One split: sub-words and windows of its words' parts, and its untouched gold spans.

    `encoded` counts parts where it says words; `word` (int32, one a part, all sentences end to end)
    is the word that each part belongs to, and `lengths` are words per sentence. `unseen` (one a
    gold span, end to end) tells the spans whose very words, case included, no gold span of the
    train split has, of whatever type.
    """

    encoded: Encoded
    windows: Windows
    gold: tuple[tuple[Span, ...], ...]
    word: npt.NDArray[np.int32]
    lengths: tuple[int, ...]
    unseen: npt.NDArray[np.bool_]

    def word_of(self, sentence: int) -> npt.NDArray[np.int32]:
        """The words of one sentence's parts."""
        begin, end = self.encoded.word_offsets[sentence : sentence + 2]
        return self.word[begin:end]

    def gold_parts(self, sentence: int) -> list[Span]:
        """One sentence's gold spans, over its parts."""
        return to_parts(self.gold[sentence], self.word_of(sentence))


@dataclass(frozen=True)
class Prepared:
    """All splits under one tokenizer; `types` are those of the whole corpus, sorted."""

    splits: Mapping[str, PreparedSplit]
    tokenizing: Tokenizing
    types: tuple[str, ...]
    fingerprint: str


def prepare(corpus: Corpus, tokenizing: Tokenizing, *, stride: int) -> Prepared:
    """Tokenise and cut every split of `corpus` once."""
    known = set(_entities(corpus.train))
    splits = {
        name: _prepare_split(sentences, tokenizing, stride, known)
        for name, sentences in corpus.splits.items()
    }
    return Prepared(splits, tokenizing, corpus.types, corpus.fingerprint)


def _entities(sentences: Sequence[Sentence]) -> list[tuple[str, ...]]:
    """The words of every gold span, in order."""
    return [one.words[span.start : span.end] for one in sentences for span in one.spans]


def _prepare_split(
    sentences: Sequence[Sentence],
    tokenizing: Tokenizing,
    stride: int,
    known: Set[tuple[str, ...]],
) -> PreparedSplit:
    parts = [parts_of(sentence.words) for sentence in sentences]
    encoded = encode([each.texts for each in parts], tokenizing)
    return PreparedSplit(
        encoded=encoded,
        windows=cut(encoded, room=tokenizing.room, stride=stride),
        gold=tuple(sentence.spans for sentence in sentences),
        word=np.concatenate([each.word for each in parts], dtype=np.int32, casting="unsafe")
        if parts
        else np.empty(0, np.int32),
        lengths=tuple(len(sentence.words) for sentence in sentences),
        unseen=np.array([words not in known for words in _entities(sentences)], bool),
    )
