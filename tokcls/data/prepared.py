"""A corpus made ready for one tokenizer: what its trials share, whatever their label schema.

Flat arrays, so that an object store can hand them to many processes without a copy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tokcls.data.corpus import Corpus, Sentence
from tokcls.data.windows import Encoded, Tokenizing, Windows, cut, encode
from tokcls.labels.spans import Span


@dataclass(frozen=True)
class PreparedSplit:
    """One split: its sub-words, its windows, and its untouched gold spans by sentence."""

    encoded: Encoded
    windows: Windows
    gold: tuple[tuple[Span, ...], ...]

    @property
    def lengths(self) -> list[int]:
        """Words per sentence."""
        return [int(count) for count in self.encoded.words]


@dataclass(frozen=True)
class Prepared:
    """All splits under one tokenizer; `types` are those of the whole corpus, sorted."""

    splits: Mapping[str, PreparedSplit]
    tokenizing: Tokenizing
    types: tuple[str, ...]
    fingerprint: str


def prepare(corpus: Corpus, tokenizing: Tokenizing, *, stride: int) -> Prepared:
    """Tokenise and cut every split of `corpus` once."""
    splits = {
        name: _prepare_split(sentences, tokenizing, stride)
        for name, sentences in corpus.splits.items()
    }
    return Prepared(splits, tokenizing, corpus.types, corpus.fingerprint)


def _prepare_split(
    sentences: Sequence[Sentence], tokenizing: Tokenizing, stride: int
) -> PreparedSplit:
    encoded = encode([sentence.words for sentence in sentences], tokenizing)
    windows = cut(encoded, room=tokenizing.room, stride=stride)
    return PreparedSplit(encoded, windows, tuple(sentence.spans for sentence in sentences))
