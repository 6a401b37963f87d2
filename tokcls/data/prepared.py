"""A corpus made ready for one tokenizer: what its trials share, whatever their label schema.

Flat arrays, so that an object store can hand them to many processes without a copy.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tokcls.config import Context
from tokcls.data.corpus import Corpus, Sentence
from tokcls.data.parts import parts_of, to_parts
from tokcls.data.texts import Ints, check_context, join, texts_of
from tokcls.data.windows import Encoded, Longs, Tokenizing, Windows, cut, encode
from tokcls.errors import CorpusError, Problem
from tokcls.labels.spans import Span


@dataclass(frozen=True)
class PreparedSplit:
    """One split: sub-words and windows of its words' parts, and its untouched gold spans.

    `encoded` counts parts where it says words, and its texts are sentences or documents: `text` is
    that of each sentence, int32[S]. All else is by sentence, so that scores are the same whatever
    the context was. `word` is the word in its sentence that each part belongs to, int32[parts], all
    sentences end to end; `offsets`, int64[S + 1], says where each sentence begins in it; `lengths`
    are words per sentence. `unseen` (one a gold span, end to end) tells the spans whose very words,
    case included, no gold span of the train split has, of whatever type. `in_file` counts the gold
    spans of each type as they were read, so that what is scored can be held against it.
    """

    encoded: Encoded
    windows: Windows
    gold: tuple[tuple[Span, ...], ...]
    text: Ints
    word: Ints
    offsets: Longs
    lengths: tuple[int, ...]
    unseen: npt.NDArray[np.bool_]
    in_file: Mapping[str, int]

    def word_of(self, sentence: int) -> Ints:
        """The words of one sentence's parts."""
        begin, end = self.offsets[sentence : sentence + 2]
        return self.word[begin:end]

    def gold_parts(self, sentence: int) -> list[Span]:
        """One sentence's gold spans, over its parts."""
        return to_parts(self.gold[sentence], self.word_of(sentence))

    def sentences_of(self, rank: int, world: int) -> Longs:
        """One rank's share of the sentences: those of every `world`-th text, from `rank` on."""
        return np.flatnonzero(self.text % world == rank)

    def windows_of(self, rank: int, world: int) -> Longs:
        """The windows that decide one rank's sentences.

        A rank without any gets the first, since all ranks must take part in a pass.

        Raises:
            CorpusError: there is no window at all.
        """
        if not len(self.windows):
            message = (
                f"the tokenizer turns all {sum(self.lengths)} words of a split into nothing; "
                "use other data or another backbone"
            )
            raise CorpusError([Problem(message)])
        mine = np.flatnonzero(self.windows.text % world == rank)
        return mine if len(mine) else np.zeros(1, np.int64)


@dataclass(frozen=True)
class Prepared:
    """All splits under one tokenizer; `types` are those of the whole corpus, sorted."""

    splits: Mapping[str, PreparedSplit]
    tokenizing: Tokenizing
    types: tuple[str, ...]
    fingerprint: str


def prepare(
    corpus: Corpus, tokenizing: Tokenizing, *, stride: int, context: Context = "sentence"
) -> Prepared:
    """Tokenise and cut every split of `corpus` once.

    Raises:
        CorpusError: `context` is `document`, and the corpus has none.
    """
    check_context(corpus, context)
    known = set(_entities(corpus.train))
    splits = {
        name: _prepare_split(sentences, tokenizing, stride, context, known)
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
    context: Context,
    known: Set[tuple[str, ...]],
) -> PreparedSplit:
    parts = [parts_of(sentence.words) for sentence in sentences]
    text = texts_of([sentence.document for sentence in sentences], context)
    encoded = encode(join([each.texts for each in parts], text), tokenizing)
    return PreparedSplit(
        encoded=encoded,
        windows=cut(encoded, room=tokenizing.room, stride=stride),
        gold=tuple(sentence.spans for sentence in sentences),
        text=text,
        word=np.concatenate([np.empty(0, np.int32), *(each.word for each in parts)]),
        offsets=np.cumsum([0, *(len(each.word) for each in parts)], dtype=np.int64),
        lengths=tuple(len(sentence.words) for sentence in sentences),
        in_file=Counter(span.type for sentence in sentences for span in sentence.spans),
        unseen=np.array([words not in known for words in _entities(sentences)], bool),
    )
